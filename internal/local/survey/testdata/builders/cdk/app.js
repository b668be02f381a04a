const { App, Stack, Duration } = require("aws-cdk-lib");
const { Function, Runtime, Code } = require("aws-cdk-lib/aws-lambda");
const { RetentionDays } = require("aws-cdk-lib/aws-logs");
const { WebSocketApi, WebSocketStage } = require("aws-cdk-lib/aws-apigatewayv2");
const { WebSocketLambdaIntegration, WebSocketMockIntegration, WebSocketAwsIntegration } = require("aws-cdk-lib/aws-apigatewayv2-integrations");
const { WebSocketLambdaAuthorizer } = require("aws-cdk-lib/aws-apigatewayv2-authorizers");

const app = new App({ outdir: process.argv[2] });
const stack = new Stack(app, "ChatStack");
const handler = new Function(stack, "Chat", { runtime: Runtime.NODEJS_22_X, handler: "index.handler", code: Code.fromAsset("src"), logRetention: RetentionDays.ONE_WEEK });
const admit = new Function(stack, "Admit", { runtime: Runtime.NODEJS_22_X, handler: "index.handler", code: Code.fromInline(
  'exports.handler = async (e) => ({ principalId: "ana", policyDocument: { Version: "2012-10-17", Statement: [{ Action: "execute-api:Invoke", Effect: "Allow", Resource: e.methodArn }] } })') });
const api = new WebSocketApi(stack, "Api", {
  connectRouteOptions: { integration: new WebSocketLambdaIntegration("Connect", handler), authorizer: new WebSocketLambdaAuthorizer("Auth", admit, { identitySource: ["route.request.querystring.token"] }) },
  disconnectRouteOptions: { integration: new WebSocketLambdaIntegration("Disconnect", handler) },
  defaultRouteOptions: { integration: new WebSocketLambdaIntegration("Else", handler), returnResponse: true },
});
api.addRoute("send", { integration: new WebSocketLambdaIntegration("Send", handler), returnResponse: true });
new WebSocketStage(stack, "Stage", { webSocketApi: api, stageName: "dev", autoDeploy: true });
app.synth();

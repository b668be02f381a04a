exports.admit = async (e) => ({ principalId: "ana", policyDocument: { Version: "2012-10-17", Statement: [{ Action: "execute-api:Invoke", Effect: "Allow", Resource: e.methodArn }] } });
exports.chat = async (event) => ({ statusCode: 200, body: event.requestContext.routeKey + " " + event.body });

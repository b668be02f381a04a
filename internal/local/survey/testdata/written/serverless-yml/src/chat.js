exports.auth = async (event) => ({
  principalId: event.queryStringParameters.token,
  policyDocument: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "execute-api:Invoke", Resource: event.methodArn }] },
});
exports.connect = async () => ({ statusCode: process.env.TABLE === "chat-dev" ? 200 : 500 });
exports.say = async () => ({ statusCode: 200, body: "heard" });

package server_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/server"
)

// TestStreamOfATable: what is written to a table runs the function that its stream is mapped to, in order, again if it fails, and only
// what matches its filter.
func TestStreamOfATable(t *testing.T) {
	t.Parallel()
	servertest.OwnServer(t)
	db := dynamotest.Need(t)
	// The connection is pushed to by the function of the stream, with what was written.
	text := strings.Replace(chatTemplate, "Timeout: 20", "Timeout: 20, Environment: {Variables: {TABLE: !Ref Words}}", 1) + `
  Words:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: ` + "words-" + rand.Text() + `
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
  Tell:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: nodejs22.x
      Handler: index.handler
      CodeUri: tell/
      Timeout: 20
      Events:
        Written:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Words.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 1
            FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}
`
	s := startForeign(t, text, map[string]string{
		"src/index.js": `const call = require("call")
exports.handler = async (event) => {
  const { connectionId, domainName, stage } = event.requestContext
  const item = { id: { S: event.requestContext.requestId }, text: { S: event.body }, to: { S: "http://" + domainName + "/" + stage + "/@connections/" + encodeURIComponent(connectionId) } }
  await call("PutItem", { TableName: process.env.TABLE, Item: item })
  await call("PutItem", { TableName: process.env.TABLE, Item: { ...item, text: { S: "changed" } } }) // no INSERT
  return { statusCode: 200, body: "written" }
}`,
		"src/node_modules/call/index.js": `module.exports = async (operation, body) => {
  const answer = await fetch(process.env.AWS_ENDPOINT_URL_DYNAMODB, { method: "POST", body: JSON.stringify(body), headers: {
    "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810." + operation,
    Authorization: "AWS4-HMAC-SHA256 Credential=" + process.env.AWS_ACCESS_KEY_ID + "/20260101/" + process.env.AWS_REGION + "/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
  } })
  if (!answer.ok) throw new Error(await answer.text())
}`,
		"tell/index.js": `let failed = false
exports.handler = async (event) => {
  if (!failed) { failed = true; throw new Error("once") }
  for (const r of event.Records) {
    const { to, text } = r.dynamodb.NewImage
    await fetch(to.S, { method: "POST", body: [r.eventSource, r.eventName, text.S, r.eventSourceARN.includes("/stream/")].join(" ") })
  }
}`,
	}, func(o *server.Outside) { o.DynamoDB = db })
	conn := s.connect(t)
	for _, word := range []string{"one", "two", "three"} {
		got := []string{ask(t, conn, word), receive(t, conn)} // the reply and the push, whichever is faster
		slices.Sort(got)
		if want := []string{"aws:dynamodb INSERT " + word + " true", "written"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

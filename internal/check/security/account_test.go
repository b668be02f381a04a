package security

import (
	"bytes"
	"context"
	"crypto/md5" // what SQS answers
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// What policies and calls are about, as template.yaml writes it.
const (
	theTable      = "!GetAtt Table.Arn"
	deliverQueue  = "!GetAtt DeliverQueue.Arn"
	emitQueue     = "!GetAtt EmitQueue.Arn"
	theSecret     = "!Ref JwtSecretArn"
	theBus        = "!Sub arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBusName}"
	connectionsOf = "!Sub arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebSocketApi}/${Stage}/%s/@connections/*"
)

const (
	secretARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:jwt"
	hookARN   = "arn:aws:lambda:eu-west-1:123456789012:function:" // with the name of the hook's parameter
	queueURL  = "https://sqs.eu-west-1.amazonaws.com/123456789012/deliver"
	emitURL   = "https://sqs.eu-west-1.amazonaws.com/123456789012/emit"
	busName   = "lifecycle"
)

// account is an AWS account with the functions of template.yaml in it, as they are deployed: built, in processes of their
// own, with the environment of the template. Each function has an endpoint of its own for all of AWS, so that every call
// is known to be its. DynamoDB is DynamoDB Local; the other services only remember what they are told.
type account struct {
	tb        testing.TB
	functions map[string]*runtimeapi.Function // by folder
	db        dynamotest.Table                // of which only the functions' calls are written down
	secret    string

	mu        sync.Mutex
	calls     map[string]map[string]bool // by folder: "action on resource"
	gone      map[string]bool            // connections that are closed; all others are open
	throttled map[string]bool            // connections that are posted to too often
	jobs      []string
	sockets   []string     // jobs that keep sockets of Socket.IO awake or close them, which come again and again
	sent      bytes.Buffer // the bodies of all calls
	logs      bytes.Buffer
}

// newAccount deploys the template with parameters, for tokens of an issuer.
func newAccount(tb testing.TB, built string, parameters map[string]string, issuer issuer) *account {
	tb.Helper()
	a := &account{
		tb: tb, functions: map[string]*runtimeapi.Function{}, db: dynamotest.New(tb, "security"), secret: issuer.secret,
		calls: map[string]map[string]bool{}, gone: map[string]bool{}, throttled: map[string]bool{},
	}
	tpl, err := template.Read(bellhop.Template, template.Options{Parameters: parameters})
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range tpl.Functions {
		folder := filepath.Base(f.CodeURI)
		aws := httptest.NewServer(a.serve(folder))
		tb.Cleanup(aws.Close)
		env := map[string]string{
			"AWS_ENDPOINT_URL": aws.URL, "AWS_REGION": a.db.Env["AWS_REGION"], "AWS_EC2_METADATA_DISABLED": "true",
			"AWS_ACCESS_KEY_ID": a.db.Env["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": a.db.Env["AWS_SECRET_ACCESS_KEY"],
			"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
		}
		maps.Copy(env, a.environment(tpl, f, aws.URL))
		maps.Copy(env, issuer.environment)
		function, err := runtimeapi.New(runtimeapi.Config{
			Name: f.ID, Runtime: f.Runtime, Dir: filepath.Join(built, folder), Env: env, Memory: f.MemoryMB, Timeout: f.Timeout,
			Logger: slog.New(slog.NewTextHandler(&locked{mu: &a.mu, w: &a.logs}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := function.Close(context.Background()); err != nil {
				tb.Error(err)
			}
		})
		a.functions[folder] = function
	}
	return a
}

// environment is what the template gives a function, with this account's names in it.
func (a *account) environment(t *template.Template, f template.Function, endpoint string) map[string]string {
	a.tb.Helper()
	vars, warnings, err := t.Environment(f.ID, func(to template.Reference) (string, bool) {
		switch to.Resource {
		case "Table":
			return a.db.Name, true
		case "DeliverQueue":
			return queueURL, true
		case "EmitQueue":
			return emitURL, true
		}
		return "", false
	})
	if err != nil || len(warnings) > 0 {
		a.tb.Fatalf("environment of %s: %v %v", f.ID, err, warnings)
	}
	if vars["MANAGEMENT_ENDPOINT"] != "" {
		vars["MANAGEMENT_ENDPOINT"] = endpoint + "/dev"
	}
	return vars
}

// build compiles the functions as they are, or with hooks in Go: those of testdata.
func build(t *testing.T, goHooks bool) string {
	t.Helper()
	dynamotest.Need(t)
	out := t.TempDir()
	if goHooks {
		overlay := filepath.Join(out, "overlay.json")
		text := fmt.Sprintf(`{"Replace":{%q:%q}}`, absolute(t, "../../../app/app.go"), absolute(t, "testdata/hooks.go.txt"))
		if err := os.WriteFile(overlay, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("GOFLAGS", strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay)) //nolint:forbidigo // of the compiler
	}
	folders, err := os.ReadDir("../../../functions")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if err := runtimeapi.BuildGo(t.Context(), filepath.Join("../../../functions", f.Name()), filepath.Join(out, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func absolute(tb testing.TB, path string) string {
	tb.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// locked is a writer for many.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (a *account) called(function, action, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls[function] == nil {
		a.calls[function] = map[string]bool{}
	}
	a.calls[function][action+" on "+resource] = true
}

// serve is AWS for one function.
func (a *account) serve(function string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			a.tb.Errorf("%s: %v", function, err)
			return
		}
		a.mu.Lock()
		a.sent.Write(body)
		a.mu.Unlock()
		service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		switch id, connection := strings.CutPrefix(r.URL.Path, "/dev/@connections/"); {
		case connection:
			a.connections(w, function, r.Method, id)
		case service == "DynamoDB_20120810":
			a.dynamo(w, r, function, operation, body)
		case service == "AmazonSQS" && (operation == "SendMessage" || operation == "SendMessageBatch"):
			a.sqs(w, function, operation, body)
		case service == "AmazonSQS" && operation == "ChangeMessageVisibility":
			queue, own := map[string]string{"emit": emitURL, "deliver": queueURL}, map[string]string{"emit": emitQueue, "deliver": deliverQueue}
			a.about(body, "QueueUrl", queue[function])
			a.called(function, "sqs:ChangeMessageVisibility", own[function])
			io.WriteString(w, `{}`)
		case service == "secretsmanager" && operation == "GetSecretValue":
			a.about(body, "SecretId", secretARN)
			a.called(function, "secretsmanager:GetSecretValue", theSecret)
			fmt.Fprintf(w, `{"ARN":%q,"SecretString":%q}`, secretARN, a.secret)
		case service == "AWSEvents" && operation == "PutEvents":
			a.about(body, "EventBusName", busName)
			a.called(function, "events:PutEvents", theBus)
			io.WriteString(w, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
		case strings.HasPrefix(r.URL.Path, invocation):
			a.hook(w, function, r)
		default:
			a.tb.Errorf("%s calls %s %s %s, which this test does not know: say in serve which right that takes",
				function, r.Method, r.URL.Path, r.Header.Get("X-Amz-Target"))
			w.WriteHeader(http.StatusNotImplemented)
		}
	}
}

// about fails the test unless every field of that name, however deep, has the value that policies are about.
func (a *account) about(body []byte, field, want string) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		a.tb.Errorf("%v in %s", err, body)
	}
	found := 0
	each(v, func(name string, value any) {
		if name != field {
			return
		}
		if found++; value != want {
			a.tb.Errorf("%s is %v, want %s: the policies allow nothing else", field, value, want)
		}
	})
	if found == 0 {
		a.tb.Errorf("there is no %s in %s", field, body)
	}
}

// each visits every field of a JSON value.
func each(v any, visit func(name string, value any)) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			visit(name, value)
			each(value, visit)
		}
	case []any:
		for _, value := range v {
			each(value, visit)
		}
	}
}

// dynamo passes a call on. A transaction takes the rights of what is in it:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
func (a *account) dynamo(w http.ResponseWriter, r *http.Request, function, operation string, body []byte) {
	a.about(body, "TableName", a.db.Name)
	operations := []string{operation}
	switch operation {
	case "TransactWriteItems":
		operations = nil
		var in struct{ TransactItems []map[string]json.RawMessage }
		if err := json.Unmarshal(body, &in); err != nil {
			a.tb.Error(err)
		}
		for _, item := range in.TransactItems {
			for kind := range item { // Put, Update, Delete, ConditionCheck
				operations = append(operations, strings.TrimSuffix(kind, "Item")+"Item")
			}
		}
	case "TransactGetItems":
		operations = []string{"GetItem"}
	}
	for _, o := range operations {
		a.called(function, "dynamodb:"+o, theTable)
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, a.db.Env["AWS_ENDPOINT_URL_DYNAMODB"], bytes.NewReader(body))
	if err != nil {
		a.tb.Error(err)
		return
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if r.Context().Err() == nil {
			a.tb.Error(err)
		}
		return
	}
	defer response.Body.Close()
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	io.Copy(w, response.Body)
}

func (a *account) sqs(w http.ResponseWriter, function, operation string, body []byte) {
	a.about(body, "QueueUrl", queueURL)
	a.called(function, "sqs:SendMessage", deliverQueue) // a batch takes the same right
	var in struct{ MessageBody string }
	if err := json.Unmarshal(body, &in); err != nil || operation != "SendMessage" {
		a.tb.Errorf("%s of %s: %v", operation, body, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.HasPrefix(in.MessageBody, `{"kind":"socket:beat"`) || strings.HasPrefix(in.MessageBody, `{"kind":"socket:reap"`) {
		a.sockets = append(a.sockets, in.MessageBody)
	} else {
		a.jobs = append(a.jobs, in.MessageBody)
	}
	sum := md5.Sum([]byte(in.MessageBody))
	fmt.Fprintf(w, `{"MessageId":"1","MD5OfMessageBody":%q}`, hex.EncodeToString(sum[:]))
}

func (a *account) connections(w http.ResponseWriter, function, verb, id string) {
	a.called(function, "execute-api:ManageConnections", fmt.Sprintf(connectionsOf, verb))
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.gone[id]:
		w.Header().Set("X-Amzn-Errortype", "GoneException")
		w.WriteHeader(http.StatusGone)
	case a.throttled[id]:
		w.Header().Set("X-Amzn-Errortype", "LimitExceededException")
		w.WriteHeader(http.StatusTooManyRequests)
	case verb == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case verb == http.MethodGet:
		io.WriteString(w, `{"connectedAt":"2026-01-01T00:00:00Z","lastActiveAt":"2026-01-01T00:00:00Z","identity":{"sourceIp":"127.0.0.1"}}`)
	}
}

const invocation = "/2015-03-31/functions/" + hookARN

// hook is the owner's function that a parameter of the template names.
func (a *account) hook(w http.ResponseWriter, function string, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, invocation), "/")
	a.called(function, "lambda:InvokeFunction", "!Ref "+name)
	switch {
	case r.Header.Get("X-Amz-Invocation-Type") == "Event":
		w.WriteHeader(http.StatusAccepted)
	case name == "ConnectHook":
		io.WriteString(w, `{"rooms":["channel:auto","community:auto"]}`)
	default:
		io.WriteString(w, `{}`)
	}
}

// is closes connections for good, or makes them be posted to too often, or puts an end to that.
func (a *account) is(list map[string]bool, now bool, ids ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		list[id] = now
	}
}

// invoke runs a function and gives its answer, or what it threw.
func (a *account) invoke(function string, event any) string {
	a.tb.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		a.tb.Fatal(err)
	}
	out, err := a.functions[function].Invoke(a.tb.Context(), payload)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// must is invoke that wants something in the answer.
func (a *account) must(want, function string, event any) {
	a.tb.Helper()
	if got := a.invoke(function, event); !strings.Contains(got, want) {
		a.tb.Errorf("%s answers %s, want %s", function, got, want)
	}
}

// work runs deliver until its queue is empty. Delays are over at once.
func (a *account) work() {
	a.tb.Helper()
	for range 50 {
		if !a.workOnce() {
			return
		}
	}
	a.tb.Error("the queue never gets empty")
}

// workOnce runs deliver with the jobs that wait, and reports whether there were any.
func (a *account) workOnce() bool {
	a.tb.Helper()
	return a.workSome(&a.jobs)
}

func (a *account) workSome(queue *[]string) bool {
	a.tb.Helper()
	a.mu.Lock()
	jobs := (*queue)[:min(10, len(*queue))]
	*queue = slices.Clone((*queue)[len(jobs):])
	a.mu.Unlock()
	if len(jobs) > 0 {
		a.must(`"batchItemFailures":[]`, "deliver", batch(jobs...))
	}
	return len(jobs) > 0
}

// batch is an event of a queue.
func batch(bodies ...string) any {
	var records []map[string]string
	for i, body := range bodies {
		records = append(records, map[string]string{"messageId": fmt.Sprint(i), "receiptHandle": fmt.Sprint(i), "body": body})
	}
	return map[string]any{"Records": records}
}

// event is an event of the folder events/ as it would come from a connection.
func (a *account) event(name, connection, user, body string) map[string]any {
	a.tb.Helper()
	text, err := os.ReadFile("../../../events/" + name + ".json")
	if err != nil {
		a.tb.Fatal(err)
	}
	var e map[string]any
	if err := json.Unmarshal(text, &e); err != nil {
		a.tb.Fatal(err)
	}
	c := e["requestContext"].(map[string]any)
	c["connectionId"] = connection
	if auth, ok := c["authorizer"].(map[string]any); ok {
		auth["user"], auth["name"], auth["principalId"] = user, user, user
		auth["grants"] = `{"channel:*":["join","publish"],"community:*":["join"]}`
	}
	if body != "" {
		e["body"] = body
	}
	return e
}

// connect opens a connection whose id is that of its user, with a number.
func (a *account) connect(ids ...string) {
	a.tb.Helper()
	for _, id := range ids {
		a.must(`"statusCode":200`, "connect", a.event("connect", id, userOf(id), ""))
	}
}

func userOf(connection string) string {
	user, _, _ := strings.Cut(connection, "-")
	return user
}

// say sends frames of a connection, which have to be answered well.
func (a *account) say(connection string, frames ...string) {
	a.tb.Helper()
	for _, frame := range frames {
		got := a.invoke("message", a.event("default", connection, userOf(connection), frame))
		if strings.Contains(got, `\"ok\":false`) || !strings.Contains(got, `"statusCode":200`) {
			a.tb.Errorf("%s says %s and is answered %s", connection, frame, got)
		}
	}
}

// age makes connections look as if they were opened long ago and silent since.
func (a *account) age(ids ...string) {
	a.tb.Helper()
	for _, id := range ids {
		a.change(fmt.Sprintf("conn#%d", hub.Partition(id)), id, "SET #opened = :v, #seen = :v REMOVE #entered", &types.AttributeValueMemberN{Value: "1000"})
	}
}

// change writes to a row behind the back of the functions.
func (a *account) change(pk, sk, update string, v types.AttributeValue) {
	a.tb.Helper()
	names := map[string]string{}
	for _, word := range strings.FieldsFunc(update, func(r rune) bool { return strings.ContainsRune(" ,=", r) }) {
		if name, is := strings.CutPrefix(word, "#"); is {
			names[word] = name
		}
	}
	_, err := a.db.Client.UpdateItem(a.tb.Context(), &dynamodb.UpdateItemInput{
		TableName: &a.db.Name, UpdateExpression: &update, ConditionExpression: aws.String("attribute_exists(pk)"),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
		},
		ExpressionAttributeNames: names, ExpressionAttributeValues: map[string]types.AttributeValue{":v": v},
	})
	if err != nil {
		a.tb.Fatalf("change %s %s: %v", pk, sk, err)
	}
}

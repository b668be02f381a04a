package serverless

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// lay writes files into a folder, and gives the path of serverless.yml there.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "serverless.yml")
}

// chat is a document with everything that is read.
const chat = `service: chat
useDotenv: true
custom:
  table: ${self:service}-${opt:stage, self:provider.stage}-connections
  limits:
    dev: {size: 7}
    prod: {size: 70}
  size: ${self:custom.limits.${sls:stage}.size}
provider:
  name: aws
  runtime: nodejs20.x
  stage: ${opt:stage, 'dev'}
  region: eu-west-1
  memorySize: 256
  websocketsApiRouteSelectionExpression: $request.body.type
  environment:
    TABLE: ${self:custom.table}
    SIZE: ${self:custom.size}
    GREETING: ${env:GREETING, 'hello'}
    FROM_FILE: ${file(./config.${sls:stage}.yml):names.first}
    SECRET: ${ssm:/chat/secret}
    URL: !Sub "https://${WebsocketsApi}.execute-api.${AWS::Region}.amazonaws.com/${self:provider.stage}"
package: {patterns: ["!**"]}
functions:
  on-connect:
    handler: src/connect.handler
    timeout: 12
    environment: {SIZE: null, OWN: "${param:own, 'none'}"}
    events:
      - websocket:
          route: $connect
          authorizer: {name: auth, identitySource: [route.request.querystring.token]}
      - websocket: $disconnect
  auth:
    handler: src/auth.handler
  say:
    handler: src/say.handler
    layers: [!Ref SharedLambdaLayer]
    events:
      - websocket: {route: say, routeResponseSelectionExpression: $default}
      - httpApi: POST /say
      - http: {path: say, method: post, cors: true}
      - schedule: rate(5 minutes)
      - sqs: {arn: !GetAtt Jobs.Arn, batchSize: 3}
      - sns: news
      - stream: {type: dynamodb, arn: !GetAtt Table.StreamArn, startingPosition: LATEST, filterPatterns: [{eventName: [INSERT]}]}
      - eventBridge: {pattern: {source: [shop]}}
      - s3: photos
layers:
  shared: {path: layer}
resources:
  - ${file(resources.yml)}
  - Resources:
      Jobs: {Type: AWS::SQS::Queue}
`

var chatFiles = map[string]string{
	"serverless.yml": chat, "config.dev.yml": "names: {first: ana}", ".env": "GREETING=\"good day\"\n",
	"resources.yml": "Resources:\n  Table:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      TableName: ${self:custom.table}\n      KeySchema: [{AttributeName: id, KeyType: HASH}]\n      StreamSpecification: {StreamViewType: NEW_IMAGE}\n",
}

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := ReadFile(lay(t, chatFiles), template.Options{Parameters: map[string]string{"own": "mine"}})
	if err != nil {
		t.Fatal(err)
	}
	connect, ok := got.Function("OnDashconnectLambdaFunction")
	if !ok || connect.Name != "chat-dev-on-connect" || connect.Handler != "src/connect.handler" || connect.Runtime != "nodejs20.x" || connect.CodeURI != "." ||
		connect.Timeout != 12*time.Second || connect.MemoryMB != 256 {
		t.Errorf("the function is %+v", connect)
	}
	if say, _ := got.Function("SayLambdaFunction"); say == nil || say.Timeout != 6*time.Second || !slices.Equal(say.Layers, []string{"SharedLambdaLayer"}) {
		t.Errorf("the function is %+v", say)
	}
	for id, want := range map[string]map[string]string{
		"OnDashconnectLambdaFunction": {
			"TABLE": "chat-dev-connections", "SIZE": "", "GREETING": "good day", "FROM_FILE": "ana", "SECRET": "/chat/secret", "OWN": "mine",
			"URL": "https://websocketsapi.execute-api.eu-west-1.amazonaws.com/dev",
		},
		"SayLambdaFunction": {"SIZE": "7", "OWN": ""},
	} {
		env, _, err := got.Environment(id, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if name == "URL" { // whatever id the API has
				env[name] = strings.Replace(env[name], strings.TrimPrefix(strings.Split(env[name], ".")[0], "https://"), "websocketsapi", 1)
			}
			if env[name] != value {
				t.Errorf("%s: %s is %q, want %q", id, name, env[name], value)
			}
		}
	}
	if len(got.APIs) != 1 {
		t.Fatalf("the APIs are %+v", got.APIs)
	}
	api := got.APIs[0]
	var routes []string
	for _, r := range api.Routes {
		routes = append(routes, r.Key+" "+r.Integration.Function)
	}
	slices.Sort(routes)
	if want := []string{"$connect OnDashconnectLambdaFunction", "$disconnect OnDashconnectLambdaFunction", "say SayLambdaFunction"}; !slices.Equal(routes, want) {
		t.Errorf("the routes are %q", routes)
	}
	if api.ID != "WebsocketsApi" || api.Stage != "dev" || api.Selection != "$request.body.type" || api.Authorizer == nil ||
		!slices.Equal(api.Authorizer.Sources, []string{"route.request.querystring.token"}) {
		t.Errorf("the API is %+v, its authorizer %+v", api, api.Authorizer)
	}
	if len(got.HTTPAPIs) != 2 || len(got.Schedules) != 1 || got.Queue("Jobs").Mapping.BatchSize != 3 || len(got.Subscriptions) != 1 || len(got.Streams) != 1 ||
		!got.Streams[0].Latest || len(got.Streams[0].Filters) != 1 || len(got.Rules) != 1 || len(got.Layers) != 1 || got.Tables[0].Name != "chat-dev-connections" {
		t.Errorf("got %+v", got)
	}
	var warned []string
	for _, w := range got.Warnings {
		warned = append(warned, w.Text)
	}
	for _, want := range []string{`what ${ssm:/chat/secret} is worth is only known on AWS`, "events of S3 do not come, since no buckets are here"} {
		if !strings.Contains(strings.Join(warned, "\n"), want) {
			t.Errorf("no warning %q in %q", want, warned)
		}
	}
	prod, err := ReadFile(lay(t, map[string]string{"serverless.yml": chat, "config.prod.yml": "names: {first: eva}", "resources.yml": ""}), template.Options{Stage: "prod"})
	if err == nil || !strings.Contains(err.Error(), "Table") {
		t.Errorf("a table that is not there gives %v, %v", prod, err)
	}
}

// TestRefuse: what is not known is said with file and line.
func TestRefuse(t *testing.T) {
	t.Parallel()
	const head = "service: a\nprovider: {name: aws, runtime: nodejs20.x}\n"
	for text, want := range map[string]string{
		"provider: {}\n": "serverless.yml:1: there is no service: its name is missing",
		head + "functions:\n  f: {handler: '${self:custom.x}'}":                                                       "serverless.yml:4: ${self:custom.x} leads to nothing in serverless.yml",
		head + "custom: {x: '${self:custom.x}'}\nfunctions:\n  f: {handler: '${self:custom.x}'}":                      "serverless.yml:3: the variables lead to each other without an end",
		head + "functions:\n  f: {handler: '${git:branch}'}":                                                          "serverless.yml:4: ${git:…} is a variable of a plugin, which is not run; let the Framework read it: `npx serverless package`",
		head + "functions: ${file(functions.js)}":                                                                     "serverless.yml:3: ${file(functions.js)}: ",
		head + "functions:\n  f:\n    handler: a.b\n    events:\n      - websocket:\n        route: $connect":         "serverless.yml:7: an event of f is not one kind with its settings beneath it: is something indented too little?",
		head + "functions:\n  f:\n    handler: a.b\n    events:\n      - websocket: {authorizer: g}":                  "serverless.yml:7: a websocket event of f has no route",
		head + "functions:\n  f:\n    handler: a.b\n    events:\n      - websocket: {route: $connect, authorizer: g}": "serverless.yml:7: the authorizer g is no function of this document",
		head + "functions:\n  f:\n    handler: a.b\n    events: [{websocket: x}, {websocket: x}]":                     "serverless.yml:6: the route x has a function already",
		head + "functions:\n  f: {timeout: 3}":                                                                        "serverless.yml:4: the function f has neither a handler nor an image",
		head + "functions:\n  f: {handler: a.b, timeout: soon}":                                                       "serverless.yml:4: FLambdaFunction: soon is no whole number",
	} {
		_, err := ReadFile(lay(t, map[string]string{"serverless.yml": text}), template.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives %v, want %s", text, err, want)
		}
	}
}

// TestChoose: what the Framework has made counts while it is newer, and a program of it is not run.
func TestChoose(t *testing.T) {
	t.Parallel()
	file := lay(t, map[string]string{"serverless.yml": chat, packaged: "{}"})
	dir := filepath.Dir(file)
	made := filepath.Join(dir, filepath.FromSlash(packaged))
	at := func(name string, when time.Time) {
		t.Helper()
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	at(made, now.Add(-time.Hour))
	if got, text, err := Choose(dir); err != nil || got != file || !strings.Contains(text, "`npx serverless package`") {
		t.Errorf("got %s, %s, %v", got, text, err)
	}
	at(made, now.Add(time.Hour))
	if got, text, err := Choose(file); err != nil || got != made || !strings.Contains(text, "has made of "+file) {
		t.Errorf("got %s, %s, %v", got, text, err)
	}
	if got, text, err := Choose(made); err != nil || got != made || text != "" {
		t.Errorf("got %s, %s, %v", got, text, err)
	}
	program := filepath.Join(filepath.Dir(lay(t, map[string]string{"serverless.ts": ""})), "serverless.ts")
	if _, err := ReadFile(program, template.Options{}); err == nil || !strings.Contains(err.Error(), "make a template of it with `npx serverless package`") {
		t.Errorf("a program gives %v", err)
	}
	if _, _, err := Choose(t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is none of template.yaml") {
		t.Errorf("an empty folder gives %v", err)
	}
}

// FuzzRead reads whatever there is.
func FuzzRead(f *testing.F) {
	f.Add(chat)
	f.Add("service: a\nprovider: &a {stage: *a}")
	f.Add("service: ${self:service}")
	f.Add("service: a\nfunctions: {f: {handler: '${file(${self:service}):${x'}}")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ReadFile(lay(t, map[string]string{"serverless.yml": text}), template.Options{})
	})
}

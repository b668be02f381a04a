package template

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// shopTemplate is a template of somebody else: SAM functions with Globals, tables, queues, and things that are not emulated.
const shopTemplate = `
AWSTemplateFormatVersion: "2010-09-09"
Transform: [AWS::Serverless-2016-10-31, MyMacro]
Parameters:
  Env: {Type: String, Default: test, AllowedValues: [test, prod]}
  Zones: {Type: CommaDelimitedList, Default: "a, b"}
  Key: {Type: AWS::SSM::Parameter::Value<String>, Default: /shop/key}
Conditions:
  IsProd: !Equals [!Ref Env, prod]
Globals:
  Function:
    Runtime: nodejs22.x
    Timeout: 20
    MemorySize: 512
    Architectures: [arm64]
    CodeUri: src/
    Layers: [!Ref Shared]
    Environment:
      Variables: {TABLE: !Ref Orders, LEVEL: info}
Resources:
  Shared: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layer/}}
  Connect:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: esbuild}
    Properties:
      Handler: connect.handler
      ReservedConcurrentExecutions: 0
      Environment:
        Variables:
          LEVEL: debug
          QUEUE: !Ref Work
          QUEUE_NAME: !GetAtt Work.QueueName
          TABLE_ARN: !GetAtt Orders.Arn
          TOPIC: !Ref News
          ENDPOINT: !Sub "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}"
          ZONES: !Join ["+", !Ref Zones]
          SECRET: "{{resolve:ssm:/shop/secret}}"
          KEY: !Ref Key
          SHARED: !ImportValue shared-bucket
          ODD: !GetAtt Mystery.Thing
          NUMBER: 7
          ONLY_PROD: !If [IsProd, "yes", !Ref AWS::NoValue]
          RULES: !ToJsonString {max: 3, names: [a, b]}
  Inline:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "${AWS::StackName}-inline"
      Runtime: python3.13
      Handler: index.handler
      InlineCode: "def handler(event, context): return {}"
      Events:
        Stream: {Type: Kinesis, Properties: {Stream: "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", StartingPosition: LATEST}}
  Plain:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.13, Handler: index.handler, Code: {ZipFile: "x = 1"}, FunctionName: plain}
  Image: {Type: AWS::Serverless::Function, Properties: {PackageType: Image, ImageUri: "shop:latest"}}
  Bucketed: {Type: AWS::Lambda::Function, Properties: {Handler: a.b, Runtime: nodejs22.x, Code: {S3Bucket: code, S3Key: a.zip}}, Metadata: {"aws:asset:path": asset.1b2c}}
  Packaged: {Type: AWS::Serverless::Function, Properties: {PackageType: Image}}
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Plain, FunctionVersion: "1", Name: live}}
  Gone: {Type: AWS::Serverless::Function, Condition: IsProd, Properties: {Handler: x}}
  Photos: {Type: AWS::S3::Bucket, Properties: {NotificationConfiguration: {LambdaConfigurations: [{Event: "s3:ObjectCreated:*", Function: !GetAtt Plain.Arn}]}}}
  News: {Type: AWS::SNS::Topic}
  Subscription: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref News, Protocol: email, Endpoint: me@example.org}}
  Mystery: {Type: Custom::Mystery}
  Role: {Type: AWS::IAM::Role}
  Nightly:
    Type: AWS::Events::Rule
    Properties: {ScheduleExpression: rate(1 day), Targets: [{Arn: !GetAtt Plain.Arn, Id: x}]}
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "orders-${Env}"
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: N}, {AttributeName: user, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
      GlobalSecondaryIndexes:
        - IndexName: byUser
          KeySchema: [{AttributeName: user, KeyType: HASH}]
          Projection: {ProjectionType: INCLUDE, NonKeyAttributes: [total]}
      TimeToLiveSpecification: {AttributeName: expires, Enabled: true}
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Sessions: {Type: AWS::Serverless::SimpleTable, Properties: {PrimaryKey: {Name: connectionId, Type: String}}}
  Counters: {Type: AWS::Serverless::SimpleTable, Properties: {ProvisionedThroughput: {ReadCapacityUnits: 1, WriteCapacityUnits: 2}}}
  Work: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "work-${Env}", RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}}
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
  WorkMapping: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !GetAtt Work.Arn, FunctionName: !Ref Live, BatchSize: 3}}
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action}}
  ConnectRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $connect}}
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !Sub "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Live}/invocations"
  SendRoute: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: send, Target: !Sub "integrations/${Integration}"}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: !Ref Env}}
  Deployment: {Type: AWS::ApiGatewayV2::Deployment, DependsOn: Api, Properties: {ApiId: !Ref Api}}
  Second: {Type: AWS::Serverless::WebSocketApi, Properties: {RouteSelectionExpression: $request.body.x, Routes: {ping: {FunctionArn: !GetAtt Connect.Arn}}}}
`

func readShop(t *testing.T) *Template {
	t.Helper()
	tpl, err := Read([]byte(shopTemplate), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// said is what warnings say.
func said(warnings []*Error) string {
	var b strings.Builder
	for _, w := range warnings {
		b.WriteString(w.Error() + "\n")
	}
	return b.String()
}

func TestReadFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(shopTemplate)
	tpl, err := ReadFile(path, Options{})
	if err != nil || !strings.Contains(said(tpl.Warnings), path+":3: the transform MyMacro is not run") {
		t.Errorf("got %v, %v", tpl, err)
	}
	if _, warnings, err := tpl.Environment("Connect", nil); err != nil || !strings.HasPrefix(said(warnings), path+":") {
		t.Errorf("got %v, %v", said(warnings), err)
	}
	write("Resources:\n  Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref None}}")
	if _, err := ReadFile(path, Options{}); err == nil || err.Error() != path+":2: Q: Ref to None, which is neither a parameter nor a resource" {
		t.Errorf("got %v", err)
	}
	if _, err := ReadFile(path+"x", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestReadFunctions(t *testing.T) {
	tpl := readShop(t)
	got := map[string]Function{}
	for _, f := range tpl.Functions {
		f.Line, f.ARN, f.Folder, f.Layers = 0, "", "", nil // TestLayers has those
		got[f.ID] = f
	}
	none := 0
	for id, want := range map[string]Function{
		"Connect": {
			Name: "Connect", CodeURI: "src/", BuildMethod: "esbuild", Handler: "connect.handler", Runtime: "nodejs22.x", MemoryMB: 512, Timeout: 20 * time.Second, Concurrency: &none,
		},
		"Inline": {
			Name: "local-inline", InlineCode: "def handler(event, context): return {}", Handler: "index.handler", Runtime: "python3.13",
			MemoryMB: 512, Timeout: 20 * time.Second,
		},
		"Plain":    {Name: "plain", InlineCode: "x = 1", Handler: "index.handler", Runtime: "python3.13", MemoryMB: 128, Timeout: 3 * time.Second},
		"Image":    {Name: "Image", Image: true, Runtime: "nodejs22.x", MemoryMB: 512, Timeout: 20 * time.Second},
		"Packaged": {Name: "Packaged", Image: true, Runtime: "nodejs22.x", MemoryMB: 512, Timeout: 20 * time.Second},
		"Bucketed": {Name: "Bucketed", Remote: "s3://code/a.zip", Asset: "asset.1b2c", Handler: "a.b", Runtime: "nodejs22.x", MemoryMB: 128, Timeout: 3 * time.Second},
	} {
		want.ID = id
		if f := got[id]; !reflect.DeepEqual(f, want) {
			t.Errorf("got %+v\nwant %+v", f, want)
		}
	}
	if len(got) != 6 {
		t.Errorf("got %d functions, want those whose condition is true", len(got))
	}
	for name, want := range map[string]string{"Inline": "Inline", "local-inline": "Inline", "arn:aws:lambda:x:1:function:plain:live": "Plain", "path/2015-03-31/functions/arn:aws:lambda:x:1:function:plain/invocations": "Plain", "src": "", "nothing": ""} {
		if f, ok := tpl.Function(name); ok != (want != "") || ok && f.ID != want {
			t.Errorf("Function(%s): got %+v, %v", name, f, ok)
		}
	}
}

func TestReadEnvironment(t *testing.T) {
	tpl := readShop(t)
	vars, warnings, err := tpl.Environment("Connect", func(r Reference) (string, bool) {
		switch {
		case r.Resource == "Orders" && r.Attribute == "" && r.Type == "AWS::DynamoDB::Table":
			return "local-" + r.Name, true
		case r.Resource == "Work" && r.Attribute == "":
			return "http://127.0.0.1:4000/1/" + r.Name, true
		}
		return "", false
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"TABLE": "local-orders-test", "LEVEL": "debug", "QUEUE": "http://127.0.0.1:4000/1/work-test", "QUEUE_NAME": "work-test",
		"TABLE_ARN": "arn:aws:dynamodb:us-east-1:123456789012:table/orders-test", "TOPIC": "arn:aws:sns:us-east-1:123456789012:News",
		"ENDPOINT": "https://" + apiIDOf("Api") + ".execute-api.us-east-1.amazonaws.com/test", "ZONES": "a+b",
		"SECRET": "{{resolve:ssm:/shop/secret}}", "KEY": "/shop/key", "SHARED": "import:shared-bucket", "ODD": "Mystery.Thing", "NUMBER": "7",
		"RULES": `{"max":3,"names":["a","b"]}`,
	}
	if !maps.Equal(vars, want) {
		t.Errorf("got %v\nwant %v", vars, want)
	}
	all := said(warnings)
	for _, part := range []string{"dynamic reference", "parameter Key names a value of the SSM", "exports as shared-bucket", "GetAtt Mystery.Thing"} {
		if !strings.Contains(all, part) {
			t.Errorf("no warning of %s in %s", part, all)
		}
	}
	if vars, _, err := tpl.Environment("Plain", nil); err != nil || len(vars) != 0 {
		t.Errorf("Globals are SAM's: got %v, %v", vars, err)
	}
	if _, _, err := tpl.Environment("Orders", nil); err == nil {
		t.Error("a table has no environment")
	}
	prod, err := Read([]byte(shopTemplate), Options{Parameters: map[string]string{"Env": "prod", "Key": "k", "AWS::Region": "eu-west-1"}})
	if err != nil {
		t.Fatal(err)
	}
	vars, _, err = prod.Environment("Connect", nil)
	if err != nil || vars["ONLY_PROD"] != "yes" || vars["KEY"] != "k" || vars["QUEUE"] != "https://sqs.eu-west-1.amazonaws.com/123456789012/work-prod" {
		t.Errorf("got %v, %v", vars, err)
	}
}

func TestReadTables(t *testing.T) {
	tables := readShop(t).Tables
	want := []Table{
		{
			ID: "Orders", Name: "orders-test",
			Attributes: []TableAttribute{{"pk", "S"}, {"sk", "N"}, {"user", "S"}}, Key: []TableKey{{"pk", "HASH"}, {"sk", "RANGE"}},
			Global:   []TableIndex{{Name: "byUser", Key: []TableKey{{"user", "HASH"}}, Projection: TableProjection{Type: "INCLUDE", Attributes: []string{"total"}}}},
			OnDemand: true, TTL: "expires", Stream: "NEW_IMAGE",
		},
		{
			ID: "Sessions", Name: "Sessions",
			Attributes: []TableAttribute{{"connectionId", "S"}}, Key: []TableKey{{"connectionId", "HASH"}}, OnDemand: true,
		},
		{
			ID: "Counters", Name: "Counters",
			Attributes: []TableAttribute{{"id", "S"}}, Key: []TableKey{{"id", "HASH"}}, Throughput: TableThroughput{Read: 1, Write: 2},
		},
	}
	if !reflect.DeepEqual(tables, want) {
		t.Errorf("got %+v\nwant %+v", tables, want)
	}
}

func TestReadQueuesSchedulesAndAPIs(t *testing.T) {
	tpl := readShop(t)
	if q := tpl.Queues[0]; q.ID != "Work" || q.Name != "work-test" || q.Mapping.Function != "Plain" || q.Mapping.BatchSize != 3 || q.DeadLetters != "Dead" || q.MaxReceives != 2 {
		t.Errorf("got %+v", q)
	}
	if s := tpl.Schedules; len(s) != 1 || s[0].Function != "Plain" || s[0].Expression != "rate(1 day)" {
		t.Errorf("got %+v", s)
	}
	if len(tpl.APIs) != 2 {
		t.Fatalf("got %+v", tpl.APIs)
	}
	first, second := tpl.APIs[0], tpl.APIs[1]
	if first.ID != "Api" || first.Stage != "test" || len(first.Routes) != 2 || first.Routes[0].Integration.Type != "" || first.Routes[1].Integration.Function != "Plain" || first.Routes[1].Integration.Type != "AWS_PROXY" {
		t.Errorf("got %+v", first)
	}
	if second.ID != "Second" || second.Stage != "default" || len(second.Routes) != 1 || second.Routes[0].Integration.Function != "Connect" {
		t.Errorf("got %+v", second)
	}
}

func TestReadSaysWhatIsNotDone(t *testing.T) {
	all := said(readShop(t).Warnings)
	for _, want := range []string{
		"template line 3: the transform MyMacro is not run",
		"Inline: events of the type Kinesis do not come",
		"Subscription: of the topic News nothing is delivered by email, only to functions and queues",
		"Photos: events of S3 do not come, since no buckets are here: say where an S3 is, with --env AWS_ENDPOINT_URL_S3=URL",
		"Mystery: custom resources are not made",
		"Deployment: a deployment without DependsOn of the routes",
		"Stage has neither AutoDeploy nor a DeploymentId",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "Role") || strings.Contains(all, "Shared") {
		t.Errorf("a warning about what cannot matter:\n%s", all)
	}
}

// TestJSONTemplate reads the same template as JSON, indented with tabs.
func TestJSONTemplate(t *testing.T) {
	const text = "\n{\n\t\"Resources\": {\n\t\t\"Api\": {\"Type\": \"AWS::ApiGatewayV2::Api\", \"Properties\": {\"ProtocolType\": \"WEBSOCKET\", \"RouteSelectionExpression\": \"$request.body.a\\/\\ud83d\\ude00\"}},\n" +
		"\t\t\"R\": {\"Type\": \"AWS::ApiGatewayV2::Route\", \"Properties\": {\"ApiId\": {\"Ref\": \"Api\"}, \"RouteKey\": \"null\"}},\n" +
		"\t\t\"F\": {\"Type\": \"AWS::Lambda::Function\", \"Properties\": {\"Timeout\": 7, \"MemorySize\": \"256\", \"Environment\": {\"Variables\": {\"A\": \"\", \"B\": true}}}}\n\t}\n}\n"
	tpl, err := Read([]byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a := tpl.APIs[0]; a.Line != 4 || a.Selection != "$request.body.a/😀" || a.Routes[0].Key != "null" || a.Routes[0].Line != 5 {
		t.Errorf("got %+v", a)
	}
	if f := tpl.Functions[0]; f.Timeout != 7*time.Second || f.MemoryMB != 256 || f.Line != 6 {
		t.Errorf("got %+v", f)
	}
	if vars, _, err := tpl.Environment("F", nil); err != nil || !maps.Equal(vars, map[string]string{"A": "", "B": "true"}) {
		t.Errorf("got %q, %v", vars, err)
	}
	if _, err := Read([]byte(`{"Resources": {"A": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "B"}}}}} `), Options{}); err == nil || !strings.Contains(err.Error(), "template line 1: A: Ref to B") {
		t.Errorf("got %v", err)
	}
	if _, err := Read([]byte(strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100)), Options{}); err == nil {
		t.Error("100 levels are not refused")
	}
}

func TestParameterRules(t *testing.T) {
	const declared = `
Parameters:
  Env: {Type: String, Default: dev, AllowedValues: [dev, prod], ConstraintDescription: dev or prod}
  Name: {Type: String, Default: abc, AllowedPattern: "[a-z]+", MinLength: "2", MaxLength: '4'}
  Odd: {Type: String, Default: abc, AllowedPattern: "(?=x)"}
  Count: {Type: Number, Default: 5, MinValue: 1, MaxValue: 9}
  List: {Type: "List<Number>", Default: "1, 2"}
  Free: {Type: String, NoEcho: true}
Resources: {}
`
	for text, want := range map[string]string{
		"":          "",
		"Env=prod":  "",
		"Env=test":  `template line 3: parameter Env: "test" is not one of dev, prod: dev or prod`,
		"Name=a1":   `"a1" does not match [a-z]+`,
		"Name=a":    "too short",
		"Name=abab": "",
		"Count=x":   `"x" is no number`,
		"Count=10":  "too large",
		"List=1,x":  `"x" is no number`,
		"List=3,4":  "",
		"Other=1":   "parameter Other is given but not declared",
	} {
		given := map[string]string{}
		if name, v, ok := strings.Cut(text, "="); ok {
			given[name] = v
		}
		tpl, err := Read([]byte(declared), Options{Parameters: given})
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if err == nil && (len(tpl.Warnings) != 1 || !strings.Contains(tpl.Warnings[0].Error(), "parameter Odd: the AllowedPattern is not understood")) {
			t.Errorf("got %v", tpl.Warnings)
		}
	}
}

// TestParametersWithoutValues: one that nobody has given a value stands for itself, if that may be, and is said.
func TestParametersWithoutValues(t *testing.T) {
	const declared = `
Parameters:
  Name: {Type: String}
  Env: {Type: String, AllowedValues: [dev, prod]}
  Count: {Type: Number, MinValue: 3}
  Short: {Type: String, MaxLength: 2}
  Secret: {Type: String, NoEcho: true}
Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Environment: {Variables: {A: !Sub "${Name} ${Env} ${Count}"}}}}
`
	tpl, err := Read([]byte(declared), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if vars, _, err := tpl.Environment("F", nil); err != nil || vars["A"] != "Name dev 3" {
		t.Errorf("got %v, %v", vars, err)
	}
	if got := said(tpl.Warnings); len(tpl.Warnings) != 3 || !strings.Contains(got, `parameter Env has no default and no value was given: it is "dev" here; another one is --parameter Env=VALUE`) {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"Short", "Secret"} {
		tpl, err := Read([]byte(strings.Replace(declared, "${Name}", "${"+name+"}", 1)), Options{})
		if err == nil {
			_, _, err = tpl.Environment("F", nil)
		}
		if err == nil || !strings.Contains(err.Error(), "parameter "+name+" has no default and no value was given: give --parameter "+name+"=VALUE") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestNamesTwice: as with CloudFormation, the last one counts, of resources and of their properties; it is said.
func TestNamesTwice(t *testing.T) {
	tpl, err := Read([]byte(`
Resources:
  Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: first}}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: second
      VisibilityTimeout: 5
      VisibilityTimeout: 7
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(tpl.Queues) != 1 || tpl.Queues[0].Name != "second" || tpl.Queues[0].Visibility != 7*time.Second {
		t.Errorf("got %+v", tpl.Queues)
	}
	if got := said(tpl.Warnings); !strings.Contains(got, "template line 4: Jobs is written a second time, after line 3: this one counts") {
		t.Errorf("got %s", got)
	}
}

// TestBellhopsOwnTemplate reads the template of the repository: nothing in it may be foreign to the emulator.
func TestBellhopsOwnTemplate(t *testing.T) {
	text, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := Read(text, Options{Parameters: map[string]string{"Monitoring": "off", "EventBusName": "app"}}) // bellhop dev has no alarms
	if err != nil || len(tpl.Warnings) != 0 {
		t.Fatalf("got %v, %v", tpl.Warnings, err)
	}
	if len(tpl.Tables) == 0 || len(tpl.Queues) == 0 || len(tpl.APIs) != 1 {
		t.Errorf("got %+v", tpl)
	}
	for _, f := range tpl.Functions {
		vars, warnings, err := tpl.Environment(f.ID, nil)
		if err != nil || len(warnings) != 0 || len(vars) == 0 {
			t.Errorf("%s: got %v, %v, %v", f.ID, vars, warnings, err)
		}
	}
}

func TestEveryIntrinsicFunction(t *testing.T) {
	for fn, want := range map[string]string{
		`!Base64 hello`:                                "aGVsbG8=",
		`!Select [0, !GetAZs ""]`:                      "us-east-1a",
		`!Length [a, b]`:                               "2",
		`!FindInMap [A, B, C, {DefaultValue: d}]`:      "d",
		`!FindInMap [M, x, y]`:                         "z",
		`!Sub ["${a}${!b}-${AWS::Partition}", {a: 1}]`: "1${b}-aws",
		`!If [Yes, a, b]`:                              "a",
		`!If [Both, a, b]`:                             "b",
		`!If [Either, a, b]`:                           "a",
		`!GetAtt Api.ApiEndpoint`:                      "wss://" + apiIDOf("Api") + ".execute-api.us-east-1.amazonaws.com",
		`!GetAtt Api.ApiId`:                            apiIDOf("Api"),
		`!Ref Fn.Version`:                              "arn:aws:lambda:us-east-1:123456789012:function:Fn:1",
		`!Sub "${Fn.Alias}"`:                           "arn:aws:lambda:us-east-1:123456789012:function:Fn:live",
		`!GetAtt Role.Arn`:                             "arn:aws:iam::123456789012:role/Role",
		`!Ref Bucket`:                                  "pictures",
		`!GetAtt Bucket.Arn`:                           "arn:aws:s3:::pictures",
		`{"Fn::Join": ["", ["a", {"Ref": "AWS::AccountId"}]]}`: "a123456789012",
	} {
		tpl, err := Read([]byte(`
Mappings: {M: {x: {y: z}}}
Conditions:
  Yes: !Not [!Equals [a, b]]
  Both: !And [!Condition Yes, !Equals [a, b]]
  Either: !Or [!Condition Yes, !Condition Both]
Resources:
  Api: {Type: AWS::Serverless::WebSocketApi, Properties: {RouteSelectionExpression: x, Routes: {a: {FunctionArn: !GetAtt Fn.Arn}}}}
  Role: {Type: AWS::IAM::Role}
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: pictures}}
  Fn:
    Type: AWS::Serverless::Function
    Properties: {Environment: {Variables: {X: `+fn+`}}}
`), Options{})
		if err != nil {
			t.Errorf("%s: %v", fn, err)
			continue
		}
		vars, _, err := tpl.Environment("Fn", nil)
		if err != nil || vars["X"] != want {
			t.Errorf("%s: got %q, %v, want %q", fn, vars["X"], err, want)
		}
	}
}

func TestNamesThatAreDefinedByThemselves(t *testing.T) {
	_, err := Read([]byte("Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref B}}, B: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref A}}}"), Options{})
	if err == nil || !strings.Contains(err.Error(), "it depends on itself: A → B → A") {
		t.Errorf("got %v", err)
	}
}

func TestAllPropertiesByACondition(t *testing.T) {
	tpl, err := Read([]byte(`
Conditions: {No: !Equals [a, b]}
Resources:
  Q: {Type: AWS::SQS::Queue, Properties: !If [No, {QueueName: x}, {QueueName: y, DelaySeconds: 3}]}
  "Fn::ForEach::Topics": [X, [a, b], {}]
`), Options{})
	if err != nil || tpl.Queues[0].Name != "y" || tpl.Queues[0].Delay != 3*time.Second {
		t.Errorf("got %+v, %v", tpl, err)
	}
	if len(tpl.Warnings) != 1 || !strings.Contains(tpl.Warnings[0].Error(), "Fn::ForEach::Topics is not run") {
		t.Errorf("got %v", tpl.Warnings)
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	out, err := Read([]byte(`
Globals: {Function: {Layers: [!Ref Common]}}
Resources:
  Common: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layers/common}}
  Packed: {Type: AWS::Lambda::LayerVersion, Properties: {Content: {S3Bucket: b, S3Key: k.zip}}, Metadata: {"aws:asset:path": asset.k.zip}}
  F: {Type: AWS::Serverless::Function, Metadata: {BuildMethod: makefile}, Properties: {Layers: [!Ref Packed, "arn:aws:lambda:eu-west-1:1:layer:powertools:7"]}}
  G: {Type: AWS::Lambda::Function}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Layer{{ID: "Common", Line: 4, URI: "layers/common"}, {ID: "Packed", Line: 5, Remote: "s3://b/k.zip", Asset: "asset.k.zip"}}; !slices.Equal(out.Layers, want) {
		t.Errorf("got %+v, want %+v", out.Layers, want)
	}
	if got, want := out.Functions[0].Layers, []string{"Common", "Packed", "arn:aws:lambda:eu-west-1:1:layer:powertools:7"}; !slices.Equal(got, want) || out.Functions[0].BuildMethod != "makefile" {
		t.Errorf("got %+v, want the layers %v", out.Functions[0], want)
	}
	if len(out.Functions[1].Layers) > 0 {
		t.Errorf("Globals are SAM's: got %v", out.Functions[1].Layers)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	const head = `
Resources:
  T: {Type: AWS::DynamoDB::Table, Properties: {TableName: words, AttributeDefinitions: [{AttributeName: id, AttributeType: S}], KeySchema: [{AttributeName: id, KeyType: HASH}], StreamSpecification: {StreamViewType: NEW_IMAGE}}}
  Plain: {Type: AWS::DynamoDB::Table, Properties: {AttributeDefinitions: [{AttributeName: id, AttributeType: S}], KeySchema: [{AttributeName: id, KeyType: HASH}]}}
  F:
    Type: AWS::Serverless::Function
    Properties: {Events: {E: {Type: DynamoDB, Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: LATEST, FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}}}}}
  G: {Type: AWS::Lambda::Function}
  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {EventSourceArn: !GetAtt T.StreamArn, FunctionName: !Ref G, StartingPosition: TRIM_HORIZON, BatchSize: 7, MaximumRetryAttempts: 2, FunctionResponseTypes: [ReportBatchItemFailures]}}
`
	out, err := Read([]byte(head), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Stream{
		{Line: 5, Table: "T", Function: "F", BatchSize: 100, Latest: true, Filters: []map[string]any{{"eventName": []any{"INSERT"}}}, Retries: -1},
		{Line: 9, Table: "T", Function: "G", BatchSize: 7, Partial: true, Retries: 2},
	}
	if !reflect.DeepEqual(out.Streams, want) {
		t.Errorf("got %+v, want %+v", out.Streams, want)
	}
	if _, err := Read([]byte(strings.Replace(head, "FunctionName: !Ref G", "FunctionName: !Ref G, Enabled: false", 1)), Options{}); err != nil {
		t.Error(err)
	}
	if _, err := Read([]byte(strings.Replace(head, "EventSourceArn: !GetAtt T.", "EventSourceArn: !GetAtt Plain.", 1)), Options{}); err == nil || !strings.Contains(err.Error(), "the table Plain has no StreamSpecification") {
		t.Errorf("a table without a stream: got %v", err)
	}
}

package deployment

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop"
	lambdaroute "github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/asyncapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// root is where template.yaml is.
const root = "../../../"

// resource is a resource of the template. A short tag such as !Ref is dropped and leaves its argument: !Ref Table is
// "Table", !GetAtt Table.Arn is "Table.Arn".
type resource struct {
	Type                string         `yaml:"Type"`
	Condition           string         `yaml:"Condition"`
	DeletionPolicy      string         `yaml:"DeletionPolicy"`
	UpdateReplacePolicy string         `yaml:"UpdateReplacePolicy"`
	Properties          map[string]any `yaml:"Properties"`
}

// at follows keys through nested maps; it is nil where a key is missing.
func at(value any, keys ...string) any {
	for _, key := range keys {
		m, _ := value.(map[string]any)
		value = m[key]
	}
	return value
}

func text(value any, keys ...string) string {
	s, _ := at(value, keys...).(string)
	return s
}

func number(value any, keys ...string) int {
	n, _ := at(value, keys...).(int)
	return n
}

func object(value any, keys ...string) map[string]any {
	m, _ := at(value, keys...).(map[string]any)
	return m
}

// resources reads the template's resources of the given type, or all for "".
func resources(t *testing.T, kind string) map[string]resource {
	t.Helper()
	var template struct {
		Resources map[string]resource `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &template); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(template.Resources, func(_ string, r resource) bool { return kind != "" && r.Type != kind })
	return template.Resources
}

// capital is how SAM writes a route key in a logical id: "join" is Join and "$connect" is Connect.
func capital(key string) string {
	key = strings.TrimPrefix(key, "$")
	return strings.ToUpper(key[:1]) + strings.ToLower(key[1:])
}

// TestTemplateFunctions: every folder of functions/ is deployed, and nothing else.
func TestTemplateFunctions(t *testing.T) {
	var got []string
	for id, function := range resources(t, "AWS::Serverless::Function") {
		folder := text(function.Properties, "CodeUri")
		if want := capital(path.Base(folder)) + "Function"; id != want {
			t.Errorf("the function of %s is called %s, want %s", folder, id, want)
		}
		got = append(got, folder)
	}
	entries, err := os.ReadDir(root + "functions")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, entry := range entries {
		want = append(want, path.Join("functions", entry.Name()))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("template.yaml deploys %v, but the folders are %v", got, want)
	}
}

// TestTemplateEnvironment: functions are given variables that internal/lambda/setup reads, and may use what these name.
func TestTemplateEnvironment(t *testing.T) {
	known := []string{
		"ALLOWED_ORIGINS", "BUS_FACTS", "DEFAULT_GRANTS", "DELIVER_QUEUE_URL", "EMIT_KEYS", "EMIT_QUEUE_URL", "EVENT_BUS_NAME", "HOOK_ACTION", "HOOK_CONNECT",
		"HOOK_DISCONNECT", "HOOK_JOIN", "HOOK_OPTIONS", "HOOK_PUBLISH", "INLINE_LIMIT", "JWKS_URL",
		"JWT_ALGORITHMS", "JWT_AUDIENCE", "JWT_ISSUER", "JWT_SECRET_ARN", "MANAGEMENT_ENDPOINT", "MAX_ROOMS", "METRICS_STACK",
		"PRESENCE_GRACE",
		"RATE_BURST", "RATE_LIMIT", "ROOM_KINDS", "SOCKET_CLIENTS", "SOCKET_CONNECT_TIMEOUT", "SOCKET_KEEP_ALIVE", "SOCKET_NAMESPACES",
		"SOCKET_PING_INTERVAL", "SOCKET_PING_TIMEOUT", "TABLE_NAME", "JWT_LEEWAY", "USER_CLAIM", "NAME_CLAIM", "GRANTS_CLAIM",
	}
	// What a function is told of, it must be allowed to use; internal/check/security compares that with what it does.
	needs := map[string]string{
		"DELIVER_QUEUE_URL": "sqs:SendMessage",
		"EMIT_QUEUE_URL":    "sqs:ChangeMessageVisibility",
		"EVENT_BUS_NAME":    "events:PutEvents",
		"HOOK_DISCONNECT":   "lambda:InvokeFunction",
		"JWT_SECRET_ARN":    "secretsmanager:GetSecretValue",
		"TABLE_NAME":        "dynamodb:",
	}
	for id, function := range resources(t, "AWS::Serverless::Function") {
		policies, err := json.Marshal(function.Properties["Policies"])
		if err != nil {
			t.Fatal(err)
		}
		for name := range object(function.Properties, "Environment", "Variables") {
			if !slices.Contains(known, name) {
				t.Errorf("%s has %s, which nothing reads", id, name)
			}
			if right := needs[name]; !strings.Contains(string(policies), right) {
				t.Errorf("%s has %s, but not the right %s", id, name, right)
			}
		}
	}
}

// TestTemplateRoutes: those of the table of actions, each throttled; all but signal are answered, ping by API Gateway itself.
func TestTemplateRoutes(t *testing.T) {
	routes := map[string]struct {
		function string // "" is a MOCK integration
		twoWay   bool   // what the function returns goes to the client
	}{
		"$connect":    {"ConnectFunction", false},
		"$disconnect": {"DisconnectFunction", false},
		"$default":    {"MessageFunction", true},
	}
	for _, row := range protocol.Actions() {
		if !row.Routed() {
			continue
		}
		route := routes[row.Name]
		if row.Op != protocol.OpPing {
			route.function = "MessageFunction"
		}
		route.twoWay = row.Op != protocol.OpSignal
		routes[row.Name] = route
	}

	api := resources(t, "AWS::Serverless::WebSocketApi")["WebSocketApi"].Properties
	got := maps.Clone(object(api, "Routes"))
	ids := map[string]string{} // by route key
	for key, route := range got {
		ids[key] = "WebSocketApi" + capital(key) + "Route"
		if function := text(route, "FunctionArn"); function != routes[key].function+".Arn" {
			t.Errorf("%s goes to %s, want %s", key, function, routes[key].function)
		}
		throttled(t, key, at(api, "RouteSettings", key))
	}
	for id, route := range resources(t, "AWS::ApiGatewayV2::Route") {
		if text(route.Properties, "ApiId") == "EmitApi" {
			continue // of the HTTP API
		}
		key := text(route.Properties, "RouteKey")
		got[key], ids[key] = route.Properties, id
	}
	throttled(t, "every other route", api["DefaultRouteSettings"])

	for key := range got {
		if _, want := routes[key]; !want {
			t.Errorf("%s has a route in template.yaml, and is no action of the protocol's", key)
		}
	}
	for key := range routes {
		if got[key] == nil {
			t.Errorf("%s has no route in template.yaml", key)
		}
	}
	pong, _ := protocol.EventNamed(protocol.Pong)
	if got := resources(t, "AWS::ApiGatewayV2::IntegrationResponse")["PingIntegrationResponse"].Properties; text(got, "ResponseTemplates", "$default") != pong.Example {
		t.Errorf("%s: template.yaml answers ping by %v, want %s", pong.Name, got["ResponseTemplates"], pong.Example)
	}
	var answered []string
	for _, response := range resources(t, "AWS::ApiGatewayV2::RouteResponse") {
		if text(response.Properties, "RouteResponseKey") == "$default" {
			answered = append(answered, text(response.Properties, "RouteId"))
		}
	}
	for key, want := range routes {
		// Both are needed: see https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-response.html
		if got := text(got[key], "RouteResponseSelectionExpression") == "$default"; got != want.twoWay {
			t.Errorf("%s selects a route response: %t, want %t", key, got, want.twoWay)
		}
		if got := slices.Contains(answered, ids[key]); got != want.twoWay {
			t.Errorf("%s has a route response: %t, want %t", key, got, want.twoWay)
		}
	}
}

// TestTemplateAuthorizer: it is asked about everybody. Each identity source would have to be there, and a token comes in the header or in
// the query. The list is there, and empty: the service's model wants one, and what takes its place where there is none is up to who
// reads the template, a header for one.
func TestTemplateAuthorizer(t *testing.T) {
	auth := object(resources(t, "AWS::Serverless::WebSocketApi")["WebSocketApi"].Properties, "Auth")
	if text(auth, "AuthType") != "CUSTOM" || text(auth, "AuthArn") != "AuthorizeFunction.Arn" {
		t.Errorf("who connects is decided by %v", auth)
	}
	if sources, is := auth["IdentitySource"].([]any); !is || len(sources) > 0 {
		t.Errorf("IdentitySource is %v, want an empty list", auth["IdentitySource"])
	}
	read, err := template.Read(bellhop.Template, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a := read.APIs[0].Authorizer; a == nil || a.Function != "AuthorizeFunction" || len(a.Sources) > 0 {
		t.Errorf("bellhop dev reads %+v", a)
	}
}

func throttled(t *testing.T, route string, settings any) {
	t.Helper()
	if text(settings, "ThrottlingRateLimit") == "" || text(settings, "ThrottlingBurstLimit") == "" {
		t.Errorf("%s is not throttled by rate and burst: %v", route, settings)
	}
}

// TestTemplateQueues: no job is lost or done twice for want of a setting.
func TestTemplateQueues(t *testing.T) {
	queues := resources(t, "AWS::SQS::Queue")
	consumed := 0
	for id, function := range resources(t, "AWS::Serverless::Function") {
		for _, event := range object(function.Properties, "Events") {
			if text(event, "Type") != "SQS" {
				continue
			}
			consumed++
			name := strings.TrimSuffix(text(event, "Properties", "Queue"), ".Arn")
			queue := queues[name].Properties
			dead := strings.TrimSuffix(text(queue, "RedrivePolicy", "deadLetterTargetArn"), ".Arn")
			if got, want := number(queue, "RedrivePolicy", "maxReceiveCount"), 6; got != want {
				t.Errorf("%s tries a message %d times, want %d", name, got, want)
			}
			if number(queues[dead].Properties, "MessageRetentionPeriod") != 14*24*3600 {
				t.Errorf("what %s cannot do is not kept for 14 days: its dead-letter queue is %q", name, dead)
			}
			if got, timeout := number(queue, "VisibilityTimeout"), number(function.Properties, "Timeout"); timeout == 0 || got < 6*timeout {
				t.Errorf("%s hides a message for %d s, want 6 times the %d s of %s", name, got, timeout, id)
			}
			if answers, _ := at(event, "Properties", "FunctionResponseTypes").([]any); !slices.Contains(answers, "ReportBatchItemFailures") {
				t.Errorf("one failed message of %s brings back its whole batch", name)
			}
		}
	}
	if consumed == 0 {
		t.Error("no queue has a consumer")
	}
}

// TestTemplateRecursion: a function that sends to the queue that invokes it is not stopped after 16 invocations for one event, and
// Lambda's guard stays on for every other one: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html.
func TestTemplateRecursion(t *testing.T) {
	loops := 0
	for id, function := range resources(t, "AWS::Serverless::Function") {
		var want string
		for _, event := range object(function.Properties, "Events") {
			queue := strings.TrimSuffix(text(event, "Properties", "Queue"), ".Arn")
			if text(event, "Type") == "SQS" && text(function.Properties, "Environment", "Variables", "DELIVER_QUEUE_URL") == queue {
				want = "Allow"
				loops++
			}
		}
		if got := text(function.Properties, "RecursiveLoop"); got != want {
			t.Errorf("RecursiveLoop of %s is %q, want %q", id, got, want)
		}
	}
	if loops == 0 {
		t.Error("no function sends to the queue that invokes it")
	}
}

// TestTemplateTable: the table outlives the stack, forgets by itself and can be restored.
func TestTemplateTable(t *testing.T) {
	table := resources(t, "AWS::DynamoDB::Table")["Table"]
	if table.DeletionPolicy != "RetainExceptOnCreate" || table.UpdateReplacePolicy != "Retain" {
		t.Error("deleting the stack deletes the table, or a deployment that failed leaves one behind")
	}
	if at(table.Properties, "TimeToLiveSpecification", "Enabled") != true ||
		text(table.Properties, "TimeToLiveSpecification", "AttributeName") != "ttl" {
		t.Error("nothing deletes rows by ttl")
	}
	if at(table.Properties, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") != true {
		t.Error("a mistake cannot be undone: point-in-time recovery is off")
	}
}

// TestTemplateReferences: names that the template refers to exist. cfn-lint does not look, as SAM might make them.
func TestTemplateReferences(t *testing.T) {
	var template struct {
		Parameters map[string]yaml.Node `yaml:"Parameters"`
		Conditions map[string]yaml.Node `yaml:"Conditions"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &template); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for name := range template.Parameters {
		known[name] = true
	}
	for name := range template.Conditions {
		known[name] = true
	}
	for name, r := range resources(t, "") {
		known[name] = true
		for key := range object(r.Properties, "Routes") {
			known[name+capital(key)+"Route"] = true
		}
		if r.Type == "AWS::Serverless::WebSocketApi" {
			known[name+"Stage"] = true // SAM makes it, of a StageName that is a parameter
		}
	}
	var document yaml.Node
	if err := yaml.Unmarshal(bellhop.Template, &document); err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, line := range references(&document) {
		found++
		if !known[name] && !strings.HasPrefix(name, "AWS::") {
			t.Errorf("template.yaml:%d: there is no %s", line, name)
		}
	}
	if found < 50 {
		t.Errorf("found only %d references", found)
	}
}

// references yields every logical name that the node or one below it refers to, with its line.
func references(node *yaml.Node) func(yield func(string, int) bool) {
	inSub := regexp.MustCompile(`\$\{([A-Za-z0-9:]+)`)
	return func(yield func(string, int) bool) {
		var names []string
		switch node.Tag {
		case "!Ref":
			names = []string{node.Value}
		case "!GetAtt":
			names = []string{strings.Split(node.Value, ".")[0]}
		case "!If":
			names = []string{node.Content[0].Value}
		case "!Sub":
			for _, match := range inSub.FindAllStringSubmatch(node.Value, -1) {
				names = append(names, match[1])
			}
		}
		for _, name := range names {
			if !yield(name, node.Line) {
				return
			}
		}
		for _, child := range node.Content {
			for name, line := range references(child) {
				if !yield(name, line) {
					return
				}
			}
		}
	}
}

// TestEvents: events/ shows every route, with a frame that the protocol's document has.
func TestEvents(t *testing.T) {
	schemas, err := asyncapi.Compile()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root + "events")
	if err != nil {
		t.Fatal(err)
	}
	routes := object(resources(t, "AWS::Serverless::WebSocketApi")["WebSocketApi"].Properties, "Routes")
	seen := map[string]bool{}
	for _, entry := range entries {
		data, err := os.ReadFile(root + "events/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		var event map[string]any
		if err := json.Unmarshal(data, &event); err != nil {
			t.Errorf("events/%s: %v", entry.Name(), err)
			continue
		}
		key := text(event, "requestContext", "routeKey")
		seen[key] = true
		if key != "" && routes[key] == nil {
			t.Errorf("events/%s is for a route %s, which there is not", entry.Name(), key)
		}
		if frame := text(event, "body"); text(event, "requestContext", "eventType") == "MESSAGE" {
			if err := schemas.Action([]byte(frame)); err != nil || key != "$default" && !strings.Contains(frame, `"action":"`+key+`"`) {
				t.Errorf("events/%s: %s is no action for the route %s: %v", entry.Name(), frame, key, err)
			}
		}
	}
	for key := range routes {
		if !seen[key] {
			t.Errorf("no file in events/ shows an event of %s", key)
		}
	}
}

// TestTemplateAccessLogs: tokens come in URLs and headers, and what people say in messages; none of that is logged.
func TestTemplateAccessLogs(t *testing.T) {
	api := resources(t, "AWS::Serverless::WebSocketApi")["WebSocketApi"].Properties
	choice, _ := at(api, "AccessLogSettings").([]any)
	if len(choice) != 3 {
		t.Fatalf("access logs are %v", choice)
	}
	format := text(choice[1], "Format")
	variables := regexp.MustCompile(`\$[a-zA-Z.]+`).FindAllString(format, -1)
	if !json.Valid([]byte(format)) || len(variables) < 8 {
		t.Errorf("the format is no JSON, or says nothing: %s", format)
	}
	for _, v := range variables {
		name, is := strings.CutPrefix(v, "$context.")
		if !is || strings.HasPrefix(name, "authorizer") || strings.Contains(name, "userAgent") || strings.Contains(strings.ToLower(name), "query") {
			t.Errorf("%s is logged", v)
		}
	}
}

// TestLogGroups: every function has a log group of its own, that forgets.
func TestLogGroups(t *testing.T) {
	groups := resources(t, "AWS::Logs::LogGroup")
	for id, function := range resources(t, "AWS::Serverless::Function") {
		name := text(function.Properties, "LoggingConfig", "LogGroup")
		if text(groups[name].Properties, "RetentionInDays") != "LogRetentionDays" {
			t.Errorf("the logs of %s are kept for ever, in %q", id, name)
		}
	}
}

// TestTemplateEmitApi: the HTTP API for programs outside AWS is there by choice alone, has one route, which the stage of the WebSocket
// API's throttle, and may invoke emit by it.
func TestTemplateEmitApi(t *testing.T) {
	for _, kind := range []string{"Api", "Integration", "Route", "Stage"} {
		all := resources(t, "AWS::ApiGatewayV2::"+kind)
		name := "EmitApi" + strings.TrimSuffix(kind, "Api")
		if all[name].Properties == nil || all[name].Condition != "HasEmitKeys" {
			t.Errorf("%s is not there by the condition HasEmitKeys", name)
		}
	}
	route := resources(t, "AWS::ApiGatewayV2::Route")["EmitApiRoute"].Properties
	if key := text(route, "RouteKey"); key != lambdaroute.HTTPRoute {
		t.Errorf("the route is %q, want %q", key, lambdaroute.HTTPRoute)
	}
	integration := resources(t, "AWS::ApiGatewayV2::Integration")["EmitApiIntegration"].Properties
	if text(integration, "PayloadFormatVersion") != "2.0" || text(integration, "IntegrationUri") != "EmitFunction.Arn" {
		t.Errorf("the integration is %v", integration)
	}
	throttled(t, "POST /emit", resources(t, "AWS::ApiGatewayV2::Stage")["EmitApiStage"].Properties["DefaultRouteSettings"])
}

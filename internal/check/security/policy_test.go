package security

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/hub"
)

// TestLeastPrivilege: each function may do just what it does. It runs everything that the functions do, in each way that
// the template can be deployed, and compares the calls to AWS with the policies: what is called has to be allowed, and what
// is allowed has to be called.
//
// When it fails because a function does something new, its policy in template.yaml has to allow that. When it fails because
// a policy allows what nothing does, either the policy says too much or visit lacks what does it.
func TestLeastPrivilege(t *testing.T) {
	for name, c := range map[string]struct {
		issuer     issuer
		parameters map[string]string
		conditions map[string]bool // of the template
		goHooks    bool            // compiled in: they take rights whatever the parameters are
	}{
		"with all that there is": {
			issuer: byKey(t),
			parameters: map[string]string{
				"JwtSecretArn": secretARN, "EventBusName": busName, "ActionHook": hookARN + "ActionHook", "JoinHook": hookARN + "JoinHook",
				"PublishHook": hookARN + "PublishHook", "ConnectHook": hookARN + "ConnectHook", "DisconnectHook": hookARN + "DisconnectHook",
			},
			conditions: map[string]bool{
				"HasJwtSecret": true, "HasEventBus": true, "HasActionHook": true, "HasJoinHook": true, "HasPublishHook": true,
				"HasConnectHook": true, "HasDisconnectHook": true, "OwnTable": true, "HasJwtSecretKey": false,
			},
		},
		"with nothing but a key set and hooks in Go": {
			issuer:     byKeySet(t),
			parameters: map[string]string{"JwksUrl": "https://key.example/set"},
			conditions: map[string]bool{
				"HasJwtSecret": false, "HasEventBus": false, "HasActionHook": false, "HasJoinHook": false, "HasPublishHook": false,
				"HasConnectHook": false, "HasDisconnectHook": false, "OwnTable": true, "HasJwtSecretKey": false,
			},
			goHooks: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			parameters := map[string]string{
				"InlineLimit": "2", "RateLimit": "1000", "RateBurst": "1000", "Monitoring": "off", "AllowedOrigins": "https://example.org",
			}
			maps.Copy(parameters, c.parameters)
			a := newAccount(t, build(t, c.goHooks), parameters, c.issuer)
			tokens := a.visit(c.issuer)
			if c.conditions["HasActionHook"] {
				a.say("kim-1", `{"action":"dance","id":"1","data":{"with":"jo"}}`)
			}

			policies := readPolicies(t, c.conditions)
			if got, want := slices.Sorted(maps.Keys(policies)), slices.Sorted(maps.Keys(a.functions)); !slices.Equal(got, want) {
				t.Errorf("got the policies of %v, want those of %v", got, want)
			}
			a.holdsNo(append(tokens, a.secret))
			a.logsNo(append(tokens, a.secret, content))

			a.mu.Lock()
			defer a.mu.Unlock()
			for function, allowed := range policies {
				for call := range a.calls[function] {
					if !allowed[call] {
						t.Errorf("%s needs %s, which its policy lacks", function, call)
					}
				}
				for right := range allowed {
					if !a.calls[function][right] {
						t.Errorf("%s is allowed %s, which it never does", function, right)
					}
				}
			}
		})
	}
}

// visit does everything that the functions can do, and gives the tokens that it did it with.
func (a *account) visit(issuer issuer) (tokens []string) {
	tokens = a.visitAuthorize(issuer)
	a.visitMessage(tokens)
	a.visitLargeRoom()
	a.visitGone()
	a.visitEmit()
	a.visitSweep()
	a.visitSockets(tokens)
	return tokens
}

// content is what somebody wrote.
const content = "a message for nobody else's eyes"

func (a *account) visitAuthorize(issuer issuer) []string {
	authorize := func(want, origin, protocols, query string) {
		a.tb.Helper()
		e := a.event("authorize", "ana-1", "ana", "")
		e["headers"] = map[string]string{"Origin": origin, "Sec-WebSocket-Protocol": protocols}
		if query != "" {
			e["queryStringParameters"] = map[string]string{"token": query}
		}
		a.must(want, "authorize", e)
	}
	const home = "https://example.org"
	good, renewed, bobs := issuer.sign(a.tb, "ana", 0), issuer.sign(a.tb, "ana", 60), issuer.sign(a.tb, "bob", 0)
	expired, forged := issuer.sign(a.tb, "ana", -7200), issuer.forge(a.tb, "ana")
	authorize(`"Allow"`, home, "bellhop.v1, bearer."+good, "")
	authorize(`"Allow"`, home, "", good)
	authorize(`"Deny"`, "https://evil.example", "bearer."+good, "")
	authorize(`Unauthorized`, home, "bearer."+expired, "")
	authorize(`Unauthorized`, home, "bearer."+forged, "")
	authorize(`Unauthorized`, home, "", forged+"x")
	authorize(`Unauthorized`, home, "bellhop.v1", "")
	return []string{good, renewed, bobs, expired, forged}
}

// visitMessage sends every action, by every name that it has.
func (a *account) visitMessage(tokens []string) {
	a.connect("ana-1", "ana-2", "bob-1")
	a.say("bob-1", `{"action":"join","id":"1","room":"channel:1"}`, `{"action":"join","id":"1","room":"community:1"}`)
	a.say("ana-1",
		`{"action":"join","id":"1","room":"channel:1"}`,
		`{"action":"join","id":"2","room":"community:1"}`,
		`{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":{"content":"hi"}}`,
		`{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":{"content":"hi"}}`,
		`{"action":"publish","room":"channel:1","event":"message:new","data":{"content":"hi"}}`,
		`{"action":"signal","id":"3","room":"channel:1","event":"typing:start"}`,
		`{"action":"presence","id":"4","status":"away","data":{"mood":"good"}}`,
		`{"action":"history","id":"5","room":"channel:1"}`,
		`{"action":"ping","id":"6"}`,
		`{"action":"auth","id":"7","token":"`+tokens[1]+`"}`,
		`{"action":"leave","id":"8","room":"channel:1"}`,
		`{"action":"join:channel","id":"9","channelId":"1"}`,
		`{"action":"join:community","id":"10","communityId":"1"}`,
		`{"action":"join:user","id":"11","userId":"ana"}`,
		`{"action":"typing:start","id":"12","channelId":"1"}`,
		`{"action":"typing:stop","id":"13","channelId":"1"}`,
		`{"action":"presence:update","id":"14","status":"busy","communityId":"1"}`,
		`{"action":"message:send","id":"m2","channelId":"1","content":"hi"}`,
		`{"action":"message:delete","id":"15","channelId":"1","messageId":"m2"}`,
		`{"action":"message:send","id":"m3","channelId":"1","content":"`+content+`"}`,
		`{"action":"notification:read","id":"16","notificationId":"n1"}`,
		`{"action":"leave:channel","id":"17","channelId":"1"}`,
		`{"action":"leave:community","id":"18","communityId":"1"}`,
		`{"action":"join","id":"19","room":"community:1"}`,
	)
	for _, wrong := range tokens[2:] { // another user's, an old and a forged one
		got := a.invoke("message", a.event("auth", "ana-1", "ana", `{"action":"auth","id":"20","token":"`+wrong+`"}`))
		if !strings.Contains(got, `\"ok\":false`) {
			a.tb.Errorf("a wrong token renews: %s", got)
		}
	}
	// A user who leaves is away when the grace is over, and is back.
	a.must("200", "disconnect", a.event("disconnect", "bob-1", "bob", ""))
	a.work()
	a.connect("bob-2")
	a.say("bob-2", `{"action":"join","id":"1","room":"community:1"}`)
	a.age("bob-2") // so that its row goes too, which else would wait for joins that still run
	a.must("200", "disconnect", a.event("disconnect", "bob-2", "bob", ""))
	a.work()
}

// visitLargeRoom has more members than a publish pushes to itself, and more than a shard takes.
func (a *account) visitLargeRoom() {
	for _, id := range []string{"cy-1", "dee-1", "eve-1", "fay-1", "gil-1"} {
		a.connect(id)
		a.say(id, `{"action":"join","id":"1","room":"channel:big"}`)
	}
	a.work()
	a.is(a.throttled, true, "cy-1", "fay-1")
	a.say("gil-1", `{"action":"publish","id":"b1","room":"channel:big","event":"message:new","data":{"content":"`+content+`"}}`)
	a.workOnce() // leaves jobs of its own: who is throttled is tried again
	a.is(a.throttled, false, "cy-1", "fay-1")
	a.work()
	a.must(`"batchItemFailures":[]`, "deliver", batch(
		`{"kind":"fanout","room":"channel:big","event":{"event":"e","room":"channel:big","seq":9,"id":"x"},"shards":1,"passed":5000}`))
}

// visitGone pushes to connections that went without a word: found by message, by deliver and by emit.
func (a *account) visitGone() {
	for _, id := range []string{"hal-1", "ida-1"} {
		a.connect(id)
		a.say(id, `{"action":"join","id":"1","room":"channel:small"}`, `{"action":"join","id":"2","room":"community:2"}`)
	}
	a.connect("ida-2", "ida-3")
	a.say("ida-2", `{"action":"join","id":"1","room":"channel:big"}`)
	a.age("hal-1", "ida-1", "ida-2", "ida-3")
	a.is(a.gone, true, "hal-1", "ida-2", "ida-3")
	a.say("ida-1", `{"action":"publish","id":"g1","room":"channel:small","event":"message:new","data":1}`)
	a.say("gil-1", `{"action":"publish","id":"g2","room":"channel:big","event":"message:new","data":1}`)
	a.work()
	a.emit(`{"command":"publish","connections":["ida-3"],"event":"e","data":1}`, `"gone":true`)
}

func (a *account) emit(command, want string) {
	a.tb.Helper()
	a.must(want, "emit", json.RawMessage(command))
	a.work()
}

func (a *account) visitEmit() {
	const ok = `{"ok":true`
	a.connect("jo-1", "jo-2", "kim-1")
	a.say("kim-1", `{"action":"join","id":"1","room":"community:3"}`)
	for _, command := range []string{
		`{"command":"publish","rooms":["channel:big","channel:9"],"users":["jo"],"connections":["kim-1"],"event":"message:new","data":{"content":"hi"},"id":"e1"}`,
		`{"command":"publish","rooms":["channel:9"],"event":"message:new","data":{"content":"hi"},"id":"e1"}`,
		`{"command":"publish","rooms":["channel:9"],"event":"cursor","ephemeral":true}`,
		`{"command":"publish","rooms":["channel:9","channel:big"],"event":"message:new","data":{"content":"` + content + `"}}`,
		`{"command":"publish","rooms":["channel:9"],"event":"message:deleted","data":{"messageId":"e1"}}`,
		`{"command":"join","user":"jo","room":"community:3"}`,
		`{"command":"presence","room":"community:3"}`,
		`{"command":"members","room":"community:3"}`,
		`{"command":"history","room":"channel:9"}`,
		`{"command":"leave","user":"jo","room":"community:3"}`,
		`{"command":"disconnect","connection":"jo-1"}`,
		`{"command":"disconnect","user":"jo","reason":"kicked"}`,
		`{"command":"close","room":"channel:big"}`,
	} {
		a.emit(command, ok)
	}
	a.must(`{"batchItemFailures":[]}`, "emit", batch(`{"command":"publish","users":["kim"],"event":"notification:new","data":{},"id":"e2"}`))
	const newer = `{"v":99,"command":"stats"}` // fails, and comes again
	for _, function := range []string{"emit", "deliver"} {
		a.must(`{"batchItemFailures":[{"itemIdentifier":"0"}]}`, function, batch(newer))
	}
	a.must(`null`, "emit", map[string]any{"detail-type": "bellhop.emit", "detail": map[string]any{"command": "disconnect", "user": "nobody"}})
}

// visitSweep leaves behind what only the sweep finds: connections that are gone, silent, expired, or half departed, and a
// presence that nobody was told of.
func (a *account) visitSweep() {
	number := func(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }
	for _, id := range []string{"lee-1", "moe-1", "nan-1", "pat-1", "ray-1"} {
		a.connect(id)
		a.say(id, `{"action":"join","id":"1","room":"community:4"}`)
	}
	a.age("lee-1", "moe-1")
	a.is(a.gone, true, "lee-1")
	row := func(id, update string, v types.AttributeValue) {
		a.tb.Helper()
		a.change(fmt.Sprintf("conn#%d", hub.Partition(id)), id, update, v)
	}
	row("nan-1", "SET #expires = :v", number("1000"))
	row("pat-1", "SET #closing = :v", &types.AttributeValueMemberBOOL{Value: true})
	a.change("here#community:4", "ray", "SET #version = :v", number("7"))
	a.must(`"gone":1,"expired":1`, "sweep", map[string]any{})
	a.work()
}

// visitSockets is a visit by clients of Socket.IO, who say who they are after they are connected.
func (a *account) visitSockets(tokens []string) {
	query := map[string]string{"EIO": "4", "transport": "websocket"}
	authorize := a.event("authorize", "ana-8", "", "")
	authorize["headers"], authorize["queryStringParameters"] = map[string]string{"Origin": "https://example.org"}, query
	a.must(`"codec":"socketio"`, "authorize", authorize)
	send := func(function, connection, frame, want string) {
		a.tb.Helper()
		name := function
		if function == "message" {
			name = "default"
		}
		e := a.event(name, connection, "", frame)
		e["requestContext"].(map[string]any)["authorizer"] = map[string]any{"principalId": "socket", "codec": "socketio"}
		if function == "connect" {
			e["queryStringParameters"] = query
			e["headers"] = map[string]string{}
		}
		a.must(want, function, e)
	}
	for _, id := range []string{"ana-8", "ana-9", "bob-8", "bob-9"} {
		send("connect", id, "", `"statusCode":200`)
	}
	a.work() // pushes the open packets, and leaves beats and reapers
	send("message", "ana-8", `40{"token":"`+tokens[3]+`"}`, `44{`)
	send("message", "ana-8", `40{"token":"`+tokens[4]+`"}`, `44{`)
	send("message", "ana-8", `40{"token":"`+tokens[0]+`"}`, `40{\"sid\":`)
	send("message", "ana-9", `40{"token":"`+tokens[0]+`"}`, `40{\"sid\":`)
	send("message", "bob-8", `40{"token":"`+tokens[2]+`"}`, `40{\"sid\":`)
	a.work()
	send("message", "ana-8", `421["join:channel","1"]`, `\"ok\":true`)
	send("message", "ana-8", `422["message:send",{"channelId":"1","content":"`+content+`","id":"s1"}]`, `\"ok\":true`)
	send("message", "bob-8", `421["join:community","1"]`, `\"ok\":true`)
	a.workSome(&a.sockets) // bob-9 never says who it is, and is closed; the others are kept awake
	send("message", "ana-8", `3`, `"statusCode":200`)
	a.workSome(&a.sockets)
	send("message", "ana-9", `x`, `"statusCode":200`) // is no packet, and closes the connection
	send("disconnect", "ana-8", "", `"statusCode":200`)
	send("disconnect", "ana-9", "", `"statusCode":200`)
	send("message", "bob-8", `41`, `"statusCode":200`)
	a.work()
}

// readPolicies gives what the policies of the template allow, by folder of the function.
func readPolicies(t *testing.T, conditions map[string]bool) map[string]map[string]bool {
	t.Helper()
	var template struct {
		Globals   map[string]map[string]yaml.Node `yaml:"Globals"`
		Resources map[string]struct {
			Type       string               `yaml:"Type"`
			Properties map[string]yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &template); err != nil {
		t.Fatal(err)
	}
	if _, global := template.Globals["Function"]["Policies"]; global {
		t.Error("a policy is for all functions")
	}
	policies := map[string]map[string]bool{}
	for id, r := range template.Resources {
		if r.Type == "AWS::IAM::Role" || r.Type == "AWS::IAM::Policy" || r.Type == "AWS::IAM::ManagedPolicy" {
			t.Errorf("%s is beside the policies that this test reads", id)
		}
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		if _, own := r.Properties["Role"]; own {
			t.Errorf("%s has a role that this test does not read", id)
		}
		code, node := r.Properties["CodeUri"], r.Properties["Policies"]
		allowed := map[string]bool{}
		policies[path.Base(code.Value)] = allowed
		p := policyReader{t, id, conditions, allowed}
		p.policies(&node)
	}
	return policies
}

type policyReader struct {
	t          *testing.T
	function   string
	conditions map[string]bool
	allowed    map[string]bool // "action on resource"
}

func (p policyReader) fail(node *yaml.Node, what string) {
	p.t.Helper()
	p.t.Fatalf("template.yaml:%d: %s: %s", node.Line, p.function, what)
}

func (p policyReader) policies(list *yaml.Node) {
	for _, policy := range p.items(list) {
		if policy.Kind != yaml.MappingNode || len(policy.Content) != 2 || policy.Content[0].Value != "Statement" {
			p.fail(policy, "write a policy as a Statement; managed ones and SAM's templates allow more than is needed")
		}
		for _, statement := range p.items(policy.Content[1]) {
			fields := map[string]*yaml.Node{}
			for i := 0; i < len(statement.Content); i += 2 {
				fields[statement.Content[i].Value] = statement.Content[i+1]
			}
			if len(fields) != 3 || fields["Effect"] == nil || fields["Effect"].Value != "Allow" || fields["Action"] == nil || fields["Resource"] == nil {
				p.fail(statement, "a statement has Effect: Allow, Action and Resource")
			}
			p.statement(p.items(fields["Action"]), p.items(fields["Resource"]))
		}
	}
}

func (p policyReader) statement(actions, resources []*yaml.Node) {
	for _, action := range actions {
		for _, resource := range resources {
			text := resource.Value
			if strings.HasPrefix(resource.Tag, "!") && !strings.HasPrefix(resource.Tag, "!!") {
				text = resource.Tag + " " + text
			}
			if strings.Contains(action.Value, "*") || text == "*" {
				p.fail(action, "a right to everything")
			}
			p.allowed[action.Value+" on "+text] = true
		}
	}
}

// items gives what a list, or a single value in its place, has under the conditions.
func (p policyReader) items(node *yaml.Node) []*yaml.Node {
	switch {
	case node.Kind == 0 || node.Tag == "!Ref" && node.Value == "AWS::NoValue":
		return nil
	case node.Tag == "!If":
		holds, known := p.conditions[node.Content[0].Value]
		if !known {
			p.fail(node, "TestLeastPrivilege has to say when "+node.Content[0].Value+" holds, and do what it is for")
		}
		if holds {
			return p.items(node.Content[1])
		}
		return p.items(node.Content[2])
	case node.Kind == yaml.SequenceNode:
		var all []*yaml.Node
		for _, item := range node.Content {
			all = append(all, p.items(item)...)
		}
		return all
	}
	return []*yaml.Node{node}
}

// holdsNo looks for secrets in everything that was sent to AWS, and in the table.
func (a *account) holdsNo(secrets []string) {
	a.tb.Helper()
	noneOf(a.tb, "the calls to AWS", a.sent.String(), secrets)
	pages := dynamodb.NewScanPaginator(a.db.Client, &dynamodb.ScanInput{TableName: &a.db.Name})
	rows := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(a.tb.Context())
		if err != nil {
			a.tb.Fatal(err)
		}
		for _, row := range page.Items {
			rows++
			text := fmt.Sprint(values(row))
			noneOf(a.tb, "the table", text, secrets)
		}
	}
	if rows < 20 {
		a.tb.Errorf("the table has only %d rows", rows)
	}
}

// values are the attributes of a row, for a search.
func values(row map[string]types.AttributeValue) []any {
	var all []any
	for _, v := range row {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			all = append(all, v.Value)
		case *types.AttributeValueMemberM:
			all = append(all, values(v.Value)...)
		case *types.AttributeValueMemberSS:
			all = append(all, v.Value)
		}
	}
	return all
}

// logsNo looks for secrets in what the functions logged, at the level DEBUG, their metrics included.
func (a *account) logsNo(secrets []string) {
	a.tb.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	text := a.logs.String()
	noneOf(a.tb, "the logs", text, secrets)
	for _, want := range []string{"connected", "token refused", "origin refused", "swept"} {
		if !strings.Contains(text, want) {
			a.tb.Errorf("the logs do not say %q: are they the functions'?", want)
		}
	}
}

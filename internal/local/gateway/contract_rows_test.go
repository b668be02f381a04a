package gateway

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// What is known of WebSocket APIs on AWS, and the test that holds this emulator to it. Where AWS is UNCONFIRMED, the row names the option
// of [Choices], or says that the choice is a comment in the code. TestEveryRowHasItsTest reads this table.
//
// Handshake
//
//	held open until authorizer and $connect have answered     TestHandshakeIsHeldUntilConnectAnswers
//	no $connect route: accepted                               TestHandshakeWithoutConnectRouteIsAccepted
//	a $connect route without an integration: accepted         TestConnectWithoutIntegrationIsAccepted
//	$connect returns 200 or 201: 101                          TestHandshakeStatus
//	$connect returns 301, 400, 401, 500, 501: that status     TestHandshakeStatus
//	$connect throws: 502                                      TestHandshakeStatus
//	$connect returns null or is malformed (UNCONFIRMED)       TestHandshakeStatus, TestChoiceAdmitWithoutStatus
//	$connect takes too long (UNCONFIRMED)                     TestChoiceConnectTimeoutStatus
//	throttled: 429                                            TestHandshakeIsThrottledWith429
//	a URL above 4,096 characters; no WebSocket request        TestRequestsThatAreNoHandshake
//	only Sec-WebSocket-Protocol of the answer reaches it      TestOnlyTheSubprotocolHeaderOfConnectIsPassedOn
//	permessage-deflate (UNCONFIRMED; not negotiated)          TestCompressionIsNotNegotiated
//	nothing is retried                                        TestNothingIsRetried
//
// Authorizer
//
//	an identity source is missing: 401, not invoked           TestAuthorizer, TestEveryIdentitySourceMustBePresent
//	one that API Gateway adds itself is there (UNCONFIRMED)    TestIdentitySourcesThatAreAlwaysThere
//	an empty list of them, or none: always invoked            TestNoIdentitySourceAsksAboutEverybody
//	it throws "Unauthorized": 401                             TestAuthorizer
//	Deny, or a Resource that does not cover: 403              TestAuthorizer
//	it throws something else, or is malformed: 500            TestAuthorizer
//	more than 8 KB; a nested context                          TestAuthorizer
//	runs once per connection, is never cached                 TestAuthorizerRunsOncePerConnection
//	context in all later events, principalId, latency         TestEventShapes
//	numbers and booleans of the context (UNCONFIRMED)         TestChoiceTypedAuthorizerContext
//	$request.header.X as identity source is refused           TestTemplateErrors
//	authorizers on other routes, of other types are refused   TestRawTemplateErrors
//
// Events
//
//	keys, their order, what is absent                         TestEventShapes
//	no query string, no User-Agent; stageVariables            TestEventWithoutQueryStringUserAgentAndWithStageVariables
//	requestId equals extendedRequestId, differs per event     TestEventShapes
//	domainName is the host, or what is configured             TestDomainName
//	aws-lambda-go decodes them                                TestEventShapes
//
// Routes
//
//	a matching key; case counts; else $default                TestMessageRoutes
//	no JSON goes to $default                                  TestMessageRoutes
//	neither: the Forbidden frame, and it stays open           TestErrorFrames
//	$connect in a message (UNCONFIRMED; it is unmatched)      TestMessageRoutes
//	selection expressions                                     TestRouteSelectionExpression, TestRouteSelectionExpressionsThatAreRefused
//	a duplicate key is refused; so is a leading $             TestTemplateErrors
//	two messages run at once (UNCONFIRMED whether not)        TestMessagesOfOneConnectionRunConcurrently, TestChoiceOneAtATime
//	a throttled route (UNCONFIRMED frame)                     TestErrorFrames
//	RequestModels: the Bad request body frame                 TestRequestModels
//
// Answers to messages
//
//	the function throws: Internal server error, stays open    TestErrorFrames
//	longer than 29 s, or the integration's own timeout        TestIntegrationTimeoutIs29Seconds, TestErrorFrames
//	one-way: nothing is sent, whatever is returned            TestRouteResponses
//	two-way: the body is sent, even with status 500           TestRouteResponses
//	two-way with a status that is not 2xx (UNCONFIRMED)       TestChoiceStrictRouteResponses
//	two-way without a body (UNCONFIRMED)                      TestRouteResponses, TestChoiceEmptyFrames
//	a RouteResponse, or the route's expression alone          TestRouteResponseOfAGeneratedRoute, TestSAMTemplate
//
// Frames and limits
//
//	binary: 1003                                              TestCloseCodes
//	a frame above 32 KB, a message above 128 KB: 1009         TestCloseCodes
//	128 KB in frames of 32 KB is one message                  TestMessageOf128KBInFramesOf32KBIsOneMessage
//	idle for 10 minutes: 1001 Going away                      TestIdleTimeout
//	messages in either direction count, 2 hours is the end    TestPostCountsAsActivityAndNothingLivesBeyondTwoHours
//	pings (UNCONFIRMED; answered, do not count)               TestIdleTimeout, TestChoicePingsKeepAlive
//	posts are text frames; no UTF-8 (UNCONFIRMED)             TestPostsAreTextFrames
//	large posts (UNCONFIRMED framing)                         TestLargePostArrivesAsOneMessage
//
// $disconnect
//
//	closed without a code: 1005 and its reason                TestDisconnectEvent
//	a tab closed: 1001 and no reason                          TestDisconnectEvent
//	after DELETE: 1000 Connection Closed Normally             TestDisconnectEvent
//	network lost (UNCONFIRMED reason)                         TestDisconnectEvent
//	late or never                                             TestFaultDropDisconnect, TestReceiverThatIsDeadIsDropped
//	does not wait for messages in flight                      TestDisconnectDoesNotWaitForMessages
//
// Management API
//
//	POST 200, GET 200 with its members, DELETE 204            TestManagementAPI
//	DELETE 200 or 204 (UNCONFIRMED)                           TestChoiceDeleteStatus
//	the client's close code after DELETE (UNCONFIRMED)        TestManagementAPI
//	%40connections, %3D                                       TestManagementAPI
//	during $connect: 410                                      TestPostDuringConnectIsGone, TestConnectionDuringConnectIsGone
//	dead or unknown: 410 with an empty body                   TestManagementAPI
//	malformed id: 400                                         TestManagementAPI
//	no stage, or another: 403                                 TestManagementAPI
//	above 128 KB: 413                                         TestManagementAPI
//	the client does not read: 429                             TestSlowReceiverGets429AndDelaysNobody
//	all of these as the SDK's types                           TestGoSDK
//	200 does not mean that the client has it                  TestReceiverThatIsDeadIsDropped
//	posts one after the other keep their order (UNCONFIRMED)  TestPostsKeepTheirOrderAndShareFrames

// TestEveryRowHasItsTest checks that the table above names tests that exist, and that no row goes without.
func TestEveryRowHasItsTest(t *testing.T) {
	files := token.NewFileSet()
	tests, table := map[string]bool{}, ""
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, "../template/api_test.go") // of what AWS refuses to deploy
	for _, name := range names {
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				tests[fn.Name.Name] = true
			}
		}
		for _, c := range f.Comments {
			if name == "contract_rows_test.go" && strings.Contains(c.Text(), "the test that holds this emulator to it") {
				table = c.Text()
			}
		}
	}
	rows := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "\t") {
			continue
		}
		rows++
		named := regexp.MustCompile(`\bTest\w+`).FindAllString(line, -1)
		if len(named) == 0 {
			t.Errorf("no test in %q", line)
		}
		for _, name := range named {
			if !tests[name] {
				t.Errorf("there is no %s", name)
			}
		}
	}
	if rows < 50 {
		t.Errorf("the table has %d rows", rows)
	}
}

func TestNothingIsRetried(t *testing.T) {
	failing := throws(errors.New("boom"))
	disconnected := make(chan struct{}, 10)
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"message": failing, "disconnect": fn(func(context.Context, []byte) ([]byte, error) {
		disconnected <- struct{}{}
		return nil, errors.New("boom")
	})})})
	c, id := f.openID(t)
	c.send(`{"action":"send"}`)
	c.wantError("Internal server error", id)
	c.sock.Close()
	receive(t, disconnected)
	st := f.cfg.Functions.Stats()
	if m, d := st["MessageFunction"].Invocations, st["DisconnectFunction"].Invocations; m != 1 || d != 1 {
		t.Errorf("got %d and %d invocations", m, d)
	}
	failed := serve(t, setup{Functions: functions(map[string]invoke.Function{"connect": failing})})
	failed.dial(t, "/dev", nil)
	if n := failed.cfg.Functions.Stats()["ConnectFunction"].Invocations; n != 1 {
		t.Errorf("$connect ran %d times", n)
	}
}

func TestAuthorizerRunsOncePerConnection(t *testing.T) {
	f := serve(t, setup{Template: with("default", "auth")})
	for range 3 {
		c, _ := f.dial(t, "/dev?token=x", nil)
		for range 3 {
			c.send(`{"action":"ping"}`)
			c.wantText(`{"event":"pong"}`)
		}
	}
	if n := f.cfg.Functions.Stats()["AuthorizeFunction"].Invocations; n != 3 {
		t.Errorf("3 connections with the same token ran it %d times", n)
	}
}

func TestDomainName(t *testing.T) {
	for _, configured := range []string{"", "ws.example.org"} {
		connect, connected := collect(ok)
		f := serve(t, setup{DomainName: configured, Functions: functions(map[string]invoke.Function{"connect": connect})})
		f.open(t)
		want := configured
		if want == "" {
			want = strings.TrimPrefix(f.url, "http://")
		}
		if got := contextOf(t, receive(t, connected))["domainName"]; got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func TestPostsAreTextFrames(t *testing.T) {
	f := serve(t, setup{})
	c, id := f.openID(t)
	for data, want := range map[string]ws.OpCode{"größe": ws.OpText, "\xff\x00": ws.OpBinary} {
		if err := f.Post(t.Context(), id, []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got := c.frame(); got.Header.OpCode != want || string(got.Payload) != data {
			t.Errorf("%q: got %v", data, got)
		}
	}
}

func TestDisconnectDoesNotWaitForMessages(t *testing.T) {
	release := make(chan struct{})
	disconnect, disconnected := collect(ok)
	message, begun := make(chan struct{}), make(chan struct{})
	f := serve(t, setup{Functions: functions(map[string]invoke.Function{"disconnect": disconnect, "message": fn(func(context.Context, []byte) ([]byte, error) {
		close(begun)
		<-release
		close(message)
		return []byte(ok), nil
	})})})
	c := f.open(t)
	c.send(`{"action":"send"}`)
	receive(t, begun)
	c.sock.Close()
	if event := receive(t, disconnected); !bytes.Contains(event, []byte(`"routeKey":"$disconnect"`)) {
		t.Errorf("got %s", event)
	}
	close(release)
	receive(t, message)
}

func TestConnectionDuringConnectIsGone(t *testing.T) {
	var f *fixture
	got := make(chan error, 2)
	f = serve(t, setup{Functions: functions(map[string]invoke.Function{"connect": fn(func(ctx context.Context, event []byte) ([]byte, error) {
		id := contextOf(t, event)["connectionId"].(string)
		_, err := f.Connection(id)
		got <- err
		got <- f.Disconnect(ctx, id)
		return []byte(ok), nil
	})})})
	f.open(t)
	for range 2 {
		if api, ok := errors.AsType[*awserr.Error](receive(t, got)); !ok || api.Code != CodeGone {
			t.Errorf("got %v", api)
		}
	}
}

package emulatortest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bellhop-rt/bellhop/emulatortest"
)

const jobs = `
  Jobs: {Type: AWS::SQS::Queue, Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1}}}
  Dead: {Type: AWS::SQS::Queue}
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Jobs: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 1}}
        Often: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute)}}
`

// work remembers the bodies that it got and fails at "bad".
type work struct {
	mu     sync.Mutex
	bodies []string
}

func (w *work) handle(_ context.Context, event events.SQSEvent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range event.Records {
		w.bodies = append(w.bodies, r.Body)
		if r.Body == "bad" {
			return errors.New("bad")
		}
	}
	return nil
}

func (w *work) done() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.bodies, " ")
}

func start(t *testing.T, c emulatortest.Config) (*emulatortest.Server, *work) {
	t.Helper()
	w := &work{}
	if c.Template == nil && c.TemplateFile == "" {
		c.Template = []byte(chat + jobs)
	}
	c.Functions = map[string]emulatortest.Function{
		"Connect": emulatortest.Handler(connect), "Hello": emulatortest.Handler(hello), "Work": emulatortest.Handler(w.handle),
	}
	return emulatortest.Start(t, c), w
}

func ana() emulatortest.Handshake {
	return emulatortest.Handshake{Query: map[string][]string{"name": {"ana"}}}
}

func TestClientsKnowTheirIDs(t *testing.T) {
	s, _ := start(t, emulatortest.Config{})
	seen := map[string]bool{}
	var clients []*emulatortest.Client
	for range 10 {
		c := s.Connect(ana())
		seen[c.ID] = true
		clients = append(clients, c)
	}
	if len(seen) != 10 {
		t.Errorf("got %d ids for 10 connections", len(seen))
	}
	for _, c := range clients {
		if err := s.Post(c.ID, []byte(c.ID)); err != nil {
			t.Fatal(err)
		}
		if got := c.Receive(); got != c.ID {
			t.Errorf("%s got what was for %s", c.ID, got)
		}
	}
}

func TestJSON(t *testing.T) {
	s, _ := start(t, emulatortest.Config{})
	c := s.Connect(ana())
	if err := s.Post(c.ID, []byte(`{"n":7}`)); err != nil {
		t.Fatal(err)
	}
	var got struct{ N int }
	if c.ReceiveJSON(&got); got.N != 7 {
		t.Errorf("got %+v", got)
	}
	c.SendJSON(map[string]string{"action": "hello"})
	if got := c.Receive(); got != `you said {"action":"hello"}` {
		t.Errorf("got %s", got)
	}
}

func TestClosed(t *testing.T) {
	s, _ := start(t, emulatortest.Config{IdleTimeout: 300 * time.Millisecond})
	c := s.Connect(ana())
	if err := s.Post(c.ID, []byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := s.Disconnect(c.ID); err != nil {
		t.Fatal(err)
	}
	if code, reason := c.Closed(); code != 1000 || reason != "Connection Closed Normally" {
		t.Errorf("got %d %s", code, reason)
	}
	if code, _ := s.Connect(ana()).Closed(); code != 1001 {
		t.Errorf("an idle connection was closed with %d", code)
	}
	c = s.Connect(ana())
	c.Close()
	s.Eventually("it is gone", func() bool {
		var api *emulatortest.APIError
		return errors.As(s.Disconnect(c.ID), &api) && api.Code == "GoneException"
	})
}

func TestQueuesAndInvoke(t *testing.T) {
	s, w := start(t, emulatortest.Config{QueueRetry: time.Millisecond})
	s.Enqueue("Jobs", "one")
	s.Eventually("the job is done", func() bool { return w.done() == "one" })
	s.Enqueue("Jobs", "bad")
	s.Eventually("the bad job is a dead letter", func() bool { return len(s.DeadLetters("Jobs")) == 1 && len(s.Waiting("Jobs")) == 0 })
	out, err := s.Invoke("Hello", []byte(`{"body":"x"}`))
	if err != nil || !strings.Contains(string(out), `"body":"you said x"`) {
		t.Errorf("got %s, %v", out, err)
	}
}

// TestAWSSDKs has the SDKs reach the server by the endpoints that it names.
func TestAWSSDKs(t *testing.T) {
	s, w := start(t, emulatortest.Config{})
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	queue := sqs.New(sqs.Options{BaseEndpoint: &s.Endpoint, Region: "us-east-1", Credentials: credentials, HTTPClient: web})
	if _, err := queue.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.QueueURL("Jobs")), MessageBody: aws.String("by SDK")}); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the job is done", func() bool { return w.done() == "by SDK" })
	management := apigatewaymanagementapi.New(apigatewaymanagementapi.Options{BaseEndpoint: &s.Management, Region: "us-east-1", Credentials: credentials, HTTPClient: web})
	c := s.Connect(ana())
	if _, err := management.PostToConnection(t.Context(), &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &c.ID, Data: []byte("by SDK")}); err != nil {
		t.Fatal(err)
	}
	if got := c.Receive(); got != "by SDK" {
		t.Errorf("got %s", got)
	}
}

func TestFaults(t *testing.T) {
	s, _ := start(t, emulatortest.Config{Faults: emulatortest.Faults{Throttle: 1}})
	c := s.Connect(ana())
	var api *emulatortest.APIError
	if err := s.Post(c.ID, []byte("x")); !errors.As(err, &api) || api.Status != http.StatusTooManyRequests {
		t.Errorf("got %v", err)
	}
}

func TestTemplateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(chat+jobs, "StageName: dev", "StageName: other")), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, emulatortest.Config{TemplateFile: path})
	if !strings.HasSuffix(s.URL, "/other") || !strings.HasPrefix(s.Management, s.Endpoint) {
		t.Errorf("got %+v", s)
	}
}

// failure is what a test that fails says.
type failure struct {
	*exampleTB
	text chan string
}

func (f failure) Fatalf(format string, args ...any) {
	f.text <- fmt.Sprintf(format, args...)
	panic(f)
}

// TestFailuresAreSaid checks that what is wrong with a test is told to its author.
func TestFailuresAreSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(s *emulatortest.Server, tb testing.TB)
		want string
	}{
		{"a function is missing", func(_ *emulatortest.Server, tb testing.TB) {
			emulatortest.Start(tb, emulatortest.Config{Template: []byte(chat)})
		}, "no code was given for function Connect"},
		{"no template file", func(_ *emulatortest.Server, tb testing.TB) {
			emulatortest.Start(tb, emulatortest.Config{TemplateFile: "nothing.yaml"})
		}, "nothing.yaml"},
		{"a handshake is refused", func(s *emulatortest.Server, _ testing.TB) { s.Connect(emulatortest.Handshake{}) }, "the handshake was answered 401"},
		{"a handshake is not refused", func(s *emulatortest.Server, _ testing.TB) { s.Refused(ana()) }, "was not refused"},
		{"no such queue", func(s *emulatortest.Server, _ testing.TB) { s.QueueURL("None") }, "has no queue"},
		{"no such queue to send to", func(s *emulatortest.Server, _ testing.TB) { s.Enqueue("None", "x") }, "QueueDoesNotExist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tb := failure{&exampleTB{ctx: t.Context()}, make(chan string, 1)}
			defer tb.end()
			handlers := map[string]emulatortest.Function{"Connect": emulatortest.Handler(connect), "Hello": emulatortest.Handler(hello)}
			s := emulatortest.Start(tb, emulatortest.Config{Template: []byte(chat), Functions: handlers})
			func() {
				defer func() { _ = recover() }()
				tt.do(s, tb)
			}()
			select {
			case got := <-tb.text:
				if !strings.Contains(got, tt.want) {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			default:
				t.Error("nothing was said")
			}
		})
	}
}

// TestAnswersAreNotMixed asks one function from many goroutines and over many connections at once: everybody gets their own answer.
func TestAnswersAreNotMixed(t *testing.T) {
	s, _ := start(t, emulatortest.Config{})
	var wg sync.WaitGroup
	for i := range 8 {
		c := s.Connect(ana())
		wg.Go(func() {
			for n := range 100 {
				text := fmt.Sprintf(`{"action":"hello","who":%d,"n":%d,"pad":%q}`, i, n, strings.Repeat("x", n%7*40))
				c.Send(text)
				if got := c.Receive(); got != "you said "+text {
					t.Errorf("%s was answered %s", text, got)
				}
			}
		})
		wg.Go(func() {
			for n := range 500 {
				text := fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("y", n%5*50))
				if got, err := s.Invoke("Hello", fmt.Appendf(nil, `{"body":%q}`, text)); err != nil || !strings.Contains(string(got), `"body":"you said `+text+`"`) {
					t.Errorf("%s was answered %s, %v", text, got, err)
				}
			}
		})
	}
	wg.Wait()
}

// What the package shows of the emulator is its own: no name of a public signature is an internal package's.
func TestTypesAreItsOwn(t *testing.T) {
	pkg := reflect.TypeFor[emulatortest.Server]().PkgPath()
	for _, shown := range []reflect.Type{
		reflect.TypeFor[emulatortest.Function](), reflect.TypeFor[emulatortest.Faults](), reflect.TypeFor[emulatortest.APIError](),
		reflect.TypeFor[emulatortest.Message](), reflect.TypeFor[emulatortest.Attribute](),
	} {
		if got := shown.PkgPath(); got != pkg {
			t.Errorf("%s is of %s", shown.Name(), got)
		}
	}
}

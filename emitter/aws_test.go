package emitter_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/emitter/vialambda"
	"github.com/bellhop-rt/bellhop/emitter/viasqs"
)

var (
	_ vialambda.Client = (*lambda.Client)(nil)
	_ viasqs.Client    = (*sqs.Client)(nil)
)

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
}

func config(s *httptest.Server) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &s.URL, HTTPClient: s.Client(), Credentials: aws.CredentialsProviderFunc(credentials),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
		},
	}
}

var toChannel1 = emitter.Publish{Rooms: []string{"channel:1"}, Event: "a"}

func TestLambda(t *testing.T) {
	f := newTestFunction(t)
	e := emitter.New(vialambda.New(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	res, err := e.Publish(t.Context(), toChannel1)
	if err != nil || len(res.Results) != 1 || res.Results[0].Seq != 7 {
		t.Fatalf("got %+v, %v", res, err)
	}
	if f.kinds[0] != "RequestResponse" || f.paths[0] != "POST /2015-03-31/functions/bellhop-emit/invocations" {
		t.Errorf("got %s, %s", f.kinds, f.paths)
	}
}

func TestLambdaSeveralCommandsAreOneInvocation(t *testing.T) {
	f := newTestFunction(t)
	e := emitter.New(vialambda.New(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	res, err := e.PublishAll(t.Context(), toChannel1, toChannel1)
	if err != nil || len(f.sent()) != 1 || !strings.HasPrefix(f.sent()[0], "[{") || len(res[1].Results) != 1 {
		t.Fatalf("got %+v, %v for %s", res, err, f.sent())
	}
	if res[0].ID == res[1].ID {
		t.Error("two publishes share an id")
	}
}

func TestLambdaRetryOfTheSDKHasTheSameID(t *testing.T) {
	f := newTestFunction(t)
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError} {
		f.fail(func(w http.ResponseWriter) {
			w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
			w.WriteHeader(status)
		})
	}
	e := emitter.New(vialambda.New(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	res, err := e.Publish(t.Context(), toChannel1)
	if err != nil {
		t.Fatal(err)
	}
	got := f.sent()
	if len(got) != 3 || got[0] != got[1] || got[1] != got[2] || !strings.Contains(got[0], res.ID) {
		t.Errorf("got %s, want the same command three times", got)
	}
}

func TestLambdaFunctionThatFails(t *testing.T) {
	f := newTestFunction(t)
	f.fail(crash(`{"errorMessage":"Task timed out after 3.00 seconds"}`))
	e := emitter.New(vialambda.New(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	_, err := e.Presence(t.Context(), "community:7")
	if err == nil || code(err) != "" || !strings.Contains(err.Error(), "timed out") || !strings.Contains(err.Error(), "bellhop-emit") {
		t.Errorf("got %v, want a plain error", err)
	}
}

func TestLambdaFunctionThatAnswersNothing(t *testing.T) {
	f := newTestFunction(t)
	f.fail(func(http.ResponseWriter) {})
	e := emitter.New(vialambda.New(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	if _, err := e.Publish(t.Context(), toChannel1); err == nil || !strings.Contains(err.Error(), "answered nothing") {
		t.Errorf("got %v, want an error", err)
	}
}

func TestLambdaFunctionThatIsNotThere(t *testing.T) {
	f := newTestFunction(t)
	f.fail(func(w http.ResponseWriter) {
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		w.WriteHeader(http.StatusNotFound)
	})
	e := emitter.New(vialambda.New(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	if _, err := e.Publish(t.Context(), toChannel1); err == nil || !strings.Contains(err.Error(), "ResourceNotFound") {
		t.Errorf("got %v, want ResourceNotFoundException", err)
	}
}

// noAnswers is what every transport without answers does.
func noAnswers(t *testing.T, e *emitter.Emitter, sent func() []string) {
	t.Helper()
	ask := map[string]func(context.Context) error{
		"presence": func(ctx context.Context) error { _, err := e.Presence(ctx, "community:7"); return err },
		"stats":    func(ctx context.Context) error { _, err := e.Stats(ctx); return err },
		"members":  func(ctx context.Context) error { _, err := e.Members(ctx, "channel:1"); return err },
		"history":  func(ctx context.Context) error { _, err := e.History(ctx, "channel:1", 0, 0); return err },
	}
	for name, call := range ask {
		if err := call(t.Context()); !errors.Is(err, emitter.ErrNoAnswer) {
			t.Errorf("%s: got %v, want ErrNoAnswer", name, err)
		}
	}
	if got := sent(); len(got) != 0 {
		t.Errorf("sent %s", got)
	}
	n, err := e.Disconnect(t.Context(), emitter.Disconnect{User: "eve"})
	if err != nil || n != 0 {
		t.Errorf("disconnect: got %d, %v", n, err)
	}
	if err := e.Close(t.Context(), "channel:1", ""); err != nil {
		t.Errorf("close: got %v", err)
	}
	res, err := e.Publish(t.Context(), emitter.Publish{Users: []string{"ana"}, Event: "a"})
	if err != nil || len(res.ID) != 26 || res.Results != nil {
		t.Errorf("publish: got %+v, %v", res, err)
	}
	want := []string{
		`{"command":"disconnect","user":"eve"}`, `{"command":"close","room":"channel:1"}`,
		`{"command":"publish","users":["ana"],"event":"a","id":"` + res.ID + `"}`,
	}
	if got := sent(); !slices.Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLambdaAsync(t *testing.T) {
	f := newTestFunction(t)
	e := emitter.New(vialambda.NewAsync(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	noAnswers(t, e, func() []string {
		var commands []string
		for _, payload := range f.sent() {
			command, event := strings.CutPrefix(payload, `{"detail-type":"bellhop.emit","detail":`)
			if !event {
				t.Errorf("sent %s, whose failure would be an answer that nobody reads", payload)
			}
			commands = append(commands, strings.TrimSuffix(command, "}"))
		}
		return commands
	})
	if f.kinds[0] != "Event" {
		t.Errorf("got %s, want Event", f.kinds[0])
	}
}

type message struct {
	ID   string `json:"Id"`
	Body string `json:"MessageBody"`
}

type success struct {
	ID        string `json:"Id"`
	MessageID string `json:"MessageId"`
	MD5       string `json:"MD5OfMessageBody"`
}

type failure struct {
	ID          string `json:"Id"`
	Code        string `json:"Code"`
	Message     string `json:"Message"`
	SenderFault bool   `json:"SenderFault"`
}

// queue is SQS's JSON protocol with one queue.
type queue struct {
	*httptest.Server

	mu      sync.Mutex
	bodies  []string
	batches []int                // entries of each SendMessageBatch
	sizes   []int                // bytes of each
	refuse  map[string][]failure // what becomes of a body, attempt by attempt
	down    bool
}

func newQueue(tb testing.TB) *queue {
	tb.Helper()
	q := &queue{refuse: map[string][]failure{}}
	q.Server = httptest.NewServer(q)
	tb.Cleanup(q.Close)
	return q
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		message

		QueueURL string    `json:"QueueUrl"`
		Entries  []message `json:"Entries"`
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.QueueURL != q.URL+"/1/emit" || q.down {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`)
		return
	}
	if r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessage" {
		reply(w, q.accept(in.message))
		return
	}
	var out struct {
		Successful []success `json:"Successful"`
		Failed     []failure `json:"Failed"`
	}
	size := 0
	for _, m := range in.Entries {
		size += len(m.Body)
		if again := q.refuse[m.Body]; len(again) > 0 {
			q.refuse[m.Body] = again[1:]
			f := again[0]
			f.ID = m.ID
			out.Failed = append(out.Failed, f)
			continue
		}
		out.Successful = append(out.Successful, q.accept(m))
	}
	q.batches, q.sizes = append(q.batches, len(in.Entries)), append(q.sizes, size)
	reply(w, out)
}

func reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (q *queue) accept(m message) success {
	q.bodies = append(q.bodies, m.Body)
	sum := md5.Sum([]byte(m.Body))
	return success{ID: m.ID, MessageID: "m", MD5: hex.EncodeToString(sum[:])}
}

func (q *queue) sent() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.bodies)
}

func (q *queue) emitter() *emitter.Emitter {
	return emitter.New(viasqs.New(sqs.NewFromConfig(config(q.Server)), q.URL+"/1/emit"))
}

func many(n int, data string) []emitter.Publish {
	ps := make([]emitter.Publish, n)
	for i := range ps {
		ps[i] = emitter.Publish{Rooms: []string{"channel:1"}, Event: "a", ID: fmt.Sprint(i), Data: data}
	}
	return ps
}

// body is the message of one of many(…, "d").
func body(i int) string {
	return fmt.Sprintf(`{"command":"publish","rooms":["channel:1"],"event":"a","data":"d","id":"%d"}`, i)
}

// What SQS says about one message of a batch.
var (
	throttled = failure{Code: "ServiceUnavailable", Message: "later"}
	wrong     = failure{Code: "InvalidMessageContents", Message: "never", SenderFault: true}
)

func TestSQSOneCommandIsOneMessage(t *testing.T) {
	q := newQueue(t)
	noAnswers(t, q.emitter(), q.sent)
	if len(q.batches) != 0 {
		t.Errorf("got batches %v", q.batches)
	}
}

func TestSQSManyAreBatchesOf10(t *testing.T) {
	q := newQueue(t)
	if _, err := q.emitter().PublishAll(t.Context(), many(23, "d")...); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.batches, []int{10, 10, 3}) {
		t.Errorf("got batches %v", q.batches)
	}
	for i, got := range q.sent() {
		if got != body(i) {
			t.Errorf("message %d is %s, want %s", i, got, body(i))
		}
	}
}

func TestSQSBatchHasAtMost256KB(t *testing.T) {
	q := newQueue(t)
	if _, err := q.emitter().PublishAll(t.Context(), many(9, strings.Repeat("a", 100<<10))...); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.batches, []int{2, 2, 2, 2, 1}) || slices.Max(q.sizes) > 256<<10 {
		t.Errorf("got batches %v of %v bytes", q.batches, q.sizes)
	}
}

func TestSQSManyUsersAreAFewMessages(t *testing.T) {
	q := newQueue(t)
	res, err := q.emitter().NewNotifications(t.Context(), names("u", 2100), emitter.Notification{Title: "hi"})
	if err != nil || !slices.Equal(q.batches, []int{3}) {
		t.Fatalf("got batches %v, %v", q.batches, err)
	}
	for _, c := range flat(t, q.sent()) {
		if c.ID != res.ID {
			t.Errorf("got id %s, want %s", c.ID, res.ID)
		}
	}
}

func TestSQSRefusedForNowIsSentAgainAsItWas(t *testing.T) {
	q := newQueue(t)
	q.refuse[body(3)] = []failure{throttled}
	q.refuse[body(5)] = []failure{throttled, throttled}
	if _, err := q.emitter().PublishAll(t.Context(), many(10, "d")...); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(q.batches, []int{10, 2, 1}) {
		t.Errorf("got batches %v", q.batches)
	}
	if got := q.sent(); len(got) != 10 || got[8] != body(3) || got[9] != body(5) {
		t.Errorf("got %s", got)
	}
}

func TestSQSRefusedForGoodIsToldApart(t *testing.T) {
	q := newQueue(t)
	q.refuse[body(1)] = []failure{throttled, throttled, throttled}
	q.refuse[body(2)] = []failure{wrong}
	res, err := q.emitter().PublishAll(t.Context(), many(4, "d")...)
	if err == nil || !strings.Contains(err.Error(), "publish 2 of 4") || !strings.Contains(err.Error(), "ServiceUnavailable") {
		t.Errorf("got %v", err)
	}
	for i, r := range res {
		if (r.Err != nil) != (i == 1 || i == 2) {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if !strings.Contains(res[2].Err.Error(), "never") || !slices.Equal(q.batches, []int{4, 1, 1}) {
		t.Errorf("got %v after batches %v", res[2].Err, q.batches)
	}
}

func TestSQSGivesUpWithTheContext(t *testing.T) {
	q := newQueue(t)
	q.refuse[body(1)] = []failure{throttled}
	ctx, cancel := context.WithCancel(t.Context())
	res, err := emitter.New(viasqs.New(cancelling{sqs.NewFromConfig(config(q.Server)), cancel}, q.URL+"/1/emit")).PublishAll(ctx, many(2, "d")...)
	if err == nil || res[0].Err != nil || res[1].Err == nil || !slices.Equal(q.batches, []int{2}) {
		t.Errorf("got %+v, %v after batches %v", res, err, q.batches)
	}
}

func TestSQSQueueThatIsNotThere(t *testing.T) {
	q := newQueue(t)
	q.down = true
	for _, n := range []int{1, 2} {
		res, err := q.emitter().PublishAll(t.Context(), many(n, "d")...)
		if err == nil || !strings.Contains(err.Error(), "QueueDoesNotExist") || res[n-1].Err == nil {
			t.Errorf("got %+v, %v", res, err)
		}
	}
}

// cancelling is a client whose caller gives up after the first batch.
type cancelling struct {
	*sqs.Client

	cancel func()
}

func (c cancelling) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	defer c.cancel()
	return c.Client.SendMessageBatch(ctx, in, options...)
}

// The names of before, which know the clients by the names of their methods.

func TestLambdaByItsOldName(t *testing.T) {
	f := newTestFunction(t)
	e := emitter.New(emitter.Lambda(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	res, err := e.Publish(t.Context(), toChannel1)
	if err != nil || len(res.Results) != 1 || res.Results[0].Seq != 7 || f.kinds[0] != "RequestResponse" || !strings.Contains(f.paths[0], "/bellhop-emit/") {
		t.Fatalf("got %+v, %v; %s %s", res, err, f.kinds, f.paths)
	}
	f.fail(crash(`{"errorMessage":"Task timed out after 3.00 seconds"}`))
	if _, err := e.Presence(t.Context(), "community:7"); err == nil || code(err) != "" || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("got %v, want a plain error", err)
	}
	f.fail(func(http.ResponseWriter) {})
	if _, err := e.Publish(t.Context(), toChannel1); err == nil || !strings.Contains(err.Error(), "answered nothing") {
		t.Errorf("got %v, want an error", err)
	}
	e = emitter.New(emitter.LambdaAsync(lambda.NewFromConfig(config(f.Server)), "bellhop-emit"))
	if _, err := e.Publish(t.Context(), toChannel1); err != nil || f.kinds[3] != "Event" || !strings.HasPrefix(f.sent()[3], `{"detail-type":"bellhop.emit","detail":{"command":"publish",`) {
		t.Errorf("got %v, %s, %s", err, f.kinds, f.sent())
	}
	if err := emitter.New(emitter.Lambda("no client", "f")).Close(t.Context(), "channel:1", ""); err == nil || !strings.Contains(err.Error(), "not one of AWS SDK") {
		t.Errorf("no client: got %v", err)
	}
}

func TestSQSByItsOldName(t *testing.T) {
	q := newQueue(t)
	q.refuse[body(1)] = []failure{throttled}
	q.refuse[body(2)] = []failure{wrong}
	e := emitter.New(emitter.SQS(sqs.NewFromConfig(config(q.Server)), q.URL+"/1/emit"))
	res, err := e.PublishAll(t.Context(), many(4, "d")...)
	if err == nil || !strings.Contains(err.Error(), "never") || res[2].Err == nil || res[1].Err != nil || !slices.Equal(q.batches, []int{4, 1}) {
		t.Errorf("got %+v, %v after batches %v", res, err, q.batches)
	}
	if _, err := e.PublishAll(t.Context(), many(1, "d")...); err != nil || len(q.sent()) != 4 {
		t.Errorf("one alone: got %v, %s", err, q.sent())
	}
	q.down = true
	for _, n := range []int{1, 2} {
		if _, err := e.PublishAll(t.Context(), many(n, "d")...); err == nil || !strings.Contains(err.Error(), "QueueDoesNotExist") {
			t.Errorf("no queue: got %v", err)
		}
	}
}

// Whoever emits over HTTP links no SDK, and whoever emits by one product of AWS only that one's.
func TestTransportsBringNothingAlong(t *testing.T) {
	for pkg, service := range map[string]string{".": "", "./vialambda": "lambda", "./viasqs": "sqs"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		sdk := 0
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			if strings.Contains(dep, "/aws/") {
				sdk++
			}
			if name, is := strings.CutPrefix(dep, "github.com/aws/aws-sdk-go-v2/service/"); is && !strings.Contains(name, "/") && name != service {
				t.Errorf("%s brings %s", pkg, dep)
			}
		}
		if (sdk > 0) != (service != "") {
			t.Errorf("%s brings %d packages of AWS", pkg, sdk)
		}
	}
}

package queues

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// jobs is a template with a queue that a function empties, and its dead letters.
const jobs = `
Resources:
  JobFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/job/
      Timeout: 60
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 5, FunctionResponseTypes: [ReportBatchItemFailures]}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
      RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadJobs.Arn, maxReceiveCount: 3}
  DeadJobs: {Type: AWS::SQS::Queue}
`

// fn makes a Function of a func.
type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// answers always returns the same.
func answers(out string) fn {
	return func(context.Context, []byte) ([]byte, error) { return []byte(out), nil }
}

// throws always fails.
func throws(err error) fn {
	return func(context.Context, []byte) ([]byte, error) { return nil, err }
}

// collect returns a Function that hands its events to a channel and answers with out.
func collect(out string) (fn, <-chan []byte) {
	ch := make(chan []byte, 100)
	return func(_ context.Context, event []byte) ([]byte, error) {
		ch <- event
		return []byte(out), nil
	}, ch
}

// receive waits for a value.
func receive[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

// elapse lets the fake clock run.
func elapse(d time.Duration) { <-time.After(d) }

// open makes the queues of the template jobs, which have not started. The caller closes them.
func open(job invoke.Function, c Config) (*Service, error) {
	t, err := template.Read([]byte(jobs), template.Options{})
	if err != nil {
		return nil, err
	}
	c.Template = t
	if c.Functions, err = invoke.New(invoke.Config{Template: t, Code: map[string]invoke.Function{"job": job}}); err != nil {
		return nil, err
	}
	s, err := New(c)
	if err != nil {
		c.Functions.Close()
	}
	return s, err
}

// start is open for tests whose queues deliver.
func start(tb testing.TB, job invoke.Function, c Config) *Service {
	tb.Helper()
	s, err := open(job, c)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	return s
}

func closeNow(tb testing.TB, s *Service) {
	tb.Helper()
	s.Stop()
	s.cfg.Functions.Close()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

// serve has the queues of a server of their own.
func serve(t *testing.T, job invoke.Function) (*Service, *httptest.Server) {
	t.Helper()
	s := start(t, job, Config{})
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		closeNow(t, s)
		web.Close()
	})
	return s, web
}

func sendTo(tb testing.TB, s *Service, queue, body string, delay time.Duration) {
	tb.Helper()
	if err := s.Send(tb.Context(), queue, body, delay); err != nil {
		tb.Fatal(err)
	}
}

// withFile is open with a queue file.
func withFile(tb testing.TB, path string, job invoke.Function, log *slog.Logger) *Service {
	tb.Helper()
	s, err := open(job, Config{File: path, Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// post sends one request to the API, as no SDK would.
func post(t *testing.T, web *httptest.Server, target, body string) (status int, header http.Header, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", target)
	res, err := web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// task is what a function reads of a record.
type task struct {
	MessageID      string            `json:"messageId"`
	Body           string            `json:"body"`
	Attributes     map[string]string `json:"attributes"`
	MD5            string            `json:"md5OfBody"`
	EventSource    string            `json:"eventSource"`
	EventSourceARN string            `json:"eventSourceARN"`
}

func tasks(tb testing.TB, event []byte) []task {
	tb.Helper()
	var e struct {
		Records []task `json:"Records"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		tb.Fatal(err)
	}
	return e.Records
}

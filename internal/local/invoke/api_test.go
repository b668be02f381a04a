package invoke

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fn makes a Function of a func.
type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// two is a template with two functions.
const two = `
Resources:
  JobFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/job/, Timeout: 3}}
  MessageFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/message/}}
`

// start makes a service of two, whose functions answer with nothing if they are not given. The caller closes it.
func start(tb testing.TB, code map[string]Function) *Service {
	tb.Helper()
	t, err := template.Read([]byte(two), template.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"job", "message"} {
		if code[name] == nil {
			code[name] = fn(func(context.Context, []byte) ([]byte, error) { return []byte("{}"), nil })
		}
	}
	s, err := New(Config{Template: t, Code: code})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// oops is an error with a type of its own.
type oops struct{}

func (oops) Error() string { return `oops "x"` }

// named says its type itself, as code that runs elsewhere does.
type named struct{ error }

func (named) ErrorType() string { return "TypeError" }

func TestInvokeAPI(t *testing.T) {
	var result error
	s := start(t, map[string]Function{
		"job": fn(func(ctx context.Context, payload []byte) ([]byte, error) {
			if lc, ok := lambdacontext.FromContext(ctx); !ok || !strings.HasSuffix(lc.InvokedFunctionArn, ":function:JobFunction") {
				t.Errorf("got context %v", lc)
			}
			if string(payload) == `"panic"` {
				panic("boom")
			}
			return payload, result
		}),
	})
	t.Cleanup(s.Close)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	path := func(name string) string { return "/2015-03-31/functions/" + name + "/invocations" }
	tests := []struct {
		name, path, payload string
		kind                string
		result              error
		status              int
		functionError, want string
	}{
		{"by folder", path("job"), `{"a":1}`, "", nil, 200, "", `{"a":1}`},
		{"by logical id", path("JobFunction"), `{"a":1}`, "RequestResponse", nil, 200, "", `{"a":1}`},
		{"by ARN", path("arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3AJobFunction%3Alive"), `1`, "", nil, 200, "", `1`},
		{"without a payload", path("job"), ``, "", nil, 200, "", `{}`},
		{"an error", path("job"), `1`, "", oops{}, 200, "Unhandled", `{"errorMessage":"oops \"x\"","errorType":"oops"}`},
		{"an error that knows its type", path("job"), `1`, "", named{errors.New("x")}, 200, "Unhandled", `{"errorMessage":"x","errorType":"TypeError"}`},
		{"a panic", path("job"), `"panic"`, "", nil, 200, "Unhandled", `{"errorMessage":"boom","errorType":"string"}`},
		{"dry run", path("job"), `1`, "DryRun", nil, 204, "", ""},
		{"dry run of nothing", path("none"), `1`, "DryRun", nil, 404, "", `{"Message":"Function not found: none","Type":"User"}`},
		{"event", path("message"), `1`, "Event", nil, 202, "", ""},
		{"event of more than 1 MB", path("job"), strings.Repeat("1", 1<<20+1), "Event", nil, 413, "", `{"Message":"Request must be smaller than 1048576 bytes for the InvokeFunction operation","Type":"User"}`},
		{"an unknown function", path("none"), `1`, "", nil, 404, "", `{"Message":"Function not found: none","Type":"User"}`},
		{"an unknown type", path("job"), `1`, "Later", nil, 400, "", `{"Message":"invocation type Later","Type":"User"}`},
		{"no JSON", path("job"), `{bad`, "", nil, 400, "", `{"Message":"Could not parse request body into json","Type":"User"}`},
		{"more than 6 MB", path("job"), strings.Repeat("1", 6<<20+1), "", nil, 413, "", `{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation","Type":"User"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result = tt.result
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+tt.path, strings.NewReader(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Amz-Invocation-Type", tt.kind)
			res, err := web.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || string(body) != tt.want || res.Header.Get("X-Amz-Function-Error") != tt.functionError {
				t.Errorf("got %d %q %q %v, want %d %q", res.StatusCode, res.Header.Get("X-Amz-Function-Error"), body, err, tt.status, tt.want)
			}
		})
	}
}

func TestInvokeInProcess(t *testing.T) {
	s := start(t, map[string]Function{"job": fn(func(context.Context, []byte) ([]byte, error) { return nil, oops{} })})
	if _, err := s.Invoke(t.Context(), "job", nil); !errors.Is(err, oops{}) {
		t.Errorf("got %v", err)
	}
	var api *awserr.Error
	if _, err := s.Invoke(t.Context(), "none", nil); !errors.As(err, &api) || api.Code != "ResourceNotFoundException" {
		t.Errorf("got %v", err)
	}
	if st := s.Stats()["JobFunction"]; st.Invocations != 1 || st.Errors != 1 {
		t.Errorf("got %+v", st)
	}
	s.Close()
	if _, err := s.Invoke(t.Context(), "job", nil); !errors.As(err, &api) || api.Code != "ServiceException" {
		t.Errorf("after Close: got %v", err)
	}
}

func TestCodeMustFitTheTemplate(t *testing.T) {
	tpl, err := template.Read([]byte(two), template.Options{File: "two.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Template: tpl, Code: map[string]Function{"jop": fn(nil)}}); err == nil || err.Error() != "function jop is not in the template" {
		t.Errorf("got %v", err)
	}
	s, err := New(Config{Template: tpl})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Need("JobFunction", 3); err == nil || err.Error() != "two.yaml:3: no code was given for function JobFunction" {
		t.Errorf("got %v", err)
	}
}

func TestOwns(t *testing.T) {
	s := start(t, map[string]Function{})
	defer s.Close()
	for path, want := range map[string]bool{
		"/2015-03-31/functions/message/invocations": true, "/2015-03-31/functions/": false, "/2015-03-31/functions//invocations": false, "/": false,
	} {
		if got := s.Owns(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestFunctionTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, map[string]Function{"job": fn(func(context.Context, []byte) ([]byte, error) {
			<-time.After(time.Minute) // does not look at its context
			return nil, nil
		})})
		_, err := s.Invoke(t.Context(), "job", nil)
		if err == nil || err.Error() != "Task timed out after 3.00 seconds" || errorType(err) != "Sandbox.Timedout" {
			t.Errorf("got %v", err)
		}
		s.Close()
	})
}

func TestAsynchronousInvocationIsRetriedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := make(chan time.Time, 10)
		s := start(t, map[string]Function{"job": fn(func(context.Context, []byte) ([]byte, error) {
			at <- time.Now()
			return nil, errors.New("boom")
		})})
		begin := time.Now()
		if err := s.InvokeAsync("job", "", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{0, time.Minute, 3 * time.Minute} {
			if got := (<-at).Sub(begin); got != want {
				t.Errorf("ran after %v, want %v", got, want)
			}
		}
		<-time.After(time.Hour)
		if len(at) != 0 {
			t.Error("ran a fourth time")
		}
		s.Close()
	})
}

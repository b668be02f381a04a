package emulator

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// oops is an error with a type of its own.
type oops struct{}

func (oops) Error() string { return `oops "x"` }

// named says its type itself, as code that runs elsewhere does.
type named struct{ error }

func (named) ErrorType() string { return "TypeError" }

func TestInvokeAPI(t *testing.T) {
	var result error
	f := serve(t, Config{Functions: functions(map[string]Function{
		"job": fn(func(ctx context.Context, payload []byte) ([]byte, error) {
			if lc, ok := lambdacontext.FromContext(ctx); !ok || !strings.HasSuffix(lc.InvokedFunctionArn, ":function:JobFunction") {
				t.Errorf("got context %v", lc)
			}
			if string(payload) == `"panic"` {
				panic("boom")
			}
			return payload, result
		}),
	})})
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
			res, body := f.request(t, http.MethodPost, tt.path, tt.payload, "X-Amz-Invocation-Type", tt.kind)
			if res.status != tt.status || body != tt.want || res.header.Get("X-Amz-Function-Error") != tt.functionError {
				t.Errorf("got %d %q %q, want %d %q", res.status, res.header.Get("X-Amz-Function-Error"), body, tt.status, tt.want)
			}
		})
	}
}

func TestInvokeInProcess(t *testing.T) {
	f := serve(t, Config{Functions: functions(map[string]Function{"job": throws(oops{})})})
	if _, err := f.Invoke(t.Context(), "job", nil); !errors.Is(err, oops{}) {
		t.Errorf("got %v", err)
	}
	var api *APIError
	if _, err := f.Invoke(t.Context(), "none", nil); !errors.As(err, &api) || api.Code != "ResourceNotFoundException" {
		t.Errorf("got %v", err)
	}
	if st := f.Stats().Functions["JobFunction"]; st.Invocations != 1 || st.Errors != 1 {
		t.Errorf("got %+v", st)
	}
}

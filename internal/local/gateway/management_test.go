package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"
	"github.com/aws/smithy-go"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// request sends one HTTP request without keeping the connection.
func (f *fixture) request(tb testing.TB, method, path, body string) (answer, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{res.StatusCode, res.Header}, string(text)
}

func TestManagementAPI(t *testing.T) {
	f := serve(t, setup{})
	c, id := f.openID(t)
	gone := newID()
	tests := []struct {
		name, method, path, body string
		status                   int
		code, want               string
	}{
		{"post", "POST", "/dev/@connections/" + id, "hello", 200, "", ""},
		{"post with everything encoded", "POST", "/dev/%40connections/" + url.QueryEscape(id), "hello", 200, "", ""},
		{"post of 128 KB", "POST", "/dev/@connections/" + id, strings.Repeat("x", 128<<10), 200, "", ""},
		{"post of more", "POST", "/dev/@connections/" + id, strings.Repeat("x", 128<<10+1), 413, "PayloadTooLargeException", `{"message":"the payload is larger than 128 KB"}`},
		{"post to a dead id", "POST", "/dev/@connections/" + gone, "hello", 410, "GoneException", ""},
		{"get of a dead id", "GET", "/dev/@connections/" + gone, "", 410, "GoneException", ""},
		{"delete of a dead id", "DELETE", "/dev/@connections/" + gone, "", 410, "GoneException", ""},
		{"a dead id of 20 characters", "POST", "/dev/@connections/AAAAAAAAAAAAAAAAAA%3D%3D", "", 410, "GoneException", ""},
		{"a malformed id", "POST", "/dev/@connections/nonsense", "hello", 400, "BadRequestException", `{"message":"Invalid connectionId: nonsense"}`},
		{"a malformed id with quotes", "GET", "/dev/@connections/a%22b", "", 400, "BadRequestException", `{"message":"Invalid connectionId: a\"b"}`},
		{"no stage", "POST", "/@connections/" + id, "hello", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"another stage", "POST", "/prod/@connections/" + id, "hello", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"no id", "POST", "/dev/@connections/", "hello", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"another method", "PUT", "/dev/@connections/" + id, "hello", 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"another path", "GET", "/favicon.ico", "", 404, "", "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := f.request(t, tt.method, tt.path, tt.body)
			if res.status != tt.status || res.header.Get("X-Amzn-Errortype") != tt.code || body != tt.want {
				t.Errorf("got %d %q %q, want %d %q %q", res.status, res.header.Get("X-Amzn-Errortype"), body, tt.status, tt.code, tt.want)
			}
		})
	}
	c.wantText("hello")
	c.wantText("hello")
	t.Run("get", func(t *testing.T) {
		res, body := f.request(t, "GET", "/dev/@connections/"+id, "")
		var got struct {
			ConnectedAt, LastActiveAt time.Time
			Identity                  struct {
				SourceIP  string
				UserAgent *string
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.status != 200 {
			t.Fatalf("got %d %s", res.status, body)
		}
		if got.Identity.SourceIP != "127.0.0.1" || got.Identity.UserAgent != nil || got.LastActiveAt.Before(got.ConnectedAt) || time.Since(got.ConnectedAt) > time.Minute {
			t.Errorf("got %s", body)
		}
	})
	t.Run("delete", func(t *testing.T) {
		if res, _ := f.request(t, "DELETE", "/dev/@connections/"+id, ""); res.status != 204 {
			t.Errorf("got %d", res.status)
		}
		c.wantClose(1000, "")
		if res, _ := f.request(t, "DELETE", "/dev/@connections/"+id, ""); res.status != 410 {
			t.Errorf("again: got %d", res.status)
		}
	})
}

func TestOwns(t *testing.T) {
	f := serve(t, setup{})
	for path, want := range map[string]bool{
		"/dev": true, "/dev/": true, "/dev/@connections/x": true, "/@connections/x": true, "/prod/%40connections/x": true,
		"/": false, "/dev/x": false, "/_bellhop/": false, "/2015-03-31/functions/": false, "": false,
	} {
		if got := f.Owns(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestPostDuringConnectIsGone(t *testing.T) {
	var f *fixture
	got := make(chan error, 1)
	f = serve(t, setup{Functions: functions(map[string]invoke.Function{"connect": fn(func(ctx context.Context, event []byte) ([]byte, error) {
		got <- f.Post(ctx, contextOf(t, event)["connectionId"].(string), []byte("too early"))
		return []byte(ok), nil
	})})})
	f.open(t)
	var api *awserr.Error
	if err := receive(t, got); !errors.As(err, &api) || api.Status != 410 || api.Code != CodeGone {
		t.Errorf("got %v", err)
	}
}

func TestPostInProcess(t *testing.T) {
	f := serve(t, setup{})
	_, id := f.openID(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"malformed", f.Post(t.Context(), "nonsense", nil), "BadRequestException: Invalid connectionId: nonsense"},
		{"gone", f.Post(t.Context(), newID(), nil), "GoneException"},
		{"too large", f.Post(t.Context(), id, make([]byte, 128<<10+1)), "PayloadTooLargeException: the payload is larger than 128 KB"},
		{"context", f.Post(ended, id, nil), "post to " + id + ": context canceled"},
	}
	for _, tt := range tests {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, tt.err, tt.want)
		}
	}
	if info, err := f.Connection(id); err != nil || info.ID != id {
		t.Errorf("got %v, %v", info, err)
	}
}

// credentials are what an SDK signs with; nobody checks them.
func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
}

func TestGoSDK(t *testing.T) {
	f := serve(t, setup{OutgoingQueue: 1})
	c, id := f.openID(t)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	api := apigatewaymanagementapi.New(apigatewaymanagementapi.Options{
		BaseEndpoint: aws.String(f.url + "/dev"), Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		RetryMaxAttempts: 1,
		Credentials:      aws.CredentialsProviderFunc(credentials),
	})
	post := func(id string, data []byte) error {
		_, err := api.PostToConnection(t.Context(), &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &id, Data: data})
		return err
	}
	t.Run("PostToConnection", func(t *testing.T) {
		if err := post(id, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		c.wantText("hello")
	})
	t.Run("GetConnection", func(t *testing.T) {
		out, err := api.GetConnection(t.Context(), &apigatewaymanagementapi.GetConnectionInput{ConnectionId: &id})
		if err != nil || time.Since(*out.ConnectedAt) > time.Minute || *out.Identity.SourceIp != "127.0.0.1" {
			t.Errorf("got %+v, %v", out, err)
		}
	})
	t.Run("PayloadTooLargeException", func(t *testing.T) {
		var want *types.PayloadTooLargeException
		if err := post(id, make([]byte, 128<<10+1)); !errors.As(err, &want) || want.Message == nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("BadRequestException", func(t *testing.T) {
		var want smithy.APIError
		if err := post("nonsense", []byte("x")); !errors.As(err, &want) || want.ErrorCode() != "BadRequestException" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("LimitExceededException", func(t *testing.T) {
		var err error
		for range 2000 {
			if err = post(id, make([]byte, 128<<10)); err != nil {
				break
			}
		}
		if _, ok := errors.AsType[*types.LimitExceededException](err); !ok {
			t.Errorf("got %v", err)
		}
	})
	t.Run("DeleteConnection and GoneException", func(t *testing.T) {
		if _, err := api.DeleteConnection(t.Context(), &apigatewaymanagementapi.DeleteConnectionInput{ConnectionId: &id}); err != nil {
			t.Fatal(err)
		}
		var want *types.GoneException
		if err := post(id, []byte("hello")); !errors.As(err, &want) {
			t.Errorf("got %v", err)
		}
	})
}

package setup

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop"
)

// sensible is an environment as a deployed stack has it.
func sensible(tb testing.TB) map[string]string {
	tb.Helper()
	secrets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB") {
			if strings.Contains(string(body), `"TableName":"none"`) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`)
				return
			}
			_, _ = fmt.Fprint(w, `{}`)
			return
		}
		if !strings.Contains(string(body), "arn:secret") {
			http.Error(w, `{"__type":"ResourceNotFoundException"}`, http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprint(w, `{"SecretString":"a-secret-that-is-long-enough-for-hs256"}`)
	}))
	tb.Cleanup(secrets.Close)
	return map[string]string{
		"TABLE_NAME": "t", "MANAGEMENT_ENDPOINT": "https://a.example/dev", "DELIVER_QUEUE_URL": "https://q.example/q", "EMIT_KEYS": "", "EMIT_QUEUE_URL": "https://q.example/e",
		"ROOM_KINDS": `{"user":{"owner":true,"keep":"720h"}}`, "DEFAULT_GRANTS": "{}", "ALLOWED_ORIGINS": "*",
		"JWT_SECRET_ARN": "arn:secret", "JWKS_URL": "", "JWT_ISSUER": "", "JWT_AUDIENCE": "", "JWT_ALGORITHMS": "", "JWT_LEEWAY": "60s",
		"USER_CLAIM": "sub", "NAME_CLAIM": "name", "GRANTS_CLAIM": "grants",
		"EVENT_BUS_NAME": "app", "BUS_FACTS": "connection.opened, message.published", "METRICS_STACK": "bellhop",
		"HOOK_ACTION": "arn:a", "HOOK_JOIN": "arn:j", "HOOK_PUBLISH": "arn:p", "HOOK_CONNECT": "arn:c", "HOOK_DISCONNECT": "arn:d",
		"HOOK_OPTIONS":   `{"join":{"timeout":"2s"}}`,
		"SOCKET_CLIENTS": "on", "SOCKET_NAMESPACES": "/chat", "SOCKET_KEEP_ALIVE": "noop", "SOCKET_PING_INTERVAL": "240s", "SOCKET_PING_TIMEOUT": "180s",
		"SOCKET_CONNECT_TIMEOUT": "45s",
		"RATE_LIMIT":             "10", "RATE_BURST": "20", "MAX_ROOMS": "100", "PRESENCE_GRACE": "10s", "INLINE_LIMIT": "200",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.URL,
	}
}

func start(t *testing.T, name string, variables map[string]string) error {
	t.Helper()
	for k, v := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
		"AWS_ENDPOINT_URL_DYNAMODB":        variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
	} {
		t.Setenv(k, v)
	}
	env := fromOS()
	env.get = func(name string) string { return variables[name] }
	handler, err := build(t.Context(), Functions()[name], env, slog.New(slog.DiscardHandler))
	if err == nil && handler == nil {
		t.Errorf("%s has neither a handler nor an error", name)
	}
	return err
}

// TestStart gives each function just the variables that template.yaml gives it.
func TestStart(t *testing.T) {
	var template struct {
		Resources map[string]struct {
			Properties struct {
				CodeURI     string `yaml:"CodeUri"`
				Environment struct {
					Variables map[string]any `yaml:"Variables"`
				} `yaml:"Environment"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(bellhop.Template, &template); err != nil {
		t.Fatal(err)
	}
	all := sensible(t)
	started := 0
	for _, r := range template.Resources {
		folder, is := strings.CutPrefix(r.Properties.CodeURI, "functions/")
		if !is {
			continue
		}
		started++
		folder = strings.Trim(folder, "/")
		given := map[string]string{"AWS_ENDPOINT_URL_SECRETS_MANAGER": all["AWS_ENDPOINT_URL_SECRETS_MANAGER"]}
		for name := range r.Properties.Environment.Variables {
			value, known := all[name]
			if !known {
				t.Errorf("template.yaml gives %s the variable %s, which nothing reads", folder, name)
			}
			given[name] = value
		}
		if err := start(t, folder, given); err != nil {
			t.Errorf("%s: %v", folder, err)
		}
	}
	if started != len(Functions()) {
		t.Errorf("template.yaml has %d functions, want %d", started, len(Functions()))
	}
}

// TestMisconfigured starts functions whose environment has a fault, which the error has to name.
func TestMisconfigured(t *testing.T) {
	for _, c := range []struct{ function, variable, value, want string }{
		{"connect", "TABLE_NAME", "", "TABLE_NAME is not set"},
		{"message", "MANAGEMENT_ENDPOINT", "", "MANAGEMENT_ENDPOINT is not set"},
		{"deliver", "DELIVER_QUEUE_URL", "", "DELIVER_QUEUE_URL is not set"},
		{"emit", "ROOM_KINDS", "{bad", "ROOM_KINDS is not valid"},
		{"sweep", "ROOM_KINDS", `{"channel":{"keep":"1h"}}`, `"user" must be there`},
		{"message", "RATE_LIMIT", "many", "RATE_LIMIT must be a whole number"},
		{"disconnect", "PRESENCE_GRACE", "10", "PRESENCE_GRACE must be a duration"},
		{"deliver", "PRESENCE_GRACE", "20m", "PRESENCE_GRACE must be 15m0s at most"},
		{"emit", "EMIT_QUEUE_URL", "", "EMIT_QUEUE_URL is not set"},
		{"authorize", "ALLOWED_ORIGINS", "", "ALLOWED_ORIGINS is not set"},
		{"message", "HOOK_OPTIONS", `{"join":{"timeout":"1h"}}`, `HOOK_OPTIONS is not valid: hook options: "join": "timeout" must be a duration of at most 25s`},
		{"deliver", "SOCKET_PING_INTERVAL", "8m", "must be at most 9m together"},
		{"message", "SOCKET_NAMESPACES", "chat", "begins with /"},
		{"message", "TABLE_NAME", "none", `TABLE_NAME is "none": there is no such table`},
		{"sweep", "TABLE_NAME", "none", `TABLE_NAME is "none": there is no such table`},
		{"emit", "EMIT_KEYS", "[{}]", "EMIT_KEYS is not valid: key 1"},
		{"emit", "BUS_FACTS", "connection.opened,rain", `BUS_FACTS is not valid: there is no fact "rain"`},
		{"authorize", "DEFAULT_GRANTS", "[]", "DEFAULT_GRANTS is not valid"},
		{"authorize", "JWT_SECRET_ARN", "", "JWT_SECRET_ARN and JWKS_URL are not set"},
		{"message", "JWT_SECRET_ARN", "arn:other", "read the secret JWT_SECRET_ARN"},
		{"authorize", "JWT_ALGORITHMS", "none", "none"},
		{"authorize", "JWT_LEEWAY", "1h", "JWT_LEEWAY must be 5m0s at most"},
		{"message", "JWT_LEEWAY", "0s", "JWT_LEEWAY must be a duration"},
		{"authorize", "SOCKET_CLIENTS", "yes", `SOCKET_CLIENTS must be on or token or off, not "yes"`},
		{"connect", "SOCKET_CLIENTS", "no", "SOCKET_CLIENTS must be"},
		{"authorize", "JWKS_URL", "http://id.example/jwks", "must begin with https://"},
	} {
		t.Run(c.function+" "+c.variable+" "+c.value, func(t *testing.T) {
			variables := maps.Clone(sensible(t))
			variables[c.variable] = c.value
			if err := start(t, c.function, variables); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	err := start(t, "message", map[string]string{})
	for _, want := range []string{"TABLE_NAME", "MANAGEMENT_ENDPOINT", "DELIVER_QUEUE_URL", "JWT_SECRET_ARN"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an empty environment: %v does not name %s", err, want)
		}
	}
}

// TestLocal names the parameters, since that is what a person gives there.
func TestLocal(t *testing.T) {
	s, err := Local(map[string]string{"RateLimit": "50", "PresenceGrace": "3s", "DefaultGrants": `{"channel:*":["join"]}`, "JwtLeeway": "5m", "UserClaim": "uid", "NameClaim": "n", "GrantsClaim": "g"})
	if got := []string{s.Token.UserClaim, s.Token.NameClaim, s.Token.GrantsClaim}; !slices.Equal(got, []string{"uid", "n", "g"}) {
		t.Errorf("the claims are %v", got)
	}
	if err != nil || s.Hub.Limits.Rate != 50 || s.Hub.Limits.Grace.Seconds() != 3 || s.Token.Leeway.Minutes() != 5 || !s.Token.DefaultGrants.Allow("channel:1", "join") {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := Local(map[string]string{"RateLimit": "x", "RoomKinds": "{"}); err == nil ||
		!strings.Contains(err.Error(), "RateLimit must") || !strings.Contains(err.Error(), "RoomKinds is") {
		t.Errorf("got %v", err)
	}
}

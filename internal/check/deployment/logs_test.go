package deployment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
)

// deployed is one function as it is deployed, under a Lambda that gives it one event, and an AWS of which services are down.
type deployed struct {
	function string
	event    string
	down     string            // calls whose X-Amz-Target holds this fail
	env      map[string]string // over what a stack has
}

// lines runs it, and gives what it has logged as CloudWatch gets it.
func (d deployed) lines(t *testing.T, built string) (lines []map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var once sync.Once
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/invocation/next"):
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "request-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			given := false
			once.Do(func() { given = true; _, _ = io.WriteString(w, d.event) })
			if !given {
				cancel() // it is done, and waits for more
			}
		case strings.Contains(r.URL.Path, "/runtime/"):
			w.WriteHeader(http.StatusAccepted)
		case d.down != "" && strings.Contains(r.Header.Get("X-Amz-Target"), d.down):
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"__type":"InternalServerError","message":"down"}`)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	defer api.Close()
	var out bytes.Buffer
	run := exec.CommandContext(ctx, filepath.Join(built, d.function, "bootstrap"))
	run.Stdout, run.Stderr = &out, &out
	for name, value := range map[string]string{
		"AWS_LAMBDA_RUNTIME_API": strings.TrimPrefix(api.URL, "http://"), "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_LOG_FORMAT": "JSON",
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": api.URL, "AWS_MAX_ATTEMPTS": "1",
		"TABLE_NAME": "t", "DELIVER_QUEUE_URL": api.URL + "/q", "EMIT_QUEUE_URL": api.URL + "/e", "MANAGEMENT_ENDPOINT": api.URL + "/dev",
		"ALLOWED_ORIGINS": "*", "JWKS_URL": "https://127.0.0.1:1/keys",
	} {
		if _, other := d.env[name]; !other {
			run.Env = append(run.Env, name+"="+value)
		}
	}
	for name, value := range d.env {
		run.Env = append(run.Env, name+"="+value)
	}
	_ = run.Run() // it is killed, or could not start
	for text := bufio.NewScanner(&out); text.Scan(); {
		var line map[string]any
		if json.Unmarshal(text.Bytes(), &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestQueries takes the log lines that RUNBOOK's queries look for from the functions as they are deployed: a query that matches none of
// them, or counts by a field that none of them has, would answer nothing on the day.
func TestQueries(t *testing.T) {
	built := t.TempDir()
	lookedAt(t, "functions", "internal", "app", "go.mod")
	for _, function := range []string{"authorize", "connect", "message", "emit", "deliver", "sweep"} {
		if err := runtimeapi.BuildGo(t.Context(), root+"functions/"+function, filepath.Join(built, function)); err != nil {
			t.Fatal(err)
		}
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	bearer := func(alg string) string {
		return part(map[string]string{"alg": alg, "kid": "k"}) + "." + part(map[string]any{"sub": "ana", "exp": 4102444800}) + "." + part("signature")
	}
	handshake := func(token string) string {
		return `{"type":"REQUEST","methodArn":"arn:x","queryStringParameters":{"token":"` + token + `"}}`
	}
	caller := `"connectionId":"c1=","authorizer":{"user":"ana","grants":"{}","expires":"4102444800"}`
	const publish = `{\"command\":\"publish\",\"users\":[\"ana\"],\"event\":\"e\",\"data\":{}}`
	var lines []map[string]any
	for _, d := range []deployed{
		{function: "authorize", event: handshake(bearer("none"))},
		{function: "authorize", event: handshake(bearer("RS256"))},
		{function: "authorize", env: map[string]string{"JWT_ALGORITHMS": "HS256"}},
		{function: "connect", event: `{"requestContext":{"routeKey":"$connect",` + caller + `}}`},
		{function: "connect", event: `{"requestContext":{"routeKey":"$connect",` + caller + `}}`, down: "PutEvents", env: map[string]string{"EVENT_BUS_NAME": "app"}},
		{function: "message", event: `{"requestContext":{"routeKey":"join",` + caller + `},"body":"{\"action\":\"join\",\"id\":\"1\",\"room\":\"channel:1\"}"}`, down: "DynamoDB"},
		{function: "emit", event: strings.ReplaceAll(publish, `\"`, `"`), down: "DynamoDB"},
		{function: "deliver", event: `{"Records":[{"messageId":"m1","body":"nonsense"}]}`},
		{function: "sweep", event: "{}"},
		{function: "sweep", event: "{}", down: "Query"},
	} {
		got := d.lines(t, built)
		if len(got) == 0 {
			t.Errorf("%s logs nothing of %.60s", d.function, d.event)
		}
		lines = append(lines, got...)
	}

	book, err := os.ReadFile(root + "docs/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	query := regexp.MustCompile("`filter (\\w+) (?:= (\"[^\"]*\")|in (\\[[^\\]]*\\]))(?: \\| stats count\\(\\) by ([\\w, ]+?))?(?: \\| sort count\\(\\) desc)?`")
	found := query.FindAllStringSubmatch(string(book), -1)
	if all := strings.Count(string(book), "`filter "); len(found) != all || all < 8 {
		t.Errorf("understood %d of %d queries", len(found), all)
	}
	for _, q := range found {
		var wanted []string
		if err := json.Unmarshal([]byte("["+strings.Trim(q[2]+q[3], "[]")+"]"), &wanted); err != nil {
			t.Fatal(err)
		}
		fields := map[string]bool{}
		for _, value := range wanted {
			matched := false
			for _, line := range lines {
				if line[q[1]] != value {
					continue
				}
				matched = true
				for name := range line {
					fields[name] = true
				}
			}
			if !matched {
				t.Errorf("%s: no function logs %s = %q", q[0], q[1], value)
			}
		}
		for _, field := range strings.FieldsFunc(q[4], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !fields[field] {
				t.Errorf("%s: the lines have no %s, but %v", q[0], field, fields)
			}
		}
	}

	// What tells a refused token from an authorizer that does not work.
	if pattern := text(monitoring(t)["AuthorizeFailures"].Properties, "FilterPattern"); !strings.Contains(pattern, `$.level = "ERROR"`) {
		t.Errorf("the authorizer's failures are counted by %s", pattern)
	}
	for message, level := range map[string]string{"token refused": "INFO", "authorize": "ERROR", "cannot start": "ERROR"} {
		i := slices.IndexFunc(lines, func(line map[string]any) bool { return line["message"] == message })
		if i < 0 || lines[i]["level"] != level {
			t.Errorf("%q is not logged with the level %s", message, level)
		}
	}
}

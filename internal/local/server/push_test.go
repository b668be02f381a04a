package server_test

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/server"
)

// TestCompiledFunctionsPush: functions in other languages than Node.js and Python push to their clients as they do on AWS, by
// https://{domainName}/{stage} and by https://{apiId}.execute-api.{region}.amazonaws.com/{stage}.
func TestCompiledFunctionsPush(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		needs, runtime, folder string
	}{
		"Go, aws-sdk-go-v2": {"go", "provided.al2023", "pusher"},
		"Go, aws-sdk-go":    {"go", "go1.x", "pusher-v1"},
		"Java":              {"java", "java21", "pusher-java"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(c.needs); err != nil {
				t.Skip(err)
			}
			code, err := filepath.Abs(filepath.Join("testdata", c.folder))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer("nodejs22.x", c.runtime, "CodeUri: src/", "CodeUri: "+code, "Timeout: 20", "Timeout: 60").Replace(chatTemplate)
			s := startForeign(t, text, nil, func(o *server.Outside) {
				o.Children.Watch = false
				o.Children.Runtimes = map[string]string{"java21": `exec java "$LAMBDA_TASK_ROOT/Main.java"`}
			})
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			conn := s.connect(t)
			if got := ask(t, conn, `{"action":"push"}`); got != u.Host {
				t.Fatalf("by the domain name: got %q, want %q", got, u.Host)
			}
			got := receive(t, conn)
			if !strings.HasSuffix(got, ".execute-api.us-east-1.amazonaws.com") {
				t.Errorf("by the API's id: got %q", got)
			}
		})
	}
}

package tables

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFetch: what is not there is fetched, what has another sum is not kept, and what is there is not asked for again.
func TestFetch(t *testing.T) {
	t.Parallel()
	asked := 0
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if strings.HasSuffix(r.URL.Path, "/gone.jar") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("content of " + r.URL.Path))
	}))
	defer repository.Close()
	sum := func(path string) string {
		s := sha256.Sum256([]byte("content of /" + path))
		return hex.EncodeToString(s[:])
	}
	one, two := library{sum("org/one/1/one.jar"), "org/one/1/one.jar"}, library{sum("else"), "org/two/1/two.jar"}
	dir := t.TempDir()
	for range 2 {
		if err := fetch(t.Context(), []library{one}, dir, repository.URL+"/"); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "one.jar")); err != nil || string(text) != "content of /org/one/1/one.jar" || asked != 1 {
		t.Errorf("got %q, %v after %d requests", text, err, asked)
	}
	if err := fetch(t.Context(), []library{two}, dir, repository.URL+"/"); err == nil || !strings.Contains(err.Error(), "fetch two.jar: what "+repository.URL+"/org/two/1/two.jar has is another file") {
		t.Errorf("another file: got %v", err)
	}
	if err := fetch(t.Context(), []library{{"", "org/gone.jar"}}, dir, repository.URL+"/"); err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("no file: got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestLibraries: the list is of the version that scripts/dynamodb-local runs.
func TestLibraries(t *testing.T) {
	t.Parallel()
	pom, err := os.ReadFile("../../../infra/dynamodb-local/pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(pom), "<artifactId>DynamoDBLocal</artifactId>")
	_, rest, _ = strings.Cut(rest, "<version>")
	version, _, _ := strings.Cut(rest, "</version>")
	names := map[string]bool{}
	for _, l := range parseLibraries(libraries) {
		names[l.name()] = true
		if len(l.sum) != 2*sha256.Size {
			t.Errorf("%s has no sum", l.path)
		}
	}
	if want := "DynamoDBLocal-" + version + ".jar"; !names[want] {
		t.Errorf("the list has no %s", want)
	}
}

// TestJava: what is missing is said, with what to do.
func TestJava(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	check := func(want string) {
		t.Helper()
		if err := checkJava(t.Context()); err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("and there is none")
	for version, want := range map[string]string{"1.8.0_412": "and this is 8", "11.0.2": "and this is 11", "17.0.15": "", "21": ""} {
		if err := os.WriteFile(filepath.Join(dir, "java"), []byte("#!/bin/sh\necho 'openjdk version \""+version+"\"' >&2\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		check(want)
	}
	if _, _, err := (Local{Cache: dir}).Start(canceled(t)); err == nil {
		t.Error("it started without a network")
	}
}

func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

package stack_test

import (
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/stack"
)

func TestEndpoint(t *testing.T) {
	for _, good := range []stack.Endpoint{"", "http://127.0.0.1:4000", "https://bellhop.example/", "http://[::1]:4000"} {
		if err := good.Validate(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, want := range map[stack.Endpoint]string{
		"127.0.0.1:4000":      "give the scheme too: http://127.0.0.1:4000",
		"localhost:4000":      "give the scheme too: http://localhost:4000",
		"foo":                 "give the scheme too: http://foo",
		"ws://127.0.0.1:4000": "must be a URL such as http://127.0.0.1:4000",
		"http://":             "must be a URL",
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
}

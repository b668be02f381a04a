package emitter_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/emitter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// function is a Lambda service with one function, over the Invoke API: it keeps what was invoked, and answers publishes
// as the emit function does and other commands with what answers holds.
type function struct {
	*httptest.Server

	mu       sync.Mutex
	payloads []string          // of each request
	paths    []string          // of each request
	kinds    []string          // of each request: RequestResponse or Event
	answers  map[string]string // by command
	failures []func(http.ResponseWriter)
	refuse   map[string]string // the JSON of the error of a target
}

func newFunction() *function {
	f := &function{answers: map[string]string{}, refuse: map[string]string{}}
	f.Server = httptest.NewServer(f)
	return f
}

func newTestFunction(tb testing.TB) *function {
	tb.Helper()
	f := newFunction()
	tb.Cleanup(f.Close)
	return f
}

// fail makes the next request end otherwise.
func (f *function) fail(how func(http.ResponseWriter)) { f.failures = append(f.failures, how) }

func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.payloads = append(f.payloads, string(body))
	f.paths = append(f.paths, r.Method+" "+r.URL.Path)
	f.kinds = append(f.kinds, r.Header.Get("X-Amz-Invocation-Type"))
	if len(f.failures) > 0 {
		how := f.failures[0]
		f.failures = f.failures[1:]
		how(w)
		return
	}
	if r.Header.Get("X-Amz-Invocation-Type") == "Event" {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	var many []json.RawMessage
	if json.Unmarshal(body, &many) != nil {
		_, _ = io.WriteString(w, f.answer(body))
		return
	}
	answers := make([]string, len(many))
	for i, one := range many {
		answers[i] = f.answer(one)
	}
	_, _ = io.WriteString(w, "["+strings.Join(answers, ",")+"]")
}

type wire struct {
	Command     string   `json:"command"`
	Rooms       []string `json:"rooms"`
	Users       []string `json:"users"`
	Connections []string `json:"connections"`
	ID          string   `json:"id"`
	All         bool     `json:"all"`
	After       string   `json:"after"`
}

func (f *function) answer(text []byte) string {
	var c wire
	if err := json.Unmarshal(text, &c); err != nil {
		return `{"ok":false,"error":{"code":"bad_request","message":"no JSON","retry":false}}`
	}
	if a, ok := f.answers[c.Command]; ok {
		return a
	}
	if c.Command != "publish" {
		return `{"ok":false,"error":{"code":"unknown_action","message":"There is no such action.","retry":false}}`
	}
	if c.All { // in two commands
		return map[string]string{"": `{"ok":true,"data":{"results":[],"reached":1000,"next":"8"}}`, "8": `{"ok":true,"data":{"results":[],"reached":234}}`}[c.After]
	}
	var results []string
	var first string
	add := func(kind, name, good string) {
		refusal, bad := f.refuse[name]
		if bad {
			good = `"error":` + refusal
			if first == "" {
				first = refusal
			}
		}
		results = append(results, fmt.Sprintf(`{%q:%q,%s}`, kind, name, good))
	}
	place := fmt.Sprintf(`"epoch":"e1","seq":7,"id":%q,"ts":1732341000123`, c.ID)
	for _, room := range c.Rooms {
		add("room", room, place)
	}
	for _, user := range c.Users {
		add("room", "user:"+user, place)
	}
	for _, connection := range c.Connections {
		add("connection", connection, `"error":null`)
	}
	data := `"data":{"results":[` + strings.Join(results, ",") + `]}}`
	if first != "" {
		return `{"ok":false,"error":` + first + `,` + data
	}
	return `{"ok":true,` + data
}

func (f *function) sent() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.payloads...)
}

func (f *function) emitter() *emitter.Emitter {
	e := emitter.New(emitter.HTTP(f.URL, f.Client()))
	e.NewID = func() string { return "id-1" }
	return e
}

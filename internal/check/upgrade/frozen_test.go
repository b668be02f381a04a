package upgrade_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// with gives the fixtures of a name, by commit.
func with(t *testing.T, name string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(fixtures("*", name))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no %s, %v", name, err)
	}
	list := map[string]string{}
	for _, f := range files {
		list[strings.Split(f, string(filepath.Separator))[1]] = f
	}
	return list
}

// TestJobs does the jobs that a commit's functions have left in the queue.
func TestJobs(t *testing.T) {
	for commit, file := range with(t, "jobs.json") {
		var jobs []json.RawMessage
		readJSON(t, file, &jobs)
		w := hubtest.New(t)
		h, sockets := socketio.Wire(w.Config, w.Notes, socketio.Options{})
		for _, text := range jobs {
			job, err := hub.DecodeJob(text)
			if err != nil {
				t.Errorf("%s: %s: %v", commit, text, err)
				continue
			}
			again, err := job.Encode()
			if err != nil {
				t.Fatal(err)
			}
			var got, want object
			decode(t, again, &got)
			decode(t, text, &want)
			delete(got, "v")
			same(t, commit+": a job that is written again", got, want)
			work := h.Work
			if socketio.Works(job.Kind) {
				work = sockets.Work
			}
			if err := work(t.Context(), job); err != nil {
				t.Errorf("%s: %s: %v", commit, text, err)
			}
		}
	}
}

// TestCommands does what the package emitter of a commit sends.
func TestCommands(t *testing.T) {
	for commit, file := range with(t, "commands.json") {
		var commands []json.RawMessage
		readJSON(t, file, &commands)
		h, _ := socketio.Wire(hubtest.New(t).Config, hubtest.New(t).Notes, socketio.Options{})
		for _, text := range commands {
			c, err := hub.DecodeCommand(text)
			if err != nil {
				t.Errorf("%s: %s: %v", commit, text, err)
				continue
			}
			if a := h.Emit(t.Context(), c); !a.OK {
				t.Errorf("%s: %s: %+v", commit, text, a.Error)
			}
		}
	}
}

// TestFrames holds the golden frames of today to those of each commit: none is missing, and none is another. That they are
// decoded and encoded so, the packages of the files test. What was refused may be understood one day.
func TestFrames(t *testing.T) {
	for name, today := range map[string]string{
		"client.json": "internal/protocol/testdata/client.json", "server.json": "internal/protocol/testdata/server.json",
		"packets.json": "internal/socketio/packet/testdata/frames.json", "actions.json": "internal/socketio/packet/testdata/actions.json",
	} {
		for commit, file := range with(t, filepath.Join("frames", name)) {
			var was, is []object
			readJSON(t, file, &was)
			readJSON(t, filepath.Join(root, today), &is)
			for _, frame := range was {
				if frame["error"] == nil && !slices.ContainsFunc(is, func(f object) bool { return reflect.DeepEqual(f, frame) }) {
					t.Errorf("%s is without a frame of %s: %v", today, commit, frame)
				}
			}
		}
	}
	for _, file := range with(t, "frames/client.json") {
		var frames []struct {
			Frame json.RawMessage `json:"frame"`
			Error string          `json:"error"`
		}
		readJSON(t, file, &frames)
		for _, f := range frames {
			if _, err := (protocol.JSON{}).Decode(f.Frame); f.Error == "" && err != nil {
				t.Errorf("%s: %v", f.Frame, err)
			}
		}
	}
}

// deployment is what a stack that is updated depends on.
type deployment struct {
	Parameters map[string]parameter `json:"parameters"`
	Resources  map[string]string    `json:"resources"` // types by logical id: another one is another resource, and the old one goes
	Tables     map[string]object    `json:"tables"`    // keys by logical id: a table with another key is a new table
	Outputs    map[string]string    `json:"outputs"`
}

type parameter struct {
	Type    string   `json:"type" yaml:"Type"`
	Default any      `json:"default" yaml:"Default"`
	Pattern string   `json:"pattern,omitempty" yaml:"AllowedPattern"`
	Values  []any    `json:"values,omitempty" yaml:"AllowedValues"`
	Min     *float64 `json:"min,omitempty" yaml:"MinValue"`
	Max     *float64 `json:"max,omitempty" yaml:"MaxValue"`
}

// readTemplate reads what it says there from a template.
func readTemplate(t *testing.T, path string) deployment {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Parameters map[string]parameter `yaml:"Parameters"`
		Resources  map[string]struct {
			Type       string    `yaml:"Type"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
		Outputs map[string]struct {
			Value yaml.Node `yaml:"Value"`
		} `yaml:"Outputs"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	d := deployment{Parameters: template.Parameters, Resources: map[string]string{}, Tables: map[string]object{}, Outputs: map[string]string{}}
	for id, r := range template.Resources {
		d.Resources[id] = r.Type
		if r.Type != "AWS::DynamoDB::Table" {
			continue
		}
		var properties object
		if err := r.Properties.Decode(&properties); err != nil {
			t.Fatal(err)
		}
		key := object{}
		for _, name := range []string{"TableName", "KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "TimeToLiveSpecification"} {
			if properties[name] != nil {
				key[name] = properties[name]
			}
		}
		d.Tables[id] = key
	}
	for name, o := range template.Outputs {
		value, err := yaml.Marshal(&o.Value)
		if err != nil {
			t.Fatal(err)
		}
		d.Outputs[name] = strings.TrimSpace(string(value))
	}
	return d
}

// tightened are parameters that refuse what deployed and then answered every client with an internal error, with values that always
// worked. Numbers are strings with a pattern, since a Number takes fractions; to CloudFormation every parameter is a text.
func tightened() map[string][]string {
	whole, spans := []string{"1", "50", "100000"}, []string{"300ms", "1s", "60s", "2m", "8m"}
	return map[string][]string{
		"RateLimit": whole, "RateBurst": whole, "MaxRooms": whole, "InlineLimit": whole,
		"PresenceGrace": append(spans, "15m", "900s"), "SocketConnectTimeout": append(spans, "15m"), "SocketPingInterval": spans, "SocketPingTimeout": spans,
		"AllowedOrigins": {"https://a.example", "https://a.example,https://b.example", "http://localhost:3000, https://a.example"},
		"BusFacts":       {"connection.opened", "presence.online,presence.offline,message.published"},
		"RoomKinds":      {`{"user":{"owner":true,"keep":"720h"},"team":{"presence":true,"keep":"1h"}}`},
		"JwksUrl":        {"", "https://id.example/jwks.json", "https://id.example:8443/keys?tenant=1"},
		"DefaultGrants":  {`{"channel:*":["join","publish"]}`}, "HookOptions": {`{"publish":{"timeout":"2s","onError":"allow"}}`},
	}
}

// TestTemplate: a stack of each commit can be updated to today's, with the parameters that it was given.
func TestTemplate(t *testing.T) {
	is := readTemplate(t, filepath.Join(root, "template.yaml"))
	for commit, file := range with(t, "template.json") {
		var was deployment
		readJSON(t, file, &was)
		for id, kind := range was.Resources {
			if is.Resources[id] != kind {
				t.Errorf("%s is %q, was %s in %s", id, is.Resources[id], kind, commit)
			}
		}
		for id, key := range was.Tables {
			same(t, "the keys of "+id, is.Tables[id], key)
		}
		for name, value := range was.Outputs {
			if got := is.Outputs[name]; got != value && !strings.HasPrefix(got, "!If [OwnTable, "+value) { // unless a table of before is attached
				t.Errorf("the output %s is %q, was %q in %s", name, is.Outputs[name], value, commit)
			}
		}
		for name, p := range was.Parameters {
			now, there := is.Parameters[name]
			if !there {
				t.Errorf("there is no parameter %s any more, as in %s", name, commit)
				continue
			}
			for _, v := range p.Values {
				if !slices.ContainsFunc(now.Values, func(x any) bool { return canonical(t, x) == canonical(t, v) }) {
					t.Errorf("the parameter %s may not be %v any more, as in %s", name, v, commit)
				}
			}
			p.Values, now.Values = nil, nil
			if works, is := tightened()[name]; is {
				for _, v := range append(works, fmt.Sprint(p.Default)) {
					if matched, err := regexp.MatchString(now.Pattern, v); err != nil || !matched {
						t.Errorf("the parameter %s may not be %q any more, as in %s", name, v, commit)
					}
				}
				if fmt.Sprint(now.Default) != fmt.Sprint(p.Default) {
					t.Errorf("the parameter %s is %v by default, was %v in %s", name, now.Default, p.Default, commit)
				}
				continue
			}
			if name == "Tracing" { // is not on any more without being asked for, since it is billed; stacks that there are keep theirs
				p.Default = now.Default
			}
			same(t, "parameter "+name, now, p)
		}
		for name, p := range is.Parameters {
			if _, old := was.Parameters[name]; !old && p.Default == nil {
				t.Errorf("the parameter %s is new since %s and has no default: updates would fail", name, commit)
			}
		}
	}
	if len(slices.Collect(maps.Keys(is.Tables))) == 0 {
		t.Error("the template has no table")
	}
}

package eventbridge

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// everybody is a world in which nothing fails, and the bus of its facts.
type everybody struct {
	mu    sync.Mutex
	facts []hub.Fact
	jobs  []hub.Job
}

func (*everybody) Push(context.Context, string, []byte) error  { return nil }
func (*everybody) Close(context.Context, string) error         { return nil }
func (*everybody) Alive(context.Context, string) (bool, error) { return true, nil }
func (e *everybody) Tell(_ context.Context, f hub.Fact) error {
	return e.keep(func() { e.facts = append(e.facts, f) })
}

func (e *everybody) Enqueue(_ context.Context, j hub.Job, _ time.Duration) error {
	return e.keep(func() { e.jobs = append(e.jobs, j) })
}

func (e *everybody) keep(do func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
	return nil
}

// TestSchema: infra/facts.schema.json describes every fact that the hub tells, and refuses what is none.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("../../../infra/facts.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("facts.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("facts.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(event map[string]any) error {
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}

	told := map[hub.FactType]bool{}
	for _, f := range everyFact(t) {
		told[f.Type] = true
		if err := valid(map[string]any{"source": Source, "detail-type": f.Type, "detail": f}); err != nil {
			t.Errorf("%s: %v", f.Type, err)
		}
		if valid(map[string]any{"source": Source, "detail-type": f.Type, "detail": map[string]any{"version": 1}}) == nil {
			t.Errorf("%s: an empty detail is fine", f.Type)
		}
		if f.ConnectionID = ""; f.Room == "" && valid(map[string]any{"source": Source, "detail-type": f.Type, "detail": f}) == nil {
			t.Errorf("%s: a connection without id is fine", f.Type)
		}
	}
	for _, kind := range hub.FactTypes() {
		if !told[kind] {
			t.Errorf("nothing told %s", kind)
		}
	}
	if valid(map[string]any{"source": Source, "detail-type": "rain", "detail": map[string]any{}}) == nil {
		t.Error("an unknown type is fine")
	}
}

// everyFact lets a user come, say something and go.
func everyFact(t *testing.T) []hub.Fact {
	t.Helper()
	store, err := bolt.Open("", bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	all := &everybody{}
	h := hub.New(hub.Config{Store: store, Pusher: all, Queue: all, Bus: all})
	ctx, expires := t.Context(), time.Now().Add(time.Hour)
	who := hub.Identity{User: "ana", Name: "Ana", Expires: expires, Grants: hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}}}
	if err := h.Connect(ctx, "c1", who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	caller := hub.Caller{Connection: "c1", User: "ana", Name: "Ana", Expires: expires}
	for _, frame := range []string{
		`{"action":"join","room":"community:7"}`,
		`{"action":"publish","room":"community:7","event":"message:new","data":{"content":"hi"}}`,
	} {
		if reply := h.Receive(ctx, caller, []byte(frame)); reply != nil {
			t.Fatalf("%s: %s", frame, reply)
		}
	}
	if err := h.Depart(ctx, "c1"); err != nil {
		t.Fatal(err)
	}
	for _, job := range all.jobs {
		if err := h.Work(ctx, job); err != nil {
			t.Fatal(err)
		}
	}
	return all.facts
}

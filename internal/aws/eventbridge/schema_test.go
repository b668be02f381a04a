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
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// facts is a bus that keeps what it is told.
type facts struct {
	mu   sync.Mutex
	told []hub.Fact
}

func (f *facts) Tell(_ context.Context, fact hub.Fact) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, fact)
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
	all := &facts{}
	w := hubtest.New(t, func(c *hub.Config) { c.Bus = all })
	expires := w.Clock.Now().Add(time.Hour)
	who := hub.Identity{User: "ana", Name: "Ana", Expires: expires, Grants: hubtest.Everything()}
	if err := w.Connect(t.Context(), "c1", who, protocol.Name); err != nil {
		t.Fatal(err)
	}
	ana := hub.Caller{Connection: "c1", User: "ana", Name: "Ana", Expires: expires}
	w.Must(ana, `{"action":"join","room":"community:7"}`)
	w.Must(ana, `{"action":"publish","room":"community:7","event":"message:new","data":{"content":"hi"}}`)
	if err := w.Depart(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	w.Drain()
	return all.told
}

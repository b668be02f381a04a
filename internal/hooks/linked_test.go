package hooks

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	public "github.com/bellhop-rt/bellhop/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
)

// TestLinked: what the public types say is what the hub's do, whichever of the two is written out; no field is lost on the way.
func TestLinked(t *testing.T) {
	q := hub.Question{
		Version: 1, Time: 2, Connection: "c", User: hub.Person{ID: "ana", Name: "Ana"}, Grants: hub.Grants{"channel:*": {"join"}},
		Rooms: []string{"channel:1"}, Room: "channel:2", Granted: true, Renewal: true, Action: "poll:vote", Event: "a", ID: "i", Data: json.RawMessage(`1`),
	}
	v := public.Verdict{
		Deny: &public.Denial{Code: "conflict", Message: "no"}, Allow: true, Data: json.RawMessage(`2`), Status: "busy",
		StatusData: json.RawMessage(`3`), Grants: map[string][]string{"a:*": {"join"}}, Rooms: []string{"channel:3"},
	}
	for _, full := range []any{q, v} {
		for i, f := 0, reflect.ValueOf(full); i < f.NumField(); i++ {
			if name := f.Type().Field(i).Name; f.Field(i).IsZero() && name != "Hook" {
				t.Errorf("the test leaves out %s", name)
			}
		}
	}
	var got public.Question
	answer := func(ctx context.Context, q public.Question) (public.Verdict, error) {
		got = q
		return v, ctx.Err()
	}
	h := Linked(public.Handlers{
		Actions: map[string]public.Handler{"poll:vote": answer}, Join: answer, Publish: answer, Connect: answer,
		Disconnect: func(ctx context.Context, q public.Question) error { _, err := answer(ctx, q); return err },
	})
	for _, q.Hook = range hub.HookNames() {
		said, err := h.Answer(t.Context(), q)
		if err != nil || text(t, got) != text(t, q) {
			t.Errorf("%s: asked %s, want %s, %v", q.Hook, text(t, got), text(t, q), err)
		}
		if q.Hook != hub.HookDisconnect && text(t, said) != text(t, v) {
			t.Errorf("%s: said %s, want %s", q.Hook, text(t, said), text(t, v))
		}
	}
	if none := Linked(public.Handlers{}); none.Join != nil || none.Disconnect != nil || len(none.Actions) > 0 {
		t.Errorf("no hooks are %+v", none)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

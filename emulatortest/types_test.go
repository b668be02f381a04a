package emulatortest

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/queues"
)

// TestMessageHasAll: whatever a queue knows of a message a test sees too, under the same names.
func TestMessageHasAll(t *testing.T) {
	text := "a text"
	m := queues.Message{
		ID: "m1", Body: "a body", SentAt: time.Unix(1, 0).UTC(), FirstReceived: time.Unix(2, 0).UTC(), Receives: 3,
		Attributes: map[string]queues.MessageAttribute{"kind": {Type: "String", String: &text}}, Trace: "Root=1", Error: "it failed",
	}
	for field, value := range reflect.ValueOf(m).Fields() {
		if value.IsZero() {
			t.Errorf("%s is not tried here", field.Name)
		}
	}
	want, err := json.Marshal([]queues.Message{m})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(messages([]queues.Message{m}))
	if err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

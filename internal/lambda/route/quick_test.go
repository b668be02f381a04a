package route

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// otherCase are names that encoding/json takes for ours, and API Gateway does not send.
var otherCase = regexp.MustCompile(`(?i)"(headers|queryStringParameters|body|requestContext|eventType|connectionId|disconnectStatusCode|disconnectReason|requestTimeEpoch|authorizer|user|name|grants|expires|codec)"`)

// agrees compares what is read quickly with what encoding/json reads. quick: it was.
func agrees(t *testing.T, payload []byte) (quick bool) {
	t.Helper()
	var got, want webSocketEvent
	if !got.quick(payload) {
		return false
	}
	if !json.Valid(payload) { // which is taken on trust
		return true
	}
	err := json.Unmarshal(payload, &want)
	want.Headers, want.Query = nil, nil // null gives none
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\n got %+v\nwant %+v, %v", payload, got, want, err)
	}
	return true
}

func TestQuick(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	frames := 0
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		quick := agrees(t, payload)
		if frame := strings.Contains(string(payload), `"eventType": "MESSAGE"`); frame && !quick {
			t.Errorf("%s is not read quickly", file)
		} else if frame {
			frames++
		}
	}
	if frames < 5 {
		t.Errorf("%d of %d events are frames", frames, len(files))
	}
	for _, body := range []string{``, `a`, `{"a":"\"\\\/\b\f\n\r\t"}`, "ünï 日本語 \U0001f600", "<&>\u2028", "\x7f"} {
		event := map[string]any{"body": body, "requestContext": map[string]any{
			"eventType": "MESSAGE", "connectionId": body, "requestTimeEpoch": 1732341000123, "identity": map[string]any{"a": []any{"]}", nil, 1.5}},
			"authorizer": map[string]string{"user": body, "name": "x", "grants": `{"a":["b"]}`, "expires": "1", "codec": "c", "more": "m"},
		}}
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(event); err != nil {
			t.Fatal(err)
		}
		if quick := agrees(t, []byte(out.String())); !quick && !strings.Contains(out.String(), `\u`) {
			t.Errorf("%s is not read quickly", out.String())
		}
	}
	for _, slow := range []string{
		``, `{`, `[]`, `{"body":1}`, `{"body":"a`, `{"body":"a"`, `{"body":"a",}`, `{"body" "a"}`, `{"headers":{"a":"b"}}`, `{"requestContext":null}`,
		`{"requestContext":{"requestTimeEpoch":1.5}}`, `{"body":"\u0041"}`, "{\"body\":\"\xff\"}", "{\"body\":\"\x01\"}", `{"body":"\q"}`, `{"a":{]`, `{"body":"a"} {`,
	} {
		var e webSocketEvent
		if e.quick([]byte(slow)) {
			t.Errorf("%s is read quickly", slow)
		}
	}
}

func FuzzQuick(f *testing.F) {
	for _, seed := range []string{
		`{"body":"a\"b","requestContext":{"connectionId":"c","authorizer":{"user":"u"},"requestTimeEpoch":1,"disconnectStatusCode":1001}}`,
		`{"headers":null,"queryStringParameters":null,"a":[{"b":"]"}], "body" : "x" }`, `{"body":"\\\"","body":"b"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, name := range otherCase.FindAllSubmatch(payload, -1) {
			if !strings.Contains(" headers queryStringParameters body requestContext eventType connectionId disconnectStatusCode disconnectReason requestTimeEpoch authorizer user name grants expires codec ", " "+string(name[1])+" ") {
				t.Skip()
			}
		}
		agrees(t, payload)
	})
}

func BenchmarkEvent(b *testing.B) {
	payload, err := os.ReadFile("../../../events/publish.json")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			var e webSocketEvent
			if !e.quick(payload) {
				b.Fatal("it is not")
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		for b.Loop() {
			var e webSocketEvent
			if err := json.Unmarshal(payload, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package eventbridge

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// bus gives a bus whose service answers with the given text, and what it was sent.
func bus(t *testing.T, answer string) (*Bus, *map[string]any) {
	t.Helper()
	sent := map[string]any{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" {
			t.Errorf("request %s: %v", r.Header.Get("X-Amz-Target"), err)
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	client := eventbridge.New(eventbridge.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	return New(client, "app"), &sent
}

func TestTell(t *testing.T) {
	b, sent := bus(t, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
	f := hub.Fact{Type: hub.PresenceOnline, Version: 1, Key: "k", Time: 1700000000123, Room: "community:7", UserID: "ana"}
	if err := b.Tell(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	entries, _ := (*sent)["Entries"].([]any)
	if len(entries) != 1 {
		t.Fatalf("sent %v", *sent)
	}
	got, _ := entries[0].(map[string]any)
	for name, want := range map[string]string{
		"EventBusName": "app", "Source": "bellhop", "DetailType": "presence.online",
		"Detail": `{"version":1,"key":"k","time":1700000000123,"userId":"ana","room":"community:7"}`,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %s", name, got[name], want)
		}
	}
}

func TestRefusedEntry(t *testing.T) {
	b, _ := bus(t, `{"FailedEntryCount":1,"Entries":[{"ErrorCode":"ThrottlingException","ErrorMessage":"slow down"}]}`)
	err := b.Tell(t.Context(), hub.Fact{Type: hub.RoomVacated})
	if err == nil || !strings.Contains(err.Error(), "ThrottlingException: slow down") {
		t.Errorf("a refused entry gives %v", err)
	}
}

package hooksgo

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/hooks"
	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
)

func TestFilter(t *testing.T) {
	h := Handlers(hooks.Setup{})
	for data, want := range map[string]string{
		`{"content":"well, heck","x":1}`: `{"content":"well, ****","x":1}`,
		`{"content":"fine"}`:             ``,
		`{"content":"OK"}`:               ``,
		`{"content":"12345678901"}`:      ``,
		`[1]`:                            ``,
	} {
		v, err := h.Answer(t.Context(), hooks.Question{Hook: hooks.Publish, Event: "message:new", Data: json.RawMessage(data)})
		if err != nil || v.Deny != nil || string(v.Data) != want {
			t.Errorf("%s: got %s, %v, %v, want %s", data, v.Data, v.Deny, err, want)
		}
	}
	v, err := h.Answer(t.Context(), hooks.Question{Hook: hooks.Publish, Event: "message:new", Data: json.RawMessage(`{"content":"CAN YOU HEAR"}`)})
	if err != nil || v.Deny == nil {
		t.Errorf("shouting: got %+v, %v", v, err)
	}
	for user, fine := range map[string]bool{"staff-ana": true, "eve": false} {
		v, err := h.Answer(t.Context(), hooks.Question{Hook: hooks.Join, Room: "channel:staff-1", User: hooks.User{ID: user}})
		if err != nil || (v.Deny == nil) != fine {
			t.Errorf("%s at the staff's door: %+v, %v", user, v, err)
		}
	}
	if len(h.Actions) != 0 {
		t.Error("there are polls without a DynamoDB")
	}
}

func TestVote(t *testing.T) {
	db := dynamotest.New(t, "poll")
	h := Handlers(hooks.Setup{DynamoDB: db.Client, Table: db.Name})
	vote := func(user, option string, rooms ...string) (string, error) {
		data, _ := json.Marshal(map[string]string{"poll": "lunch", "option": option}) //nolint:errchkjson // of strings
		v, err := h.Answer(t.Context(), hooks.Question{
			Hook: hooks.Action, Action: "poll:vote", User: hooks.User{ID: user}, Room: "channel:1", Rooms: rooms, Data: data,
		})
		return string(v.Data), err
	}
	for _, step := range []struct{ user, option, want string }{
		{"ana", "soup", `{"poll":"lunch","votes":{"soup":1}}`},
		{"bob", "soup", `{"poll":"lunch","votes":{"soup":2}}`},
		{"bob", "soup", `{"poll":"lunch","votes":{"soup":2}}`}, // a retry
		{"bob", "rice", `{"poll":"lunch","votes":{"rice":1,"soup":1}}`},
	} {
		if got, err := vote(step.user, step.option, "channel:1"); err != nil || got != step.want {
			t.Errorf("%s votes for %s: got %s, %v, want %s", step.user, step.option, got, err, step.want)
		}
	}
	if _, err := vote("eve", "soup", "channel:2"); err == nil || !strings.HasPrefix(err.Error(), "not_in_room") {
		t.Errorf("somebody outside: %v", err)
	}
	if _, err := vote("ana", "", "channel:1"); err == nil || !strings.HasPrefix(err.Error(), "bad_request") {
		t.Errorf("an empty vote: %v", err)
	}
}

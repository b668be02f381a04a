package hooksgo

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func TestFilter(t *testing.T) {
	h := Handlers(nil, "")
	for data, want := range map[string]string{
		`{"content":"well, heck","x":1}`: `{"content":"well, ****","x":1}`,
		`{"content":"fine"}`:             ``,
		`{"content":"OK"}`:               ``,
		`{"content":"12345678901"}`:      ``,
		`[1]`:                            ``,
	} {
		v, err := h.Answer(t.Context(), hub.Question{Hook: hub.HookPublish, Event: protocol.MessageNew, Data: json.RawMessage(data)})
		if err != nil || v.Deny != nil || string(v.Data) != want {
			t.Errorf("%s: got %s, %v, %v, want %s", data, v.Data, v.Deny, err, want)
		}
	}
	v, err := h.Answer(t.Context(), hub.Question{Hook: hub.HookPublish, Event: protocol.MessageNew, Data: json.RawMessage(`{"content":"CAN YOU HEAR"}`)})
	if err != nil || v.Deny == nil {
		t.Errorf("shouting: got %+v, %v", v, err)
	}
	if len(h.Actions) != 0 {
		t.Error("there are polls without a DynamoDB")
	}
}

func TestVote(t *testing.T) {
	db := dynamotest.New(t, "poll")
	h := Handlers(db.Client, db.Name)
	vote := func(user, option string, rooms ...string) (string, error) {
		data, _ := json.Marshal(map[string]string{"poll": "lunch", "option": option}) //nolint:errchkjson // of strings
		v, err := h.Answer(t.Context(), hub.Question{
			Hook: hub.HookAction, Action: "poll:vote", User: hub.Person{ID: user}, Room: "channel:1", Rooms: rooms, Data: data,
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
	if _, err := vote("eve", "soup", "channel:2"); !errors.Is(err, protocol.Refuse(protocol.CodeNotInRoom)) {
		t.Errorf("somebody outside: %v", err)
	}
	if _, err := vote("ana", "", "channel:1"); !errors.Is(err, protocol.Refuse(protocol.CodeBadRequest)) {
		t.Errorf("an empty vote: %v", err)
	}
}

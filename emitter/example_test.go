package emitter_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/bellhop-rt/bellhop/emitter"
)

// A server tells a channel about a message that it has stored. The examples run against a function that pretends; with
// `bellhop dev` the endpoint is http://127.0.0.1:4000.
func Example() {
	function := newFunction()
	defer function.Close()
	ctx := context.Background()

	e := emitter.New(emitter.HTTP(function.URL, function.Client()))
	res, err := e.NewMessage(ctx, "42", emitter.Message{
		ID:      "msg-1001", // the primary key: emitting the row twice appends nothing twice
		From:    &emitter.From{UserID: "ana", Name: "Ana"},
		Content: "hi",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Results[0].Room, res.Results[0].Seq)
	fmt.Println(function.sent()[0])
	// Output:
	// channel:42 7
	// {"command":"publish","rooms":["channel:42"],"event":"message:new","data":{"content":"hi"},"id":"msg-1001","from":{"userId":"ana","name":"Ana"}}
}

// Some targets may fail while the others get the event; what failed can be repeated with the same id.
func ExampleEmitter_Publish() {
	function := newFunction()
	defer function.Close()
	function.refuse["channel:2"] = `{"code":"unavailable","message":"The service is busy; try again.","retry":true}`
	e := emitter.New(emitter.HTTP(function.URL, function.Client()))

	res, err := e.Publish(context.Background(), emitter.Publish{
		Rooms: []string{"channel:1", "channel:2"},
		Event: "quiz:over",
		Data:  map[string]any{"winner": "ana"},
		ID:    "quiz-7",
	})
	if refusal, ok := errors.AsType[*emitter.Error](err); ok {
		fmt.Println(refusal.Code, refusal.Retry)
	}
	for _, r := range res.Results {
		fmt.Println(r.Room, r.Error == nil)
	}
	// Output:
	// unavailable true
	// channel:1 true
	// channel:2 false
}

// A notification reaches all devices of many users with one command.
func ExampleEmitter_NewNotifications() {
	function := newFunction()
	defer function.Close()
	e := emitter.New(emitter.HTTP(function.URL, function.Client()))

	res, err := e.NewNotifications(context.Background(), []string{"ana", "bob"}, emitter.Notification{
		Type:   "event",
		Title:  "The meetup starts in an hour",
		Fields: map[string]any{"link": "/events/9"},
	})
	fmt.Println(len(res.Results), len(res.ID), err)
	// Output:
	// 2 26 <nil>
}

// Who is in a community right now?
func ExampleEmitter_Presence() {
	function := newFunction()
	defer function.Close()
	function.answers["presence"] = `{"ok":true,"data":{"room":"community:7","presence":[{"userId":"ana","name":"Ana","status":"away","since":1732341000123}]}}`
	e := emitter.New(emitter.HTTP(function.URL, function.Client()))

	present, err := e.Presence(context.Background(), "community:7")
	for _, o := range present {
		fmt.Println(o.Name, o.Status)
	}
	fmt.Println(err)
	// Output:
	// Ana away
	// <nil>
}

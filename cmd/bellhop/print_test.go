package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
)

func TestTrace(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana, bob := s.Connect("ana"), s.Connect("bob")
	for _, c := range []*servertest.Client{ana, bob} {
		c.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	}
	ana.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	ana.Does(`{"action":"publish","id":"m1","room":"channel:a","event":"message:new","data":1}`)
	var out bytes.Buffer
	if err := (traceCommand{ID: "m1", endpointFlag: endpointFlag{stack.Endpoint(s.URL)}}).print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"message:new in channel:a, seq 1 of epoch ", ", from ana", "received", "logged     seq 1", "4 delivered, sent again 1 time"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := (traceCommand{endpointFlag: endpointFlag{stack.Endpoint(s.URL)}}).print(t.Context(), &out); err != nil || !strings.Contains(out.String(), "m1") {
		t.Errorf("the list: got %v and\n%s", err, out.String())
	}
	err := traceCommand{ID: "unknown", endpointFlag: endpointFlag{stack.Endpoint(s.URL)}}.print(t.Context(), &out)
	if err == nil || !strings.Contains(err.Error(), "no event with this id") {
		t.Errorf("an unknown id: got %v", err)
	}
}

func TestRecording(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	ana := s.Connect("ana")
	ana.Does(`{"action":"join","id":"1","room":"channel:a"}`)
	file := filepath.Join(t.TempDir(), "run.json")
	if err := s.Cost().WriteFile(file); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (costCommand{File: file}).print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"API Gateway messages", "channel:a", "ana", "join", "A month, if it goes on like this for 24 hours", "estimate", "awsforengineers.com, 2025-05-19"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := (costCommand{File: file, Flags: cost.Flags{StandsFor: 24 * time.Hour}}).print(t.Context(), &out); err != nil ||
		!strings.Contains(out.String(), "A month, where this was what happens in 24h0m0s") {
		t.Errorf("what a day is: got %v and\n%s", err, out.String())
	}
	if err := s.Cost().WriteFile(t.TempDir()); err == nil {
		t.Error("a folder was written to")
	}
	if err := os.WriteFile(file, []byte(`{"some":"thing"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (costCommand{File: file}).print(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "no recording") {
		t.Errorf("another file: got %v", err)
	}
}

func TestCostOfALoad(t *testing.T) {
	n := func(v float64) *float64 { return &v }
	var out bytes.Buffer
	yes, off := true, cost.WatchNothing
	c := costCommand{Flags: cost.Flags{
		Users: n(1000), Hours: n(8), Rooms: n(60), Joined: n(3), Messages: n(1.25), Typing: n(0), Monitoring: &off, Tracing: &yes,
	}}
	if err := c.print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"50 members in a room", "20.50 M  $20.50", "14.40 M   $3.60", "X-Ray traces", "$37.34 a month", "Supabase", "$62.50", "Ably, per minute", "$85.00", "2026-08-03", "not confirmed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	c.JSON = true
	if err := c.print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Month cost.Bill
		Peers []cost.Peer
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Peers) != 9 || got.Month.Dollars < 37 || got.Month.Dollars > 38 {
		t.Errorf("JSON: got %v, %+v", err, got)
	}
	for name, bad := range map[string]costCommand{
		"both":         {Flags: cost.Flags{Users: n(1)}, File: "run.json"},
		"a long day":   {Flags: cost.Flags{Users: n(1), Hours: n(30)}},
		"a long run":   {Flags: cost.Flags{StandsFor: 1000 * time.Hour}},
		"no such file": {File: filepath.Join(t.TempDir(), "none")},
		"nobody there": {endpointFlag: endpointFlag{"http://127.0.0.1:1"}},
	} {
		if err := bad.print(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	for name, c := range map[string]benchCommand{
		"other machines": {Endpoint: "http://example.org", Members: 10},
		"no members":     {},
		"too many":       {Connections: 100_000_000, Members: 10},
		"nobody there":   {Endpoint: "http://127.0.0.1:1", Members: 10, Connections: 10},
	} {
		if err := c.measure(t.Context(), io.Discard); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	limited := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Parameters["RateLimit"], c.Parameters["RateBurst"] = "1", "2" })
	err := benchCommand{Endpoint: stack.Endpoint(limited.URL), Members: 5, Connections: 5, Quick: true}.measure(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "RateLimit") {
		t.Errorf("a server that limits: got %v, want what to do", err)
	}
}

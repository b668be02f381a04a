package dynamo_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// TestEveryRowLapses: whichever call comes first in a room, the rows that it leaves go by themselves.
func TestEveryRowLapses(t *testing.T) {
	db := dynamotest.New(t, "lapse")
	s, ctx := dynamo.New(db.Client, db.Name, dynamo.Options{}), t.Context()
	now := time.Now()
	ttl := now.Add(time.Hour)
	for name, call := range map[string]func(room string) error{
		"Grow":   func(room string) error { return s.Grow(ctx, room, 1) },
		"Occupy": func(room string) error { _, err := s.Occupy(ctx, room); return err },
		"Vacate": func(room string) error { _, err := s.Vacate(ctx, room); return err },
		"Head":   func(room string) error { _, err := s.Head(ctx, room, time.Time{}); return err },
		"Reset":  func(room string) error { return s.Reset(ctx, room) },
		"Void":   func(room string) error { _, err := s.Void(ctx, room, 1, time.Hour); return err },
		"AddMember": func(room string) error {
			return s.AddMember(ctx, room, hub.Member{Connection: "c", User: "ana", TTL: ttl})
		},
		"RemoveMember": func(room string) error { return s.RemoveMember(ctx, room, 0, "c", 1, ttl) },
		"SetHere": func(room string) error {
			_, err := s.SetHere(ctx, room, hub.Here{}, hub.Here{User: "ana", Since: now, Version: 1, TTL: ttl})
			return err
		},
		"Append": func(room string) error {
			d := hub.Draft{Event: protocol.Event{Event: "e", ID: "m1", TS: now.UnixMilli()}, Key: hub.Key{Maker: hub.MakerProgram, ID: "m1"}, Keep: time.Hour}
			_, _, err := s.Append(ctx, room, d)
			return err
		},
		"Open": func(room string) error {
			return s.Open(ctx, hub.Connection{ID: "c", User: "ana", Rooms: map[string]int{room: 0}, ConnectedAt: now, Expires: ttl, TTL: ttl})
		},
		"Note": func(room string) error { return s.Note(ctx, room, nil, ttl) },
	} {
		if err := call("channel:" + strings.ToLower(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	out, err := db.Client.Scan(ctx, &dynamodb.ScanInput{TableName: &db.Name})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Items) < 10 {
		t.Errorf("%d rows are there", len(out.Items))
	}
	for _, row := range out.Items {
		if row["ttl"] == nil {
			t.Errorf("%s stays for ever", fmt.Sprint(row["pk"], row["sk"]))
		}
	}
}

// TestFullConnection: each action of a connection writes its row, so one that is in many rooms with long names pays for that.
func TestFullConnection(t *testing.T) {
	var m meter
	db := dynamotest.New(t, "full", m.attach)
	s, ctx, now := dynamo.New(db.Client, db.Name, dynamo.Options{}), t.Context(), time.Now()
	for _, c := range []struct {
		rooms, bytes int
		units        float64
	}{{1, 128, 1}, {5, 24, 1}, {100, 24, 7}, {100, 128, 27}} {
		id := fmt.Sprintf("c-%d-%d", c.rooms, c.bytes)
		row := hub.Connection{ID: id, User: "ana", Name: "Ana", Rooms: map[string]int{}, Gens: map[string]int64{}, ConnectedAt: now, LastSeen: now, Expires: now.Add(time.Hour), TTL: now.Add(time.Hour)}
		for i := range c.rooms {
			room := fmt.Sprintf("channel:%0*d", c.bytes-len("channel:"), i)
			row.Rooms[room], row.Gens[room] = 0, now.UnixMicro()
		}
		if err := s.Open(ctx, row); err != nil {
			t.Fatal(err)
		}
		m.reset()
		if _, err := s.Touch(ctx, id, hub.Touch{Now: now, Cost: time.Millisecond, Burst: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if m.write != c.units {
			t.Errorf("an action in %d rooms, with names of %d bytes, costs %v write units, want %v", c.rooms, c.bytes, m.write, c.units)
		}
	}
}

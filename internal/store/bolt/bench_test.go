package bolt_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

// onBoth runs a benchmark in memory and on a file.
func onBoth(b *testing.B, run func(b *testing.B, s *bolt.Store)) {
	b.Helper()
	b.Run("memory", func(b *testing.B) { run(b, open(b, "", bolt.Options{})) })
	b.Run("file", func(b *testing.B) { run(b, open(b, filepath.Join(b.TempDir(), "data"), bolt.Options{})) })
}

func connection(i int) hub.Connection {
	now := time.Now()
	return hub.Connection{
		ID: fmt.Sprintf("L0SM9cOF%08d=", i), User: "user-" + strconv.Itoa(i), Name: "Somebody", Codec: protocol.Name,
		Grants: hub.Grants{"channel:*": {"join", "publish"}}, Rooms: map[string]int{"channel:1": 0, "user:" + strconv.Itoa(i): 0},
		ConnectedAt: now, LastSeen: now, Expires: now.Add(time.Hour), Busy: now, TTL: now.Add(time.Hour),
	}
}

const many = 100_000

func BenchmarkOpen(b *testing.B) {
	onBoth(b, func(b *testing.B, s *bolt.Store) {
		b.Helper()
		rows := make([]hub.Connection, 1024)
		for i := range rows {
			rows[i] = connection(i)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c := rows[i%len(rows)]
			c.ID += strconv.Itoa(i % many)
			if err := s.Open(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkTouch(b *testing.B) {
	onBoth(b, func(b *testing.B, s *bolt.Store) {
		b.Helper()
		ids := make([]string, many)
		for i := range ids {
			c := connection(i)
			ids[i] = c.ID
			if err := s.Open(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		var next atomic.Int64
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			ctx := b.Context()
			for pb.Next() {
				t := hub.Touch{Now: time.Now(), Room: "channel:1", Cost: time.Nanosecond, Burst: time.Minute, Recent: true}
				if _, err := s.Touch(ctx, ids[next.Add(1)%many], t); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func BenchmarkAppendWithID(b *testing.B) {
	onBoth(b, func(b *testing.B, s *bolt.Store) {
		b.Helper()
		rooms := make([]string, 1000)
		for i := range rooms {
			rooms[i] = "channel:" + strconv.Itoa(i)
		}
		e := protocol.Event{Event: "message:new", TS: 1, From: &protocol.From{UserID: "ana", Name: "Ana"}, Data: json.RawMessage(`{"content":"a message of usual length, with a few words"}`)}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			e.ID = "01J" + strconv.Itoa(i)
			if _, appended, err := s.Append(b.Context(), rooms[i%len(rooms)], draft(e, time.Hour)); err != nil || !appended {
				b.Fatal(appended, err)
			}
		}
	})
}

func BenchmarkMembersPage(b *testing.B) {
	s := open(b, "", bolt.Options{})
	for i := range many {
		m := hub.Member{Connection: fmt.Sprintf("L0SM9cOF%08d=", i), User: "user-" + strconv.Itoa(i), Codec: protocol.Name, TTL: time.Now().Add(time.Hour)}
		if err := s.AddMember(b.Context(), "channel:1", m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		page, err := s.Members(b.Context(), "channel:1", 0, fmt.Sprintf("L0SM9cOF%08d=", i*1000%(many-1000)), 1000)
		if err != nil || len(page.Members) != 1000 {
			b.Fatal(len(page.Members), err)
		}
	}
}

package gateway

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

func TestParseFaults(t *testing.T) {
	tests := []struct {
		text string
		want Faults
		err  string
	}{
		{"", Faults{}, ""},
		{"gone=1%", Faults{Gone: 0.01}, ""},
		{"gone=0.25, throttle=5%", Faults{Gone: 0.25, Throttle: 0.05}, ""},
		{"drop-disconnect=10%,latency=50ms,shuffle=100ms,seed=7", Faults{DropDisconnect: 0.1, Latency: 50 * time.Millisecond, Shuffle: 100 * time.Millisecond, Seed: 7}, ""},
		{"gone", Faults{}, `fault "gone": a share is 0 to 100%, such as 1%`},
		{"gone=5", Faults{}, `fault "gone=5": a share is`},
		{"gone=NaN", Faults{}, `a share is`},
		{"gone=-1%", Faults{}, `a share is`},
		{"latency=50", Faults{}, `fault "latency=50": a time is a number with its unit`},
		{"shuffle=-1s", Faults{}, `a time is`},
		{"seed=x", Faults{}, `a seed is a whole number`},
		{"lost=1%", Faults{}, `there is no such fault; there are gone`},
		{"gone=1%,gone=2%", Faults{}, `fault gone is given twice`},
		{"gone=60%,throttle=50%", Faults{}, `not more together`},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseFaults(tt.text)
			if tt.err == "" && (err != nil || got != tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %s", err, tt.err)
			}
		})
	}
	if got, err := ParseFaults("gone=1%", "seed=2"); err != nil || got != (Faults{Gone: 0.01, Seed: 2}) {
		t.Errorf("several texts: got %+v, %v", got, err)
	}
	if _, err := (setup{Faults: Faults{DropDisconnect: 2}}).new(); err == nil {
		t.Error("New took a share of 2")
	}
}

// fates posts n times to each of several connections, all at once, and returns what each post got.
func fates(t *testing.T, faults Faults, connections, posts int) [][]int {
	t.Helper()
	f := serve(t, setup{Faults: faults})
	out := make([][]int, connections)
	var wg sync.WaitGroup
	for i := range out {
		c, id := f.openID(t)
		wg.Go(func() {
			for range posts {
				var api *awserr.Error
				if err := f.Post(t.Context(), id, []byte("x")); errors.As(err, &api) {
					out[i] = append(out[i], api.Status)
				} else {
					out[i] = append(out[i], http.StatusOK)
					c.wantText("x")
				}
			}
		})
	}
	wg.Wait()
	return out
}

func TestFaultsOfPostsAreShares(t *testing.T) {
	const connections, posts = 5, 400
	count := map[int]float64{}
	for _, statuses := range fates(t, Faults{Gone: 0.1, Throttle: 0.2}, connections, posts) {
		for _, status := range statuses {
			count[status]++
		}
	}
	for status, share := range map[int]float64{410: 0.1, 429: 0.2, 200: 0.7} {
		if got := count[status] / (connections * posts); math.Abs(got-share) > 0.04 {
			t.Errorf("%d: got %.3f, want %.2f", status, got, share)
		}
	}
}

func TestFaultsAreTheSameForASeed(t *testing.T) {
	first := fates(t, Faults{Gone: 0.3, Seed: 1}, 4, 50)
	if again := fates(t, Faults{Gone: 0.3, Seed: 1}, 4, 50); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("got %v and %v", first, again)
	}
	if other := fates(t, Faults{Gone: 0.3, Seed: 2}, 4, 50); fmt.Sprint(other) == fmt.Sprint(first) {
		t.Error("another seed gave the same")
	}
	if fmt.Sprint(first[0]) == fmt.Sprint(first[1]) {
		t.Error("two connections have the same fates")
	}
}

func TestFaultGoneLeavesTheConnectionOpen(t *testing.T) {
	f := serve(t, setup{Faults: Faults{Gone: 1}})
	c, id := f.openID(t)
	if res, _ := f.request(t, "POST", "/dev/@connections/"+id, "hello"); res.status != http.StatusGone {
		t.Errorf("got %d", res.status)
	}
	if _, err := f.Connection(id); err != nil {
		t.Errorf("the connection is %v", err)
	}
	c.send(`{"action":"ping"}`)
	c.wantText(`{"event":"pong"}`)
}

func TestFaultDropDisconnect(t *testing.T) {
	function, ran := collect(ok)
	ended := make(chan Event, 100)
	f := serve(t, setup{
		Faults: Faults{DropDisconnect: 0.5}, Functions: functions(map[string]invoke.Function{"disconnect": function}),
		Observe: func(e Event) {
			if e.Kind == KindDisconnect {
				ended <- e
			}
		},
	})
	const connections = 60
	for range connections {
		f.open(t).sock.Close()
	}
	dropped := 0
	for range connections {
		if e := receive(t, ended); errors.Is(e.Err, errDropped) {
			dropped++
		}
	}
	if len(ran) != connections-dropped || dropped < 15 || dropped > 45 {
		t.Errorf("%d of %d were dropped, %d ran", dropped, connections, len(ran))
	}
}

func TestFaultLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, setup{Faults: Faults{Latency: time.Second}})
		c := pipe(t, s)
		id := s.Connections()[0].ID
		begin := time.Now()
		for range 20 {
			if err := s.Post(t.Context(), id, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Connection(id); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 10*time.Second || took > 30*time.Second {
			t.Errorf("40 calls took %v, want about 20 s", took)
		}
		go func() {
			for range 20 {
				c.frame()
			}
			c.sock.Close()
		}()
		synctest.Wait()
		closeNow(s)
	})
}

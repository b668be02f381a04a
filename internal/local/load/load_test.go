package load_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/local/load"
	"github.com/bellhop-rt/bellhop/internal/token"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// TestRun runs each measurement for a moment.
func TestRun(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t), servertest.Unlimited)
	var got []string
	l := &load.Load{
		Dial: func(ctx context.Context, user string) (*load.Client, error) {
			return load.Dial(ctx, strings.TrimPrefix(s.URL, "http://"), []byte(token.DevelopmentSecret), user)
		},
		Phase: 50 * time.Millisecond,
		Rate: func(r load.Rate) {
			got = append(got, string(r.What))
			if r.PerSecond() <= 0 || len(r.Took) == 0 || !slices.IsSorted(r.Took) {
				t.Errorf("got %+v", r)
			}
		},
		Held: func(connections int, before, after load.MemoryUse) {
			if connections != 60 || after.Live <= before.Live {
				t.Errorf("%d connections: %+v, then %+v", connections, before, after)
			}
		},
	}
	if err := l.Run(t.Context(), 60, 40); err != nil {
		t.Fatal(err)
	}
	if want := []string{"connections opened", "echo", "acked round trips", "deliveries", "deliveries"}; !slices.Equal(got, want) {
		t.Errorf("measured %q, want %q", got, want)
	}
	servertest.Eventually(t, "all connections are closed", func() bool { return s.Emulator().Stats().Connections == 0 })
}

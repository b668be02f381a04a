package tail_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/tail"
	"github.com/bellhop-rt/bellhop/internal/token"
)

func TestMain(m *testing.M) { servertest.Main(m) }

func TestFollow(t *testing.T) {
	s := servertest.Start(t, servertest.Bolt(t))
	address := strings.Replace(s.URL, "http", "ws", 1) + s.Path()
	follow := func(ctx context.Context, grants hub.Grants, joined func(), each func(event []byte) error) error {
		return tail.Follow(ctx, address, s.Token(token.Claims{User: "eve", Grants: grants}), "channel:a", joined, each)
	}
	t.Run("who is taken out is told so in words", func(t *testing.T) {
		err := follow(t.Context(), nil, func() {
			s.MustEmit(map[string]any{"command": "disconnect", "user": "eve", "reason": "banned"})
		}, func([]byte) error { return nil })
		if err == nil || err.Error() != "the server has closed the connection, with 1000" {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("every event of the room is given, until it is over", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		err := follow(ctx, nil, func() {
			s.MustEmit(map[string]any{"command": "publish", "users": []string{"eve"}, "event": "elsewhere"})
			for _, name := range []string{"one", "two"} {
				s.MustEmit(map[string]any{"command": "publish", "rooms": []string{"channel:a"}, "event": name})
			}
		}, func(event []byte) error {
			if got = append(got, string(event)); len(got) == 2 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		if len(got) != 2 || !strings.HasPrefix(got[0], `{"event":"one"`) || !strings.HasPrefix(got[1], `{"event":"two"`) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("what cannot be printed any more ends it", func(t *testing.T) {
		full := errors.New("full")
		err := follow(t.Context(), nil, func() {
			s.MustEmit(map[string]any{"command": "publish", "rooms": []string{"channel:a"}, "event": "three"})
		}, func([]byte) error { return full })
		if !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a refused join is an error", func(t *testing.T) {
		err := follow(t.Context(), hub.Grants{}, func() {}, func([]byte) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), "forbidden: ") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody there, or another secret", func(t *testing.T) {
		for bearer, want := range map[string]string{"a.b.c": "refused the token"} {
			if _, err := tail.Dial(t.Context(), address, bearer); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v", bearer, err)
			}
		}
		if _, err := tail.Dial(t.Context(), "ws://127.0.0.1:1/dev", "x"); err == nil || !strings.Contains(err.Error(), "is bellhop dev running?") {
			t.Errorf("got %v", err)
		}
	})
}

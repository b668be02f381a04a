package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/smoke"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// checked runs bellhop check against a server, and gives what it printed as JSON.
func checked(t *testing.T, c checkCommand) (smoke.Report, error) {
	t.Helper()
	var out strings.Builder
	c.JSON = true
	err := c.check(t.Context(), &out)
	if err != nil && !errors.Is(err, errCheck) {
		t.Fatal(err)
	}
	var report smoke.Report
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return report, err
}

func TestCheck(t *testing.T) {
	t.Parallel()
	servertest.OnEveryStore(t, func(t *testing.T, place servertest.Place) {
		s := servertest.Start(t, place, func(c *servertest.Config) {
			c.Parameters["EventBusName"], c.Parameters["InlineLimit"] = "app", "10"
		})
		report, err := checked(t, checkCommand{installation: installation{Address: s.URL}, Bus: "app", Crowd: 30, Rounds: 3, Patience: servertest.Patience})
		if err != nil || !report.OK || !strings.HasPrefix(report.Address, "ws://127.0.0.1:") {
			t.Errorf("got %v for %s", err, report.Address)
		}
		for _, step := range report.Steps {
			if step.Status != smoke.OK {
				t.Errorf("%s %s: %s, look at %s", step.Name, step.Status, step.Detail, step.Look)
			}
		}
		measured := map[string]int{}
		for _, l := range report.Latencies {
			measured[l.Name] = l.Count
			if l.P50 <= 0 || l.P95 < l.P50 {
				t.Errorf("%s takes %v ms, and 5 in 100 times longer than %v", l.Name, l.P50, l.P95)
			}
		}
		// What is measured one by one is not mixed with what is done by many at once.
		if measured["connect"] != 7 || measured["connect, 20 at once"] != 30 || measured["publish to receiver"] < 4 || measured["publish to a member of 30"] != 30 {
			t.Errorf("measured %v", measured)
		}
	})
}

func TestCheckSaysWhatToLookAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change       func(*servertest.Config)
		check        checkCommand
		failed, look string
	}{
		"a token of another secret": {
			check:  checkCommand{secretFlag: secretFlag{JWTSecret: strings.Repeat("another", 6)}},
			failed: "connects", look: "JwtSecretArn",
		},
		"posts that find nobody": {
			change: func(c *servertest.Config) { c.Faults = gateway.Faults{Gone: 1} },
			failed: "hears", look: "execute-api:ManageConnections",
		},
		"kinds that the check does not know of": {
			change: func(c *servertest.Config) {
				c.Parameters["RoomKinds"] = `{"user":{"owner":true,"keep":"1h"},"topic":{"keep":"1h"}}`
			},
			failed: "joins", look: "RoomKinds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := c.change
			if change == nil {
				change = func(*servertest.Config) {}
			}
			c.check.Address, c.check.Patience = servertest.Start(t, servertest.Bolt(t), change).URL, 2*time.Second
			report, err := checked(t, c.check)
			if !errors.Is(err, errCheck) || report.OK {
				t.Errorf("got %v", err)
			}
			for _, step := range report.Steps {
				if step.Name == c.failed && (step.Status != smoke.Failed || !strings.Contains(step.Look, c.look)) {
					t.Errorf("got %+v, want a failure that names %s", step, c.look)
				}
			}
		})
	}
}

func TestCheckWithTokens(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	one := s.Token(token.Claims{User: "ana", Grants: hub.Grants{"channel:here": {"join", "publish"}}})
	report, err := checked(t, checkCommand{installation: installation{Address: s.URL}, Token: []string{one}, Room: "channel:here", Patience: servertest.Patience})
	if err != nil {
		t.Errorf("with the token of one user: %v, %+v", err, report.Steps)
	}
	for _, step := range report.Steps {
		if step.Name == "is present" && (step.Status != smoke.Skipped || !strings.Contains(step.Detail, "two users")) {
			t.Errorf("got %+v", step)
		}
	}
	if err := (checkCommand{installation: installation{Address: s.URL}, Token: []string{"nonsense"}}).check(t.Context(), &strings.Builder{}); err == nil || errors.Is(err, errCheck) {
		t.Errorf("nonsense as a token: got %v", err)
	}
}

// TestCheckPrints is what people read.
func TestCheckPrints(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t), func(c *servertest.Config) { c.Faults = gateway.Faults{Gone: 1} })
	var out strings.Builder
	if err := (checkCommand{installation: installation{Address: s.URL}, Rounds: 1, Patience: 2 * time.Second}).check(t.Context(), &out); !errors.Is(err, errCheck) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"ok       connects ", "FAILED   hears ", "\n         look at ", "skipped  is notified by the event bus ", "p95", " steps are ok, "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasSuffix(line, " \n") {
			t.Errorf("%q ends in blanks", line)
		}
	}
}

// TestEmitAndTail: both take an address, as check does.
func TestEmitAndTail(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Bolt(t))
	address := strings.Replace(s.URL, "http", "ws", 1) + "/dev"
	for name, tail := range map[string]tailCommand{
		"an address":  {installation: installation{Address: address}},
		"an endpoint": {endpointFlag: endpointFlag{stack.Endpoint(s.URL)}},
		"a token":     {installation: installation{Address: address}, Token: s.Token(token.Claims{User: "eve"})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tail.Room, tail.User = "channel:"+strings.ReplaceAll(name, " ", "-"), "tail"
			read, write := io.Pipe()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- tail.follow(ctx, write)
				_ = write.Close()
			}()
			servertest.Eventually(t, "the tail is in the room", func() bool {
				members, _ := s.MustEmit(map[string]any{"command": "members", "room": tail.Room})["members"].([]any)
				return len(members) == 1
			})
			emit := emitCommand{Rooms: []string{tail.Room}, Event: "news", Data: `{"a":1}`, ID: "n1", emitFlags: emitFlags{installation: installation{Address: address}}}
			var out strings.Builder
			if err := emit.send(t.Context(), &out); err != nil || !strings.Contains(out.String(), `"seq":1`) {
				t.Errorf("emit: %v, %s", err, out.String())
			}
			if line, err := bufio.NewReader(read).ReadString('\n'); err != nil || !strings.Contains(line, `"id":"n1"`) {
				t.Errorf("the tail has %q, %v", line, err)
			}
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the tail ended with %v", err)
			}
		})
	}
}

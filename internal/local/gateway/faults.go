package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// Faults are what a test switches on to see whether the code under test survives what AWS may do to it. The zero value is a world without
// them.
//
// What happens is a function of Seed and of who is asked: the tenth post to the third connection that was opened has the same fate in
// every run, however the posts to other connections are interleaved. Faults and the honest answers look alike to the client; an Event says
// which it was.
type Faults struct {
	// Gone is the share of posts to open connections, 0 to 1, that are answered 410 GoneException. The connection stays open and
	// nothing is sent, as AWS does now and then to one that has just been opened.
	Gone float64
	// Throttle is the share of posts to open connections that are answered 429 LimitExceededException. Nothing is sent.
	Throttle float64
	// Latency holds every call of the management API back for up to this long.
	Latency time.Duration
	// DropDisconnect is the share of connections whose $disconnect never runs: AWS calls it best effort.
	DropDisconnect float64
	// Shuffle holds every message back for up to this long before its function runs, to show code that relies on the order of two
	// messages of one connection. AWS promises none.
	Shuffle time.Duration
	// Seed decides all of it. 0 is a seed like any other.
	Seed uint64
}

var errDropped = errors.New("$disconnect did not run, a fault: Faults.DropDisconnect")

// The fates that are drawn, each from a sequence of its own.
const (
	drawPost uint64 = iota + 1
	drawLatency
	drawDisconnect
	drawShuffle
)

// draw is a number from 0 to 1, always the same for the nth fate of a kind of the connection that was opened as the nth.
func (f *Faults) draw(kind uint64, connection, n int64) float64 {
	const odd = 0x9e3779b97f4a7c15                                                                      // keeps the sequences apart
	return rand.New(rand.NewPCG(f.Seed, kind*odd^uint64(connection)<<32^uint64(n)&(1<<32-1))).Float64() //nolint:gosec // a fault, not a secret
}

func (f *Faults) duration(longest time.Duration, kind uint64, connection, n int64) time.Duration {
	if longest <= 0 {
		return 0
	}
	return time.Duration(f.draw(kind, connection, n) * float64(longest))
}

// refuse is the fault of the connection's next post, nil for none. It holds the caller back if Latency says so.
func (c *conn) refuse() *awserr.Error {
	f := &c.srv.cfg.Faults
	if f.Gone <= 0 && f.Throttle <= 0 && f.Latency <= 0 {
		return nil
	}
	n := c.asked.Add(1)
	c.srv.hold(f.duration(f.Latency, drawLatency, c.ordinal, n))
	switch at := f.draw(drawPost, c.ordinal, n); {
	case at < f.Gone:
		err := c.srv.gone()
		err.Message = "a fault: Faults.Gone"
		return err
	case at < f.Gone+f.Throttle:
		c.srv.counters.throttled.Add(1)
		return errLimitExceeded("a fault: Faults.Throttle")
	}
	return nil
}

// late holds back a call that is not a post.
func (c *conn) late() {
	if f := &c.srv.cfg.Faults; f.Latency > 0 {
		c.srv.hold(f.duration(f.Latency, drawLatency, c.ordinal, c.asked.Add(1)))
	}
}

func (f *Faults) check() error {
	switch {
	case f.Gone < 0 || f.Throttle < 0 || f.Gone+f.Throttle > 1:
		return errors.New("faults: gone and throttle must be 0 to 100%, and not more together")
	case f.DropDisconnect < 0 || f.DropDisconnect > 1:
		return errors.New("faults: drop-disconnect must be 0 to 100%")
	case f.Latency < 0 || f.Shuffle < 0:
		return errors.New("faults: a time must not be negative")
	}
	return nil
}

// ParseFaults reads what a command line says: "gone=1%", "throttle=5%", "drop-disconnect=10%", "latency=50ms", "shuffle=100ms",
// "seed=7". A text may name several with commas between them. A share may also be a number from 0 to 1. The error says which part is
// wrong and what it should look like.
func ParseFaults(texts ...string) (Faults, error) {
	var f Faults
	seen := map[string]bool{}
	for part := range strings.SplitSeq(strings.Join(texts, ","), ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if seen[name] {
			return Faults{}, fmt.Errorf("fault %s is given twice", name)
		}
		seen[name] = true
		if err := f.set(name, value); err != nil {
			return Faults{}, fmt.Errorf("fault %q: %w", part, err)
		}
	}
	return f, f.check()
}

func (f *Faults) set(name, value string) (err error) {
	switch name {
	case "gone":
		f.Gone, err = parseShare(value)
	case "throttle":
		f.Throttle, err = parseShare(value)
	case "drop-disconnect":
		f.DropDisconnect, err = parseShare(value)
	case "latency":
		f.Latency, err = parseWait(value)
	case "shuffle":
		f.Shuffle, err = parseWait(value)
	case "seed":
		if f.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = errors.New("a seed is a whole number, such as 7")
		}
	default:
		err = errors.New("there is no such fault; there are gone, throttle, latency, drop-disconnect, shuffle and seed")
	}
	return err
}

func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) { // refuses NaN as well
		return 0, errors.New("a share is 0 to 100%, such as 1%")
	}
	return share, nil
}

func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errors.New("a time is a number with its unit, such as 50ms")
	}
	return d, nil
}

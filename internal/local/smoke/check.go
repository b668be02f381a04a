// Package smoke tries an installation of Bellhop from outside, as its clients and programs use it: `bellhop check`. It is
// the first thing to do after a deployment, and says of what fails where to look.
package smoke

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/stack"
)

// Check is what is tried, and how hard. All but Stack and Tokens may be zero.
type Check struct {
	Stack *stack.Stack
	// Tokens gives one for a user to connect with; nil: there are none, and only what needs none is tried.
	Tokens Tokens
	// Room and Community are rooms to meet in, one with presence. Empty: new ones, of the kinds that the stack has.
	Room, Community string
	// Crowd is how many connections a room gets that is served by the queue. 0: a few more than the stack pushes to at
	// once, or 220 where that is not known; negative: that is not tried.
	Crowd    int
	Rounds   int           // of each latency that is measured; 0: 20
	Patience time.Duration // for what should come at once; 0: 20 s
	Told     func(Step)    // is called with each step as it ends; nil: nobody is
}

// Tokens are what clients connect with.
type Tokens interface {
	// Token gives a token, and the user that it is of: that one if the tokens can be of anybody.
	Token(user string) (bearer, of string, err error)
}

// Status is how a step ended.
type Status string

// The ends of a step.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Step is one thing that was tried.
type Step struct {
	Name   string        `json:"name"`
	Status Status        `json:"status"`
	Took   time.Duration `json:"-"`
	Ms     float64       `json:"ms"`
	Detail string        `json:"detail,omitempty"` // what was seen, why it failed, or why it was not tried
	Look   string        `json:"look,omitempty"`   // where to look, of what failed
}

// Latency is how long one thing took, over and over.
type Latency struct {
	Name  string  `json:"name"`
	Count int     `json:"count"`
	P50   float64 `json:"p50Ms"`
	P95   float64 `json:"p95Ms"`
}

// Report is what a check found.
type Report struct {
	Address   string    `json:"address"`
	Stack     string    `json:"stack,omitempty"`
	Unseen    string    `json:"unseen,omitempty"` // why nothing but the address is known, so that some steps are skipped
	OK        bool      `json:"ok"`               // nothing failed
	Steps     []Step    `json:"steps"`
	Latencies []Latency `json:"latencies"`
}

// Summary counts the steps, in a few words.
func (r Report) Summary() string {
	count := map[Status]int{}
	for _, s := range r.Steps {
		count[s.Status]++
	}
	return fmt.Sprintf("%d of %d steps are ok, %d failed, %d skipped", count[OK], len(r.Steps), count[Failed], count[Skipped])
}

// skip says why something is not tried.
type skip struct{ why string }

// Error gives the reason.
func (s *skip) Error() string { return s.why }

func skipf(format string, args ...any) error { return &skip{fmt.Sprintf(format, args...)} }

// visit is one run of a check.
type visit struct {
	Check

	report  Report
	samples map[string][]time.Duration
	order   []string // of samples
	grace   time.Duration

	ana, bob  *client // two connections; of two users, if the tokens can be
	dora      *client // is cut off
	dead      time.Time
	gone      time.Time // when bob left
	crowd     []*client
	tempo     time.Duration // from one of them to the next, as they came
	connected bool
	given     bool // Room is the only one to use
}

// Run tries everything. What fails is in the report.
func (c Check) Run(ctx context.Context) Report {
	v := &visit{Check: c, samples: map[string][]time.Duration{}, grace: c.parameter("PresenceGrace", 10*time.Second)}
	v.Rounds, v.Patience = cmp.Or(c.Rounds, 20), cmp.Or(c.Patience, 20*time.Second)
	v.report.Address, v.report.Stack, v.report.OK = c.Stack.Address, c.Stack.Name, true
	if c.Stack.Unseen != nil {
		v.report.Unseen = c.Stack.Unseen.Error()
	}
	v.given = c.Room != ""
	kinds := c.kinds()
	v.Room = cmp.Or(c.Room, kind(kinds, "channel", func(k hub.Kind) bool { return !k.Owner && !k.Presence }))
	v.Community = cmp.Or(c.Community, kind(kinds, "community", func(k hub.Kind) bool { return !k.Owner && k.Presence }))
	if c.Crowd == 0 {
		v.Crowd = v.beyondInline()
	}
	defer v.disconnect()
	for _, s := range v.steps() {
		v.try(ctx, s)
	}
	v.summarize()
	return v.report
}

// parameter reads a duration of the stack's parameters.
func (c Check) parameter(name string, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(c.Stack.Parameters[name])
	if err != nil {
		return otherwise
	}
	return d
}

func (c Check) kinds() hub.Kinds {
	if kinds, err := hub.ParseKinds([]byte(c.Stack.Parameters["RoomKinds"])); err == nil {
		return kinds
	}
	return hub.DefaultKinds()
}

// kind gives a new room of a kind that fits, of the usual one if that does; "" if none does.
func kind(kinds hub.Kinds, usual string, fits func(hub.Kind) bool) string {
	id := ":check-" + strings.ToLower(rand.Text()[:8])
	if k, ok := kinds[usual]; ok && fits(k) {
		return usual + id
	}
	var names []string
	for name, k := range kinds {
		if fits(k) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names) + id
}

// beyondInline is a number of members that a broadcast leaves to the queue.
func (c Check) beyondInline() int {
	const more = 20
	return int(c.number("InlineLimit", 200)) + more
}

// rate is how many actions a second a connection may send.
func (c Check) rate() float64 { return c.number("RateLimit", 10) }

// number reads a number of the stack's parameters.
func (c Check) number(name string, otherwise float64) float64 {
	n, err := strconv.ParseFloat(c.Stack.Parameters[name], 64)
	if err != nil || n < 1 {
		return otherwise
	}
	return n
}

// step is one thing to try.
type step struct {
	name string
	look string // where to look if it fails
	long time.Duration
	run  func(ctx context.Context) (detail string, err error)
}

// try runs a step, with its own time.
func (v *visit) try(ctx context.Context, s step) {
	ctx, cancel := v.patient(ctx, v.Patience+s.long)
	defer cancel()
	began := time.Now()
	detail, err := s.run(ctx)
	done := Step{Name: s.name, Status: OK, Took: time.Since(began), Detail: detail}
	if skipped, is := errors.AsType[*skip](err); is {
		done.Status, done.Detail = Skipped, skipped.why
	} else if err != nil {
		done.Status, done.Detail, done.Look = Failed, err.Error(), v.where(err, s.look)
		v.report.OK = false
	}
	done.Ms = float64(done.Took.Microseconds()) / 1000
	v.report.Steps = append(v.report.Steps, done)
	if v.Told != nil {
		v.Told(done)
	}
}

func (v *visit) patient(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("waited for %s", d))
}

// took keeps a measurement.
func (v *visit) took(name string, d time.Duration) {
	if v.samples[name] == nil {
		v.order = append(v.order, name)
	}
	v.samples[name] = append(v.samples[name], d)
}

func (v *visit) summarize() {
	v.report.Latencies = []Latency{}
	for _, name := range v.order {
		list := slices.Sorted(slices.Values(v.samples[name]))
		at := func(q float64) float64 {
			return float64(list[min(int(q*float64(len(list))), len(list)-1)].Microseconds()) / 1000
		}
		v.report.Latencies = append(v.report.Latencies, Latency{Name: name, Count: len(list), P50: at(0.5), P95: at(0.95)})
	}
}

func (v *visit) disconnect() {
	scatter(v.crowd, v.tempo)
	for _, c := range []*client{v.ana, v.bob, v.dora} {
		if c != nil {
			c.cut()
		}
	}
}

// where says where to look, by what the error is of.
func (v *visit) where(err error, usual string) string {
	if h, ok := errors.AsType[*handshakeError](err); ok {
		return v.handshake(h.status)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "the address: nothing answers there"
	}
	switch refused(err) {
	case "forbidden":
		return "the token's grants (join and publish are needed), or give --room and --community that it allows"
	case "unauthenticated", "expired":
		return "the token, and the clocks of who signed it"
	case "unknown_room_kind":
		return "the parameter RoomKinds, or give --room and --community of kinds that it has"
	case "internal", "unavailable":
		return v.logs("message") + ", for \"action failed\""
	}
	return usual
}

// handshake says where to look after a handshake was refused.
func (v *visit) handshake(status int) string {
	switch status {
	case 401:
		return "the token: its secret or key set (JwtSecretArn, JwksUrl), JwtIssuer, JwtAudience, JwtAlgorithms, expiry; " + v.logs("authorize") + ", for \"token refused\""
	case 403:
		return "the address (is the stage right?), a connect hook that refuses, and whether API Gateway may invoke authorize: deploy again"
	case 404:
		return "the address: is the stage right?"
	case 429:
		return "the account's quota of new connections per second, and the parameter ThrottleRate"
	}
	return v.logs("authorize") + " and of connect, for \"cannot start\", where a parameter is wrong (`bellhop validate` names it), or one that took too long"
}

// logs names the logs of a function.
func (v *visit) logs(function string) string {
	switch {
	case v.Stack.Dev:
		return "what bellhop dev prints of " + function
	case v.Stack.Name != "":
		return "the logs of " + function + ", /aws/lambda/" + v.Stack.Name + "/" + function
	}
	return "the logs of " + function
}

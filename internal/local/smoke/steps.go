package smoke

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	management "github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/bellhop-rt/bellhop/emitter"
	"github.com/bellhop-rt/bellhop/emitter/vialambda"
	"github.com/bellhop-rt/bellhop/emitter/viasqs"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Events of the check are an application's own, so that no client shows them.
const (
	said    = "check:said"
	emitted = "check:emitted"
)

// deadTime is how long a push that finds out about a dead connection may take, beyond the grace: young connections get the
// benefit of the doubt, and the sweep, which comes every 5 minutes, is not waited for.
const deadTime = 45 * time.Second

// steps are everything that is tried, in order. Those that wait for something that takes its time begin early and end late.
func (v *visit) steps() []step {
	return []step{
		{"connects", "", 0, v.connects},
		{"refuses without a token", v.logs("authorize") + ", for \"cannot start\": a parameter is wrong", 0, v.refuses},
		{"joins", v.logs("message"), 0, v.joins},
		{"answers ping", "the route ping: its integration response and route response", 0, v.pings},
		{"publishes, once for an id", v.logs("message") + ", and the table", 0, v.publishes},
		{"hears", v.logs("message") + ": may it post to connections (execute-api:ManageConnections), and is MANAGEMENT_ENDPOINT the stage's?", 0, v.hears},
		{"clocks agree", "this machine's clock: tokens expire by the other one", 0, v.clocks},
		{"resumes", v.logs("message") + ", and the table's log# rows", 0, v.resumes},
		{"types", v.logs("message") + ", the route signal", 0, v.types},
		{"is present", v.logs("message") + ", and RoomKinds: a kind with presence", 0, v.present},
		{"is notified by invoking emit", v.logs("emit"), 0, v.invoked},
		{"is notified by invoking it asynchronously", v.logs("emit") + ", and the queue of its failures (EmitDeadLetterQueueName)", 0, v.invokedLater},
		{"is notified by the queue", v.logs("emit") + ", the queue's event source mapping, and EmitDeadLetterQueueName", 0, v.queued},
		{"is notified by the event bus", v.logs("emit") + ", and the rule EmitRule of the bus: is its target there?", 0, v.bussed},
		{"posts to one connection and closes it", v.logs("emit") + ": may it POST and DELETE @connections?", 0, v.managed},
		{"reaches the management API", "the output ManagementEndpoint, and DisableExecuteApiEndpoint: functions post through it", 0, v.manages},
		{"fills a room beyond InlineLimit", v.logs("deliver") + " for \"job failed\", its event source mapping, and DeliverDeadLetterQueueName", time.Minute, v.crowds},
		{"is absent", v.logs("deliver") + ": it ends the grace; and DeliverDeadLetterQueueName", v.grace, v.absent},
		{"finds a dead connection", v.logs("disconnect") + ", of message for pushes that find it gone, and of deliver", v.grace + deadTime, v.finds},
		{"latencies", v.logs("message"), time.Minute, v.measures},
	}
}

// connect opens a connection of a user, or of the one that the tokens are of.
func (v *visit) connect(ctx context.Context, user string) (*client, error) {
	bearer, of, err := v.Tokens.Token(user)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c, err := dial(ctx, v.Stack.Address, of, bearer)
	if err != nil {
		return nil, err
	}
	v.took("connect", time.Since(began))
	return c, nil
}

func (v *visit) connects(ctx context.Context) (detail string, err error) {
	if v.Tokens == nil {
		return "", skipf("there is no token: give --token, or --jwt-secret")
	}
	if v.ana, err = v.connect(ctx, "bellhop-check-ana"); err != nil {
		return "", err
	}
	if v.bob, err = v.connect(ctx, "bellhop-check-bob"); err != nil {
		return "", err
	}
	v.connected = true
	if v.ana.conn.Subprotocol() != protocol.Name {
		return "without selecting the subprotocol, which browsers insist on: they need ?token=", nil
	}
	return "", nil
}

// refuses holds the authorizer to its work. It needs no token, so it is what can always be tried.
func (v *visit) refuses(ctx context.Context) (string, error) {
	c, err := dial(ctx, v.Stack.Address, "", "")
	if err == nil {
		c.cut()
		return "", errors.New("a connection without a token was let in")
	}
	h, ok := errors.AsType[*handshakeError](err)
	switch {
	case !ok:
		return "", err
	case h.status == http.StatusUnauthorized:
		return "", nil
	case v.connected: // emulators of AWS have other ideas of the status
		return fmt.Sprintf("with %d, where API Gateway says 401", h.status), nil
	}
	return "", err
}

// needs is why a step cannot be tried.
func (v *visit) needs() error {
	if !v.connected {
		return skipf("there is no connection")
	}
	return nil
}

func (v *visit) joins(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	for _, c := range []*client{v.ana, v.bob} {
		_, reply, err := c.join(ctx, v.Room, nil)
		if err != nil {
			v.connected = false // nothing else makes sense
			return "", err
		}
		v.took("join", reply.took())
	}
	return v.Room, nil
}

func (v *visit) pings(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	return "", v.ping(ctx)
}

func (v *visit) ping(ctx context.Context) error {
	began := time.Now()
	if err := v.ana.send(ctx, map[string]any{"action": "ping"}); err != nil {
		return err
	}
	f, err := v.ana.event(ctx, "pong", "")
	if err == nil {
		v.took("ping", f.at.Sub(began))
	}
	return err
}

func (v *visit) publishes(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	id := rand.Text()
	first, _, err := v.ana.publish(ctx, v.Room, id)
	if err != nil {
		return "", err
	}
	again, _, err := v.ana.publish(ctx, v.Room, id)
	switch {
	case err != nil:
		return "", err
	case again.Seq != first.Seq:
		return "", fmt.Errorf("the same id was logged twice, at %d and at %d", first.Seq, again.Seq)
	}
	return fmt.Sprintf("at %d", first.Seq), nil
}

func (v *visit) hears(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	return "", v.hear(ctx)
}

// hear has ana say something, and bob hear it.
func (v *visit) hear(ctx context.Context) error {
	id := rand.Text()
	_, reply, err := v.ana.publish(ctx, v.Room, id)
	if err != nil {
		return err
	}
	f, err := v.bob.event(ctx, said, id)
	if err != nil {
		return err
	}
	v.took("publish to reply", reply.took())
	v.took("publish to receiver", f.at.Sub(reply.from))
	return nil
}

// mostSkew is how far a clock may be off before tokens that are just made, or about to end, are refused.
const mostSkew = 10 * time.Second

func (v *visit) clocks(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	got, reply, err := v.ana.publish(ctx, v.Room, rand.Text())
	if err != nil {
		return "", err
	}
	// The event was stamped somewhere between.
	skew := time.UnixMilli(got.TS).Sub(reply.from.Add(reply.took() / 2))
	if skew.Abs() > mostSkew {
		return "", fmt.Errorf("the server's clock is %s %s", skew.Abs().Round(time.Second), map[bool]string{true: "ahead", false: "behind"}[skew > 0])
	}
	return fmt.Sprintf("to within %s", (skew.Abs() + reply.took()/2 + time.Millisecond).Truncate(time.Millisecond)), nil
}

func (v *visit) resumes(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	before, _, err := v.bob.join(ctx, v.Room, nil)
	if err != nil {
		return "", err
	}
	if _, err := v.bob.ask(ctx, map[string]any{"action": "leave", "room": v.Room}, nil); err != nil {
		return "", err
	}
	var missed []string
	for range 3 {
		id := rand.Text()
		if _, _, err := v.ana.publish(ctx, v.Room, id); err != nil {
			return "", err
		}
		missed = append(missed, id)
	}
	back, _, err := v.bob.join(ctx, v.Room, &protocol.Position{Epoch: before.Epoch, Seq: before.Seq})
	if err != nil {
		return "", err
	}
	var got []string
	for _, e := range back.Events {
		got = append(got, e.ID)
	}
	if !back.Recovered || !slices.Equal(got, missed) {
		return "", fmt.Errorf("recovered is %t, with %d of %d events that were missed", back.Recovered, len(got), len(missed))
	}
	return fmt.Sprintf("with %d events that were missed", len(missed)), nil
}

func (v *visit) types(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	return "", v.typing(ctx)
}

func (v *visit) typing(ctx context.Context) error {
	began := time.Now()
	if err := v.ana.send(ctx, map[string]any{"action": "signal", "room": v.Room, "event": protocol.TypingStart}); err != nil {
		return err
	}
	f, err := v.bob.from(ctx, protocol.UserTyping, v.Room, v.ana.user)
	if err == nil {
		v.took("signal to receiver", f.at.Sub(began))
	}
	return err
}

// present has bob and dora arrive where ana sees it. Both are gone again at once, bob by leaving, dora by losing her network:
// the others may see that after the grace only.
func (v *visit) present(ctx context.Context) (_ string, err error) {
	switch err := v.needs(); {
	case err != nil:
		return "", err
	case v.ana.user == v.bob.user:
		return "", skipf("it takes two users: give --token for each")
	case v.Community == "":
		return "", skipf("RoomKinds has no kind with presence")
	}
	if _, _, err := v.ana.join(ctx, v.Community, nil); err != nil {
		return "", err
	}
	if v.dora, err = v.connect(ctx, "bellhop-check-dora"); err != nil {
		return "", err
	}
	for _, c := range []*client{v.bob, v.dora} {
		if c.user == v.ana.user {
			continue
		}
		if _, _, err := c.join(ctx, v.Community, nil); err != nil {
			return "", err
		}
		if _, err := v.ana.from(ctx, protocol.UserOnline, v.Community, c.user); err != nil {
			return "", err
		}
	}
	v.gone = time.Now()
	if _, err := v.bob.ask(ctx, map[string]any{"action": "leave", "room": v.Community}, nil); err != nil {
		return "", err
	}
	v.dead = time.Now()
	v.dora.cut()
	return v.Community, nil
}

func (v *visit) absent(ctx context.Context) (string, error) {
	if v.gone.IsZero() {
		return "", skipf("nobody was present")
	}
	f, err := v.ana.from(ctx, protocol.UserOffline, v.Community, v.bob.user)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s after leaving", since(v.gone, f.at)), nil
}

// finds waits for the others to see that dora is gone, and pushes to her meanwhile: a push that is refused finds out too.
func (v *visit) finds(ctx context.Context) (string, error) {
	switch {
	case v.dead.IsZero():
		return "", skipf("nobody was present")
	case v.dora.user == v.ana.user || v.dora.user == v.bob.user:
		return "", skipf("it takes three users: give --token for each")
	}
	for {
		look, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errPoke)
		f, err := v.ana.from(look, protocol.UserOffline, v.Community, v.dora.user)
		cancel()
		switch {
		case err == nil:
			return fmt.Sprintf("%s after it was cut off, and the grace is %s", since(v.dead, f.at), v.grace), nil
		case !errors.Is(err, errPoke):
			return "", err
		}
		if _, _, err := v.ana.publish(ctx, v.Community, rand.Text()); err != nil {
			return "", err
		}
	}
}

// errPoke ends a wait that is to be continued.
var errPoke = errors.New("not yet")

func since(then, now time.Time) time.Duration {
	return max(now.Sub(then), 0).Round(100 * time.Millisecond)
}

// notified has one way of emitting reach bob.
func (v *visit) notified(ctx context.Context, way string, send func(ctx context.Context, e func(emitter.Transport) error) error) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	id := rand.Text()
	began := time.Now()
	err := send(ctx, func(t emitter.Transport) error {
		_, err := emitter.New(t).Publish(ctx, emitter.Publish{
			Users: []string{v.bob.user}, Event: emitted, Data: map[string]string{"id": id}, Ephemeral: true,
		})
		return err
	})
	if err != nil {
		return "", err
	}
	f, err := v.bob.wait(ctx, "what was emitted", func(f frame) bool { return f.Event == emitted && strings.Contains(string(f.Data), id) })
	if err == nil {
		v.took("emit to receiver, "+way, f.at.Sub(began))
	}
	return "", err
}

// unseen skips what is not known; [Report.Unseen] says why.
func (v *visit) unseen(what, name string) error {
	if name == "" {
		return skipf("%s is not known", what)
	}
	return nil
}

func (v *visit) invoked(ctx context.Context) (string, error) {
	if err := v.unseen("the emit function", v.Stack.Function); err != nil {
		return "", err
	}
	return v.notified(ctx, "invoke", func(_ context.Context, e func(emitter.Transport) error) error {
		return e(vialambda.New(lambda.NewFromConfig(v.Stack.AWS), v.Stack.Function))
	})
}

func (v *visit) invokedLater(ctx context.Context) (string, error) {
	if err := v.unseen("the emit function", v.Stack.Function); err != nil {
		return "", err
	}
	return v.notified(ctx, "asynchronous", func(_ context.Context, e func(emitter.Transport) error) error {
		return e(vialambda.NewAsync(lambda.NewFromConfig(v.Stack.AWS), v.Stack.Function))
	})
}

func (v *visit) queued(ctx context.Context) (string, error) {
	if err := v.unseen("the emit queue", v.Stack.Queue); err != nil {
		return "", err
	}
	return v.notified(ctx, "queue", func(_ context.Context, e func(emitter.Transport) error) error {
		return e(viasqs.New(sqs.NewFromConfig(v.Stack.AWS), v.Stack.Queue))
	})
}

// busTransport puts commands on an event bus, each as an event.
type busTransport struct {
	client *eventbridge.Client
	bus    string
}

// Answers is part of [emitter.Transport].
func (busTransport) Answers() bool { return false }

// Send is part of [emitter.Transport].
func (t busTransport) Send(ctx context.Context, commands []json.RawMessage) []emitter.Outcome {
	out := make([]emitter.Outcome, len(commands))
	for i, c := range commands {
		put, err := t.client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
			EventBusName: &t.bus, Source: aws.String("bellhop.check"), DetailType: aws.String("bellhop.emit"), Detail: aws.String(string(c)),
		}}})
		if err == nil && put.FailedEntryCount > 0 {
			err = fmt.Errorf("the bus refused the event: %s", aws.ToString(put.Entries[0].ErrorMessage))
		}
		out[i].Err = err
	}
	return out
}

func (v *visit) bussed(ctx context.Context) (string, error) {
	if v.Stack.Bus == "" {
		return "", skipf("no event bus is known, by the parameter EventBusName or --bus")
	}
	return v.notified(ctx, "bus", func(_ context.Context, e func(emitter.Transport) error) error {
		return e(busTransport{eventbridge.NewFromConfig(v.Stack.AWS), v.Stack.Bus})
	})
}

// managed has the function post to one connection, and close it.
func (v *visit) managed(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	if err := v.unseen("the emit function", v.Stack.Function); err != nil {
		return "", err
	}
	e, err := v.Stack.Emitter()
	if err != nil {
		return "", err
	}
	c, err := v.connect(ctx, "bellhop-check-eve")
	if err != nil {
		return "", err
	}
	defer c.cut()
	room := v.another("-eve")
	before, err := e.Members(ctx, room)
	if err != nil {
		return "", err
	}
	if _, _, err := c.join(ctx, room, nil); err != nil {
		return "", err
	}
	id, err := connection(ctx, e, room, c.user, before)
	if err != nil {
		return "", err
	}
	if _, err := e.Publish(ctx, emitter.Publish{Connections: []string{id}, Event: emitted}); err != nil {
		return "", err
	}
	if _, err := c.event(ctx, emitted, ""); err != nil {
		return "", err
	}
	if _, err := e.Disconnect(ctx, emitter.Disconnect{Connection: id, Reason: "bellhop check"}); err != nil {
		return "", err
	}
	if _, err := c.event(ctx, protocol.SessionEnding, ""); err != nil {
		return "", err
	}
	if _, err := c.wait(ctx, "the end of the connection", func(frame) bool { return false }); ctx.Err() != nil {
		return "", err
	}
	if code := websocket.CloseStatus(c.err); code != -1 {
		return fmt.Sprintf("with %d", code), nil
	}
	return "", nil
}

// connection finds the id of a user's connection in a room, one that was not there before.
func connection(ctx context.Context, e *emitter.Emitter, room, user string, before []emitter.Member) (string, error) {
	members, err := e.Members(ctx, room)
	if err != nil {
		return "", err
	}
	for _, m := range members {
		if m.UserID == user && !slices.Contains(before, m) {
			return m.Connection, nil
		}
	}
	return "", fmt.Errorf("%s has joined %s, and is not a member", user, room)
}

// manages asks the management API itself, as the functions do, about a connection that there is and one that there is not.
func (v *visit) manages(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	if err := v.unseen("the management API", v.Stack.Management); err != nil {
		return "", err
	}
	e, err := v.Stack.Emitter()
	if err != nil {
		return "", skipf("%v", err)
	}
	id, err := connection(ctx, e, v.Room, v.bob.user, nil)
	if err != nil {
		return "", err
	}
	client := apigatewaymanagementapi.NewFromConfig(v.Stack.AWS, func(o *apigatewaymanagementapi.Options) { o.BaseEndpoint = &v.Stack.Management })
	began := time.Now()
	_, err = client.GetConnection(ctx, &apigatewaymanagementapi.GetConnectionInput{ConnectionId: &id})
	if forbidden, is := errors.AsType[*management.ForbiddenException](err); is {
		return "", skipf("these credentials may not: %v", forbidden)
	}
	if err != nil {
		return "", fmt.Errorf("ask about an open connection: %w", err)
	}
	v.took("management API", time.Since(began))
	unknown := "AAAAAAAAAAAAAAA="
	_, err = client.GetConnection(ctx, &apigatewaymanagementapi.GetConnectionInput{ConnectionId: &unknown})
	if _, gone := errors.AsType[*management.GoneException](err); !gone {
		return "", fmt.Errorf("a connection that there is not: got %w, want GoneException", cmpErr(err))
	}
	return "", nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("an answer")
	}
	return err
}

// another is a room like the one to meet in, unless that is the only one that the tokens allow.
func (v *visit) another(suffix string) string {
	if v.given {
		return v.Room
	}
	return v.Room + suffix
}

// crowds fills a room with more members than are pushed to at once, so that deliver does it. They stay to the end: so many that leave
// at the same time would be in the way of what comes after.
func (v *visit) crowds(ctx context.Context) (detail string, err error) {
	switch err := v.needs(); {
	case err != nil:
		return "", err
	case v.Crowd < 1:
		return "", skipf("--crowd 0")
	}
	room := v.another("-crowd")
	clients := make([]*client, v.Crowd)
	v.crowd = clients
	began := time.Now()
	err = v.gather(ctx, room, clients)
	v.tempo = min(time.Since(began)/time.Duration(len(clients)), 100*time.Millisecond)
	if err != nil {
		return "", err
	}
	id := rand.Text()
	_, reply, err := clients[0].publish(ctx, room, id)
	if err != nil {
		return "", err
	}
	var last time.Time
	for i, c := range clients {
		f, err := c.event(ctx, said, id)
		if err != nil {
			return "", fmt.Errorf("%d of %d members heard it: %w", i, len(clients), err)
		}
		v.took("publish to a member of "+strconv.Itoa(v.Crowd), f.at.Sub(reply.from))
		if f.at.After(last) {
			last = f.at
		}
	}
	return fmt.Sprintf("%d members heard it within %s", len(clients), last.Sub(reply.from).Round(time.Millisecond)), nil
}

// together is how many clients of a crowd do something at the same time: far below the 500 new connections a second of an account,
// and what an emulator in Python can take.
const together = 20

// scatter has all that are connected leave, no faster than they came: what cannot take more would be busy with that for long.
func scatter(clients []*client, tempo time.Duration) {
	var group errgroup.Group
	group.SetLimit(together)
	for _, c := range clients {
		if c != nil {
			group.Go(func() error {
				c.leave()
				return nil
			})
			<-time.After(tempo)
		}
	}
	_ = group.Wait() // none fails
}

// gather connects as many clients as there are places, and joins a room with them.
func (v *visit) gather(ctx context.Context, room string, clients []*client) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(together)
	for i := range clients {
		group.Go(func() error {
			bearer, of, err := v.Tokens.Token("bellhop-check-" + strconv.Itoa(i)) // each is alone in a room of its own
			if err != nil {
				return err
			}
			began := time.Now()
			c, err := dial(ctx, v.Stack.Address, of, bearer)
			if err != nil {
				return fmt.Errorf("connection %d: %w", i+1, err)
			}
			connected := time.Since(began)
			clients[i] = c
			_, joined, err := c.join(ctx, room, nil)
			if err != nil {
				return fmt.Errorf("connection %d: %w", i+1, err)
			}
			mu.Lock()
			defer mu.Unlock()
			v.took(fmt.Sprintf("connect, %d at once", together), connected)
			v.took(fmt.Sprintf("join, %d at once", together), joined.took())
			return nil
		})
	}
	return group.Wait()
}

// arrive connects and joins as somebody who comes and goes.
func (v *visit) arrive(ctx context.Context) error {
	c, err := v.connect(ctx, "bellhop-check-guest")
	if err != nil {
		return err
	}
	defer c.leave()
	_, reply, err := c.join(ctx, v.Room, nil)
	if err == nil {
		v.took("join", reply.took())
	}
	return err
}

// measures repeats what clients do most, below the rate that a connection is allowed: nobody is told of a signal that is refused.
func (v *visit) measures(ctx context.Context) (string, error) {
	if err := v.needs(); err != nil {
		return "", err
	}
	const actions = 2.5 // in a round, and something for the rounding
	pace := time.NewTicker(time.Duration(actions / v.rate() * float64(time.Second)))
	defer pace.Stop()
	for range v.Rounds {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		for _, measure := range []func(context.Context) error{v.arrive, v.ping, v.hear, v.typing} {
			once, cancel := v.patient(ctx, v.Patience)
			err := measure(once)
			cancel()
			if err != nil {
				return "", err
			}
		}
	}
	return "", nil
}

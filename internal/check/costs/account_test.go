package costs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/bellhop-rt/bellhop/internal/aws/metrics"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Memory of the functions; see template.yaml.
const (
	smallMB   = 256.0
	messageMB = 512.0
	deliverMB = 1024.0
)

// account is a Bellhop whose every use is counted. Its clock stands still while something runs, so that what is logged has the
// same size each time.
type account struct {
	*hubtest.World
	sockets *socketio.Server
	meter   *cost.Meter
	metrics *metrics.Meter
	logs    *bytes.Buffer
	log     *slog.Logger
}

func newAccount(t testing.TB, o socketio.Options) *account {
	t.Helper()
	a := &account{meter: &cost.Meter{}, logs: &bytes.Buffer{}}
	// Lambda's logger adds the id of the request to each line.
	noTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.String(slog.TimeKey, "2026-11-23T21:00:00.000000000Z")
		}
		return attr
	}}
	a.log = slog.New(slog.NewJSONHandler(a.logs, noTime)).With("requestId", "8f507cfc-xmpl-4697-b07a-ac58fc914c95")
	a.World = hubtest.New(t, func(c *hub.Config) {
		a.metrics = metrics.New("bellhop", a.logs, c.Now)
		c.Store, c.Observers, c.Logger = cost.NewStore(c.Store.(socketio.Store), a.meter), []hub.Observer{a.metrics}, a.log
		c.Limits = hub.Limits{Rate: 10_000, Burst: 10_000}
	})
	a.Hub, a.sockets = socketio.Wire(a.Config, a.Config.Store.(socketio.Notes), o)
	return a
}

// feature is what one action uses, and what it writes to the log.
type feature struct {
	name  string
	usage cost.Usage
	logs  float64
}

func (f feature) plus(other feature) feature {
	return feature{f.name, f.usage.Plus(other.usage), f.logs + other.logs}
}

// spend runs one invocation and the jobs that it leaves behind, each an invocation of its own. in is the size of the
// client's frame, 0 for none; do gives the size of the reply.
func (a *account) spend(name string, mb float64, in int, do func() int) feature {
	a.TB.Helper()
	a.Clock.Pass(time.Second)
	if err := a.metrics.Flush(); err != nil { // what was not counted here
		a.TB.Fatal(err)
	}
	before := a.meter.Usage()
	a.logs.Reset()
	var u cost.Usage
	if in > 0 {
		u.MessagesIn = float64(cost.Messages(in))
	}
	reply := 0
	u = u.Plus(a.invoke(mb, func() { reply = do() }))
	if reply > 0 {
		u = u.Plus(sent(reply))
	}
	for jobs := a.Queue.Take(); len(jobs) > 0; jobs = a.Queue.Take() {
		for _, j := range jobs {
			a.Clock.To(j.Due)
			u = u.Plus(a.invoke(deliverMB, func() {
				if err := a.work(j.Job); err != nil {
					a.TB.Errorf("%s: %v", name, err)
				}
			}))
			u.SQSRequests += float64(cost.Requests(len(j.Body))) + 2 // sent, received, deleted
		}
	}
	return feature{name, u.Plus(a.meter.Usage().Minus(before)), float64(a.logs.Len())}
}

// sent is a frame to a client.
func sent(size int) cost.Usage {
	return cost.Usage{MessagesOut: float64(cost.Messages(size)), BytesOut: float64(size)}
}

func (a *account) work(j hub.Job) error {
	if socketio.Works(j.Kind) {
		return a.sockets.Work(a.TB.Context(), j)
	}
	return a.Work(a.TB.Context(), j)
}

// invoke counts an invocation, with the times that `bellhop cost` assumes.
func (a *account) invoke(mb float64, do func()) cost.Usage {
	a.TB.Helper()
	a.Network.Take() // what was pushed uncounted
	do()
	if err := a.metrics.Flush(); err != nil {
		a.TB.Fatal(err)
	}
	l := cost.DefaultLoad()
	pushes := a.Network.Take()
	ms := l.LambdaMs + math.Ceil(float64(len(pushes))/64)*l.PushMs
	u := cost.Usage{LambdaRequests: 1, LambdaGBSeconds: ms / 1000 * mb / 1024}
	for _, p := range pushes {
		u = u.Plus(sent(len(p.Frame)))
	}
	return u
}

// caller is a connection of its own user, with all rights.
func (a *account) caller(user string) hub.Caller {
	return hub.Caller{Connection: fmt.Sprintf("c-%s-000000=", user), User: user, Name: user, Expires: a.Clock.Now().Add(2 * time.Hour)}
}

// connected is caller after $connect.
func (a *account) connected(user string) hub.Caller {
	a.TB.Helper()
	c := a.caller(user)
	a.event(route.Connect(a.Hub, a.sockets, a.log), c, "")
	return c
}

// event invokes a function with the part of API Gateway's event that it reads.
func (a *account) event(f lambda.Handler, c hub.Caller, codec string) int {
	a.TB.Helper()
	query := map[string]string{"EIO": "4", "transport": "websocket"} // which the other dialect does not look at
	payload, err := json.Marshal(map[string]any{"queryStringParameters": query, "requestContext": map[string]any{
		"connectionId": c.Connection, "disconnectStatusCode": 1001, "disconnectReason": "Going away",
		"authorizer": map[string]string{
			"codec": codec, "user": c.User, "name": c.Name, "grants": `{"*":["join","publish"]}`, "expires": strconv.FormatInt(c.Expires.Unix(), 10),
		},
	}})
	if err != nil {
		a.TB.Fatal(err)
	}
	if out, err := f.Invoke(a.TB.Context(), payload); err != nil || !bytes.Contains(out, []byte("200")) {
		a.TB.Fatalf("%s: %v", out, err)
	}
	return 0
}

// action is what a client sends, counted.
func (a *account) action(name string, c hub.Caller, frame string) feature {
	a.TB.Helper()
	return a.spend(name, messageMB, len(frame), func() int { return a.send(c, frame) })
}

// receive is a packet of a client of Socket.IO, counted.
func (a *account) receive(c hub.Caller, frame string) feature {
	a.TB.Helper()
	return a.spend("", messageMB, len(frame), func() int { return len(a.sockets.Receive(a.TB.Context(), c, []byte(frame))) })
}

// send gives the size of the reply.
func (a *account) send(c hub.Caller, frame string) int {
	a.TB.Helper()
	out := a.Receive(a.TB.Context(), c, []byte(frame))
	var r struct {
		OK bool `json:"ok"`
	}
	if err := json.Unmarshal(out, &r); len(out) > 0 && (err != nil || !r.OK) {
		a.TB.Fatalf("%s: %s", frame, out)
	}
	return len(out)
}

// join puts n users of their own in a room, and works off what that leaves.
func (a *account) join(room string, n int) {
	a.TB.Helper()
	for i := range n {
		a.send(a.connected(fmt.Sprintf("%s-%05d", room, i)), `{"action":"join","id":"1","room":"`+room+`"}`)
	}
	a.Queue.Take()
}

// message is a publish of which a frame of about 300 bytes is made.
func message(id, room string) string {
	return `{"action":"publish",` + id + `"room":"` + room + `","event":"message:new","data":{"content":"` + strings.Repeat("x", 150) + `"}}`
}

package console

import (
	"cmp"
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Watch keeps what a server does, as the console shows it: on a cost meter, in traces and as a stream. It is told by the emulator, by a
// wrapper around the functions, and of what functions do by the hub, if they are in this process ([Watch.Hub]), or by what they are seen
// to push ([Watch.Overhear]). All of it is in bounded memory.
type Watch struct {
	meter  *cost.Meter
	traces *trace.Recorder
	stream *stream

	facts atomic.Pointer[facts] // of the template as it is now

	invoked []func(invoke.Cause)   // when a function begins
	pushed  []func(emulator.Event) // when a frame was pushed
	told    map[string]bool        // queues whose jobs are counted when the hub leaves them
}

// facts are what of a template is billed and shown.
type facts struct {
	memory map[string]int  // of functions, in MB, by logical id and by folder
	twoWay map[string]bool // routes whose answer goes to the client
}

// Reload reads a template as it is now.
func (w *Watch) Reload(t *template.Template) {
	f := &facts{memory: map[string]int{}, twoWay: map[string]bool{}}
	for _, fn := range t.Functions {
		f.memory[fn.ID], f.memory[fn.Folder] = fn.MemoryMB, fn.MemoryMB
	}
	for _, api := range t.APIs {
		for _, r := range api.Routes {
			f.twoWay[r.Key] = r.TwoWay
		}
	}
	w.facts.Store(f)
}

// NewWatch reads from a template what is billed by it.
func NewWatch(t *template.Template) *Watch {
	w := &Watch{meter: &cost.Meter{DynamoDB: cost.NotCounted}, stream: newStream(), told: map[string]bool{}}
	w.traces = &trace.Recorder{Work: func(ctx context.Context) trace.Work {
		if v := cost.VisitOf(ctx); v != nil {
			return trace.Work{Function: v.Function, Connection: v.Client(), Began: v.Began}
		}
		return trace.Work{Began: time.Now()}
	}}
	w.Reload(t)
	return w
}

// Hub listens to a hub in this process, with what its store costs among it. queue is the logical id of the hub's queue.
func (w *Watch) Hub(c *hub.Config, store socketio.Store, queue string) socketio.Notes {
	w.meter.DynamoDB = cost.Estimated
	metered := cost.NewStore(store, w.meter)
	c.Store = metered
	c.Observers = append(c.Observers, w.traces, w.meter)
	w.told[queue] = true
	return metered
}

// Functions wraps the functions, by whatever name they are given.
func (w *Watch) Functions(list map[string]invoke.Function) map[string]invoke.Function {
	wrapped := make(map[string]invoke.Function, len(list))
	for name, f := range list {
		wrapped[name] = watched{f, w, name, w.facts.Load().memory[name]}
	}
	return wrapped
}

// watched counts the invocations of a function.
type watched struct {
	invoke.Function

	watch  *Watch
	name   string
	memory int
}

// Unwrap is [invoke.Wrapper].
func (f watched) Unwrap() invoke.Function { return f.Function }

func (f watched) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	w, why := f.watch, invoke.CauseOf(ctx)
	for _, tell := range w.invoked {
		tell(why)
	}
	ctx, v := w.meter.Visit(ctx, f.name)
	v.From(why.Connection)
	v.About("", w.meter.Owner(why.Connection), "", true)
	out, err := f.Function.Invoke(ctx, payload)
	took := time.Since(v.Began)
	d := cost.Delta{LambdaRequests: 1, LambdaMBms: cost.LambdaMBms(took, f.memory)}
	var counted cost.Delta
	switch why.By {
	case invoke.ByMessage:
		counted.MessagesIn = 1 // the gateway knows how long it was
		if w.facts.Load().twoWay[why.Route] && err == nil {
			d = f.replied(d, why.Connection, out)
		}
	case invoke.ByAuthorizer, invoke.ByConnect, invoke.ByDisconnect: // the gateway tells of them
	case invoke.ByQueue:
		f.show(emulator.KindQueue, v.Began, took, payload, err)
	case invoke.ByStream:
		f.show(emulator.KindStream, v.Began, took, payload, err)
	default:
		f.show(emulator.KindInvoke, v.Began, took, payload, err)
	}
	v.End(d, counted)
	return out, err
}

// show puts an invocation into the stream, with its event.
func (f watched) show(kind emulator.Kind, began time.Time, took time.Duration, payload []byte, err error) {
	f.watch.stream.add(emulator.Event{Kind: kind, Time: began, Duration: took, Function: f.name, Bytes: len(payload), Data: payload, Err: err})
}

// kindReply is what a function answered to a message; the emulator tells only its status.
const kindReply emulator.Kind = "reply"

// replied counts what a function answered to a message, and puts it into the stream.
func (f watched) replied(d cost.Delta, connection string, out []byte) cost.Delta {
	status, body, err := gateway.ReadResponse(out)
	if err != nil || len(body) == 0 {
		return d
	}
	d.MessagesOut, d.BytesOut = cost.Messages(len(body)), int64(len(body))
	if s := f.watch.stream; s.room(kindReply) {
		s.put(emulator.Event{
			Kind: kindReply, Time: time.Now(), Connection: connection, Function: f.name, Status: status, Bytes: len(body), Data: body,
		}, f.watch.meter.Owner(connection))
	}
	return d
}

// kindOutput is a line that a function has written.
const kindOutput emulator.Kind = "output"

// Said puts a line that a function has written into the stream.
func (w *Watch) Said(function string, line runtimeapi.Line) {
	if !w.stream.room(kindOutput) {
		return
	}
	i := Item{
		At: float64(time.Now().UnixMicro()) / 1000, Kind: string(kindOutput), Function: function, Request: line.RequestID,
		Reason: line.Stream, Bytes: len(line.Text),
	}
	i.Data, i.Cut = excerpt([]byte(line.Text))
	w.stream.keep(i)
}

// Observe is the emulator's observer, before another that may be nil.
func (w *Watch) Observe(next func(emulator.Event)) func(emulator.Event) {
	return func(e emulator.Event) {
		owner := ""
		if e.Kind == emulator.KindDisconnect { // who it was is forgotten when it is counted
			owner = w.meter.Owner(e.Connection)
		}
		w.count(e)
		switch e.Kind {
		case emulator.KindInvoke, emulator.KindQueue, emulator.KindStream, emulator.KindSchedule: // the function's wrapper has their payload
		default:
			if w.stream.room(e.Kind) {
				w.stream.put(e, cmp.Or(owner, w.meter.Owner(e.Connection)))
			}
		}
		if next != nil {
			next(e)
		}
	}
}

// count puts on the bill what the emulator is used for.
func (w *Watch) count(e emulator.Event) {
	switch e.Kind {
	case emulator.KindPush:
		if e.Err == nil {
			w.meter.Add(cost.Delta{MessagesOut: cost.Messages(e.Bytes), BytesOut: int64(e.Bytes)})
		}
		for _, tell := range w.pushed {
			tell(e)
		}
	case emulator.KindMessage:
		w.message(e)
	case emulator.KindConnect:
		if e.Status == http.StatusSwitchingProtocols {
			w.meter.Opened(e.Connection)
		} else {
			w.meter.Closed(e.Connection)
		}
	case emulator.KindDisconnect:
		w.meter.Closed(e.Connection)
	case emulator.KindQueue:
		d := cost.Delta{SQSRequests: 2} // received and deleted, as a batch
		if !w.told[e.Queue] {
			d.SQSRequests += int64(e.Status) // sent by somebody
		}
		w.meter.Add(d)
	case emulator.KindBus:
		w.meter.Add(cost.Delta{EventBridgeEvents: cost.Requests(len(e.Data))})
	default:
	}
}

// message counts a message of a client, and what the API answered without a function.
func (w *Watch) message(e emulator.Event) {
	w.stream.took(e.Duration)
	d := cost.Delta{MessagesIn: cost.Messages(e.Bytes)}
	switch {
	case e.Err != nil: // an error frame
		d.MessagesOut = 1
	case e.Function == "" && w.facts.Load().twoWay[e.Route]:
		d.MessagesOut = 1
	}
	w.meter.Add(d)
	if e.Function == "" {
		w.meter.Event(e.Route).Add(d)
		w.meter.User(w.meter.Owner(e.Connection)).Add(d)
	}
}

// start begins to count, when everything of an earlier run is cleared away.
func (w *Watch) start(stats func() emulator.Stats) {
	w.meter.Start()
	w.stream.start(stats)
}

package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/cost"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/local/text"
	"github.com/bellhop-rt/bellhop/internal/local/trace"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Inspector sees everything that a server does, by wrappers around what the hub needs and around the functions, and by the
// emulator's observer. It feeds the cost meter, the traces and the console's stream. All of it is in bounded memory, and
// on the path of every push: nothing here may be slow.
type Inspector struct {
	meter  *cost.Meter
	traces *trace.Recorder
	stream *stream

	// Post is how a frame is pushed; nil: as the hub's own pusher does.
	Post func(connection string, f *gateway.Frame) error

	queue  string // whose jobs are counted when the hub leaves them; none if the functions run elsewhere
	remote bool   // the functions run elsewhere: what they store is not seen, and their pushes come over HTTP

	memory map[string]int  // of functions, in MB, by logical id and by folder
	twoWay map[string]bool // routes whose answer goes to the client

	frames frames
}

// NewInspector reads from a template what is billed by it. remote: the functions run elsewhere.
func NewInspector(t *template.Template, remote bool) *Inspector {
	l := &Inspector{
		meter: &cost.Meter{}, traces: &trace.Recorder{}, stream: newStream(), remote: remote, memory: map[string]int{}, twoWay: map[string]bool{},
	}
	l.frames.seed = maphash.MakeSeed()
	if l.remote {
		l.meter.DynamoDB = cost.NotCounted
	}
	for _, f := range t.Functions {
		l.memory[f.ID], l.memory[path.Base(f.CodeURI)] = f.MemoryMB, f.MemoryMB
	}
	for _, api := range t.APIs {
		for _, r := range api.Routes {
			l.twoWay[r.Key] = r.TwoWay
		}
	}
	return l
}

// Wrap puts itself between the hub and what it needs, and gives the notes of the sockets. queue is the logical id of the hub's queue.
func (l *Inspector) Wrap(c *hub.Config, store socketio.Store, queue string) socketio.Notes {
	l.queue = queue
	metered := cost.Store{Store: store, Meter: l.meter}
	c.Store = inspectedStore{metered, l}
	c.Pusher = inspectedPusher{c.Pusher, l}
	c.Queue = inspectedQueue{c.Queue, l}
	return metered
}

// Functions wraps the functions, by whatever name they are given.
func (l *Inspector) Functions(list map[string]invoke.Function) map[string]invoke.Function {
	wrapped := make(map[string]invoke.Function, len(list))
	for name, f := range list {
		wrapped[name] = inspectedFunction{f, l, name, l.memory[name]}
	}
	return wrapped
}

// inspectedFunction counts its invocations.
type inspectedFunction struct {
	invoke.Function

	look   *Inspector
	name   string
	memory int
}

func (f inspectedFunction) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	ctx, v := f.look.meter.Visit(ctx, f.name)
	head := payload[:min(len(payload), 256)]
	message := bytes.HasPrefix(payload, []byte(`{"requestContext":`))
	if connection := field(payload, `"connectionId":"`); connection != "" {
		if f.look.remote && bytes.Contains(payload, []byte(`"eventType":"CONNECT"`)) { // the store does not tell who it is
			if user := field(payload, `"principalId":"`); user != "" {
				f.look.meter.Belongs(connection, user)
			}
		}
		v.From(connection)
		v.About("", f.look.meter.Owner(connection), "", true)
	}
	out, err := f.Function.Invoke(ctx, payload)
	took := time.Since(v.Began)
	d := cost.Delta{LambdaRequests: 1, LambdaMBms: cost.LambdaMBms(took, f.memory)}
	var counted cost.Delta
	switch {
	case message:
		counted.MessagesIn = 1 // the observer knows how long it was
		if reply := replySize(out); err == nil && reply > 0 && f.look.twoWay[field(head, `"routeKey":"`)] {
			d.MessagesOut, d.BytesOut = cost.Messages(reply), int64(reply)
			f.replied(v.Client(), out)
		}
	case !bytes.Contains(payload[:min(len(payload), 64<<10)], []byte(`"requestContext":`)):
		kind := emulator.KindInvoke
		if bytes.HasPrefix(payload, []byte(`{"Records":`)) {
			kind = emulator.KindQueue
		} else if bytes.Contains(head, []byte(`"detail-type"`)) && !bytes.Contains(head, []byte(`"Scheduled Event"`)) {
			d.EventBridgeEvents = cost.Requests(len(payload))
		}
		f.look.stream.add(emulator.Event{
			Kind: kind, Time: v.Began, Duration: took, Function: f.name, Bytes: len(payload), Data: payload, Err: err,
		})
	}
	v.End(d, counted)
	return out, err
}

// kindReply is what a function answered to a message; the emulator tells only its status.
const kindReply emulator.Kind = "reply"

// replied shows the answer in the stream.
func (f inspectedFunction) replied(connection string, out []byte) {
	if !f.look.stream.room(kindReply) {
		return
	}
	var r struct {
		Body   string `json:"body"`
		Status int    `json:"statusCode"`
	}
	if json.Unmarshal(out, &r) != nil {
		return
	}
	e := emulator.Event{
		Kind: kindReply, Time: time.Now(), Connection: connection, Function: f.name, Status: r.Status, Bytes: len(r.Body), Data: []byte(r.Body),
	}
	f.look.stream.put(e, f.look.meter.Owner(connection))
}

// field finds a string of JSON by its key as it is written there: for what the emulator writes, whose keys are not in the
// text of others, since quotes in that are escaped.
func field(b []byte, key string) string {
	_, rest, found := bytes.Cut(b, []byte(key))
	if !found {
		return ""
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return ""
	}
	return string(rest[:end])
}

// replySize is the size of the body that a function answered with. It is decoded only where its escapes could matter.
func replySize(out []byte) int {
	_, body, found := bytes.Cut(out, []byte(`"body":"`))
	if size := len(body) - len(`"}`); !found || size < 16<<10 {
		return max(0, size)
	}
	var r struct {
		Body string `json:"body"`
	}
	if json.Unmarshal(out, &r) != nil {
		return 0
	}
	return len(r.Body)
}

// inspectedStore tells the traces what is logged.
type inspectedStore struct {
	cost.Store

	look *Inspector
}

func (s inspectedStore) Append(ctx context.Context, room string, e protocol.Event, keep time.Duration) (hub.Entry, bool, error) {
	entry, appended, err := s.Store.Append(ctx, room, e, keep)
	if err == nil {
		s.look.logged(ctx, entry, !appended)
	}
	return entry, appended, err
}

// Find is listened to as well: the hub looks for the id of a publish before it logs: what it finds is sent again.
func (s inspectedStore) Find(ctx context.Context, room, id string) (hub.Entry, error) {
	entry, err := s.Store.Find(ctx, room, id)
	if err == nil && cost.VisitOf(ctx) != nil {
		s.look.logged(ctx, entry, true)
	}
	return entry, err
}

func (l *Inspector) logged(ctx context.Context, entry hub.Entry, again bool) {
	e := trace.Event{
		ID: entry.ID, Room: entry.Room, Name: entry.Event.Event, Seq: entry.Seq, Epoch: entry.Epoch, Again: again,
	}
	if entry.From != nil {
		e.From = entry.From.UserID
	}
	if v := cost.VisitOf(ctx); v != nil {
		e.Function, e.Connection, e.Received = v.Function, v.Client(), v.Began
	}
	l.traces.Logged(e)
}

// inspectedPusher notes what becomes of each push.
type inspectedPusher struct {
	hub.Pusher

	look *Inspector
}

// Push encodes a frame that goes to many once for all of them, which pays for looking at it.
func (p inspectedPusher) Push(ctx context.Context, connection string, frame []byte) error {
	f := p.look.frames.of(ctx, p.look, frame)
	var err error
	if f == nil || p.look.Post == nil || ctx.Err() != nil {
		err = p.Pusher.Push(ctx, connection, frame)
	} else {
		err = hubports.AsHub(p.look.Post(connection, f.wire))
	}
	f.pushed(connection, err)
	return err
}

// inspectedQueue notes what is left for later.
type inspectedQueue struct {
	hub.Queue

	look *Inspector
}

// jobSize is about what a job takes in the queue without its event's data and its targets.
const jobSize = 400

func (q inspectedQueue) Enqueue(ctx context.Context, job hub.Job, delay time.Duration) error {
	err := q.Queue.Enqueue(ctx, job, delay)
	size := jobSize + 60*len(job.Targets)
	if job.Event != nil {
		size += len(job.Event.Data)
	}
	d := cost.Delta{SQSRequests: cost.Requests(size)}
	q.look.meter.Add(d)
	q.look.meter.Room(job.Room).Add(d)
	if err != nil || job.Event == nil || job.Event.ID == "" {
		return err
	}
	ref := trace.Ref{Room: job.Room, ID: job.Event.ID}
	switch job.Kind {
	case hub.JobRetry:
		detail := fmt.Sprintf("try %d, in %s: %s", job.Attempt+1, delay.Round(10*time.Millisecond), text.Plural(len(job.Targets), "connection"))
		q.look.traces.Note(ref, trace.Retried, detail)
	case hub.JobFanOut:
		q.look.traces.Note(ref, trace.Queued, fmt.Sprintf("shard %d, after %s", job.Shard, text.Plural(job.Passed, "member")))
	default:
		q.look.traces.Note(ref, trace.Queued, string(job.Kind))
	}
	return nil
}

// frame is one frame on its way to many connections.
type frame struct {
	data              []byte
	wire              *gateway.Frame
	unit              cost.Delta // of one connection
	room, user, event *cost.Tally
	trace             *trace.Frame
	taken             atomic.Int64 // connections that have taken it since bill
}

// bill counts those that have taken it. They are counted here together, since counters that all share are slow when two
// cores write to them.
func (f *frame) bill(m *cost.Meter) {
	n := f.taken.Swap(0)
	if n == 0 {
		return
	}
	d := cost.Delta{MessagesOut: n * f.unit.MessagesOut, BytesOut: n * f.unit.BytesOut}
	m.Add(d)
	f.room.Add(d)
	f.user.Add(d)
	f.event.Add(d)
}

// frames finds a frame that was seen before by its place in memory, since the hub pushes the same slice to each member:
// that costs a push next to nothing. Or by its content, if it comes over HTTP, each time as a copy. When there are too
// many, all are forgotten: they are few at a time. What is remembered keeps its memory, so that no other frame gets its place.
type frames struct {
	seed maphash.Seed

	mu     sync.RWMutex
	inside map[*byte]*frame
	before map[*byte]*frame // the last ones: some may still be on their way, and are billed later
	copies map[uint64]*frame
}

const maxFrames = 64

// of gives the frame that holds data, which must stay as it is.
func (s *frames) of(ctx context.Context, l *Inspector, data []byte) *frame {
	if len(data) == 0 {
		return nil
	}
	s.mu.RLock()
	f := s.inside[&data[0]]
	s.mu.RUnlock()
	if f != nil && len(f.data) == len(data) {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.inside[&data[0]]; f != nil && len(f.data) == len(data) {
		return f
	}
	if s.inside == nil {
		s.inside, s.before = make(map[*byte]*frame, maxFrames), make(map[*byte]*frame, maxFrames)
	} else if len(s.inside) >= maxFrames {
		for _, f := range s.before {
			f.bill(l.meter)
		}
		clear(s.before)
		s.inside, s.before = s.before, s.inside
	}
	f = l.read(cost.VisitOf(ctx), data)
	s.inside[&data[0]] = f
	return f
}

// bill counts what was taken of all frames.
func (s *frames) bill(m *cost.Meter) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.inside {
		f.bill(m)
	}
	for _, f := range s.before {
		f.bill(m)
	}
	for _, f := range s.copies {
		f.bill(m)
	}
}

// copied notes a push of data that is a copy.
func (s *frames) copied(l *Inspector, data []byte, connection string, err error) {
	hash := maphash.Bytes(s.seed, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.copies[hash]; f != nil && bytes.Equal(f.data, data) {
		f.pushed(connection, err)
		return
	}
	if s.copies == nil || len(s.copies) >= maxFrames {
		for _, f := range s.copies { // each is counted under the lock
			f.bill(l.meter)
		}
		s.copies = make(map[uint64]*frame, maxFrames)
	}
	f := l.read(nil, bytes.Clone(data))
	s.copies[hash] = f
	f.pushed(connection, err)
}

// envelope is what a frame says of an event before its data.
type envelope struct {
	event, room, id, user string
	seq                   int64
}

// read looks into a frame once, for the invocation that pushes it, if there is one. A frame with several events is counted
// for the first of them.
func (l *Inspector) read(v *cost.Visit, data []byte) *frame {
	f := &frame{data: data, wire: gateway.NewFrame(data), unit: cost.Delta{MessagesOut: cost.Messages(len(data)), BytesOut: int64(len(data))}}
	list := envelopes(data)
	if len(list) == 0 {
		return f
	}
	refs := make([]trace.Ref, 0, len(list))
	for _, e := range list {
		if e.id == "" {
			continue
		}
		if l.remote && len(l.traces.Traces(e.id)) == 0 { // nobody else says that it was logged
			l.traces.Logged(trace.Event{ID: e.id, Room: e.room, Name: e.event, Seq: e.seq, From: e.user})
		}
		refs = append(refs, trace.Ref{Room: e.room, ID: e.id})
	}
	head := list[0]
	v.About(head.room, head.user, head.event, false)
	f.room, f.user, f.event = l.meter.Room(head.room), l.meter.User(head.user), l.meter.Event(head.event)
	if len(refs) > 0 {
		f.trace = l.traces.Frame(refs)
	}
	return f
}

// envelopes reads the events of a frame. Other codecs than ours are not understood, and give none.
func envelopes(data []byte) []envelope {
	if bytes.HasPrefix(data, []byte(`{"event":"`)) {
		return []envelope{envelopeOf(data)}
	}
	if !bytes.HasPrefix(data, []byte(`{"batch":[`)) {
		return nil
	}
	var batch struct {
		Batch []json.RawMessage `json:"batch"`
	}
	if json.Unmarshal(data, &batch) != nil {
		return nil
	}
	list := make([]envelope, 0, len(batch.Batch))
	for _, one := range batch.Batch {
		list = append(list, envelopeOf(one))
	}
	return list
}

// envelopeOf reads the fields before "data", which comes last in the frames of protocol.JSON.
func envelopeOf(data []byte) envelope {
	head, _, _ := bytes.Cut(data, []byte(`,"data":`))
	e := envelope{event: field(head, `{"event":"`), room: field(head, `,"room":"`), id: field(head, `,"id":"`), user: field(head, `{"userId":"`)}
	if _, digits, found := bytes.Cut(head, []byte(`,"seq":`)); found {
		for _, c := range digits {
			if c < '0' || c > '9' {
				break
			}
			e.seq = 10*e.seq + int64(c-'0')
		}
	}
	return e
}

// pushed notes what a connection did with the frame.
func (f *frame) pushed(connection string, err error) {
	if f == nil {
		return
	}
	switch {
	case err == nil:
		f.taken.Add(1)
		f.trace.Pushed(connection, trace.Delivered, "")
	case errors.Is(err, hub.ErrGone):
		f.trace.Pushed(connection, trace.Gone, "")
	case errors.Is(err, hub.ErrThrottled):
		f.trace.Pushed(connection, trace.Throttled, "")
	default:
		f.trace.Pushed(connection, trace.Failed, err.Error())
	}
}

// Observe is the emulator's observer, before another that may be nil.
func (l *Inspector) Observe(next func(emulator.Event)) func(emulator.Event) {
	return func(e emulator.Event) {
		owner := ""
		if e.Kind == emulator.KindDisconnect { // who it was is forgotten when it is counted
			owner = l.meter.Owner(e.Connection)
		}
		l.count(e)
		switch e.Kind {
		case emulator.KindInvoke, emulator.KindQueue, emulator.KindSchedule: // the function's wrapper has their payload
		default:
			if l.stream.room(e.Kind) {
				l.stream.put(e, cmp.Or(owner, l.meter.Owner(e.Connection)))
			}
		}
		if next != nil {
			next(e)
		}
	}
}

// count puts on the bill what is not seen elsewhere.
func (l *Inspector) count(e emulator.Event) {
	switch e.Kind {
	case emulator.KindPush:
		if l.remote && len(e.Data) > 0 { // otherwise the pusher's wrapper and posts see it
			l.frames.copied(l, e.Data, e.Connection, hubports.AsHub(e.Err))
		}
	case emulator.KindMessage:
		l.message(e)
	case emulator.KindConnect:
		if e.Status == http.StatusSwitchingProtocols {
			l.meter.Opened(e.Connection)
		} else {
			l.meter.Closed(e.Connection)
		}
	case emulator.KindDisconnect:
		l.meter.Closed(e.Connection)
	case emulator.KindQueue:
		d := cost.Delta{SQSRequests: 2} // received and deleted, as a batch
		if e.Queue != l.queue {
			d.SQSRequests += int64(e.Status) // sent by somebody
		}
		l.meter.Add(d)
	default:
	}
}

// Posts counts what is posted over HTTP, by hand or by the console, while the functions push without it.
func (l *Inspector) Posts(next http.Handler) http.Handler {
	if l.remote {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.Contains(r.URL.Path, "/@connections/") {
			next.ServeHTTP(w, r)
			return
		}
		body := &countedBody{ReadCloser: r.Body}
		r.Body = body
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		if answer.status == http.StatusOK {
			l.meter.Add(cost.Delta{MessagesOut: cost.Messages(body.n), BytesOut: int64(body.n)})
		}
	})
}

type countedBody struct {
	io.ReadCloser

	n int
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += n
	return n, err
}

type statusWriter struct {
	http.ResponseWriter

	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// report is what was used so far.
func (l *Inspector) report() cost.Report {
	l.frames.bill(l.meter)
	return l.meter.Report()
}

// message counts a message of a client, and what the API answered without a function.
func (l *Inspector) message(e emulator.Event) {
	l.stream.took(e.Duration)
	d := cost.Delta{MessagesIn: cost.Messages(e.Bytes)}
	switch {
	case e.Err != nil: // an error frame
		d.MessagesOut = 1
	case e.Function == "" && l.twoWay[e.Route]:
		d.MessagesOut = 1
	}
	l.meter.Add(d)
	if e.Function == "" {
		l.meter.Event(e.Route).Add(d)
		l.meter.User(l.meter.Owner(e.Connection)).Add(d)
	}
}

// start begins to count, when everything of an earlier run is cleared away.
func (l *Inspector) start(stats func() emulator.Stats) {
	l.meter.Start()
	l.stream.start(stats)
}

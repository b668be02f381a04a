package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/emulator"
)

// The bounds of the stream. A busy server would fill the console faster than anybody reads.
const (
	keptItems     = 1000
	pushesASecond = 200
	itemsASecond  = 400    // of everything else
	itemData      = 8192   // bytes of a payload that are kept
	keptPoints    = 5 * 60 // seconds of the charts
	streamEvery   = 150 * time.Millisecond
)

// stream keeps the newest things that happened, and numbers for each second. Those who watch read from it at their own pace:
// nobody can hold it up, and what it costs does not depend on who looks.
type stream struct {
	closed chan struct{}
	loop   sync.WaitGroup

	pushes, others atomic.Int64 // how many of them this second has still space for
	skipped        atomic.Int64 // things that it had none for, since the last tick
	latency        [buckets]atomic.Int64

	mu     sync.Mutex
	last   int64  // number of the newest item
	items  []Item // a ring by number
	points []Point
}

// Item is one thing that happened.
type Item struct {
	N          int64   `json:"n"`
	At         float64 `json:"at"` // Unix milliseconds, when it began
	Kind       string  `json:"kind"`
	Connection string  `json:"connection,omitempty"`
	User       string  `json:"user,omitempty"`
	Route      string  `json:"route,omitempty"`
	Function   string  `json:"function,omitempty"`
	Request    string  `json:"request,omitempty"` // id of the invocation that an output is of
	Queue      string  `json:"queue,omitempty"`
	Status     int     `json:"status,omitempty"`
	Reason     string  `json:"reason,omitempty"`
	Error      string  `json:"error,omitempty"`
	Bytes      int     `json:"bytes,omitempty"`
	Micros     int64   `json:"micros,omitempty"`
	Data       string  `json:"data,omitempty"`
	Cut        bool    `json:"cut,omitempty"` // data is only the beginning
}

// Point is one second of the charts.
type Point struct {
	At          int64   `json:"at"` // Unix seconds
	In          int64   `json:"in"` // messages
	Out         int64   `json:"out"`
	Invocations int64   `json:"invocations"`
	Errors      int64   `json:"errors"`
	Connections int64   `json:"connections"`
	P50         float64 `json:"p50"` // of the time that messages took, in ms; 0: there were none
	P99         float64 `json:"p99"`
	Skipped     int64   `json:"skipped,omitempty"`
}

func newStream() *stream {
	s := &stream{closed: make(chan struct{}), items: make([]Item, keptItems)}
	s.refill()
	return s
}

func (s *stream) refill() {
	s.pushes.Store(pushesASecond)
	s.others.Store(itemsASecond)
}

// room reports whether there is space for another thing in this second. Whoever is told so puts one.
func (s *stream) room(kind emulator.Kind) bool {
	left := &s.others
	if kind == emulator.KindPush {
		left = &s.pushes
	}
	// Most are refused when there are many: those only read, since a write would go from core to core.
	if left.Load() > 0 && left.Add(-1) >= 0 {
		return true
	}
	if kind != emulator.KindPush { // those are counted by the tick, for the same reason
		s.skipped.Add(1)
	}
	return false
}

// add is room and put, of what is no connection's.
func (s *stream) add(e emulator.Event) {
	if s.room(e.Kind) {
		s.put(e, "")
	}
}

func (s *stream) put(e emulator.Event, user string) {
	i := Item{
		At: float64(e.Time.UnixMicro()) / 1000, Kind: string(e.Kind), Connection: e.Connection, User: user, Route: e.Route, Function: e.Function,
		Queue: e.Queue, Status: e.Status, Reason: e.Reason, Bytes: e.Bytes, Micros: e.Duration.Microseconds(),
	}
	if e.Err != nil {
		i.Error = e.Err.Error()
	}
	i.Data, i.Cut = excerpt(e.Data)
	s.keep(i)
}

// keep numbers an item that there is space for.
func (s *stream) keep(i Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	i.N = s.last
	s.items[s.last%keptItems] = i
}

// jwt is the beginning of a token: a header and claims in base64, which both begin with {".
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}`)

// HoldsToken reports whether a payload has a token in it, under whatever name.
func HoldsToken(data []byte) bool {
	return bytes.Contains(data, []byte(`"token"`)) || jwt.Match(data)
}

// excerpt is what may be shown of a payload: no tokens, and not everything of a long one.
func excerpt(data []byte) (text string, cut bool) {
	if HoldsToken(data) {
		return "(holds a token)", true
	}
	if len(data) > itemData {
		return strings.ToValidUTF8(string(data[:itemData]), ""), true
	}
	return string(data), false
}

// since gives the items after a number, and the newest number.
func (s *stream) since(n int64) (list []Item, last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list = []Item{}
	for n = max(n, s.last-keptItems); n < s.last; n++ {
		list = append(list, s.items[(n+1)%keptItems])
	}
	return list, s.last
}

// The latencies are counted in steps of about 9 %, from 1 µs on.
const (
	perOctave = 8
	buckets   = 27 * perOctave // up to two minutes
)

func bucketOf(d time.Duration) int {
	micros := float64(max(d, time.Microsecond)) / float64(time.Microsecond)
	return min(buckets-1, int(math.Log2(micros)*perOctave))
}

// took counts how long a message took.
func (s *stream) took(d time.Duration) { s.latency[bucketOf(d)].Add(1) }

// quantile gives the milliseconds under which a share q of the counted lies.
func quantile(counts []int64, q float64) float64 {
	var total, seen int64
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	want := int64(math.Ceil(q * float64(total)))
	for i, n := range counts {
		if seen += n; seen >= want {
			return math.Exp2((float64(i)+0.5)/perOctave) / 1000
		}
	}
	return 0
}

// start takes the numbers of every second until close.
func (s *stream) start(stats func() emulator.Stats) {
	s.loop.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		before := stats()
		for {
			select {
			case at := <-tick.C:
				now := stats()
				s.tick(at, before, now)
				before = now
			case <-s.closed:
				return
			}
		}
	})
}

func (s *stream) tick(at time.Time, before, now emulator.Stats) {
	counts := make([]int64, buckets)
	for i := range counts {
		counts[i] = s.latency[i].Swap(0)
	}
	p := Point{
		At: at.Unix(), In: now.MessagesIn - before.MessagesIn, Out: now.MessagesOut - before.MessagesOut,
		Connections: now.Connections, P50: quantile(counts, 0.5), P99: quantile(counts, 0.99), Skipped: s.skipped.Swap(0),
	}
	p.Skipped += max(0, now.Posts-before.Posts-pushesASecond)
	for id, f := range now.Functions {
		p.Invocations += f.Invocations - before.Functions[id].Invocations
		p.Errors += f.Errors - before.Functions[id].Errors
	}
	s.refill()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.points = append(s.points, p); len(s.points) > keptPoints {
		s.points = slices.Delete(s.points, 0, len(s.points)-keptPoints)
	}
}

func (s *stream) pointsSince(at int64) []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.points {
		if p.At > at {
			return slices.Clone(s.points[i:])
		}
	}
	return nil
}

// close ends the numbers, and lets those who watch go.
func (s *stream) close() {
	select {
	case <-s.closed:
		return
	default:
		close(s.closed)
	}
	s.loop.Wait()
}

// serve is a stream of server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html: "points" and
// "items", each a JSON list. A browser that comes back says by Last-Event-ID which item it has.
func (s *stream) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	var (
		seen  int64
		shown int64
	)
	if _, err := fmt.Sscan(r.Header.Get("Last-Event-ID"), &seen); err != nil {
		seen = 0
	}
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for {
		points := s.pointsSince(shown)
		if len(points) > 0 {
			shown = points[len(points)-1].At
		}
		list, last := s.since(seen)
		seen = last
		if err := send(w, out, points, list, last); err != nil {
			return // whoever watched is gone
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.closed:
			return
		}
	}
}

func send(w http.ResponseWriter, out *http.ResponseController, points []Point, list []Item, last int64) error {
	if len(points) > 0 {
		b, err := json.Marshal(points)
		if err != nil {
			return fmt.Errorf("encode points: %w", err)
		}
		if _, err := fmt.Fprintf(w, "event: points\ndata: %s\n\n", b); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		b, err := json.Marshal(list)
		if err != nil {
			return fmt.Errorf("encode items: %w", err)
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: items\ndata: %s\n\n", last, b); err != nil {
			return err
		}
	}
	return out.Flush()
}

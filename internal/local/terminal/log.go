// Package terminal is what a person watches while developing.
package terminal

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/text"
)

// Log is a line for each thing that happens, coloured on a terminal.
type Log struct {
	mu      sync.Mutex
	w       io.Writer
	quiet   bool
	paint   bool
	second  int64 // the second that lines are counted in
	lines   int   // of events, in that second
	skipped int
}

// linesASecond bounds the log: a busy server would do nothing else, and nobody could read it.
const linesASecond = 100

// New makes a log that shows problems only if it is quiet.
func New(w *os.File, quiet bool) *Log {
	info, err := w.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &Log{w: w, quiet: quiet, paint: terminal}
}

// The colours, as SGR codes.
const (
	plain  = ""
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (l *Log) colour(code, text string) string {
	if !l.paint || code == plain {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// print prints a line. What others have chosen in it is visible already.
func (l *Log) print(at time.Time, colour, sign, line string) {
	line = l.colour(dim, at.Format("15:04:05.000")) + " " + l.colour(colour, sign) + " " + line + "\n"
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, line)
}

// Note says something about a function or the template, unless the log is quiet.
func (l *Log) Note(about, text string) {
	if !l.quiet {
		l.print(time.Now(), cyan, "↻", about+": "+text)
	}
}

// Warn says what is missing or wrong about a function or the template.
func (l *Log) Warn(about, text string) { l.print(time.Now(), yellow, "!", about+": "+text) }

// Welcome says what is where. foreign: it is another application's API. others are the logical ids and addresses of what else is served.
func (l *Log) Welcome(address, path, data string, foreign bool, others [][2]string) {
	where := "in memory"
	if data != "" {
		where = "in " + data
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if foreign {
		_, _ = fmt.Fprintf(l.w, `The API is running.

  WebSocket    ws://%[1]s%[2]s
  management   http://%[1]s%[3]s/@connections/{id}
  console      http://%[1]s/_bellhop/
`, address, path, strings.TrimSuffix(path, "/"))
		for _, one := range others {
			_, _ = fmt.Fprintf(l.w, "  %-11s  %s\n", text.Visible(one[0]), one[1])
		}
		_, _ = io.WriteString(l.w, "\nStop:  Ctrl-C\n\n")
		return
	}
	_, _ = fmt.Fprintf(l.w, `Bellhop is running. The store is %[2]s.

  page       http://%[1]s/
  WebSocket  ws://%[1]s/dev
  console    http://%[1]s/_bellhop/

Try:   bellhop emit --endpoint http://%[1]s --room channel:lobby --event message:new --data '{"content":"hi"}'
Stop:  Ctrl-C

`, address, where)
}

// Goodbye says what is kept of it. saved: nothing went wrong at the end.
func (l *Log) Goodbye(data string, saved bool) {
	colour, text := plain, "stopped"
	switch {
	case !saved:
		colour, text = red, "stopped, and not everything is done or saved"
	case data != "":
		text = "stopped; everything is saved in " + data
	}
	l.print(time.Now(), colour, "·", text)
}

// Observe gives what prints what the emulator does; if the log is quiet, only what went wrong there.
func (l *Log) Observe() func(emulator.Event) {
	if l.quiet {
		return l.problem
	}
	return l.event
}

// problem prints what no function has logged, since it is about how one ended: it failed, took too long, was not there. A push to
// somebody who is gone, or a handshake that is refused, is none.
func (l *Log) problem(e emulator.Event) {
	switch {
	case e.Kind == emulator.KindDead:
	case e.Err == nil, e.Kind == emulator.KindPush:
		return
	case e.Kind == emulator.KindConnect && e.Status < http.StatusInternalServerError:
		return
	}
	l.event(e)
}

func (l *Log) event(e emulator.Event) {
	at := time.Now()
	if !l.space(at) {
		return
	}
	colour, sign, what := describe(e)
	if what == "" {
		return
	}
	if e.Err != nil {
		colour, what = red, what+"  "+e.Err.Error()
	}
	what = text.Visible(what)
	if e.Duration >= 10*time.Microsecond {
		what += "  " + l.colour(dim, e.Duration.Round(10*time.Microsecond).String())
	}
	l.print(at, colour, sign, what)
}

// space reports whether another line may be printed now, and says afterwards how many could not.
func (l *Log) space(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		if l.skipped > 0 {
			_, _ = fmt.Fprintf(l.w, "%s … and %d more\n", l.colour(dim, now.Format("15:04:05.000")), l.skipped)
		}
		l.second, l.lines, l.skipped = second, 0, 0
	}
	if l.lines++; l.lines <= linesASecond {
		return true
	}
	l.skipped++
	return false
}

// Output gives what prints the lines that functions write, with the first part of the request's id; nil if the log is quiet.
func (l *Log) Output() func(function string, line runtimeapi.Line) {
	if l.quiet {
		return nil
	}
	return func(function string, line runtimeapi.Line) {
		at := time.Now()
		if !l.space(at) {
			return
		}
		colour := plain
		if line.Stream == "stderr" {
			colour = yellow
		}
		id, _, _ := strings.Cut(line.RequestID, "-")
		l.print(at, dim, "│", text.Visible(strings.Join(strings.Fields(function+" "+id), " "))+"  "+l.colour(colour, text.Visible(line.Text)))
	}
}

func describe(e emulator.Event) (colour, sign, text string) {
	switch e.Kind {
	case emulator.KindAuthorize:
		if e.Status < http.StatusBadRequest {
			return plain, "", ""
		}
		return yellow, "✗", fmt.Sprintf("refused %d %s", e.Status, e.Reason)
	case emulator.KindConnect:
		if e.Status == http.StatusSwitchingProtocols {
			return green, "+", e.Connection + " connected"
		}
		return yellow, "✗", fmt.Sprintf("handshake %d %s", e.Status, e.Reason)
	case emulator.KindDisconnect:
		return dim, "-", fmt.Sprintf("%s disconnected %d %s", e.Connection, e.Status, e.Reason)
	case emulator.KindMessage:
		return cyan, "→", fmt.Sprintf("%s %-8s %s", e.Connection, e.Route, shorten(e.Data))
	case emulator.KindPush:
		if e.Status >= http.StatusBadRequest {
			return yellow, "✗", fmt.Sprintf("%s push %d %s", e.Connection, e.Status, e.Reason)
		}
		return plain, "←", fmt.Sprintf("%s %s", e.Connection, shorten(e.Data))
	case emulator.KindRequest:
		if e.Status >= http.StatusInternalServerError {
			return red, "✗", fmt.Sprintf("%s %d", e.Reason, e.Status)
		}
		return cyan, "⇄", fmt.Sprintf("%s %d", e.Reason, e.Status)
	case emulator.KindInvoke:
		return cyan, "λ", fmt.Sprintf("%s %s", e.Function, shorten(e.Data))
	case emulator.KindQueue:
		return dim, "≡", fmt.Sprintf("%s to %s", e.Queue, e.Function)
	case emulator.KindStream:
		return dim, "≡", fmt.Sprintf("%d of the stream of %s to %s", e.Status, e.Queue, e.Function)
	case emulator.KindDead:
		return red, "†", fmt.Sprintf("%s dead letter: %s", e.Queue, e.Reason)
	case emulator.KindTopic:
		return dim, "⇢", fmt.Sprintf("%s to %d: %s", e.Queue, e.Status, shorten(e.Data))
	case emulator.KindBus:
		return dim, "⇢", e.Reason
	case emulator.KindSchedule:
		return dim, "◷", e.Function
	}
	return plain, "·", cmp.Or(e.Reason, string(e.Kind))
}

// shorten keeps tokens and long messages out of the log.
func shorten(data []byte) string {
	if console.HoldsToken(data) {
		return "(holds a token)"
	}
	text := string(data)
	const most = 160
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Handler is for what the functions log: problems, since Observe shows the rest.
func (l *Log) Handler() slog.Handler { return &handler{log: l} }

type handler struct {
	log   *Log
	attrs []slog.Attr
}

// Enabled is [slog.Handler].Enabled.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

// Handle is [slog.Handler].Handle.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	colour := yellow
	if r.Level >= slog.LevelError {
		colour = red
	}
	what := r.Message
	add := func(a slog.Attr) bool {
		if a.Key == "warning" { // a sentence that says what it is about
			what += "  " + a.Value.String()
			return true
		}
		what += fmt.Sprintf("  %s=%v", a.Key, a.Value)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.log.print(r.Time, colour, "!", text.Visible(what))
	return nil
}

// WithAttrs is [slog.Handler].WithAttrs.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{log: h.log, attrs: append(slices.Clip(h.attrs), attrs...)}
}

// WithGroup is [slog.Handler].WithGroup. Groups are not shown.
func (h *handler) WithGroup(string) slog.Handler { return h }

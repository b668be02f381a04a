package runtimeapi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	tailLines = 10
	tailBytes = 2 << 10  // of a line that is kept
	lineBytes = 64 << 10 // a longer line is logged in pieces
	drainWait = 500 * time.Millisecond
)

// output are the two pipes that a process writes to. They are our own, not those of exec.Cmd, because its Wait would wait for
// whatever else has inherited them.
//
// What a process wrote before it asked for its next call belongs to the call before, however late it is read. So our own end of each
// pipe stays open, and a mark is written there when the process asks: all that was written by then is in front of it.
type output struct {
	streams [2]*pipe
	lines   sync.WaitGroup
}

// pipe is one of them. Its mark is of no meaning, and not known to the process.
type pipe struct {
	read, write *os.File
	mark        []byte
	passed      chan struct{} // a mark was read
}

func (f *Function) newOutput(p *process) (*output, error) {
	o := &output{}
	for i, name := range []string{"stdout", "stderr"} {
		s := &pipe{mark: []byte("\x00" + newID() + "\x00"), passed: make(chan struct{}, 1)}
		var err error
		if s.read, s.write, err = os.Pipe(); err != nil {
			o.drain()
			return nil, fmt.Errorf("open the output of function %s: %w", f.cfg.Name, err)
		}
		o.streams[i] = s
		o.lines.Go(func() { s.each(func(line string) { f.said(p, name, &p.tail[i], line) }) })
	}
	return o, nil
}

// settle waits until all is read that the process has written so far, at most as long as its caller can wait.
func (o *output) settle() {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for _, s := range o.streams {
		select { // of a mark that was waited for in vain
		case <-s.passed:
		default:
		}
		if _, err := s.write.Write(s.mark); err != nil {
			continue
		}
		select {
		case <-s.passed:
		case <-timer.C:
			return
		}
	}
}

// drain reads what is left, and closes the pipes. A process that left the group can hold them open, but not for long.
func (o *output) drain() {
	for _, s := range o.streams {
		if s == nil {
			continue
		}
		_ = s.write.Close()
		if s.read.SetReadDeadline(time.Now().Add(drainWait)) != nil { // pipes of Windows have no deadline
			timer := time.AfterFunc(drainWait, func() { _ = s.read.Close() })
			defer timer.Stop()
		}
	}
	o.lines.Wait()
	for _, s := range o.streams {
		if s != nil {
			_ = s.read.Close()
		}
	}
}

// each gives the lines as they come: what ends with a newline, is too long, or is all there is before a mark.
func (s *pipe) each(tell func(line string)) {
	buf := make([]byte, 0, lineBytes)
	say := func(line []byte) {
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			tell(text)
		}
	}
	for {
		n, err := s.read.Read(buf[len(buf):cap(buf)])
		rest := s.split(buf[:len(buf)+n], say)
		if len(rest) == cap(buf) { // the beginning of a mark may be at its end
			say(rest[:len(rest)-len(s.mark)])
			rest = rest[len(rest)-len(s.mark):]
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
		if err != nil {
			say(buf)
			return
		}
	}
}

// split says what is whole of a text, tells of the marks in it, and gives the rest.
func (s *pipe) split(text []byte, say func(line []byte)) (rest []byte) {
	for {
		end, mark := bytes.IndexByte(text, '\n'), bytes.Index(text, s.mark)
		switch {
		case mark >= 0 && (end < 0 || mark < end):
			say(text[:mark])
			text = text[mark+len(s.mark):]
			select {
			case s.passed <- struct{}{}:
			default: // nobody waited for the one before
			}
		case end >= 0:
			say(text[:end])
			text = text[end+1:]
		default:
			return text
		}
	}
}

// said hands on what a process wrote, with the id of the call that it has.
func (f *Function) said(p *process, stream string, last *tail, line string) {
	last.add(line)
	f.mu.Lock()
	id := ""
	if p.current != nil {
		id = p.current.id
	}
	f.mu.Unlock()
	if f.cfg.Output != nil {
		f.cfg.Output(Line{Stream: stream, RequestID: id, Text: line})
		return
	}
	f.log.InfoContext(context.Background(), "function output", "stream", stream, "requestId", id, "line", line)
}

// tail keeps the last lines of a stream, for the error of a process that exits.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line[:min(len(line), tailBytes)])
}

// String is the lines as they came.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

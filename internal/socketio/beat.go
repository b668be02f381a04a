package socketio

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// Beats are a chain of jobs, each of which pings and leaves the next one behind, which looks for the answer.
//
// Lambda stops what has invoked itself 16 times in a row (https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html).
// So from the sixth beat on a ping asks its answer to go on: the client's pong is an invocation of API Gateway's, with which
// another row begins. It leaves the first beat of the next generation, and the old chain ends when its last job sees that. Where
// that does not happen, since an invocation was cut off or is of an older version, the chain goes on, and asks again.
//
// A queue hands a job on at least once. What two deliveries of one job leave behind differ by a name, and every sixth beat claims
// its place in the chain by it: so only one of doubled beats goes on. A job looks only for the answer to the ping that the one before
// it has sent, whose note it names: of any other note it does not know whether the ping was sent, and sends it.
const (
	chainBeats = 6  // after which a pong is asked to go on; and between two claims
	chainMost  = 12 // beats in a row, with the open packet's job and the reaper before them and the look for the last answer behind them
)

// What of a job is a beat's:
//
//	Gen      the generation of its chain, from 1
//	Attempt  its place in the chain, from 1
//	Since    the note of the ping that the beat before it has sent, 0: there is none
//	Left     what tells it from a double, in Unix nanoseconds
//
// Jobs of an older version have none of them. passed is how much of the time between two beats is over.
func (s *Server) nextBeat(ctx context.Context, connection string, next hub.Job, passed time.Duration) error {
	next.Kind, next.Targets = jobBeat, []hub.Target{{Connection: connection}}
	if err := s.Queue.Enqueue(ctx, next, s.beatInterval()-passed); err != nil {
		return fmt.Errorf("enqueue beat: %w", err)
	}
	return nil
}

// beatInterval is the time between two beats.
func (s *Server) beatInterval() time.Duration {
	if s.Options.KeepAlive == Heartbeat {
		// Not before a client that has not answered is known to be dead.
		return max(s.Options.PingInterval, s.Options.PingTimeout)
	}
	return noopInterval
}

// isLast reports whether API Gateway will have closed the connection when the next beat is due. A chain that went on where the answer
// should have counts for less than it is.
func (s *Server) isLast(j hub.Job) bool {
	beats := (max(j.Gen, 1)-1)*chainBeats + int64(j.Attempt)
	return time.Duration(beats+1)*s.beatInterval()+spare > longest
}

// firstBeat is the first beat of a generation.
func (s *Server) firstBeat(gen int64) hub.Job {
	return hub.Job{Gen: gen, Attempt: 1, Left: s.Now().UnixNano()}
}

// beat keeps a connection awake, unless it has not answered the ping before.
func (s *Server) beat(ctx context.Context, connection string, j hub.Job) error {
	if is, err := s.claim(ctx, connection, j); err != nil || !is {
		return err
	}
	if s.isLast(j) {
		return errors.Join(s.push(ctx, connection, []byte(recall)), s.shut(ctx, connection))
	}
	next := hub.Job{Gen: j.Gen, Attempt: j.Attempt + 1, Left: s.Now().UnixNano()}
	frame := packet.Noop.Frame()
	if s.Options.KeepAlive == Heartbeat {
		frame = packet.Ping.Frame()
		ping, err := s.notePing(ctx, connection, j)
		if err != nil || ping == 0 {
			return err
		}
		next.Since = ping
	}
	err := s.Pusher.Push(ctx, connection, frame)
	if errors.Is(err, hub.ErrGone) {
		return nil // and with that the last beat
	}
	if err != nil && next.Since != 0 { // nobody can answer it
		next.Since = 0
		if err := s.Notes.Unnote(ctx, pinged(connection)); err != nil {
			return err
		}
	}
	if err != nil && !errors.Is(err, hub.ErrThrottled) {
		return fmt.Errorf("push beat: %w", err)
	}
	if s.Options.KeepAlive == Noop && time.Duration(next.Attempt)*noopInterval > 2*time.Hour {
		return nil // API Gateway has ended the connection by then
	}
	return s.nextBeat(ctx, connection, next, 0)
}

// notePing notes the ping that a beat is to send, and gives its note. 0: the beat is the last one.
func (s *Server) notePing(ctx context.Context, connection string, j hub.Job) (ping int64, err error) {
	switch ping, err = s.unanswered(ctx, connection); {
	case err != nil:
		return 0, err
	case ping != 0 && ping == j.Since:
		return 0, s.shut(ctx, connection)
	}
	if gen := goesOn(j.Since); gen != 0 {
		_, err := s.Notes.Noted(ctx, claimed(connection, gen, 1))
		if !errors.Is(err, hub.ErrNotFound) {
			return 0, err // the answer has gone on
		}
	}
	if j.Attempt > chainMost {
		s.Logger.WarnContext(ctx, "no answer went on with the heartbeat", "connectionId", connection)
		return 0, nil
	}
	if ping != 0 {
		return ping, nil
	}
	if ping = s.Now().UnixMilli() * perMilli; j.Attempt >= chainBeats {
		ping += j.Gen + 1
	}
	// Before the ping: its answer, which deletes the note, may be here before the push returns.
	return ping, s.Notes.Note(ctx, pinged(connection), number(ping), s.Now().Add(lifetime))
}

// perMilli is by how much the note of a ping is more than the Unix milliseconds when it was sent. What is beyond is the generation
// that its answer is to begin, 0: none. Functions of an older version note the milliseconds, and take these for a later time.
const perMilli = 1_000_000

// goesOn gives the generation that the answer to a ping is to begin, 0: none.
func goesOn(ping int64) int64 {
	const older = 1_000_000_000_000_000 // what an older version notes in the year 33658
	if ping < older {
		return 0
	}
	return ping % perMilli
}

func number(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// unanswered gives the note of a ping that has no answer, 0: there is none. A pong deletes it.
func (s *Server) unanswered(ctx context.Context, connection string) (ping int64, err error) {
	text, err := s.Notes.Noted(ctx, pinged(connection))
	if errors.Is(err, hub.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if ping, err = strconv.ParseInt(string(text), 10, 64); err != nil {
		return 0, fmt.Errorf("decode ping: %w", err)
	}
	return ping, nil
}

// claim reports whether a beat may go on. One in six is asked, and of its doubles only the first may.
func (s *Server) claim(ctx context.Context, connection string, j hub.Job) (bool, error) {
	if j.Left == 0 || j.Attempt%chainBeats != 1 {
		return true, nil
	}
	name := claimed(connection, j.Gen, j.Attempt)
	by, err := s.Notes.Noted(ctx, name)
	if !errors.Is(err, hub.ErrNotFound) {
		return string(by) == string(number(j.Left)), err
	}
	did, err := s.Notes.NoteOnce(ctx, name, number(j.Left), s.Now().Add(lifetime))
	if did || err != nil {
		return did, err
	}
	by, err = s.Notes.Noted(ctx, name) // its own, if an answer was lost
	return string(by) == string(number(j.Left)), err
}

// ponged takes the answer to a ping, and goes on with the beats where the ping asks for it. The claim comes last: without it the
// chain that asked goes on itself.
func (s *Server) ponged(ctx context.Context, connection string) error {
	ping, err := s.unanswered(ctx, connection)
	if err != nil || ping == 0 {
		return err
	}
	if err := s.Notes.Unnote(ctx, pinged(connection)); err != nil {
		return err
	}
	gen := goesOn(ping)
	if gen == 0 || s.Options.KeepAlive != Heartbeat {
		return nil
	}
	first := s.firstBeat(gen)
	if err = s.nextBeat(ctx, connection, first, 0); err == nil {
		_, err = s.Notes.NoteOnce(ctx, claimed(connection, gen, 1), number(first.Left), s.Now().Add(lifetime))
	}
	if err != nil {
		s.Logger.WarnContext(ctx, "go on with the heartbeat", "connectionId", connection, "error", err)
	}
	return nil
}

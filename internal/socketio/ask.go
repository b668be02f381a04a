package socketio

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// The times of asking: a function waits while clients think, so it should not be long.
const (
	askDefault = 5 * time.Second
	askMost    = 10 * time.Second
	askEvery   = 100 * time.Millisecond // between two looks for answers, growing to half a second
	askMany    = 100                    // connections: each look reads a note for each that has not answered
)

func ackNote(connection string, id uint64) string {
	return "ack#" + connection + "#" + strconv.FormatUint(id, 10)
}

// Ask sends an EVENT that asks for an ACK, and waits for the answers of up to 100 clients.
func (r *Rooms) Ask(ctx context.Context, to []hub.Connection, q hub.Ask) (hub.Answers, error) {
	if len(to) > askMany {
		return hub.Answers{}, protocol.Errorf(protocol.CodeBadRequest, "ask may be for %d connections, these are %d", askMany, len(to))
	}
	timeout := min(cmp.Or(q.Timeout, askDefault), askMost)
	// One id for all: it is the clients' own, and each keeps its own count of them. 53 bits are what JavaScript counts with.
	id := rand.Uint64N(1 << 53) //nolint:gosec // unlikely to meet another, and guards nothing
	got, waiting, err := r.pose(ctx, q, to, id)
	if err != nil {
		return got, err
	}
	until := r.now().Add(timeout)
	for pause := askEvery; len(waiting) > 0 && r.now().Before(until) && ctx.Err() == nil; pause = min(pause+askEvery, 5*askEvery) {
		r.sleep(ctx, pause)
		if waiting, err = r.collect(ctx, &got, waiting, id); err != nil {
			return got, err
		}
	}
	for _, row := range waiting {
		got.Missing = append(got.Missing, row.ID)
	}
	return got, nil
}

// pose pushes the question, and gives those that may answer. Their handlers get what those of Socket.IO's servers get, (data, ack), or
// (ack) alone where there is no data: no meta comes between as with other events, unless the program says whom it asks for.
func (r *Rooms) pose(ctx context.Context, q hub.Ask, to []hub.Connection, id uint64) (got hub.Answers, waiting []hub.Connection, err error) {
	got = hub.Answers{Answers: []hub.Answered{}, Missing: []string{}}
	var args []json.RawMessage
	if q.Data != nil {
		args = append(args, q.Data)
	}
	if q.From != nil {
		about, err := json.Marshal(map[string]any{"from": q.From, "ts": r.now().UnixMilli()})
		if err != nil {
			return got, nil, fmt.Errorf("encode question: %w", err)
		}
		args = []json.RawMessage{json.RawMessage(cmp.Or(string(q.Data), "null")), about}
	}
	for _, row := range to {
		speech, is := speechOf(row.Codec)
		if !is {
			got.Missing = append(got.Missing, row.ID)
			continue
		}
		err := r.pusher.Push(ctx, speech.Wire(row.ID), packet.AppendEvent(nil, speech.namespace, &id, q.Event, args...))
		switch {
		case errors.Is(err, hub.ErrGone):
			got.Missing = append(got.Missing, row.ID)
		case err != nil:
			return got, nil, fmt.Errorf("push question: %w", err)
		default:
			waiting = append(waiting, row)
		}
	}
	return got, waiting, nil
}

// collect takes the answers that have come, and gives those that have not.
func (r *Rooms) collect(ctx context.Context, got *hub.Answers, waiting []hub.Connection, id uint64) (left []hub.Connection, err error) {
	answers := make([]json.RawMessage, len(waiting))
	errs := make([]error, len(waiting))
	var wg sync.WaitGroup
	for i, row := range waiting {
		wg.Go(func() {
			answers[i], errs[i] = r.notes.Noted(ctx, ackNote(row.ID, id))
		})
	}
	wg.Wait()
	for i, row := range waiting {
		switch {
		case errors.Is(errs[i], hub.ErrNotFound):
			left = append(left, row)
		case errs[i] != nil:
			err = errors.Join(err, fmt.Errorf("read answer: %w", errs[i]))
		default:
			got.Answers = append(got.Answers, hub.Answered{Connection: row.ID, UserID: row.User, Args: answers[i]})
		}
	}
	return left, err
}

// Acked keeps an ACK for whoever asked. One that nobody waits for lapses, and one that is nested deeper than data may be is none.
func (r *Rooms) Acked(ctx context.Context, c hub.Caller, p packet.Packet) error {
	if err := protocol.CheckDepth(p.Data); err != nil {
		return nil //nolint:nilerr // the client does not break the protocol, it only says nothing
	}
	return r.notes.Note(ctx, ackNote(socketID(c.Connection, p.Namespace), *p.ID), p.Data, r.now().Add(time.Minute))
}

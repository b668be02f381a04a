package socketio

import (
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

// Answered is one client's ACK.
type Answered struct {
	Connection string          `json:"connection"`
	UserID     string          `json:"userId"`
	Args       json.RawMessage `json:"args"` // a list
}

// Asked is the data of the command ask.
type Asked struct {
	Answers []Answered `json:"answers"`
	Missing []string   `json:"missing"` // connections that did not answer in time, or speak bellhop.v1
}

func ackNote(connection string, id uint64) string {
	return "ack#" + connection + "#" + strconv.FormatUint(id, 10)
}

// Ask is [hub.Asker].Ask: it sends an EVENT that asks for an ACK, and waits for the answers of up to 100 clients.
func (r *Rooms) Ask(ctx context.Context, c hub.Command) (any, error) {
	rows, err := r.Hub.Select(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := protocol.CheckEvent(c.Event); err != nil {
		return nil, err
	}
	if len(rows) > askMany {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "ask may be for %d connections, these are %d", askMany, len(rows))
	}
	timeout := min(max(time.Duration(c.TimeoutMs)*time.Millisecond, 0), askMost)
	if timeout == 0 {
		timeout = askDefault
	}
	// One id for all: it is the clients' own, and each keeps its own count of them. 53 bits are what JavaScript counts with.
	id := rand.Uint64N(1 << 53) //nolint:gosec // unlikely to meet another, and guards nothing
	got, waiting, err := r.pose(ctx, c, rows, id)
	if err != nil {
		return nil, err
	}
	until := r.Hub.Now().Add(timeout)
	for pause := askEvery; len(waiting) > 0 && r.Hub.Now().Before(until) && ctx.Err() == nil; pause = min(pause+askEvery, 5*askEvery) {
		r.Hub.Sleep(ctx, pause)
		if waiting, err = r.collect(ctx, &got, waiting, id); err != nil {
			return got, err
		}
	}
	for _, row := range waiting {
		got.Missing = append(got.Missing, row.ID)
	}
	return got, nil
}

// pose pushes the question, and gives those that may answer.
func (r *Rooms) pose(ctx context.Context, c hub.Command, rows []hub.Connection, id uint64) (got Asked, waiting []hub.Connection, err error) {
	got = Asked{Answers: []Answered{}, Missing: []string{}}
	data := c.Data
	if data == nil {
		data = json.RawMessage("null")
	}
	about, err := json.Marshal(map[string]any{"from": c.From, "ts": r.Hub.Now().UnixMilli()})
	if err != nil {
		return got, nil, fmt.Errorf("encode question: %w", err)
	}
	for _, row := range rows {
		codec, is := codecOf(row.Codec)
		if !is {
			got.Missing = append(got.Missing, row.ID)
			continue
		}
		err := r.Hub.Pusher.Push(ctx, row.ID, packet.AppendEvent(nil, codec.Namespace, &id, c.Event, data, about))
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
func (r *Rooms) collect(ctx context.Context, got *Asked, waiting []hub.Connection, id uint64) (left []hub.Connection, err error) {
	answers := make([]json.RawMessage, len(waiting))
	errs := make([]error, len(waiting))
	var wg sync.WaitGroup
	for i, row := range waiting {
		wg.Go(func() {
			answers[i], errs[i] = r.Hub.Store.Noted(ctx, ackNote(row.ID, id))
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
			got.Answers = append(got.Answers, Answered{row.ID, row.User, answers[i]})
		}
	}
	return left, err
}

// Acked keeps an ACK for whoever asked. One that nobody waits for lapses.
func (r *Rooms) Acked(ctx context.Context, c hub.Caller, p packet.Packet) error {
	return r.Hub.Store.Note(ctx, ackNote(socketID(c.Connection, p.Namespace), *p.ID), p.Data, r.Hub.Now().Add(time.Minute))
}

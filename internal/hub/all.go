package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// allTogether is how many partitions of the connections are read at once.
const allTogether = 8

// AllResult is the data of a publish to everybody.
type AllResult struct {
	Results []TargetResult `json:"results"`        // of those that failed
	Reached int            `json:"reached"`        // users whom it was logged for; of an ephemeral event, connections that got it
	Next    string         `json:"next,omitempty"` // the after of the next command; empty: that were all
}

// toAll logs the event in the room of every user who has a connection open, or pushes it to every connection if it is ephemeral. After a
// page of users it gives a place to go on from. A user whose connections are in several partitions is met several times; the id tells.
func (c PublishCommand) toAll(ctx context.Context, h *Hub) (any, error) {
	first, err := strconv.Atoi("0" + c.After)
	switch {
	case len(c.Rooms)+len(c.Users)+len(c.Connections) > 0:
		return nil, protocol.Errorf(protocol.CodeBadRequest, `"all" is everybody: leave out "rooms", "users" and "connections"`)
	case err != nil || first > Partitions:
		return nil, protocol.Errorf(protocol.CodeBadRequest, `after must be the "next" of the command before`)
	case c.ID == "" && !c.Ephemeral:
		return nil, protocol.Errorf(protocol.CodeBadRequest, `"all" needs an "id", by which a repetition is known`)
	}
	got := AllResult{Results: []TargetResult{}}
	told := map[string]bool{}
	var errs []error
	for at := first; at < Partitions; {
		n := min(allTogether, Partitions-at)
		rows, err := h.openIn(ctx, at, n)
		if err != nil {
			return got, err
		}
		errs = append(errs, c.tell(ctx, h, rows, told, &got))
		if at += n; at < Partitions && len(told) >= h.limits.Page {
			got.Next = strconv.Itoa(at)
			break
		}
	}
	return got, errors.Join(errs...)
}

// GoOn gives the command that does the rest of one that goes to everybody, whether or not it reached all whom it came to; more is false
// if its answer says that there is none.
func GoOn(c Command, a Answer) (rest Command, more bool) {
	p, is := c.(PublishCommand)
	got, all := a.Data.(AllResult)
	if !is || !all || got.Next == "" {
		return nil, false
	}
	p.After = got.Next
	return p, true
}

// openIn gives the open connections of n partitions, from one on.
func (h *Hub) openIn(ctx context.Context, from, n int) ([]Connection, error) {
	now := h.now()
	var (
		mu   sync.Mutex
		open []Connection
	)
	err := each(n, n, func(i int) error {
		for after := ""; ; {
			rows, err := h.store.Walk(ctx, from+i, after, h.limits.Page)
			if err != nil {
				return fmt.Errorf("walk partition %d: %w", from+i, err)
			}
			if len(rows) > 0 {
				after = rows[len(rows)-1].ID
			}
			last := len(rows) < h.limits.Page
			mu.Lock()
			open = append(open, slices.DeleteFunc(rows, func(c Connection) bool { return c.User == "" || c.Closing || !c.Expires.After(now) })...)
			mu.Unlock()
			if last {
				return nil
			}
		}
	})
	return open, err
}

// tell publishes to those of some connections who have not been told.
func (c PublishCommand) tell(ctx context.Context, h *Hub, rows []Connection, told map[string]bool, got *AllResult) error {
	rows = slices.DeleteFunc(rows, func(row Connection) bool {
		name := row.User
		if c.Ephemeral {
			name = row.ID
		}
		left := told[name] || slices.Contains(c.Except, row.User) || slices.Contains(c.Except, protocol.UserRoom(row.User)) ||
			c.Ephemeral && slices.Contains(c.Except, row.ID)
		told[name] = true
		return left
	})
	results := make([]TargetResult, len(rows))
	err := each(len(rows), 16, func(i int) error {
		var err error
		if c.Ephemeral {
			results[i], err = h.emitToConnection(ctx, c, rows[i].ID)
		} else {
			results[i], err = h.emitToRoom(ctx, c, protocol.UserRoom(rows[i].User))
		}
		if err != nil {
			results[i].Error = publicError(err)
		}
		return err
	})
	for _, r := range results {
		switch {
		case r.Error != nil:
			got.Results = append(got.Results, r)
		case !r.Gone:
			got.Reached++
		}
	}
	return err
}

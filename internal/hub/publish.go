package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// publish logs an event of the caller's and delivers it.
func (h *Hub) publish(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if a.Event == protocol.MessageDeleted {
		var d struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(a.Data, &d); err != nil || d.MessageID == "" {
			return nil, protocol.Errorf(protocol.CodeBadRequest, `%s needs data {"messageId":"…"}`, a.Event)
		}
		a.Target = d.MessageID
		return h.deleteMessage(ctx, c, a, recent)
	}
	if protocol.Reserved(a.Event) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "only the server sends %s", a.Event)
	}
	k, err := h.kind(a.Room)
	if err != nil {
		return nil, err
	}
	known, row, err := h.authorPublish(ctx, c, a, recent)
	if err != nil {
		return nil, err
	}
	e := protocol.Event{
		Event: a.Event, Room: a.Room, ID: a.ID, Data: a.Data,
		From: &protocol.From{UserID: row.User, Name: row.Name},
	}
	if known != nil {
		return h.again(ctx, *known, e, nil)
	}
	if e.Data, err = h.askToPublish(ctx, row, e); err != nil {
		return nil, err
	}
	return h.logAndDeliver(ctx, e, k, nil)
}

// authorPublish checks that the caller may publish, and looks for an entry under the action's id at the same time.
func (h *Hub) authorPublish(ctx context.Context, c Caller, a protocol.Action, recent bool) (known *Entry, row Connection, err error) {
	var (
		wg      sync.WaitGroup
		findErr error
	)
	if a.ID != "" {
		wg.Go(func() {
			found, err := h.store.Find(ctx, a.Room, a.ID)
			switch {
			case err == nil:
				known = &found
			case !errors.Is(err, ErrNotFound):
				findErr = fmt.Errorf("find event: %w", err)
			}
		})
	}
	row, err = h.touchToPublish(ctx, c, a.Room, recent)
	wg.Wait()
	if err == nil {
		err = findErr
	}
	return known, row, err
}

// touchToPublish is touch for those who may publish in the room.
func (h *Hub) touchToPublish(ctx context.Context, c Caller, room string, recent bool) (Connection, error) {
	forbidden := protocol.Errorf(protocol.CodeForbidden, "the token does not grant %q in %s", GrantPublish, room)
	row, err := h.touch(ctx, c, room, recent)
	if err == nil && !row.Grants.Allow(room, GrantPublish) {
		return row, forbidden
	}
	if errors.Is(err, protocol.Refuse(protocol.CodeNotInRoom)) {
		// Who may not publish there at all learns just that.
		if row, readErr := h.store.Connection(ctx, c.Connection); readErr == nil && !row.Grants.Allow(room, GrantPublish) {
			return row, forbidden
		}
	}
	return row, err
}

// logAndDeliver gives an event its place in the room and tells the members.
func (h *Hub) logAndDeliver(ctx context.Context, e protocol.Event, k Kind, except []string) (protocol.PublishResult, error) {
	if len(e.Data) > protocol.MaxData {
		return protocol.PublishResult{}, protocol.Errorf(protocol.CodeTooLarge, "data may have %d bytes, this has %d", protocol.MaxData, len(e.Data))
	}
	e.TS = h.now().UnixMilli() // not before: what settles a log and what recovers a session relies on it
	writing, cancel := context.WithTimeout(ctx, appendTime)
	defer cancel()
	entry, appended, err := h.store.Append(writing, e.Room, e, k.Keep)
	if err != nil {
		return protocol.PublishResult{}, fmt.Errorf("append to %s: %w", e.Room, err)
	}
	if !appended {
		return h.again(ctx, entry, e, except)
	}
	h.observe.logged(ctx, entry, false)
	return published(entry), h.tellPublished(ctx, entry, func() error { return h.deliver(ctx, entry.Event, entry.Epoch, except) })
}

// again delivers an event that is in the log already, to whoever has not got it: a retry after a crash or a lost reply.
// It goes to all members, who drop it by its seq.
func (h *Hub) again(ctx context.Context, known Entry, e protocol.Event, except []string) (protocol.PublishResult, error) {
	sameAuthor := known.From == nil && e.From == nil || known.From != nil && e.From != nil && known.From.UserID == e.From.UserID
	if !sameAuthor || known.Event.Event != e.Event {
		return protocol.PublishResult{}, protocol.Errorf(protocol.CodeConflict, "another event of %s has the id %s", e.Room, e.ID)
	}
	h.observe.logged(ctx, known, true)
	return published(known), h.tellPublished(ctx, known, func() error { return h.deliver(ctx, known.Event, known.Epoch, except) })
}

func published(e Entry) protocol.PublishResult {
	return protocol.PublishResult{Room: e.Room, Epoch: e.Epoch, Seq: e.Seq, ID: e.ID, TS: e.TS}
}

// announceEvent logs and delivers an event of the server's own. Its id is derived from what it announces, so that it
// may be announced any number of times.
func (h *Hub) announceEvent(ctx context.Context, room, event, id string, from *protocol.From, data any) (protocol.PublishResult, error) {
	k, err := h.kind(room)
	if err != nil {
		return protocol.PublishResult{}, err
	}
	e := protocol.Event{Event: event, Room: room, ID: id, From: from, Data: mustJSON(data)}
	return h.logAndDeliver(ctx, e, k, nil)
}

// deleteMessage logs message:deleted and empties the logged message. One's own, or any with the moderate grant.
func (h *Hub) deleteMessage(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if _, err := h.kind(a.Room); err != nil {
		return nil, err
	}
	row, err := h.touch(ctx, c, a.Room, recent)
	if err != nil {
		return nil, err
	}
	entry, err := h.store.Find(ctx, a.Room, a.Target)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("find message: %w", err)
	}
	own := err == nil && entry.Event.Event == protocol.MessageNew && entry.From != nil && entry.From.UserID == row.User
	if !own && !row.Grants.Allow(a.Room, GrantModerate) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "only one's own messages of this room, as far as its log reaches, may be deleted without the grant %q", GrantModerate)
	}
	asked := protocol.Event{Event: protocol.MessageDeleted, Room: a.Room, ID: a.ID, Data: object("messageId", a.Target)}
	if _, err := h.askToPublish(ctx, row, asked); err != nil {
		return nil, err
	}
	return h.retract(ctx, a.Room, a.Target, &protocol.From{UserID: row.User, Name: row.Name})
}

// retract empties a logged message, if the log still has it, and tells the room.
func (h *Hub) retract(ctx context.Context, room, message string, from *protocol.From) (protocol.PublishResult, error) {
	if err := h.redact(ctx, room, message); err != nil {
		return protocol.PublishResult{}, err
	}
	id := "deleted:" + message
	got, err := h.announceEvent(ctx, room, protocol.MessageDeleted, id, from, map[string]string{"messageId": message})
	if errors.Is(err, protocol.Refuse(protocol.CodeConflict)) { // somebody else deleted it before
		entry, err := h.store.Find(ctx, room, id)
		if err != nil {
			return got, fmt.Errorf("find event: %w", err)
		}
		return published(entry), nil
	}
	return got, err
}

func (h *Hub) redact(ctx context.Context, room, message string) error {
	entry, err := h.store.Find(ctx, room, message)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find message: %w", err)
	}
	if entry.Event.Event != protocol.MessageNew {
		return protocol.Errorf(protocol.CodeBadRequest, "%s is not a message", message)
	}
	if err := h.store.Redact(ctx, room, entry.Seq); err != nil {
		return fmt.Errorf("redact message: %w", err)
	}
	return nil
}

// readNotification logs in the caller's own room that a notification was read, so that every device knows.
func (h *Hub) readNotification(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	row, err := h.touch(ctx, c, "", recent)
	if err != nil {
		return nil, err
	}
	from := &protocol.From{UserID: row.User, Name: row.Name}
	data := map[string]string{"notificationId": a.Target}
	asked := protocol.Event{Event: protocol.NotificationRead, Room: protocol.UserRoom(row.User), ID: a.ID, Data: mustJSON(data)}
	if _, err := h.askToPublish(ctx, row, asked); err != nil {
		return nil, err
	}
	return h.announceEvent(ctx, asked.Room, asked.Event, "read:"+a.Target, from, data)
}

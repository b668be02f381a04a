package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// publish logs an event of the caller's and delivers it.
func (h *Hub) publish(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if a.Event == protocol.MessageDeleted {
		t, err := readTarget(a.Event, a.Data)
		if err != nil {
			return nil, err
		}
		a.Target, a.Author = t.MessageID, t.UserID
		return h.deleteMessage(ctx, c, a, recent)
	}
	if protocol.Reserved(a.Event) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "only the server sends %s", a.Event)
	}
	k, err := h.kind(a.Room)
	if err != nil {
		return nil, err
	}
	d := Draft{Event: protocol.Event{Event: a.Event, Room: a.Room, ID: a.ID, Data: a.Data, From: c.from()}, Keep: k.Keep}
	known, row, err := h.authorPublish(ctx, c, &d, recent)
	if err != nil {
		return nil, err
	}
	// A repetition is delivered again, so it is asked about again: who may not say it any more must not be heard.
	if d.Data, err = h.askToPublish(ctx, row, d.Event); err != nil {
		return nil, err
	}
	return h.logAndDeliver(ctx, d, known)
}

// authorPublish checks that the caller may publish, and looks for what it published under this id before, at the same time. It
// fills in who the author is, and under which key the draft is logged once.
func (h *Hub) authorPublish(ctx context.Context, c Caller, d *Draft, recent bool) (known *Entry, row Connection, err error) {
	var (
		wg      sync.WaitGroup
		findErr error
	)
	*d = d.by(c.from())
	if d.ID != "" {
		wg.Go(func() { known, findErr = h.find(ctx, *d) })
	}
	row, err = h.touchToPublish(ctx, c, d.Room, recent)
	wg.Wait()
	if err != nil {
		return nil, row, err
	}
	d.From = &protocol.From{UserID: row.User, Name: row.Name}
	if row.User == c.User {
		return known, row, findErr
	}
	if *d = d.by(d.From); d.ID != "" {
		known, findErr = h.find(ctx, *d)
	}
	return known, row, findErr
}

// by gives the draft as a user's own.
func (d Draft) by(author *protocol.From) Draft {
	if d.From = author; d.ID != "" {
		d.Key, d.Sum = Key{Maker: MakerClient, Owner: author.UserID, ID: d.ID}, sumOf(d.Event)
	}
	return d
}

// find gives the entry under a draft's key, if there is one.
func (h *Hub) find(ctx context.Context, d Draft) (*Entry, error) {
	e, err := h.store.Find(ctx, d.Room, d)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, fmt.Errorf("find event: %w", err)
	}
	return &e, nil
}

// touchToPublish is touch for those who may publish in the room.
func (h *Hub) touchToPublish(ctx context.Context, c Caller, room string, recent bool) (Connection, error) {
	row, err := h.touch(ctx, c, room, recent)
	known := err == nil
	if errors.Is(err, protocol.Refuse(protocol.CodeNotInRoom)) { // who may not publish there at all learns just that
		there, readErr := h.store.Connection(ctx, c.Connection)
		row, known = there, readErr == nil
	}
	if known && !row.Grants.Allow(room, GrantPublish) {
		return row, protocol.Errorf(protocol.CodeForbidden, "the token does not grant %q in %s", GrantPublish, room)
	}
	return row, err
}

// logAndDeliver gives an event its place in the room and tells the members. known is the entry that was found under its
// key, if one was: a retry after a crash or a lost reply. That is delivered again, to whoever has not got it; everybody else drops
// it by its seq.
func (h *Hub) logAndDeliver(ctx context.Context, d Draft, known *Entry) (protocol.PublishResult, error) {
	if err := h.sayable(d.Event, d.out); err != nil {
		return protocol.PublishResult{}, err
	}
	k, err := h.kind(d.Room)
	if err != nil {
		return protocol.PublishResult{}, err
	}
	if d, err = h.lazily(ctx, d, k); err != nil {
		return protocol.PublishResult{}, err
	}
	e, again, err := h.logOnce(ctx, d, known)
	if err != nil {
		return protocol.PublishResult{}, err
	}
	h.observe.logged(ctx, e, again)
	got := protocol.PublishResult{Room: e.Room, Epoch: e.Epoch, Seq: e.Seq, ID: e.ID, TS: e.TS}
	if h.tells(MessagePublished) && !presenceEvent(e.Event.Event) {
		return got, h.deliverAndTell(ctx, d, e, again)
	}
	return got, h.deliverLogged(ctx, d, e, again)
}

const (
	// longestPublish is how long a publish may still be at work on its delivery: the timeout of the function, and a second.
	longestPublish = 30 * time.Second
	// mostPublish is how long most are at most. It is waited for where nobody may be there who would hear it twice, and for functions of
	// before, which do not tell what has become of theirs.
	mostPublish = 3 * time.Second
)

// deliverOnce delivers an entry. Where members speak a dialect whose clients would hear it twice, a repetition waits for what has become
// of the first delivery: only what failed or was cut off is delivered again. Presence says the same however often it is heard.
func (h *Hub) deliverOnce(ctx context.Context, e Entry, d Draft, again bool) error {
	page, err := h.firstMembers(ctx, e.Room)
	if err != nil {
		return err
	}
	plain, patience := h.spoken(page)
	if plain == nil || d.Key.Maker == MakerNobody || presenceEvent(e.Event.Event) {
		return h.deliverWith(ctx, e, d.out, page)
	}
	if again && h.kinds[protocol.RoomKind(e.Room)].Coalesce == 0 { // what waited was told by whoever flushed it
		if told, err := h.awaitTold(ctx, plain, e, patience); err != nil || told {
			return err
		}
		if page, err = h.firstMembers(ctx, e.Room); err != nil { // that may have taken its time
			return err
		}
	}
	err = h.deliverWith(ctx, e, d.out, page)
	if noteErr := plain.NoteTold(ctx, e.Event, e.Epoch, err == nil); noteErr != nil { // then a repetition is heard again
		h.log.WarnContext(ctx, "note that an event was told", "room", e.Room, "eventId", e.ID, "error", noteErr)
	}
	return err
}

// spoken gives the dialect beside bellhop.v1 that some of a room's members speak, or may speak, since they are not on this page; and for
// how long a repetition is to wait for the first delivery.
func (h *Hub) spoken(first MemberPage) (plain Dialect, patience time.Duration) {
	for _, m := range first.Members {
		if d := h.dialect(m.Codec); d != nil {
			return d, longestPublish
		}
	}
	if len(h.dialects) > 0 && (first.Next != "" || first.Shards > 1) {
		return h.dialects[0], mostPublish
	}
	return nil, 0
}

// awaitTold reports whether a delivery that began before has reached all, after waiting for its end.
func (h *Hub) awaitTold(ctx context.Context, plain Dialect, e Entry, patience time.Duration) (bool, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		telling, err := plain.Told(ctx, e.Event, e.Epoch)
		switch {
		case err != nil:
			return false, fmt.Errorf("read whether %s of %s was told: %w", e.ID, e.Room, err)
		case telling != NotTold:
			return telling == ToldAll, nil
		case h.now().Sub(time.UnixMilli(e.TS)) > patience: // it was cut off
			return false, nil
		case ctx.Err() != nil || h.late(ctx):
			return false, fmt.Errorf("wait for the delivery of %s in %s: %w", e.ID, e.Room, ErrUnavailable)
		}
		h.sleep(ctx, wait)
	}
}

// logAsked is logAndDeliver after a look whether the draft's key is known.
func (h *Hub) logAsked(ctx context.Context, d Draft) (protocol.PublishResult, error) {
	var known *Entry
	if d.Key.Maker != MakerNobody {
		var err error
		if known, err = h.find(ctx, d); err != nil {
			return protocol.PublishResult{}, err
		}
	}
	return h.logAndDeliver(ctx, d, known)
}

// logOnce gives the entry of a draft, which it has logged unless it was logged before. An entry of before the room was closed
// counts as none: nobody would hear of it.
func (h *Hub) logOnce(ctx context.Context, d Draft, known *Entry) (e Entry, again bool, err error) {
	for range 3 {
		if known == nil {
			e, appended, err := h.record(ctx, d)
			if err != nil || appended {
				return e, false, err
			}
			known = &e
		}
		head, err := h.store.Head(ctx, d.Room, time.Time{})
		if err != nil {
			return Entry{}, false, fmt.Errorf("read head of %s: %w", d.Room, err)
		}
		if known.Seq > head.Base {
			if !d.Repeats(*known) {
				return Entry{}, false, protocol.Errorf(protocol.CodeConflict, "another event of %s has the id %s", d.Room, d.Key.ID)
			}
			known.Epoch, known.Counted = head.Epoch, head
			return *known, true, nil
		}
		known = nil
	}
	return Entry{}, false, fmt.Errorf("append to %s: it is closed again and again: %w", d.Room, ErrUnavailable)
}

func (h *Hub) record(ctx context.Context, d Draft) (Entry, bool, error) {
	d.TS = h.now().UnixMilli() // not before: what settles a log and what recovers a session relies on it
	ctx, cancel := context.WithTimeout(ctx, appendTime)
	defer cancel()
	e, appended, err := h.store.Append(ctx, d.Room, d)
	if err != nil {
		return e, false, fmt.Errorf("append to %s: %w", d.Room, err)
	}
	return e, appended, nil
}

// What a frame and a job may have, in bytes. A reply repeats an event beside up to a kilobyte of its own.
const (
	maxFrame = protocol.MaxServerFrame - 1<<10
	maxJob   = 240 << 10
)

// sayable refuses an event that could not be told to everybody: in every dialect, in the reply of a join, and by the queue. It
// is decided before an event is logged, since nobody could be told of it afterwards.
func (h *Hub) sayable(e protocol.Event, except []string) error {
	if len(e.Data) > protocol.MaxData {
		return protocol.Errorf(protocol.CodeTooLarge, "data may have %d bytes, this has %d", protocol.MaxData, len(e.Data))
	}
	if len(e.Data) > 0 && !json.Valid(e.Data) {
		return protocol.Errorf(protocol.CodeBadRequest, "the data is not JSON")
	}
	if len(except) == 0 && atMost(e) <= maxFrame && protocol.CheckEvent(e.Event) == nil {
		return nil
	}
	e.Seq, e.TS = 1e12, h.now().UnixMilli() // as long as they may get
	if e.ID == "" {
		e.ID = protocol.GeneratedID("epoch-name", e.Seq)
	}
	speeches := []Speech{v1{}}
	for _, d := range h.dialects {
		speeches = append(speeches, d.Speeches()...)
	}
	for _, s := range speeches {
		frame, err := s.EncodeEvent(e)
		if err != nil {
			return protocol.Errorf(protocol.CodeBadRequest, "the event cannot be told to all: %v", err)
		}
		if len(frame) > maxFrame {
			return protocol.Errorf(protocol.CodeTooLarge, "an event's frame may have %d bytes, this has %d", maxFrame, len(frame))
		}
	}
	job, err := Job{Kind: JobFanOut, Room: e.Room, Event: &e, Except: except}.Encode()
	if err != nil {
		return fmt.Errorf("encode job: %w", err)
	}
	if len(job) > maxJob {
		return protocol.Errorf(protocol.CodeTooLarge, "an event and who is left out may have %d bytes together, these have %d", maxJob, len(job))
	}
	return nil
}

// atMost is more than an event takes in any dialect: a byte of a text is six at most, and one of JSON two. Socket.IO has texts twice.
func atMost(e protocol.Event) int {
	texts := len(e.Event) + len(e.Room) + len(e.ID)
	if e.From != nil {
		texts += len(e.From.UserID) + len(e.From.Name)
	}
	return 2*len(e.Data) + 12*texts + 1<<10
}

// announceEvent logs and delivers an event of the server's own. Its key is derived from what it announces, so that it
// may be announced any number of times.
func (h *Hub) announceEvent(ctx context.Context, room, event string, key Key, from *protocol.From, data any) (protocol.PublishResult, error) {
	k, err := h.kind(room)
	if err != nil {
		return protocol.PublishResult{}, err
	}
	key.Maker = MakerServer
	return h.logAsked(ctx, Draft{
		Event: protocol.Event{Event: event, Room: room, ID: key.ID, From: from, Data: mustJSON(data)}, Key: key, Keep: k.Keep,
	})
}

// target is the data with which clients and programs name a message that is to be deleted.
type target struct {
	MessageID string `json:"messageId"`
	UserID    string `json:"userId"` // whose message it is, if others have messages with this id; empty: whosever
}

func readTarget(event string, data json.RawMessage) (t target, err error) {
	if err := json.Unmarshal(data, &t); err != nil || t.MessageID == "" {
		return t, protocol.Errorf(protocol.CodeBadRequest, `%s needs data {"messageId":"…"}`, event)
	}
	return t, protocol.CheckID(t.MessageID)
}

// messages gives the logged messages that are shown with an id: there may be one of each user and one of the programs. author:
// whose; empty: whosever.
func (h *Hub) messages(ctx context.Context, room, id, author string) ([]Entry, error) {
	list, err := h.store.Named(ctx, room, id, maxNamesakes)
	if err != nil {
		return nil, fmt.Errorf("find message: %w", err)
	}
	return slices.DeleteFunc(list, func(e Entry) bool {
		return e.Event.Event != protocol.MessageNew || author != "" && (e.From == nil || e.From.UserID != author)
	}), nil
}

// maxNamesakes is how many messages with one id are looked at.
const maxNamesakes = 100

// deleteMessage logs message:deleted and empties the logged message. Everybody may delete their own; with the grant moderate
// that is every message which is shown with the id, so that nobody can hide one behind the id of another, or those of one author.
func (h *Hub) deleteMessage(ctx context.Context, c Caller, a protocol.Action, recent bool) (any, error) {
	if _, err := h.kind(a.Room); err != nil {
		return nil, err
	}
	row, err := h.touch(ctx, c, a.Room, recent)
	if err != nil {
		return nil, err
	}
	if !row.Grants.Allow(a.Room, GrantModerate) {
		if a.Author != "" && a.Author != row.User {
			return nil, mayNotDelete()
		}
		a.Author = row.User
	}
	list, err := h.messages(ctx, a.Room, a.Target, a.Author)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && !row.Grants.Allow(a.Room, GrantModerate) {
		return nil, mayNotDelete()
	}
	asked := protocol.Event{Event: protocol.MessageDeleted, Room: a.Room, ID: a.ID, Data: object("messageId", a.Target)}
	if _, err := h.askToPublish(ctx, row, asked); err != nil {
		return nil, err
	}
	return h.retract(ctx, a.Room, a.Target, list, &protocol.From{UserID: row.User, Name: row.Name})
}

func mayNotDelete() error {
	return protocol.Errorf(protocol.CodeForbidden, "only one's own messages of this room, as far as its log reaches, may be deleted without the grant %q", GrantModerate)
}

// deleted is the data of message:deleted.
type deleted struct {
	MessageID string `json:"messageId"`
	UserID    string `json:"userId,omitempty"` // the author, as far as the log reaches
	Seq       int64  `json:"seq,omitempty"`    // of the message, as far as the log reaches
}

// retract empties logged messages that are shown with one id and tells the room of each. Of an id that the log does not have, or
// no longer has, it tells too.
func (h *Hub) retract(ctx context.Context, room, id string, list []Entry, from *protocol.From) (got protocol.PublishResult, err error) {
	tell := func(owner string, d deleted) error {
		got, err = h.announceEvent(ctx, room, protocol.MessageDeleted, Key{ID: AnnouncementID(protocol.MessageDeleted, id), Owner: owner}, from, d)
		return err
	}
	if len(list) == 0 {
		return got, tell("", deleted{MessageID: id})
	}
	for _, e := range list {
		if err := h.store.Redact(ctx, room, e.Seq); err != nil {
			return got, fmt.Errorf("redact message: %w", err)
		}
		d := deleted{MessageID: id, Seq: e.Seq}
		if e.From != nil {
			d.UserID = e.From.UserID
		}
		if err := tell(strconv.FormatInt(e.Seq, 10), d); err != nil {
			return got, err
		}
	}
	return got, nil
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
	return h.announceEvent(ctx, asked.Room, asked.Event, Key{ID: AnnouncementID(asked.Event, a.Target)}, from, data)
}

package simulation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// violation is a promise that was broken.
type violation struct {
	kind  string
	about []string // words that the lines of the trace have which matter
	text  string
}

func (v violation) String() string { return fmt.Sprintf("%s: %s", v.kind, v.text) }

// ledger knows what happened for certain, as only the world can.
type ledger struct {
	w          *world
	violations []violation
	rooms      map[string]*roomLedger
	spans      []*span
	epochs     []string
	secrets    []string // private ids of Socket.IO, and ids of questions
	questions  questions
}

type roomLedger struct {
	entries []*ledgerEntry
	bySeq   map[int64]*ledgerEntry
	byKey   map[string]*ledgerEntry
	acks    map[int64]bool
	members map[string][]stay // by connection
}

type ledgerEntry struct {
	hub.Entry
	at       time.Duration // when it was written
	memory   time.Duration // how long its key is remembered
	redacted bool
}

// toldAsDeleted reports whether a device was told of a message as one that is deleted: without data, as a log has it, and by a push of
// Socket.IO as message:deleted.
func toldAsDeleted(d *device, got protocol.Event) bool {
	if got.Event == protocol.MessageNew {
		return string(got.Data) == "null"
	}
	return d.socketIO != nil && got.Event == protocol.MessageDeleted && strings.Contains(string(got.Data), fmt.Sprintf(`"messageId":%q`, got.ID))
}

// stay is a time in which a connection was a member.
type stay struct {
	to  time.Duration
	now bool // still
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// violatef notes a broken promise.
func (w *world) violatef(kind string, about []string, format string, args ...any) {
	v := violation{kind: kind, about: about, text: fmt.Sprintf(format, args...)}
	w.logf("VIOLATION %s", v)
	w.ledger.violations = append(w.ledger.violations, v)
}

// plain takes out of a text what is random beyond the seed: the names of epochs, and private ids.
func (l *ledger) plain(text string) string {
	for i, epoch := range l.epochs {
		if strings.Contains(text, epoch) {
			text = strings.ReplaceAll(text, epoch, fmt.Sprintf("epoch%d", i))
		}
	}
	for i, pid := range l.secrets {
		if strings.Contains(text, pid) {
			text = strings.ReplaceAll(text, pid, fmt.Sprintf("pid%d", i))
		}
	}
	if l.w.folder != "" {
		text = strings.ReplaceAll(text, l.w.folder, "")
	}
	return text
}

// epoch is called when a log is seen.
func (l *ledger) epoch(name string) {
	if !slices.Contains(l.epochs, name) {
		l.epochs = append(l.epochs, name)
	}
}

// secret is called with the names that are in use; some hold a private id.
func (l *ledger) secret(name string) {
	secret, is := strings.CutPrefix(name, "pid#")
	if found := questionID.FindStringSubmatch(name); found != nil {
		secret, is = found[1], true
	}
	if is && !slices.Contains(l.secrets, secret) {
		l.secrets = append(l.secrets, secret)
	}
}

func (l *ledger) room(name string) *roomLedger {
	r := l.rooms[name]
	if r == nil {
		r = &roomLedger{
			bySeq: map[int64]*ledgerEntry{}, byKey: map[string]*ledgerEntry{}, acks: map[int64]bool{}, members: map[string][]stay{},
		}
		l.rooms[name] = r
	}
	return r
}

// logged is called when an entry is written.
func (l *ledger) logged(e hub.Entry, d hub.Draft) {
	l.epoch(e.Epoch)
	r := l.room(e.Room)
	if old := r.bySeq[e.Seq]; old != nil {
		l.w.violatef("position used twice", []string{e.Room}, "%s %d holds %s and %s", e.Room, e.Seq, old.ID, e.ID)
	}
	l.checkMuted(e, d)
	entry := &ledgerEntry{Entry: e, at: l.w.elapsed(), memory: max(hub.IDMemory, d.Keep)}
	r.bySeq[e.Seq] = entry
	if d.Key.Maker != hub.MakerNobody {
		key := d.Key.String()
		if old := r.byKey[key]; old != nil && old.Epoch == e.Epoch && l.w.elapsed()-old.at < old.memory {
			l.w.violatef("logged twice", []string{e.ID}, "%s is %d and %d in %s", key, old.Seq, e.Seq, e.Room)
		}
		r.byKey[key] = entry
	}
	r.entries = append(r.entries, entry)
	l.w.logf("logged %s %d %s %s", e.Room, e.Seq, e.Event.Event, e.ID)
}

func (l *ledger) redacted(room string, seq int64) {
	if e := l.room(room).bySeq[seq]; e != nil {
		e.redacted = true
	}
}

// acked is called when somebody was told that an event is logged.
func (l *ledger) acked(p protocol.PublishResult) {
	r := l.room(p.Room)
	r.acks[p.Seq] = true
	if e := r.bySeq[p.Seq]; e == nil || e.ID != p.ID {
		l.w.violatef("acknowledged, not logged", []string{p.ID}, "%s was acknowledged as %s %d, where there is %v", p.ID, p.Room, p.Seq, e)
	}
}

// member is called when a membership begins or ends.
func (l *ledger) member(inv *invocation, room, connection string, in bool) {
	r := l.room(room)
	stays := r.members[connection]
	last := len(stays) - 1
	switch now := l.w.elapsed(); {
	case last >= 0 && stays[last].now == in:
	case in:
		l.checkBanned(inv, room, connection)
		r.members[connection] = append(stays, stay{now: true})
	case last >= 0:
		stays[last].now, stays[last].to = false, now
	}
}

// pushed is called when a frame is accepted for a connection. It must have been a member of the event's room at some
// moment since the event was logged, or, of one that is not logged, since it was sent: whoever left before that must not
// hear it. Whoever left between may, since members are read once and jobs carry them along.
func (l *ledger) pushed(connection string, in *inbound) {
	for _, one := range in.inner {
		l.pushed(connection, one)
	}
	if in.Room == "" || in.Reply != nil {
		return
	}
	r := l.room(in.Room)
	var since time.Duration
	if in.Seq > 0 {
		e := r.bySeq[in.Seq]
		if e == nil {
			l.w.violatef("pushed, not logged", []string{in.Room}, "%s %d is pushed to %s and is not in the log", in.Room, in.Seq, connection)
			return
		}
		since = e.at
		if row, err := l.w.store.real.Connection(plain, connection); err == nil && e.at > row.Expires.Sub(l.w.start) {
			l.w.violatef("token over", []string{in.Room, connection}, "%s %d %s, logged at %v, is pushed to %s, whose token ended at %v", in.Room, in.Seq, in.Event, e.at, connection, row.Expires.Sub(l.w.start))
		}
	} else {
		var typing struct {
			Until int64 `json:"until"`
		}
		if json.Unmarshal(in.Data, &typing) != nil || typing.Until == 0 {
			return
		}
		since = time.UnixMilli(typing.Until).Add(-12 * time.Second).Sub(l.w.start)
	}
	for _, s := range r.members[connection] {
		if s.now || s.to >= since {
			return
		}
	}
	l.w.violatef("stranger", []string{in.Room, connection}, "%s %d %s is pushed to %s, which was no member since", in.Room, in.Seq, in.Event, connection)
}

// check holds everything against everything, after the world has come to rest.
func (l *ledger) check() {
	for _, s := range l.spans {
		l.checkSpan(s)
	}
	for _, name := range sortedKeys(l.rooms) {
		l.checkPresenceLog(name)
	}
	for _, d := range l.w.devices {
		l.checkDevice(d)
	}
	l.checkRows()
}

// checkSpan: what a device believes to have seen without a gap is just what the log holds, in its order and as it was
// written. What is before it must have been written before the device got its position, since the device takes it from
// elsewhere then, and never hears of what comes later.
func (l *ledger) checkSpan(s *span) {
	r := l.room(s.room)
	about := []string{s.room + " ", s.dev.name}
	var want []*ledgerEntry
	for _, e := range r.entries {
		switch {
		case e.Seq <= s.base && e.at > s.at:
			l.w.violatef("written where nobody looks", about, "%s was told at %v that %s is complete up to %d; %d was written at %v",
				s.dev.name, s.at, s.room, s.base, e.Seq, e.at)
		case e.Seq > s.base && e.Seq <= s.pos:
			want = append(want, e)
		}
	}
	slices.SortFunc(want, func(a, b *ledgerEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	for i := range max(len(want), len(s.seen)) {
		switch {
		case i >= len(s.seen) || i < len(want) && want[i].Seq < s.seen[i].Seq:
			e := want[i]
			l.w.violatef("missed", append(about, fmt.Sprintf("%s %d", s.room, e.Seq)),
				"%s believes to have seen %s from %d to %d, and missed %d %s (acknowledged: %v), written at %v",
				s.dev.name, s.room, s.base, s.pos, e.Seq, e.Event.Event, r.acks[e.Seq], e.at)
			return
		case i >= len(want) || want[i].Seq > s.seen[i].Seq:
			l.w.violatef("saw what is not", about, "%s saw %s %d, which is not in the log", s.dev.name, s.room, s.seen[i].Seq)
			return
		}
		if e, got := want[i], s.seen[i]; got.ID != e.ID ||
			(got.Event != e.Event.Event || string(got.Data) != string(e.Data)) && (!e.redacted || !toldAsDeleted(s.dev, got)) {
			l.w.violatef("not the same", about, "%s saw %s %d as %s %s, it is %s %s", s.dev.name, s.room, e.Seq, got.Event, got.Data, e.Event.Event, e.Data)
		}
	}
}

// checkPresenceLog: a user goes online and offline by turns.
func (l *ledger) checkPresenceLog(room string) {
	here := map[string]bool{}
	entries := slices.Clone(l.rooms[room].entries)
	slices.SortFunc(entries, func(a, b *ledgerEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, e := range entries {
		online := e.Event.Event == protocol.UserOnline
		if !online && e.Event.Event != protocol.UserOffline {
			continue
		}
		if user := e.From.UserID; here[user] == online {
			l.w.violatef("presence events", []string{room + " ", e.From.UserID}, "%s is %s in %s twice running, the second at %d", user, e.Event.Event, room, e.Seq)
		} else {
			here[user] = online
		}
	}
}

// checkDelivered: everybody has got what was acknowledged to somebody, and what the server says of itself, without
// having to ask. What was written before a device got its position from elsewhere came from there.
func (l *ledger) checkDelivered() {
	for _, d := range l.w.devices {
		for _, name := range d.order {
			v := d.rooms[name]
			if !d.wanted || !v.wanted || !v.joined {
				continue
			}
			newest := l.newestChanges(name)
			for _, e := range l.room(name).entries {
				told := l.room(name).acks[e.Seq] || protocol.Reserved(e.Event.Event) && (e.Event.Event != protocol.PresenceChanged || newest[e.ID])
				if e.Seq > v.pos.Seq && e.at > v.span.at && told && !v.excused[e.Seq] {
					l.w.violatef("not delivered in time", []string{fmt.Sprintf("%s %d", name, e.Seq), d.name},
						"%s stands at %d of %s and has not got %d %s", d.name, v.pos.Seq, name, e.Seq, e.Event.Event)
					break
				}
			}
		}
	}
}

// newestChanges are the ids of each user's newest change of presence. An older one that was logged later is worth nothing.
func (l *ledger) newestChanges(room string) map[string]bool {
	newest := map[string]protocol.Occupant{}
	ids := map[string]string{}
	for _, e := range l.room(room).entries {
		if e.Event.Event != protocol.PresenceChanged {
			continue
		}
		var o protocol.Occupant
		if err := json.Unmarshal(e.Data, &o); err != nil {
			panic(err)
		}
		if old := newest[o.UserID]; o.Since > old.Since || o.Since == old.Since && o.Version > old.Version {
			newest[o.UserID], ids[o.UserID] = o, e.ID
		}
	}
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// checkDevice: whoever wants to be connected is, in the rooms that it wants, up to date, and knows who else is there.
func (l *ledger) checkDevice(d *device) {
	if !d.wanted {
		return
	}
	if !d.isOpen || d.sock.server != open || d.sock.cut {
		l.w.violatef("not connected", []string{d.name}, "%s should be connected", d.name)
		return
	}
	for _, name := range d.order {
		v := d.rooms[name]
		if !v.wanted {
			continue
		}
		about := []string{name + " ", d.name}
		if !v.joined {
			l.w.violatef("not joined", about, "%s should be in %s", d.name, name)
			continue
		}
		for _, e := range l.room(name).entries {
			if e.Seq > v.pos.Seq && e.at > v.span.at {
				l.w.violatef("not delivered", append(about, fmt.Sprintf("%s %d", name, e.Seq)),
					"%s stands at %d of %s and has not got %d %s", d.name, v.pos.Seq, name, e.Seq, e.Event.Event)
				break
			}
		}
		if l.w.kinds[protocol.RoomKind(name)].Presence {
			l.checkView(d, v)
		}
	}
	for _, o := range d.outbox {
		if v := d.rooms[o.room]; v.wanted {
			l.w.violatef("not acknowledged", []string{o.id}, "%s was never acknowledged to %s", o.id, d.name)
		}
	}
}

// truth gives who is in a room: the users of open connections that have joined.
func (l *ledger) truth(room string) map[string][]string {
	here := map[string][]string{}
	for _, d := range l.w.devices {
		if v := d.rooms[room]; v != nil && v.joined && d.isOpen {
			here[d.user] = append(here[d.user], d.sock.id)
		}
	}
	return here
}

// checkView: who a device shows as present, and how.
func (l *ledger) checkView(d *device, v *view) {
	want := map[string]string{}
	for user := range l.truth(v.room) {
		want[user] = "no row"
		if row, err := l.w.store.real.Here(plain, v.room, user); err == nil {
			want[user] = row.Status
		}
	}
	got := map[string]string{}
	for user, o := range v.presence {
		if _, wanted := want[user]; !wanted && l.besides(v.room, user) {
			continue
		}
		got[user] = o.Status
	}
	if !maps.Equal(got, want) {
		l.w.violatef("presence shown", []string{v.room + " "}, "%s shows %v in %s, where %v are", d.name, got, v.room, want)
	}
}

// checkRows: the store holds the rows of what is there, and no others.
func (l *ledger) checkRows() {
	s := l.w.store.real
	sockets := map[string]bool{}
	for _, d := range l.w.devices {
		if d.isOpen {
			sockets[d.sock.id] = true
		}
	}
	rows := map[string]hub.Connection{}
	for p := range hub.Partitions {
		list, err := s.Walk(plain, p, "", 1000)
		if err != nil {
			panic(err)
		}
		for _, c := range list {
			rows[c.ID] = c
		}
	}
	for _, id := range sortedKeys(rows) {
		if len(rows[id].Leaving) > 0 {
			l.w.violatef("leaving", []string{id}, "%s is still leaving %v", id, rows[id].Leaving)
		}
		if wire, _ := wireOf(id); !sockets[wire] {
			l.w.violatef("rows of the departed", []string{id}, "the row of connection %s is left, closing %v", id, rows[id].Closing)
		}
	}
	for _, id := range sortedKeys(sockets) {
		if _, ok := rows[id]; !ok {
			l.w.violatef("no row", []string{id}, "%s is connected and has no row", id)
		}
	}
	for _, room := range l.w.rooms {
		l.checkMembers(room, rows)
		if l.w.kinds[protocol.RoomKind(room)].Presence {
			l.checkHere(room)
		}
	}
}

func (l *ledger) checkMembers(room string, rows map[string]hub.Connection) {
	want, got := map[string]bool{}, map[string]bool{}
	for _, d := range l.w.devices {
		if v := d.rooms[room]; v != nil && v.joined && d.isOpen {
			want[d.sock.id] = true
		}
	}
	for shard, shards := 0, 1; shard < shards; shard++ {
		page, err := l.w.store.real.Members(plain, room, shard, "", 1000)
		if err != nil {
			panic(err)
		}
		shards = max(shards, page.Shards)
		for _, m := range page.Members {
			if got[m.Connection] {
				l.w.violatef("member twice", []string{room + " ", m.Connection}, "%s is twice a member of %s", m.Connection, room)
			}
			if wire, twins := wireOf(m.Connection); twins && rows[wire].ID != "" {
				continue
			}
			got[m.Connection] = true
			if c := rows[m.Connection]; c.In(room) && c.Gens[room] < m.Gen { // the row may be ahead, where a join that came again was cut off
				l.w.violatef("generation", []string{m.Connection}, "%s is a member of %s by %d, and its row says %d", m.Connection, room, m.Gen, c.Gens[room])
			} else if !c.In(room) {
				l.w.violatef("member without connection", []string{m.Connection}, "%s is a member of %s, and its row does not say so", m.Connection, room)
			}
		}
	}
	if !maps.Equal(got, want) {
		l.w.violatef("members", []string{room + " "}, "the members of %s are %v, want %v", room, sortedKeys(got), sortedKeys(want))
	}
}

func (l *ledger) checkHere(room string) {
	got, want := map[string]string{}, map[string]string{}
	list, err := l.w.store.real.Present(plain, room, "", 1000)
	if err != nil {
		panic(err)
	}
	for _, h := range list {
		if h.Since.IsZero() {
			continue // marks only
		}
		ids, beside := l.present(h)
		if len(ids) == 0 && beside {
			continue
		}
		got[h.User] = strings.Join(ids, " ")
		if h.Announced < h.Version {
			l.w.violatef("not announced", []string{room + " ", h.User}, "version %d of %s in %s is not announced", h.Version, h.User, room)
		}
	}
	for user, ids := range l.truth(room) {
		slices.Sort(ids)
		want[user] = strings.Join(ids, " ")
	}
	if !maps.Equal(got, want) {
		l.w.violatef("presence", []string{room + " "}, "present in %s are %v, want %v", room, got, want)
	}
}

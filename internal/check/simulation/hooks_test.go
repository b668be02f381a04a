package simulation

import (
	"context"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// owner is the application's own logic: it keeps users out of rooms that it has banned them from, whichever way they come, and has nothing
// logged that they say there.
type owner struct {
	w      *world
	banned map[string]time.Duration // by user and room, since when
	muted  map[string]time.Duration
	calls  map[string]string // what was answered to calls, by user and id
}

var _ hub.Hooks = (*owner)(nil)

func (o *owner) Has(h hub.Hook) bool {
	return h == hub.HookJoin || h == hub.HookPublish || h == hub.HookAction
}

func (o *owner) Ask(ctx context.Context, q hub.Question) (v hub.Verdict, err error) {
	err = o.w.call(ctx, "Ask", string(q.Hook)+" "+q.User.ID+" "+q.Room, 0, func() error {
		if q.Hook == hub.HookAction {
			v.Data = o.result(q)
			return nil
		}
		name := q.User.ID + " " + q.Room
		_, banned := o.banned[name]
		_, muted := o.muted[name]
		if (banned || muted && q.Hook == hub.HookPublish) && !o.skipped(ctx, q) {
			v.Deny = &hub.Denial{Message: "not here"}
		}
		return nil
	})
	return v, err
}

// skipped reports whether a planted bug does not ask this.
func (o *owner) skipped(ctx context.Context, q hub.Question) bool {
	inv := ctx.Value(invocationKey{}).(*invocation)
	said := hub.Key{Maker: hub.MakerClient, Owner: q.User.ID, ID: q.ID}.String()
	return o.w.store.recoversAll && strings.HasSuffix(inv.name, " CONNECT") ||
		o.w.store.repeatsAll && q.Hook == hub.HookPublish && o.w.ledger.room(q.Room).byKey[said] != nil
}

// ban keeps a user out of a room, and takes out whoever is in.
func (o *owner) ban(user, room string) {
	if _, is := o.banned[user+" "+room]; is {
		return
	}
	o.w.logf("ban %s from %s", user, room)
	o.banned[user+" "+room] = o.w.elapsed()
	o.w.program.emit(hub.LeaveCommand{Selection: hub.Selection{User: user}, Room: room})
}

// mute keeps what a user says out of a room.
func (o *owner) mute(user, room string) {
	if _, is := o.muted[user+" "+room]; !is {
		o.w.logf("mute %s in %s", user, room)
		o.muted[user+" "+room] = o.w.elapsed()
	}
}

// silent gives since when a user may say nothing in a room; false: he may.
func (o *owner) silent(user, room string) (time.Duration, bool) {
	banned, is := o.banned[user+" "+room]
	muted, too := o.muted[user+" "+room]
	switch {
	case is && too:
		return min(banned, muted), true
	case is:
		return banned, true
	}
	return muted, too
}

// forbidden does what a client does that may not be in a room, or may say nothing there, and says whether that is so.
func (d *device) forbidden(v *view) bool {
	_, silent := d.w.owner.silent(d.user, v.room)
	if _, banned := d.w.owner.banned[d.user+" "+v.room]; banned {
		d.logf("may not be in %s", v.room)
		v.wanted = false
		d.tend(v)
	}
	return silent
}

// takenOut hears that it is no member any more.
func (d *device) takenOut(room string) {
	d.logf("is taken out of %s", room)
	v := d.view(room)
	v.joined, v.busy = false, false
	v.asked++ // the answer to a join of before may come after this, and does not count
	d.tend(v)
}

// by reports whether an invocation does an action of a user's, and began after a time.
func (inv *invocation) by(user, action string, after time.Duration) bool {
	return strings.HasPrefix(inv.name, user+"-") && strings.Contains(inv.name+" ", " "+action+" ") && inv.began > after
}

// checkBanned holds that nobody gets in by a second way.
func (l *ledger) checkBanned(inv *invocation, room, connection string) {
	s := l.w.gateway.sockets[connection]
	if s == nil {
		return
	}
	at, banned := l.w.owner.banned[s.dev.user+" "+room]
	if banned && (inv.by(s.dev.user, "join", at) || inv.by(s.dev.user, "CONNECT", at)) {
		l.w.violatef("banned", []string{connection, room + " "}, "%s, whose user was banned from %s at %v, is a member by %s", connection, room, at, inv.name)
	}
}

// checkMuted holds that nobody is heard by a second way.
func (l *ledger) checkMuted(e hub.Entry, d hub.Draft) {
	if d.Key.Maker != hub.MakerClient {
		return
	}
	if at, silent := l.w.owner.silent(e.From.UserID, e.Room); silent && l.w.elapsed() > at+longest {
		l.w.violatef("muted", []string{e.ID}, "%s %d is of %s, who may say nothing there since %v", e.Room, e.Seq, e.From.UserID, at)
	}
}

// checkRepeated holds the same for what was said before.
func (l *ledger) checkRepeated(inv *invocation, in *inbound) {
	if in.From == nil {
		return
	}
	if at, silent := l.w.owner.silent(in.From.UserID, in.Room); silent && inv.by(in.From.UserID, "publish", at) {
		l.w.violatef("muted", []string{in.ID}, "%s %d is told by %s, who may say nothing there since %v", in.Room, in.Seq, inv.name, at)
	}
}

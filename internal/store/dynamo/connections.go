package dynamo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

func partition(n int) string { return "conn#" + strconv.Itoa(n) }

func connectionKey(id string) item { return key(partition(hub.Partition(id)), id) }

// alive is the condition that a connection may still do something.
const alive = "attribute_exists(#pk) AND attribute_not_exists(#closing) AND #ttl > :seconds"

// Open costs 1 WCU.
func (s *Store) Open(ctx context.Context, c hub.Connection) error {
	grants, err := json.Marshal(c.Grants)
	if err != nil {
		return fmt.Errorf("encode grants: %w", err)
	}
	rooms := make(item, len(c.Rooms))
	for room, shard := range c.Rooms {
		rooms[room] = number(shard)
	}
	row := connectionKey(c.ID)
	row["user"], row["name"], row["codec"] = text(c.User), text(c.Name), text(c.Codec)
	row["grants"], row["rooms"] = text(string(grants)), &types.AttributeValueMemberM{Value: rooms}
	row["opened"], row["seen"], row["expires"] = millis(c.ConnectedAt), millis(c.LastSeen), millis(c.Expires)
	row["busy"], row["ttl"], row["rev"] = number(c.Busy.UnixMicro()), seconds(c.TTL), text(newRev())
	row["gens"], row["leaving"], row["gen"] = gensItem(c.Gens), leavingItem(c.Leaving), number(c.Gen)
	if c.Ended != "" {
		row["ended"] = text(string(c.Ended))
	}
	if len(c.JoinedAt) > 0 {
		row["joinedAt"] = gensItem(c.JoinedAt)
	}
	if len(c.LeftAt) > 0 {
		row["leftAt"] = gensItem(c.LeftAt)
	}
	if !c.Entered.IsZero() {
		row["entered"] = millis(c.Entered)
	}
	if !c.TakenOut.IsZero() {
		row["takenOut"] = millis(c.TakenOut)
	}
	if c.Closing {
		row["closing"] = yes()
	}
	if err := s.put(ctx, row); err != nil {
		return fmt.Errorf("put connection %s: %w", c.ID, err)
	}
	return nil
}

// newRev names a state of a row. It only has to differ from those that others read or write at the same time.
func newRev() string { return rand.Text()[:13] }

func gensItem(gens map[string]int64) types.AttributeValue {
	list := make(item, len(gens))
	for room, gen := range gens {
		list[room] = number(gen)
	}
	return &types.AttributeValueMemberM{Value: list}
}

// leavingItem has "<shard> <generation> <why>" for each room.
func leavingItem(leaving map[string]hub.Leaving) types.AttributeValue {
	list := make(item, len(leaving))
	for room, l := range leaving {
		list[room] = text(fmt.Sprintf("%d %d %s", l.Shard, l.Gen, l.Why))
	}
	return &types.AttributeValueMemberM{Value: list}
}

func leavingOf(s string) hub.Leaving {
	shard, rest, _ := strings.Cut(s, " ")
	gen, why, _ := strings.Cut(rest, " ")
	l := hub.Leaving{Why: protocol.Reason(why)}
	l.Shard, _ = strconv.Atoi(shard)
	l.Gen, _ = strconv.ParseInt(gen, 10, 64)
	return l
}

func wishesOf(row item, name string) map[string]int64 {
	list, ok := row[name].(*types.AttributeValueMemberM)
	if !ok {
		return nil
	}
	wishes := make(map[string]int64, len(list.Value))
	for room := range list.Value {
		wishes[room] = numberOf(list.Value, room)
	}
	return wishes
}

func connectionOf(row item) (hub.Connection, error) {
	c := hub.Connection{
		ID: textOf(row, "sk"), User: textOf(row, "user"), Name: textOf(row, "name"), Codec: textOf(row, "codec"),
		ConnectedAt: timeOf(row, "opened"), LastSeen: timeOf(row, "seen"), Expires: timeOf(row, "expires"),
		Busy: time.UnixMicro(numberOf(row, "busy")), Closing: yesOf(row, "closing"), TTL: ttlOf(row),
		Rooms: map[string]int{}, Gens: map[string]int64{}, Leaving: map[string]hub.Leaving{}, Ended: protocol.Reason(textOf(row, "ended")), Rev: textOf(row, "rev"),
		Gen: numberOf(row, "gen"), Entered: timeOf(row, "entered"), TakenOut: timeOf(row, "takenOut"),
	}
	if err := json.Unmarshal([]byte(textOf(row, "grants")), &c.Grants); err != nil {
		return c, fmt.Errorf("decode grants of connection %s: %w", c.ID, err)
	}
	if rooms, ok := row["rooms"].(*types.AttributeValueMemberM); ok {
		for room := range rooms.Value {
			c.Rooms[room] = int(numberOf(rooms.Value, room))
		}
	}
	if gens, ok := row["gens"].(*types.AttributeValueMemberM); ok {
		for room := range gens.Value {
			if c.In(room) { // the functions of an older version take rooms out without their generations
				c.Gens[room] = numberOf(gens.Value, room)
			}
		}
	}
	c.JoinedAt, c.LeftAt = wishesOf(row, "joinedAt"), wishesOf(row, "leftAt")
	if leaving, ok := row["leaving"].(*types.AttributeValueMemberM); ok {
		for room := range leaving.Value {
			if !c.In(room) {
				c.Leaving[room] = leavingOf(textOf(leaving.Value, room))
			}
		}
	}
	return c, nil
}

func (s *Store) Connection(ctx context.Context, id string) (hub.Connection, error) {
	row, err := s.get(ctx, connectionKey(id))
	if err != nil {
		return hub.Connection{}, fmt.Errorf("get connection %s: %w", id, err)
	}
	return connectionOf(row)
}

// Touch costs 1 WCU.
func (s *Store) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	c := change{key: connectionKey(id), update: "SET #seen = :now", when: alive, values: item{}, names: map[string]string{}}
	return s.touch(ctx, c, t, t.Check)
}

// Change costs 1 WCU. Rooms are put in and taken out one by one, so that whatever the functions of an older
// version have changed there meanwhile stays; generations and rooms that are being left are written as a whole.
func (s *Store) Change(ctx context.Context, was hub.Connection, ch hub.Change) (hub.Connection, error) {
	rev := newRev()
	c := change{
		key: connectionKey(was.ID), update: "SET #rev = :rev", when: "attribute_exists(#pk) AND #ttl > :seconds",
		values: item{":rev": text(rev), ":seconds": number(ch.Now.Unix())}, names: map[string]string{},
	}
	if !ch.Closing {
		c.when = alive
		c.set("seen", millis(ch.Now))
	}
	switch {
	case ch.Anyhow:
	case was.Rev == "":
		c.when += " AND attribute_not_exists(#rev)"
	default:
		c.when += " AND #rev = :was"
		c.values[":was"] = text(was.Rev)
	}
	if err := c.renew(ch); err != nil {
		return hub.Connection{}, fmt.Errorf("change connection %s: %w", was.ID, err)
	}
	c.move(was, ch)
	check := func(row hub.Connection) error { return ch.Check(was, row) }
	if ch.Touch != nil {
		return s.touch(ctx, c, *ch.Touch, check)
	}
	row, err := s.written(ctx, c, check)
	if err != nil {
		return row, fmt.Errorf("change connection %s: %w", was.ID, err)
	}
	return row, nil
}

// set adds an attribute to an update.
func (c *change) set(name string, value types.AttributeValue) {
	c.update += ", #" + name + " = :" + name
	c.values[":"+name] = value
}

// renew adds what a change says of the token and of the end.
func (c *change) renew(ch hub.Change) error {
	if ch.Closing {
		c.set("closing", yes())
	}
	if ch.End != "" {
		c.set("ended", text(string(ch.End)))
	}
	if ch.Renew == nil {
		return nil
	}
	grants, err := json.Marshal(ch.Renew.Grants)
	if err != nil {
		return fmt.Errorf("encode grants: %w", err)
	}
	c.set("name", text(ch.Renew.Name))
	c.set("grants", text(string(grants)))
	c.set("expires", millis(ch.Renew.Expires))
	return nil
}

// move adds what a change says of rooms.
func (c *change) move(was hub.Connection, ch hub.Change) {
	if len(ch.JoinedAt) > 0 {
		c.set("joinedAt", gensItem(ch.Apply(was).JoinedAt))
	}
	if len(ch.LeftAt) > 0 {
		c.set("leftAt", gensItem(ch.Apply(was).LeftAt))
	}
	if len(ch.Enter)+len(ch.Leave)+len(ch.Left) == 0 {
		return
	}
	after := ch.Apply(was)
	c.set("gen", number(after.Gen))
	c.set("gens", gensItem(after.Gens))
	c.set("leaving", leavingItem(after.Leaving))
	if len(ch.Enter) > 0 {
		c.set("entered", millis(ch.Now))
	}
	if after.TakenOut.Equal(ch.Now) {
		c.set("takenOut", millis(ch.Now))
	}
	var out []string
	n := 0
	at := func(room string) string {
		n++
		name := "#room" + strconv.Itoa(n)
		c.names[name] = room
		return "#rooms." + name
	}
	for room, seat := range ch.Enter {
		value := ":shard" + strconv.Itoa(n)
		c.update += ", " + at(room) + " = " + value
		c.values[value] = number(seat.Shard)
	}
	for room := range ch.Leave {
		out = append(out, at(room))
	}
	if len(out) > 0 {
		c.remove = " REMOVE " + strings.Join(out, ", ")
	}
}

// written applies a change of a connection's row, whose rev says which it is.
func (s *Store) written(ctx context.Context, c change, check func(hub.Connection) error) (hub.Connection, error) {
	row, met, err := s.apply(ctx, c)
	switch {
	case err != nil:
		return hub.Connection{}, err
	case row == nil:
		return hub.Connection{}, hub.ErrNotFound
	}
	got, err := connectionOf(row)
	if met || err != nil || c.is(row) {
		return got, err
	}
	if err := check(got); err != nil {
		return hub.Connection{}, err
	}
	return got, errBusy // nothing forbids it: it lost a race, or has the other form of the charge
}

// is reports whether a row that refused a change was made by that very change: its answer was lost, and it was tried again.
func (c *change) is(row item) bool {
	rev := textOf(c.values, ":rev")
	return rev != "" && textOf(row, "rev") == rev
}

// touch adds a touch to a change of a connection's row. DynamoDB has no maximum, and Busy is to be max(Busy, Now) + Cost:
// so there are two forms of the write, each with the condition that it is the right one, and a hint which to try first.
func (s *Store) touch(ctx context.Context, c change, t hub.Touch, check func(hub.Connection) error) (hub.Connection, error) {
	id := textOf(c.key, "sk")
	c.values[":now"], c.values[":seconds"] = millis(t.Now), number(t.Now.Unix())
	c.values[":micros"] = number(t.Now.UnixMicro())
	c.when += " AND #expires > :now"
	if t.Room != "" {
		c.when += " AND attribute_exists(#rooms.#room)"
		c.names["#room"] = t.Room
	}
	for recent, try := t.Recent, 0; try < tries; try++ {
		row, err := s.written(ctx, charged(c, t, recent), check)
		if errors.Is(err, errBusy) {
			recent = row.Busy.After(t.Now)
			continue
		}
		if err != nil {
			return hub.Connection{}, fmt.Errorf("touch connection %s: %w", id, err)
		}
		return row, nil
	}
	return hub.Connection{}, fmt.Errorf("touch connection %s: %w", id, errBusy)
}

// charged is the change with the form of the charge that is right if the connection still owes for earlier actions, or
// does not.
func charged(c change, t hub.Touch, recent bool) change {
	c.values = maps.Clone(c.values)
	if recent {
		c.update += ", #busy = #busy + :cost"
		c.when += " AND #busy > :micros AND #busy <= :most"
		c.values[":cost"], c.values[":most"] = number(t.Cost.Microseconds()), number(t.Now.Add(t.Burst).UnixMicro())
		return c
	}
	c.update += ", #busy = :next"
	c.when += " AND #busy <= :micros"
	c.values[":next"] = number(t.Now.Add(t.Cost).UnixMicro())
	return c
}

// Forget costs 1 WCU.
func (s *Store) Forget(ctx context.Context, id string) error {
	if err := s.remove(ctx, connectionKey(id)); err != nil {
		return fmt.Errorf("delete connection %s: %w", id, err)
	}
	return nil
}

// Wanted reads without strong consistency, for half the price, and has DynamoDB leave out what is not wanted.
func (s *Store) Wanted(ctx context.Context, n int, after string, limit int, look hub.Look) (hub.Wanted, error) {
	in := query(partition(n), after, limit)
	filter := "attribute_exists(#closing) OR size(#leaving) > :none OR #expires <= :now OR #opened <= :old OR #seen > :changed OR #ttl <= :seconds"
	values := in.ExpressionAttributeValues
	values[":none"], values[":now"], values[":old"] = number(0), millis(look.Now), millis(look.Old())
	values[":changed"], values[":seconds"] = number(max(0, look.Changed().UnixMilli())), number(s.now().Unix())
	for i, span := range look.Silent() {
		from, to := ":after"+strconv.Itoa(i), ":until"+strconv.Itoa(i)
		filter += " OR #seen BETWEEN " + from + " AND " + to
		values[from], values[to] = number(max(0, span.After.UnixMilli()+1)), millis(span.Until)
	}
	in.TableName, in.FilterExpression, in.ExpressionAttributeNames = &s.table, &filter, names(*in.KeyConditionExpression, filter)
	out, err := s.db.Query(ctx, in)
	if err != nil {
		return hub.Wanted{}, fmt.Errorf("look at connections: %w", err)
	}
	page := hub.Wanted{Rows: int(out.ScannedCount), Next: textOf(out.LastEvaluatedKey, "sk")}
	now := s.now()
	for _, row := range out.Items {
		if lapsed(row, now) {
			page.Rows--
			continue
		}
		c, err := connectionOf(row)
		if err != nil {
			return hub.Wanted{}, fmt.Errorf("look at connections: %w", err)
		}
		if look.Wants(c) {
			page.Connections = append(page.Connections, c)
		}
	}
	return page, nil
}

func (s *Store) Walk(ctx context.Context, n int, after string, limit int) ([]hub.Connection, error) {
	rows := []hub.Connection{}
	var decodeErr error
	err := s.page(ctx, query(partition(n), after, limit), func(row item) bool {
		c, err := connectionOf(row)
		decodeErr = err
		rows = append(rows, c)
		return len(rows) == limit || err != nil
	})
	if err == nil {
		err = decodeErr
	}
	if err != nil {
		return nil, fmt.Errorf("walk connections: %w", err)
	}
	return rows, nil
}

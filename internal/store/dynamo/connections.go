package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
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
	row["busy"], row["ttl"] = number(c.Busy.UnixMicro()), seconds(c.TTL)
	if !c.Entered.IsZero() {
		row["entered"] = millis(c.Entered)
	}
	if c.Closing {
		row["closing"] = yes()
	}
	if err := s.put(ctx, row); err != nil {
		return fmt.Errorf("put connection %s: %w", c.ID, err)
	}
	return nil
}

func connectionOf(row item) (hub.Connection, error) {
	c := hub.Connection{
		ID: textOf(row, "sk"), User: textOf(row, "user"), Name: textOf(row, "name"), Codec: textOf(row, "codec"),
		ConnectedAt: timeOf(row, "opened"), LastSeen: timeOf(row, "seen"), Expires: timeOf(row, "expires"),
		Busy: time.UnixMicro(numberOf(row, "busy")), Closing: yesOf(row, "closing"), TTL: ttlOf(row),
		Rooms: map[string]int{},
	}
	if row["entered"] != nil {
		c.Entered = timeOf(row, "entered")
	}
	if err := json.Unmarshal([]byte(textOf(row, "grants")), &c.Grants); err != nil {
		return c, fmt.Errorf("decode grants of connection %s: %w", c.ID, err)
	}
	if rooms, ok := row["rooms"].(*types.AttributeValueMemberM); ok {
		for room := range rooms.Value {
			c.Rooms[room] = int(numberOf(rooms.Value, room))
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
	return s.touch(ctx, change{key: connectionKey(id), update: "SET #seen = :now", values: item{}, names: map[string]string{}}, t)
}

// Enter costs 1 WCU.
func (s *Store) Enter(ctx context.Context, id, room string, shard int, t hub.Touch) (hub.Connection, error) {
	return s.touch(ctx, change{
		key:    connectionKey(id),
		update: "SET #seen = :now, #entered = :now, #rooms.#enter = if_not_exists(#rooms.#enter, :shard)",
		values: item{":shard": number(shard)},
		names:  map[string]string{"#enter": room},
	}, t)
}

// touch adds a touch to a change of a connection's row. DynamoDB has no maximum, and Busy is to be max(Busy, Now) + Cost:
// so there are two forms of the write, each with the condition that it is the right one, and a hint which to try first.
func (s *Store) touch(ctx context.Context, c change, t hub.Touch) (hub.Connection, error) {
	id := textOf(c.key, "sk")
	c.values[":now"], c.values[":seconds"] = millis(t.Now), number(t.Now.Unix())
	c.values[":micros"] = number(t.Now.UnixMicro())
	c.when = alive + " AND #expires > :now"
	if t.Room != "" {
		c.when += " AND attribute_exists(#rooms.#room)"
		c.names["#room"] = t.Room
	}
	for recent, try := t.Recent, 0; try < tries; try++ {
		row, met, err := s.apply(ctx, charged(c, t, recent))
		switch {
		case err != nil:
			return hub.Connection{}, fmt.Errorf("touch connection %s: %w", id, err)
		case row == nil:
			return hub.Connection{}, hub.ErrNotFound
		}
		got, err := connectionOf(row)
		if met || err != nil {
			return got, err
		}
		if err := t.Check(got); err != nil {
			return hub.Connection{}, err
		}
		recent = numberOf(row, "busy") > t.Now.UnixMicro()
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

// Exit costs 1 WCU.
func (s *Store) Exit(ctx context.Context, id, room string, now time.Time) error {
	_, _, err := s.apply(ctx, change{
		key: connectionKey(id), update: "SET #seen = :now REMOVE #rooms.#room", when: "attribute_exists(#pk)",
		values: item{":now": millis(now)}, names: map[string]string{"#room": room},
	})
	if err != nil {
		return fmt.Errorf("take %s out of connection %s: %w", room, id, err)
	}
	return nil
}

// Renew costs 1 WCU.
func (s *Store) Renew(ctx context.Context, id, name string, g hub.Grants, expires time.Time) error {
	grants, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode grants: %w", err)
	}
	_, met, err := s.apply(ctx, change{
		key: connectionKey(id), update: "SET #name = :name, #grants = :grants, #expires = :expires", when: alive,
		values: item{
			":name": text(name), ":grants": text(string(grants)), ":expires": millis(expires), ":seconds": number(s.now().Unix()),
		},
	})
	if err != nil {
		return fmt.Errorf("renew connection %s: %w", id, err)
	}
	if !met {
		return hub.ErrNotFound
	}
	return nil
}

// BeginClose costs 1 WCU.
func (s *Store) BeginClose(ctx context.Context, id string) (hub.Connection, error) {
	row, met, err := s.apply(ctx, change{
		key: connectionKey(id), update: "SET #closing = :yes", when: "attribute_exists(#pk) AND #ttl > :seconds",
		values: item{":yes": yes(), ":seconds": number(s.now().Unix())},
	})
	if err != nil {
		return hub.Connection{}, fmt.Errorf("close connection %s: %w", id, err)
	}
	if !met {
		return hub.Connection{}, hub.ErrNotFound
	}
	return connectionOf(row)
}

// Forget costs 1 WCU.
func (s *Store) Forget(ctx context.Context, id string) error {
	if err := s.remove(ctx, connectionKey(id)); err != nil {
		return fmt.Errorf("delete connection %s: %w", id, err)
	}
	return nil
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

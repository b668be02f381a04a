package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func partition(n int) string { return "conn#" + strconv.Itoa(n) }

func connectionKey(id string) item { return key(partition(hub.Partition(id)), id) }

func encodeConnection(c hub.Connection) item {
	row := connectionKey(c.ID)
	row["user"], row["seen"], row["ttl"] = str(c.User), millis(c.LastSeen), seconds(c.TTL)
	row["opened"], row["exp"] = millis(c.ConnectedAt), millis(c.Expires)
	putText(row, "name", c.Name)
	putText(row, "codec", c.Codec)
	putInstant(row, "busy", c.Busy)
	if len(c.Grants) > 0 {
		row["grants"] = encodeGrants(c.Grants)
	}
	// The map is there from the start: a path into a map that is missing is an error.
	rooms := make(item, len(c.Rooms))
	for room, shard := range c.Rooms {
		rooms[room] = num(int64(shard))
	}
	row["rooms"] = &types.AttributeValueMemberM{Value: rooms}
	if c.Closing {
		row["closing"] = yes()
	}
	return row
}

func encodeGrants(g hub.Grants) types.AttributeValue {
	text, _ := json.Marshal(g) // a map of strings cannot fail
	return str(string(text))
}

func decodeConnection(row item) (hub.Connection, error) {
	c := hub.Connection{
		ID: text(row, "sk"), User: text(row, "user"), Name: text(row, "name"), Codec: text(row, "codec"), Closing: has(row, "closing"),
		ConnectedAt: instant(row, "opened"), LastSeen: instant(row, "seen"), Expires: instant(row, "exp"), Busy: instant(row, "busy"), TTL: expiry(row),
	}
	if grants := text(row, "grants"); grants != "" {
		if err := json.Unmarshal([]byte(grants), &c.Grants); err != nil {
			return c, fmt.Errorf("decode grants of connection %s: %w", c.ID, err)
		}
	}
	if rooms, ok := row["rooms"].(*types.AttributeValueMemberM); ok {
		c.Rooms = make(map[string]int, len(rooms.Value))
		for room := range rooms.Value {
			c.Rooms[room] = int(number(rooms.Value, room))
		}
	}
	return c, nil
}

// Open is [hub.Connections].Open, one write.
func (s *Store) Open(ctx context.Context, c hub.Connection) error {
	if err := s.put(ctx, encodeConnection(c)); err != nil {
		return fmt.Errorf("open connection %s: %w", c.ID, err)
	}
	return nil
}

// Connection is [hub.Connections].Connection, one read.
func (s *Store) Connection(ctx context.Context, id string) (hub.Connection, error) {
	row, err := s.get(ctx, connectionKey(id), s.now())
	if err != nil {
		return hub.Connection{}, fmt.Errorf("read connection %s: %w", id, err)
	}
	if row == nil {
		return hub.Connection{}, hub.ErrNotFound
	}
	return decodeConnection(row)
}

// Touch is [hub.Connections].Touch, one write.
//
// DynamoDB cannot say max(busy, now) in one expression. It can say each half under the condition that it is the larger,
// and Touch.Recent guesses which. A wrong guess costs a second write, a refusal the one that found it out.
func (s *Store) Touch(ctx context.Context, id string, t hub.Touch) (hub.Connection, error) {
	c, err := s.touch(ctx, id, t, nil)
	if err != nil {
		return hub.Connection{}, err
	}
	return c, nil
}

// Enter is [hub.Connections].Enter, the same write as Touch.
func (s *Store) Enter(ctx context.Context, id, room string, shard int, t hub.Touch) (hub.Connection, error) {
	return s.touch(ctx, id, t, &entering{room, shard})
}

// entering is what Enter adds to Touch.
type entering struct {
	room  string
	shard int
}

func (s *Store) touch(ctx context.Context, id string, t hub.Touch, in *entering) (hub.Connection, error) {
	t.Now = time.UnixMilli(t.Now.UnixMilli()) // Check and the condition must agree, also within a millisecond
	for range tries {
		row, changed, err := s.update(ctx, touching(id, t, in))
		if err != nil {
			return hub.Connection{}, fmt.Errorf("touch connection %s: %w", id, err)
		}
		if row == nil {
			return hub.Connection{}, hub.ErrNotFound
		}
		c, err := decodeConnection(row)
		if err != nil || changed {
			return c, err
		}
		if c.Busy.IsZero() {
			c.Busy = t.Now // the zero time is farther away than a duration reaches
		}
		if err := t.Check(c); err != nil {
			return hub.Connection{}, err
		}
		t.Recent = c.Busy.After(t.Now)
	}
	return hub.Connection{}, fmt.Errorf("touch connection %s: %w", id, errContended)
}

// touching is the write of a touch that believes its Recent. Its condition is Check's.
func touching(id string, t hub.Touch, in *entering) change {
	c := change{
		key: connectionKey(id), names: map[string]string{},
		update: "SET #seen = :now, ",
		when:   "#ttl > :secs AND #exp > :now AND attribute_not_exists(#closing) AND ",
		values: item{":now": millis(t.Now), ":secs": seconds(t.Now)},
	}
	cost := max(t.Cost.Milliseconds(), 1)
	if t.Recent {
		c.update += "#busy = #busy + :cost"
		c.when += "#busy > :now AND #busy <= :limit"
		c.values[":cost"], c.values[":limit"] = num(cost), millis(t.Now.Add(t.Burst))
	} else {
		c.update += "#busy = :paid"
		c.when += "(attribute_not_exists(#busy) OR #busy <= :now)"
		c.values[":paid"] = num(t.Now.UnixMilli() + cost)
	}
	if t.Room != "" {
		c.when += " AND attribute_exists(#rooms.#member)"
		c.names["#member"] = t.Room
	}
	if in != nil {
		c.update += ", #rooms.#entered = if_not_exists(#rooms.#entered, :shard)"
		c.names["#entered"] = in.room
		c.values[":shard"] = num(int64(in.shard))
	}
	return c
}

// Exit is [hub.Connections].Exit, one write.
func (s *Store) Exit(ctx context.Context, id, room string, now time.Time) error {
	_, _, err := s.update(ctx, change{
		key: connectionKey(id), update: "SET #seen = :now REMOVE #rooms.#left", when: "#ttl > :secs",
		names: map[string]string{"#left": room}, values: item{":now": millis(now), ":secs": seconds(now)},
	})
	if err != nil {
		return fmt.Errorf("take %s out of connection %s: %w", room, id, err)
	}
	return nil
}

// Renew is [hub.Connections].Renew, one write.
func (s *Store) Renew(ctx context.Context, id, name string, g hub.Grants, expires time.Time) error {
	_, changed, err := s.update(ctx, change{
		key: connectionKey(id), update: "SET #name = :name, #grants = :grants, #exp = :exp",
		when:   "#ttl > :secs AND attribute_not_exists(#closing)",
		values: item{":name": str(name), ":grants": encodeGrants(g), ":exp": millis(expires), ":secs": seconds(s.now())},
	})
	if err != nil {
		return fmt.Errorf("renew connection %s: %w", id, err)
	}
	if !changed {
		return hub.ErrNotFound
	}
	return nil
}

// BeginClose is [hub.Connections].BeginClose, one write.
func (s *Store) BeginClose(ctx context.Context, id string) (hub.Connection, error) {
	row, changed, err := s.update(ctx, change{
		key: connectionKey(id), update: "SET #closing = :yes", when: "#ttl > :secs",
		values: item{":yes": yes(), ":secs": seconds(s.now())},
	})
	if err != nil {
		return hub.Connection{}, fmt.Errorf("begin close of connection %s: %w", id, err)
	}
	if !changed {
		return hub.Connection{}, hub.ErrNotFound
	}
	return decodeConnection(row)
}

// Forget is [hub.Connections].Forget, one write.
func (s *Store) Forget(ctx context.Context, id string) error {
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: connectionKey(id)})
	if err != nil {
		return fmt.Errorf("forget connection %s: %w", id, err)
	}
	return nil
}

// Walk is [hub.Connections].Walk, one query a page or more where rows have lapsed.
func (s *Store) Walk(ctx context.Context, n int, last string, limit int) ([]hub.Connection, error) {
	var page []hub.Connection
	var bad error
	err := s.page(ctx, after(partition(n), last, s.now()), limit, func(row item) bool {
		var c hub.Connection
		c, bad = decodeConnection(row)
		page = append(page, c)
		return bad == nil && len(page) < limit
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("walk partition %d: %w", n, err)
	}
	return page, nil
}

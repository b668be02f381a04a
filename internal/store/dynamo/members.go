package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

const (
	metaKey      = "!meta"
	memberPrefix = "m#"
)

func shardKey(room string, shard int) string { return "room#" + room + "#" + strconv.Itoa(shard) }

func roomMeta(room string) item { return key(shardKey(room, 0), metaKey) }

// AddMember costs 1 WCU. There is a row for every member of every room, and a broadcast reads them
// all: the attribute names are short.
func (s *Store) AddMember(ctx context.Context, room string, m hub.Member) error {
	return s.putMember(ctx, room, m, "attribute_not_exists(#g) OR #g <= :g", item{":g": number(m.Gen)})
}

// ChangeMember costs 1 WCU.
func (s *Store) ChangeMember(ctx context.Context, room string, m hub.Member) error {
	if m.Gen == 0 { // of a version that gave none
		return s.putMember(ctx, room, m, "attribute_exists(#u) AND attribute_not_exists(#g)", nil)
	}
	return s.putMember(ctx, room, m, "attribute_exists(#u) AND #g = :g", item{":g": number(m.Gen)})
}

func (s *Store) putMember(ctx context.Context, room string, m hub.Member, when string, values item) error {
	row := key(shardKey(room, m.Shard), memberPrefix+m.Connection)
	row["u"], row["ttl"] = text(m.User), seconds(m.TTL)
	if m.Codec != protocol.Name {
		row["c"] = text(m.Codec)
	}
	if m.MayPublish {
		row["p"] = yes()
	}
	if m.MaySignal {
		row["s"] = yes()
	}
	if m.Paused {
		row["z"] = yes()
	}
	if m.Gen != 0 {
		row["g"] = number(m.Gen)
	}
	if !m.Expires.IsZero() {
		row["e"] = seconds(m.Expires)
	}
	_, met, err := s.putIf(ctx, row, when, values)
	if err != nil {
		return fmt.Errorf("put member of %s: %w", room, err)
	}
	if !met {
		return fmt.Errorf("put member of %s: %w", room, hub.ErrOvertaken)
	}
	return nil
}

func memberOf(row item, shard int) hub.Member {
	m := hub.Member{
		Connection: strings.TrimPrefix(textOf(row, "sk"), memberPrefix), User: textOf(row, "u"), Codec: protocol.Name,
		Shard: shard, Gen: numberOf(row, "g"), MayPublish: yesOf(row, "p"), MaySignal: yesOf(row, "s"), Paused: yesOf(row, "z"), TTL: ttlOf(row),
	}
	if row["e"] != nil {
		m.Expires = time.Unix(numberOf(row, "e"), 0)
	}
	if _, other := row["c"]; other {
		m.Codec = textOf(row, "c")
	}
	return m
}

// RemoveMember costs 1 WCU.
func (s *Store) RemoveMember(ctx context.Context, room string, shard int, connection string, gen int64, until time.Time) error {
	at := key(shardKey(room, shard), memberPrefix+connection)
	const older = "attribute_not_exists(#g) OR #g <= :g"
	values := item{":g": number(gen)}
	var err error
	if until.IsZero() {
		err = s.removeIf(ctx, at, older, values)
	} else {
		at["g"], at["x"], at["ttl"] = number(gen), yes(), seconds(until)
		_, _, err = s.putIf(ctx, at, older, values)
	}
	if err != nil {
		return fmt.Errorf("delete member of %s: %w", room, err)
	}
	return nil
}

// Members reads one row more than it gives, to know whether there is a next page.
func (s *Store) Members(ctx context.Context, room string, shard int, after string, limit int) (hub.MemberPage, error) {
	page := hub.MemberPage{Members: []hub.Member{}}
	extra := 1
	sk := memberPrefix + after
	if after == "" && shard == 0 {
		page.Shards, extra, sk = 1, 2, "" // !meta comes first
	}
	err := s.page(ctx, query(shardKey(room, shard), sk, limit+extra), func(row item) bool {
		if textOf(row, "sk") == metaKey {
			page.Shards = max(1, int(numberOf(row, "shards")))
			return false
		}
		if yesOf(row, "x") { // the mark of one that was removed
			return false
		}
		if len(page.Members) == limit {
			page.Next = page.Members[limit-1].Connection
			return true
		}
		page.Members = append(page.Members, memberOf(row, shard))
		return false
	})
	if err != nil {
		return page, fmt.Errorf("query members of %s: %w", room, err)
	}
	return page, nil
}

// Shards costs 0.5 RCU, and nothing for a minute after.
func (s *Store) Shards(ctx context.Context, room string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if n, ok := s.shards.get(room, s.now()); ok {
		return n, nil
	}
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: roomMeta(room)})
	if err != nil {
		return 0, fmt.Errorf("get shards of %s: %w", room, err)
	}
	n := max(1, int(numberOf(out.Item, "shards")))
	s.shards.put(room, n, s.now())
	return n, nil
}

// Occupy costs 1 WCU.
func (s *Store) Occupy(ctx context.Context, room string) (bool, error) {
	_, first, err := s.apply(ctx, change{
		key: roomMeta(room), update: "SET #occupied = :yes, #ttl = if_not_exists(#ttl, :ttl)", when: "attribute_not_exists(#occupied)",
		values: item{":yes": yes(), ":ttl": headTTL(s.now(), 0)},
	})
	if err != nil {
		return false, fmt.Errorf("occupy %s: %w", room, err)
	}
	return first, nil
}

// Vacate costs 1 WCU.
func (s *Store) Vacate(ctx context.Context, room string) (bool, error) {
	_, last, err := s.apply(ctx, change{
		key: roomMeta(room), update: "REMOVE #occupied", when: "attribute_exists(#occupied)",
	})
	if err != nil {
		return false, fmt.Errorf("vacate %s: %w", room, err)
	}
	return last, nil
}

// Grow costs 1 WCU.
func (s *Store) Grow(ctx context.Context, room string, from int) error {
	c := change{
		key: roomMeta(room), update: "SET #shards = :double, #ttl = if_not_exists(#ttl, :ttl)", when: "#shards = :from",
		values: item{":double": number(2 * from), ":from": number(from), ":ttl": headTTL(s.now(), 0)},
	}
	if from == 1 {
		c.when = "attribute_not_exists(#shards) OR #shards = :from"
	}
	if _, _, err := s.apply(ctx, c); err != nil {
		return fmt.Errorf("grow %s: %w", room, err)
	}
	return nil
}

package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func hereKey(room, user string) item { return key("here#"+room, user) }

func hereOf(row item) hub.Here {
	h := hub.Here{
		User: textOf(row, "sk"), Name: textOf(row, "name"), Status: textOf(row, "status"), Connections: setOf(row, "conns"),
		Since: timeOf(row, "since"), Left: timeOf(row, "left"), Version: int(numberOf(row, "version")),
		Announced: int(numberOf(row, "announced")), Ending: yesOf(row, "ending"), TTL: ttlOf(row),
	}
	if data, ok := row["data"].(*types.AttributeValueMemberS); ok {
		h.Data = json.RawMessage(data.Value)
	}
	return h
}

// Arrive costs 1 WCU.
func (s *Store) Arrive(ctx context.Context, room, user, name, connection string, now, ttl time.Time) (hub.Here, error) {
	c := change{
		key: hereKey(room, user),
		update: "SET #name = :name, #status = if_not_exists(#status, :online), #since = if_not_exists(#since, :now)," +
			" #version = if_not_exists(#version, :one), #ttl = :ttl REMOVE #left ADD #conns :conn",
		when: "attribute_not_exists(#ending) AND (attribute_not_exists(#pk) OR #ttl > :seconds)",
		values: item{
			":name": text(name), ":online": text("online"), ":now": millis(now), ":one": number(1), ":ttl": seconds(ttl),
			":conn": set(connection), ":seconds": number(now.Unix()),
		},
	}
	for range tries {
		row, met, err := s.apply(ctx, c)
		switch {
		case err != nil:
			return hub.Here{}, fmt.Errorf("arrive in %s: %w", room, err)
		case met:
			return hereOf(row), nil
		case !lapsed(row, now):
			return hub.Here{}, hub.ErrEnding
		}
		if err := s.removeLapsed(ctx, row, now); err != nil {
			return hub.Here{}, fmt.Errorf("arrive in %s: %w", room, err)
		}
	}
	return hub.Here{}, fmt.Errorf("arrive in %s: %w", room, errBusy)
}

// removeLapsed deletes a row that DynamoDB has not deleted yet, so that nothing of it is taken over.
func (s *Store) removeLapsed(ctx context.Context, row item, now time.Time) error {
	return s.removeIf(ctx, item{"pk": row["pk"], "sk": row["sk"]}, "#ttl <= :seconds", item{":seconds": number(now.Unix())})
}

// removeIf deletes a row under a condition. It is no error if that is not met.
func (s *Store) removeIf(ctx context.Context, k item, when string, values item) error {
	_, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: k, ConditionExpression: &when,
		ExpressionAttributeNames: names(when), ExpressionAttributeValues: values,
	})
	if _, unmet := errors.AsType[*types.ConditionalCheckFailedException](err); unmet {
		return nil
	}
	return err
}

// Depart costs 1 WCU. Two forms of the write, each with the condition that it is the right one, so
// that the set is never left empty without Left; and a read of 0.5 RCU to know which to try, for a failed write costs ten
// times that.
func (s *Store) Depart(ctx context.Context, room, user, connection string, now time.Time) (hub.Here, error) {
	last := change{
		key: hereKey(room, user), update: "SET #left = :now REMOVE #conns", when: "#conns = :conn AND #ttl > :seconds",
		values: item{":now": millis(now), ":conn": set(connection), ":seconds": number(now.Unix())},
	}
	one := change{
		key: hereKey(room, user), update: "DELETE #conns :conn", when: "contains(#conns, :id) AND size(#conns) > :one AND #ttl > :seconds",
		values: item{":conn": set(connection), ":id": text(connection), ":one": number(1), ":seconds": number(now.Unix())},
	}
	hint, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: last.key})
	if err != nil {
		return hub.Here{}, fmt.Errorf("depart from %s: %w", room, err)
	}
	form := last
	if len(setOf(hint.Item, "conns")) > 1 {
		form = one
	}
	for range tries {
		row, met, err := s.apply(ctx, form)
		if err != nil {
			return hub.Here{}, fmt.Errorf("depart from %s: %w", room, err)
		}
		if row == nil || lapsed(row, now) {
			return hub.Here{}, hub.ErrNotFound
		}
		here := hereOf(row)
		if met || !slices.Contains(here.Connections, connection) {
			return here, nil
		}
		if form = one; len(here.Connections) == 1 {
			form = last
		}
	}
	return hub.Here{}, fmt.Errorf("depart from %s: %w", room, errBusy)
}

// SetStatus costs 1 WCU.
func (s *Store) SetStatus(ctx context.Context, room, user, status string, data json.RawMessage) (hub.Here, error) {
	now := s.now()
	c := change{
		key:    hereKey(room, user),
		update: "SET #status = :status, #version = #version + :one REMOVE #data",
		when:   "attribute_exists(#conns) AND #ttl > :seconds AND (#status <> :status OR attribute_exists(#data))",
		values: item{":status": text(status), ":one": number(1), ":seconds": number(now.Unix())},
	}
	if len(data) > 0 {
		c.update = "SET #status = :status, #version = #version + :one, #data = :data"
		c.when = "attribute_exists(#conns) AND #ttl > :seconds AND (#status <> :status OR attribute_not_exists(#data) OR #data <> :data)"
		c.values[":data"] = text(string(data))
	}
	row, met, err := s.apply(ctx, c)
	switch {
	case err != nil:
		return hub.Here{}, fmt.Errorf("set status in %s: %w", room, err)
	case row == nil || lapsed(row, now):
		return hub.Here{}, hub.ErrNotFound
	}
	here := hereOf(row)
	switch {
	case !met && here.Ending:
		return hub.Here{}, hub.ErrEnding
	case !met && len(here.Connections) == 0:
		return hub.Here{}, hub.ErrNotFound
	}
	return here, nil
}

// Announced costs 1 WCU.
func (s *Store) Announced(ctx context.Context, room, user string, since time.Time, version int) error {
	_, _, err := s.apply(ctx, change{
		key: hereKey(room, user), update: "SET #announced = :version",
		when:   "#since = :since AND #ttl > :seconds AND (attribute_not_exists(#announced) OR #announced < :version)",
		values: item{":version": number(version), ":since": millis(since), ":seconds": number(s.now().Unix())},
	})
	if err != nil {
		return fmt.Errorf("mark presence in %s as announced: %w", room, err)
	}
	return nil
}

// BeginEnd costs 1 WCU.
func (s *Store) BeginEnd(ctx context.Context, room, user string, since, left time.Time) (hub.Here, error) {
	row, met, err := s.apply(ctx, change{
		key: hereKey(room, user), update: "SET #ending = :yes",
		when:   "#since = :since AND attribute_not_exists(#conns) AND #left <= :left AND #ttl > :seconds",
		values: item{":yes": yes(), ":since": millis(since), ":left": millis(left), ":seconds": number(s.now().Unix())},
	})
	if err != nil {
		return hub.Here{}, fmt.Errorf("begin end of presence in %s: %w", room, err)
	}
	if !met {
		return hub.Here{}, hub.ErrNotFound
	}
	return hereOf(row), nil
}

// End costs 1 WCU.
func (s *Store) End(ctx context.Context, room, user string, since time.Time) error {
	err := s.removeIf(ctx, hereKey(room, user), "#since = :since AND attribute_exists(#ending)", item{":since": millis(since)})
	if err != nil {
		return fmt.Errorf("end presence in %s: %w", room, err)
	}
	return nil
}

func (s *Store) Here(ctx context.Context, room, user string) (hub.Here, error) {
	row, err := s.get(ctx, hereKey(room, user))
	if err != nil {
		return hub.Here{}, fmt.Errorf("get presence in %s: %w", room, err)
	}
	return hereOf(row), nil
}

func (s *Store) Present(ctx context.Context, room, after string, limit int) ([]hub.Here, error) {
	rows := []hub.Here{}
	err := s.page(ctx, query("here#"+room, after, limit), func(row item) bool {
		rows = append(rows, hereOf(row))
		return len(rows) == limit
	})
	if err != nil {
		return nil, fmt.Errorf("query presence in %s: %w", room, err)
	}
	return rows, nil
}

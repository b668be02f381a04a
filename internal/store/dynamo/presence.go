package dynamo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

func hereKey(room, user string) item { return key("here#"+room, user) }

func hereOf(row item) hub.Here {
	h := hub.Here{
		User: textOf(row, "sk"), Name: textOf(row, "name"), Status: textOf(row, "status"), Stays: map[string]hub.Stay{},
		Version: int(numberOf(row, "version")), Announced: int(numberOf(row, "announced")), Ending: yesOf(row, "ending"),
		Since: timeOf(row, "since"), Left: timeOf(row, "left"), Overdue: timeOf(row, "overdue"), Rev: textOf(row, "rev"), TTL: ttlOf(row),
	}
	if data, ok := row["data"].(*types.AttributeValueMemberS); ok {
		h.Data = json.RawMessage(data.Value)
	}
	stays := item{}
	if m, ok := row["stays"].(*types.AttributeValueMemberM); ok {
		stays = m.Value
	}
	// Which connections are there is in a set as well, which the functions of an older version read and write.
	for _, id := range setOf(row, "conns") {
		h.Stays[id] = hub.Stay{Ends: h.TTL}
	}
	for id := range stays {
		stay := stayOf(textOf(stays, id))
		if _, here := h.Stays[id]; here != stay.Gone {
			h.Stays[id] = stay
		}
	}
	return h
}

// stayText is "<generation> <end in seconds>", and " gone" behind that for a mark.
func stayText(s hub.Stay) string {
	text := fmt.Sprintf("%d %d", s.Gen, s.Ends.Add(time.Second-1).Unix())
	if s.Gone {
		text += " gone"
	}
	return text
}

func stayOf(text string) hub.Stay {
	var s hub.Stay
	var ends int64
	_, _ = fmt.Sscanf(text, "%d %d", &s.Gen, &ends)
	s.Ends, s.Gone = time.Unix(ends, 0), strings.HasSuffix(text, " gone")
	return s
}

func hereItem(room string, h hub.Here) item {
	row := hereKey(room, h.User)
	row["rev"], row["ttl"] = text(h.Rev), seconds(h.TTL)
	stays := make(item, len(h.Stays))
	for id, stay := range h.Stays {
		stays[id] = text(stayText(stay))
	}
	row["stays"] = &types.AttributeValueMemberM{Value: stays}
	if h.Since.IsZero() {
		return row
	}
	row["name"], row["status"], row["since"], row["version"] = text(h.Name), text(h.Status), millis(h.Since), number(h.Version)
	if here := h.Connections(); len(here) > 0 {
		row["conns"] = set(here...)
	}
	if len(h.Data) > 0 {
		row["data"] = text(string(h.Data))
	}
	if !h.Left.IsZero() {
		row["left"] = millis(h.Left)
	}
	if !h.Overdue.IsZero() {
		row["overdue"] = millis(h.Overdue)
	}
	if h.Announced != 0 {
		row["announced"] = number(h.Announced)
	}
	if h.Ending {
		row["ending"] = yes()
	}
	return row
}

// unchanged is the condition that a row is the one that was read. The functions of an older version know no rev: what they may
// have changed is compared too.
func unchanged(was hub.Here) (when string, values item) {
	if was.User == "" {
		return "attribute_not_exists(#pk)", nil
	}
	row, values := hereItem("", was), item{}
	for _, name := range []string{"rev", "conns", "left", "version", "announced", "ending"} {
		value, has := row[name]
		if has && (name != "rev" || was.Rev != "") {
			when += " AND #" + name + " = :" + name
			values[":"+name] = value
		} else {
			when += " AND attribute_not_exists(#" + name + ")"
		}
	}
	return strings.TrimPrefix(when, " AND "), values
}

// SetHere costs 1 WCU.
func (s *Store) SetHere(ctx context.Context, room string, was, now hub.Here) (hub.Here, error) {
	when, values := unchanged(was)
	if was.User == "" { // or one that DynamoDB has not deleted yet
		when, values = when+" OR #ttl <= :seconds", item{":seconds": number(s.now().Unix())}
	}
	if now.Since.IsZero() && len(now.Stays) == 0 {
		if err := s.deleteHere(ctx, room, now.User, when, values); err != nil {
			return hub.Here{}, fmt.Errorf("delete presence in %s: %w", room, err)
		}
		return hub.Here{User: now.User}, nil
	}
	now.Rev, now.Stays, now.Data = newRev(), maps.Clone(now.Stays), bytes.Clone(now.Data)
	in := &dynamodb.PutItemInput{
		TableName: &s.table, Item: hereItem(room, now), ConditionExpression: &when, ExpressionAttributeNames: names(when),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if len(values) > 0 {
		in.ExpressionAttributeValues = maps.Clone(values)
	}
	_, err := s.db.PutItem(ctx, in)
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		if textOf(failed.Item, "rev") == now.Rev {
			return now, nil // written before: the answer was lost
		}
		return hub.Here{}, hub.ErrChanged
	}
	if err != nil {
		return hub.Here{}, fmt.Errorf("put presence in %s: %w", room, err)
	}
	return now, nil
}

// deleteHere deletes a row; that it is gone already is as good.
func (s *Store) deleteHere(ctx context.Context, room, user, when string, values item) error {
	in := &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: hereKey(room, user), ConditionExpression: &when, ExpressionAttributeNames: names(when),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if len(values) > 0 {
		in.ExpressionAttributeValues = values
	}
	_, err := s.db.DeleteItem(ctx, in)
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		if failed.Item == nil {
			return nil
		}
		return hub.ErrChanged
	}
	return err
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

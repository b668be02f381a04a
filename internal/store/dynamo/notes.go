package dynamo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func noteKey(name string) item { return key("note#"+name, "-") }

func noteRow(name string, value []byte, ttl time.Time) item {
	row := noteKey(name)
	if value == nil {
		value = []byte{} // DynamoDB takes an empty value, but not none
	}
	row["text"], row["ttl"] = &types.AttributeValueMemberB{Value: value}, seconds(ttl)
	return row
}

// Note costs 1 WCU for each KB.
func (s *Store) Note(ctx context.Context, name string, value []byte, ttl time.Time) error {
	if err := s.put(ctx, noteRow(name, value, ttl)); err != nil {
		return fmt.Errorf("put note %s: %w", name, err)
	}
	return nil
}

// NoteOnce costs 1 WCU for each KB.
func (s *Store) NoteOnce(ctx context.Context, name string, value []byte, ttl time.Time) (bool, error) {
	condition := "attribute_not_exists(#pk) OR #ttl <= :seconds"
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: noteRow(name, value, ttl), ConditionExpression: &condition, ExpressionAttributeNames: names(condition),
		ExpressionAttributeValues: item{":seconds": number(s.now().Unix())},
	})
	if _, there := errors.AsType[*types.ConditionalCheckFailedException](err); there {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("put note %s: %w", name, err)
	}
	return true, nil
}

// NoteOver costs 1 WCU for each KB, also where it writes nothing.
func (s *Store) NoteOver(ctx context.Context, name string, was, value []byte, ttl time.Time) (bool, error) {
	condition, row := "#text = :was AND #ttl > :seconds", noteRow(name, value, ttl)
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: row, ConditionExpression: &condition, ExpressionAttributeNames: names(condition),
		ExpressionAttributeValues:           item{":was": noteRow(name, was, ttl)["text"], ":seconds": number(s.now().Unix())},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if other, is := errors.AsType[*types.ConditionalCheckFailedException](err); is {
		now, _ := other.Item["text"].(*types.AttributeValueMemberB)
		return now != nil && !lapsed(other.Item, s.now()) && bytes.Equal(now.Value, value), nil
	}
	if err != nil {
		return false, fmt.Errorf("put note %s: %w", name, err)
	}
	return true, nil
}

// Noted costs 1 RCU for each 4 KB.
func (s *Store) Noted(ctx context.Context, name string) ([]byte, error) {
	row, err := s.get(ctx, noteKey(name))
	if err != nil {
		return nil, fmt.Errorf("get note %s: %w", name, err)
	}
	if value, ok := row["text"].(*types.AttributeValueMemberB); ok {
		return value.Value, nil
	}
	return nil, nil
}

// Unnote costs 1 WCU.
func (s *Store) Unnote(ctx context.Context, name string) error {
	if err := s.remove(ctx, noteKey(name)); err != nil {
		return fmt.Errorf("delete note %s: %w", name, err)
	}
	return nil
}

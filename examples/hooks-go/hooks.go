// Package hooksgo shows hooks in Go: a filter for what is published, rooms that only some may join, and an action of the application's
// own, poll:vote, that keeps its counts in an item of Bellhop's table. They are linked into the functions of functions/. In this folder:
//
//	bellhop dev --functions process --dynamodb local
//
// and in a browser's console, or any client:
//
//	await client.call("poll:vote", { room: "channel:42", data: { poll: "lunch", option: "soup" } })
package hooksgo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/hooks"
)

// Handlers gives the hooks. Without a DynamoDB there are no polls.
func Handlers(s hooks.Setup) hooks.Handlers {
	h := hooks.Handlers{Publish: filter, Join: door}
	if s.DynamoDB != nil {
		h.Actions = map[string]hooks.Handler{"poll:vote": polls{s.DynamoDB, s.Table}.vote}
	}
	return h
}

// door lets nobody into the staff's rooms whose id does not begin with "staff-", whatever the token grants.
func door(_ context.Context, q hooks.Question) (hooks.Verdict, error) {
	if strings.HasPrefix(q.Room, "channel:staff-") && !strings.HasPrefix(q.User.ID, "staff-") {
		return hooks.Verdict{Deny: &hooks.Denial{Message: "this room is for the staff"}}, nil
	}
	return hooks.Verdict{}, nil
}

// rude are words that nobody should read. An application would have a longer list, in a file.
var rude = regexp.MustCompile(`(?i)\b(darn|heck)\b`)

// filter hides rude words in messages, and refuses what shouts.
func filter(_ context.Context, q hooks.Question) (hooks.Verdict, error) {
	if q.Event != "message:new" {
		return hooks.Verdict{}, nil
	}
	var data map[string]any
	_ = json.Unmarshal(q.Data, &data) // what has another shape has no content
	content, _ := data["content"].(string)
	if len(content) > 10 && content == strings.ToUpper(content) && content != strings.ToLower(content) {
		return hooks.Verdict{Deny: &hooks.Denial{Message: "please do not shout"}}, nil
	}
	if !rude.MatchString(content) {
		return hooks.Verdict{}, nil
	}
	data = maps.Clone(data)
	data["content"] = rude.ReplaceAllStringFunc(content, func(word string) string { return strings.Repeat("*", len(word)) })
	text, err := json.Marshal(data)
	if err != nil {
		return hooks.Verdict{}, fmt.Errorf("encode message: %w", err)
	}
	return hooks.Verdict{Data: text}, nil
}

// polls keeps one item for each poll of a room, with the option of each user: voting again changes one's vote, and a retry
// changes nothing.
type polls struct {
	db    *dynamodb.Client
	table string
}

func (p polls) vote(ctx context.Context, q hooks.Question) (hooks.Verdict, error) {
	var ballot struct {
		Poll   string `json:"poll"`
		Option string `json:"option"`
	}
	if err := json.Unmarshal(q.Data, &ballot); err != nil || ballot.Poll == "" || ballot.Option == "" || q.Room == "" {
		return hooks.Verdict{}, hooks.Refuse("bad_request", `poll:vote needs a room and data {"poll":"…","option":"…"}`)
	}
	if !slices.Contains(q.Rooms, q.Room) {
		return hooks.Verdict{}, hooks.Refuse("not_in_room", "join %s first", q.Room)
	}
	update := "SET #user = :option"
	out, err := p.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &p.table,
		Key:                       map[string]types.AttributeValue{"pk": text("app#poll#" + q.Room), "sk": text(ballot.Poll)},
		UpdateExpression:          &update,
		ExpressionAttributeNames:  map[string]string{"#user": "user#" + q.User.ID},
		ExpressionAttributeValues: map[string]types.AttributeValue{":option": text(ballot.Option)},
		ReturnValues:              types.ReturnValueAllNew,
	})
	if err != nil {
		return hooks.Verdict{}, fmt.Errorf("vote: %w", err)
	}
	counts := map[string]int{}
	for name, value := range out.Attributes {
		if option, ok := value.(*types.AttributeValueMemberS); ok && strings.HasPrefix(name, "user#") {
			counts[option.Value]++
		}
	}
	result, err := json.Marshal(map[string]any{"poll": ballot.Poll, "votes": counts})
	if err != nil {
		return hooks.Verdict{}, fmt.Errorf("encode poll: %w", err)
	}
	return hooks.Verdict{Data: result}, nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

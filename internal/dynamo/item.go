package dynamo

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// item is a row, or a part of one, or the values of an expression.
type item = map[string]types.AttributeValue

// isLive holds for rows that have not lapsed; :now is in seconds.
const isLive = "(attribute_not_exists(#ttl) OR #ttl > :now)"

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func set(members ...string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: members} }

func yes() types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: true} }

// millis is every time but ttl.
func millis(t time.Time) types.AttributeValue { return num(t.UnixMilli()) }

// seconds is ttl, rounded down: a row must not be given when its time is over.
func seconds(t time.Time) types.AttributeValue { return num(t.Unix()) }

func key(pk, sk string) item { return item{"pk": str(pk), "sk": str(sk)} }

// text gives an attribute, empty if it is not there.
func text(row item, attribute string) string {
	if v, ok := row[attribute].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// number gives an attribute, 0 if it is not there.
func number(row item, attribute string) int64 {
	v, ok := row[attribute].(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	n, _ := strconv.ParseInt(v.Value, 10, 64) // only this package writes them
	return n
}

// instant gives a time in milliseconds, the zero time if it is not there.
func instant(row item, attribute string) time.Time {
	if !has(row, attribute) {
		return time.Time{}
	}
	return time.UnixMilli(number(row, attribute))
}

func expiry(row item) time.Time { return time.Unix(number(row, "ttl"), 0) }

// members gives a string set.
func members(row item, attribute string) []string {
	if v, ok := row[attribute].(*types.AttributeValueMemberSS); ok {
		return v.Value
	}
	return nil
}

func has(row item, attribute string) bool {
	_, ok := row[attribute]
	return ok
}

// lapsed reports whether there is no row, or none any more.
func lapsed(row item, now time.Time) bool {
	return row == nil || has(row, "ttl") && number(row, "ttl") <= now.Unix()
}

// putText adds an attribute that is left out when it is empty.
func putText(row item, attribute, value string) {
	if value != "" {
		row[attribute] = str(value)
	}
}

// putInstant adds a time that is left out when it is zero.
func putInstant(row item, attribute string, t time.Time) {
	if !t.IsZero() {
		row[attribute] = millis(t)
	}
}

// names gives the placeholders of an expression: each #word stands for the attribute word, unless others say more. So
// no attribute collides with DynamoDB's 573 reserved words.
func names(expression string, others map[string]string) map[string]string {
	all := make(map[string]string, 8)
	for rest := expression; ; {
		_, from, found := strings.Cut(rest, "#")
		if !found {
			maps.Copy(all, others)
			return all
		}
		end := strings.IndexFunc(from, func(r rune) bool { return r < 'a' || r > 'z' })
		if end < 0 {
			end = len(from)
		}
		all["#"+from[:end]] = from[:end]
		rest = from[end:]
	}
}

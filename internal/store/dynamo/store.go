// Package dynamo is the hub's store in one table of Amazon DynamoDB.
//
//	pk                     sk                  holds
//	conn#<0..63>           connection id       one open connection
//	room#<room>#<shard>    !meta               the room's counter and epoch, shard count and whether it is occupied; in shard 0 only
//	room#<room>#<shard>    m#<connection id>   one member
//	log#<room>             seq, 12 digits      one logged event
//	dedup#<room>           event id            the seq of the first event with that id
//	dedup#<room>           event id and maker  the seq of another maker's event with that id
//	here#<room>            user id             one user's presence
//	note#<name>            -                   what a dialect keeps of a session, until its ttl
//
// The 64 conn# partitions are both the look-up by id and the list that the sweep walks, so there is no index to pay
// for. !meta sorts before every member: the query for the members, which a broadcast makes in any case, brings it along.
//
// Every method that changes something is one conditional write, and a second one only after a lost race. A write whose
// condition fails returns the row that made it fail, so that no read has to ask why. The comment of a method says what it
// costs in write and read units (WCU, RCU); what its contract is, the interface in package hub says.
//
// The attribute ttl is in seconds, as DynamoDB wants it. It deletes a row days late
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html), so every read and every
// condition looks at it as well. All other times are in milliseconds, and busy in microseconds.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/aws/away"
	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Options are what may be set; the zero value works.
type Options struct {
	Now func() time.Time // default: time.Now
}

// Store is a [hub.Store] on one table. It is safe for concurrent use.
type Store struct {
	db     *dynamodb.Client
	table  string
	now    func() time.Time
	shards shardCache

	counting counting
}

var _ hub.Store = (*Store)(nil)

// NewClient is dynamodb.NewFromConfig for this store. It keeps as many connections open as the hub makes calls at once;
// the SDK's 10 would be opened anew all the time. A condition that fails is an everyday answer here, and the SDK reports
// each as a response whose checksum it could not verify; TLS verifies it in any case.
func NewClient(cfg aws.Config, options ...func(*dynamodb.Options)) *dynamodb.Client {
	client := awshttp.NewBuildableClient().WithTimeout(5 * time.Second).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 64, 64
	})
	own := func(o *dynamodb.Options) {
		o.HTTPClient, o.DisableValidateResponseChecksum = client, true
		o.APIOptions = append(o.APIOptions, away.Mark)
	}
	return dynamodb.NewFromConfig(cfg, append([]func(*dynamodb.Options){own}, options...)...)
}

// New gives the store in a table that is there already.
func New(client *dynamodb.Client, table string, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{db: client, table: table, now: o.Now, counting: newCounting()}
}

// ErrNoTable means that the store's table does not exist.
var ErrNoTable = errors.New("there is no such table in this region and account")

// Check reads a row that does not exist, for 1 RCU. The connection that it opens stays open for the next call. ErrNoTable
// is final; any other error may be over soon.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.get(ctx, key("check", "-"))
	if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
		return ErrNoTable
	}
	if errors.Is(err, hub.ErrNotFound) {
		return nil
	}
	return err
}

// item is a row, or part of one.
type item = map[string]types.AttributeValue

func key(pk, sk string) item { return item{"pk": text(pk), "sk": text(sk)} }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number[N int | int64](n N) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(n), 10)}
}

// binaryOf holds no bytes for none.
func binaryOf(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{}
	}
	return &types.AttributeValueMemberB{Value: b}
}

func yes() types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: true} }

func set(members ...string) types.AttributeValue {
	return &types.AttributeValueMemberSS{Value: members}
}

func millis(t time.Time) types.AttributeValue { return number(t.UnixMilli()) }

// seconds rounds up, so that a row is there until its time is over.
func seconds(t time.Time) types.AttributeValue { return number(t.Add(time.Second - 1).Unix()) }

// textOf gives "" for an attribute that is not there, or is of another type; so do the others of their zero value.
func textOf(i item, name string) string {
	if s, ok := i[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func bytesOf(i item, name string) []byte {
	if b, ok := i[name].(*types.AttributeValueMemberB); ok {
		return b.Value
	}
	return nil
}

func numberOf(i item, name string) int64 {
	if n, ok := i[name].(*types.AttributeValueMemberN); ok {
		v, err := strconv.ParseInt(n.Value, 10, 64)
		if err == nil {
			return v
		}
	}
	return 0
}

func timeOf(i item, name string) time.Time {
	if _, ok := i[name]; !ok {
		return time.Time{}
	}
	return time.UnixMilli(numberOf(i, name))
}

func ttlOf(i item) time.Time { return time.Unix(numberOf(i, "ttl"), 0) }

func yesOf(i item, name string) bool {
	b, ok := i[name].(*types.AttributeValueMemberBOOL)
	return ok && b.Value
}

func setOf(i item, name string) []string {
	if s, ok := i[name].(*types.AttributeValueMemberSS); ok {
		return s.Value
	}
	return nil
}

// lapsed reports whether a row is over; one without a ttl never is.
func lapsed(i item, now time.Time) bool {
	_, has := i["ttl"]
	return has && !ttlOf(i).After(now)
}

// alias finds the attribute names in expressions.
var alias = regexp.MustCompile(`#\w+`)

// names resolves the #names of expressions to themselves: DynamoDB reserves 573 words, ttl and name among them, so every
// attribute is written as #attribute.
func names(expressions ...string) map[string]string {
	found := map[string]string{}
	for _, e := range expressions {
		for _, name := range alias.FindAllString(e, -1) {
			found[name] = name[1:]
		}
	}
	return found
}

// get reads one row, strongly consistent. A row that is not there or lapsed is hub.ErrNotFound.
func (s *Store) get(ctx context.Context, k item) (item, error) {
	consistent := true
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: k, ConsistentRead: &consistent})
	if err != nil {
		return nil, err
	}
	if out.Item == nil || lapsed(out.Item, s.now()) {
		return nil, hub.ErrNotFound
	}
	return out.Item, nil
}

func (s *Store) put(ctx context.Context, row item) error {
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: row})
	return err
}

// putIf writes a row where there is none, or where the one that is there meets a condition. It gives the row that does not.
func (s *Store) putIf(ctx context.Context, row item, when string, values item) (there item, met bool, err error) {
	in := &dynamodb.PutItemInput{
		TableName: &s.table, Item: row, ConditionExpression: &when, ExpressionAttributeNames: names(when), ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	err = insist(ctx, func() error {
		_, err := s.db.PutItem(ctx, in)
		return err
	})
	if unmet, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return unmet.Item, false, nil
	}
	return nil, err == nil, err
}

// removeIf deletes a row that meets a condition; that there is another is no error.
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

func (s *Store) remove(ctx context.Context, k item) error {
	_, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: k})
	return err
}

// change is one conditional write.
type change struct {
	key    item
	update string // an update expression
	remove string // its end, " REMOVE …"
	when   string // a condition; empty: always
	values item
	names  map[string]string // beside those that are written out in the expressions
}

// apply writes and gives the row as written. If the condition fails, it gives the row as it is, nil if there is none,
// and met false.
func (s *Store) apply(ctx context.Context, c change) (row item, met bool, err error) {
	update := c.update + c.remove
	in := &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: c.key, UpdateExpression: &update,
		ExpressionAttributeNames: names(update, c.when), ExpressionAttributeValues: c.values,
	}
	maps.Copy(in.ExpressionAttributeNames, c.names)
	if c.when != "" {
		in.ConditionExpression = &c.when
	}
	return s.update(ctx, in)
}

func (s *Store) update(ctx context.Context, in *dynamodb.UpdateItemInput) (row item, met bool, err error) {
	in.ReturnValues = types.ReturnValueAllNew
	if in.ConditionExpression != nil {
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	out, err := s.db.UpdateItem(ctx, in)
	if err == nil {
		return out.Attributes, true, nil
	}
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed.Item, false, nil
	}
	return nil, false, err
}

// page reads rows of one partition in the order of sk, from behind after, until enough says so or there are no more. It
// passes over lapsed rows. Reads are strongly consistent.
func (s *Store) page(ctx context.Context, in *dynamodb.QueryInput, enough func(row item) bool) error {
	consistent := true
	in.TableName, in.ConsistentRead = &s.table, &consistent
	in.ExpressionAttributeNames = names(*in.KeyConditionExpression)
	for {
		out, err := s.db.Query(ctx, in)
		if err != nil {
			return err
		}
		now := s.now()
		for _, row := range out.Items {
			if !lapsed(row, now) && enough(row) {
				return nil
			}
		}
		if out.LastEvaluatedKey == nil {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// query begins a read of a partition behind a sort key; empty: from its beginning.
func query(pk, after string, limit int) *dynamodb.QueryInput {
	condition, values := "#pk = :pk", item{":pk": text(pk)}
	if after != "" {
		condition += " AND #sk > :after"
		values[":after"] = text(after)
	}
	return &dynamodb.QueryInput{
		KeyConditionExpression: &condition, ExpressionAttributeValues: values, Limit: limitOf(limit),
	}
}

func limitOf(n int) *int32 {
	limit := int32(min(n, 10_000)) //nolint:gosec // bounded here
	return &limit
}

// tries bounds how often a write is tried again that lost a race.
const tries = 10

var errBusy = fmt.Errorf("%w: the row keeps changing", hub.ErrUnavailable)

// shardCache remembers how many shards rooms have, for a minute: a room only ever grows, and an older number is as good.
type shardCache struct {
	mu    sync.Mutex
	rooms map[string]shardCount
}

type shardCount struct {
	n     int
	until time.Time
}

const maxCached = 10_000

func (c *shardCache) get(room string, now time.Time) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.rooms[room]
	return found.n, ok && found.until.After(now)
}

func (c *shardCache) put(room string, n int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms == nil || len(c.rooms) >= maxCached {
		c.rooms = map[string]shardCount{}
	}
	c.rooms[room] = shardCount{n, now.Add(time.Minute)}
}

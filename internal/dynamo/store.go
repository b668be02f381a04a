// Package dynamo is the store on AWS: one DynamoDB table, in which every decision is one conditional write of one row.
//
// # The table
//
//	pk                      sk               attributes
//	conn#<0 to 63>          connection id    user, name, codec, grants (JSON), rooms {room: shard}, opened, seen, exp, busy, closing
//	room#<room>#0           !meta            seq, epoch, base, began, shards
//	room#<room>#<shard>     m#<connection>   u: user, x: codec unless bellhop.v1, w: may publish
//	log#<room>              seq, 12 digits   e: event, i: id unless "epoch:seq", p: epoch, t: ts, f: user, n: name, d: data (JSON), until
//	dedup#<room>            event id         seq
//	here#<room>             user id          name, status, data (JSON), conns (string set), since, left, version, told, ending
//
// Times are numbers of milliseconds since 1970, except ttl, which is seconds, as DynamoDB's time to live wants it:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html. DynamoDB deletes a lapsed row days late, so
// every read and every condition here looks at ttl itself. All rows have one, except !meta: a room keeps its place in
// its log for good, for about 150 bytes.
//
// # What a call costs
//
// One write unit for each row below 1 KB that a method changes, and two requests only when a guess was wrong: see
// [Store.Touch], [Store.Arrive] and [Store.Depart]. Append writes the counter and the entry, and with an id both rows in
// one transaction, which DynamoDB charges twice. Reads are strongly consistent, except Shards.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bellhop-rt/bellhop/internal/hub"
)

// Options are what may be set; the zero value works.
type Options struct {
	Now func() time.Time // default: time.Now
}

// Store is a [hub.Store] on one table. It is safe for concurrent use. What DynamoDB throttles is retried by the client
// that it was given, and is an error after that.
type Store struct {
	client *dynamodb.Client
	table  string
	now    func() time.Time
	shards *shardCache
}

var _ hub.Store = (*Store)(nil)

// New gives a store on a table such as [CreateTable] makes.
func New(client *dynamodb.Client, table string, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{client: client, table: table, now: o.Now, shards: newShardCache()}
}

// tries is how often a write is decided anew because its row changed meanwhile. The transitions of one row in one call
// are few, so that two are plenty unless many fight for the row.
const tries = 16

// errContended is what a caller gets whose row changed at every try.
var errContended = errors.New("others change the row all the time")

// get reads one row, strongly consistent; nil if there is none or it has lapsed.
func (s *Store) get(ctx context.Context, key item, now time.Time) (item, error) {
	yes := true
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key, ConsistentRead: &yes})
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller knows what it asked for
	}
	if lapsed(out.Item, now) {
		return nil, nil
	}
	return out.Item, nil
}

// put writes one row, over any older one.
func (s *Store) put(ctx context.Context, row item) error {
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: row})
	return err
}

// change is one write of one row. In its expressions #word is the attribute word.
type change struct {
	key    item
	update string
	when   string            // the condition; empty: none
	names  map[string]string // what #words mean that are not attributes
	values item
}

// update makes a change and gives the row as it is now. If the condition does not hold it gives the row as it was at
// that moment, nil if there was none, and changed false.
func (s *Store) update(ctx context.Context, c change) (row item, changed bool, err error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: c.key, UpdateExpression: &c.update, ExpressionAttributeValues: c.values,
		ExpressionAttributeNames: names(c.update+" "+c.when, c.names), ReturnValues: types.ReturnValueAllNew,
	}
	if c.when != "" {
		in.ConditionExpression = &c.when
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	out, err := s.client.UpdateItem(ctx, in)
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed.Item, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return out.Attributes, true, nil
}

// span is a part of one partition, in the order of its sort keys.
type span struct {
	pk         string
	from       string // condition on #sk and :sk; empty: from the start
	sk         string
	descending bool
	live       string // what rows must fulfil to be given, with :now
	now        int64
}

// query gives each row of a span to do until that says false. It asks for limit rows at a time; do may change that for
// the next query.
//
// The limit counts rows before the filter. So a query that gives nothing is followed by one without a limit: what has
// lapsed is passed over by the megabyte.
func (s *Store) query(ctx context.Context, p span, limit *int32, do func(item) bool) error {
	yes, ascending := true, !p.descending
	where, values := "#pk = :pk", item{":pk": str(p.pk), ":now": num(p.now)}
	if p.from != "" {
		where += " AND " + p.from
		values[":sk"] = str(p.sk)
	}
	in := &dynamodb.QueryInput{
		TableName: &s.table, KeyConditionExpression: &where, FilterExpression: &p.live, ExpressionAttributeValues: values,
		ExpressionAttributeNames: names(where+" "+p.live, nil), ConsistentRead: &yes, ScanIndexForward: &ascending, Limit: limit,
	}
	for {
		out, err := s.client.Query(ctx, in)
		if err != nil {
			return err
		}
		for _, row := range out.Items {
			if !do(row) {
				return nil
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey, in.Limit = out.LastEvaluatedKey, limit
		if len(out.Items) == 0 {
			in.Limit = nil
		}
	}
}

// after gives rows of a partition with sort keys greater than last, in pages; an empty last is the start.
func after(pk, last string, now time.Time) span {
	p := span{pk: pk, sk: last, live: isLive, now: now.Unix()}
	if last != "" {
		p.from = "#sk > :sk"
	}
	return p
}

// pause waits a random time that grows with try, so that those who collided do not do so again.
func pause(ctx context.Context, try int) error {
	limit := min(5*time.Millisecond<<try, 200*time.Millisecond)
	t := time.NewTimer(rand.N(limit)) //nolint:gosec // spreads load, guards nothing
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CreateTable makes a table for a [Store] and waits until it can be used. On AWS the template does that; this is for
// tests and local tools.
func CreateTable(ctx context.Context, client *dynamodb.Client, table string) error {
	pk, sk, ttl, yes := "pk", "sk", "ttl", true
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: &pk, AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: &sk, AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: &pk, KeyType: types.KeyTypeHash},
			{AttributeName: &sk, KeyType: types.KeyTypeRange},
		},
	})
	if err != nil {
		return fmt.Errorf("create table %s: %w", table, err)
	}
	wait := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	if err := wait.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, time.Minute); err != nil {
		return fmt.Errorf("wait for table %s: %w", table, err)
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttl, Enabled: &yes},
	})
	if err != nil {
		return fmt.Errorf("set time to live of table %s: %w", table, err)
	}
	return nil
}

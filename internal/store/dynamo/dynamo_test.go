package dynamo_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/hub/hubtest"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
	"github.com/bellhop-rt/bellhop/internal/store/storetest"
)

func TestStore(t *testing.T) {
	db := dynamotest.New(t, "test")
	storetest.Run(t, func(_ testing.TB, now func() time.Time) socketio.Store {
		return &holed{dynamo.New(db.Client, db.Name, dynamo.Options{Now: now}), db.Client, db.Name}
	})
}

// TestProperties runs fewer checks than rapid would: every call is a request here.
func TestProperties(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := flag.Set("rapid.checks", "10"); err != nil {
			t.Fatal(err)
		}
	}
	db := dynamotest.New(t, "test")
	storetest.RunProperties(t, func(_ testing.TB, now func() time.Time) socketio.Store {
		return dynamo.New(db.Client, db.Name, dynamo.Options{Now: now})
	})
}

// holed makes holes as a writer does that counts and is never heard of again.
type holed struct {
	*dynamo.Store
	client *dynamodb.Client
	table  string
}

var _ storetest.Holes = (*holed)(nil)

func (h *holed) Hole(ctx context.Context, room string) (int64, error) {
	head, err := h.Head(ctx, room, time.Time{})
	if err != nil {
		return 0, err
	}
	_, err = h.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &h.table, UpdateExpression: aws.String("ADD seq :one"),
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "room#" + room + "#0"}, "sk": &types.AttributeValueMemberS{Value: "!meta"},
		},
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": &types.AttributeValueMemberN{Value: "1"}},
	})
	return head.Seq + 1, err
}

// meter sums what requests consume. DynamoDB Local reports a transaction as if it were one write, so those are counted
// by the rule: two units for each row of up to 1 KB,
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html.
type meter struct {
	mu          sync.Mutex
	read, write float64
	requests    int
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read, m.write, m.requests = 0, 0, 0
}

func (m *meter) add(read, write float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read, m.write, m.requests = m.read+read, m.write+write, m.requests+1
}

func units(c *types.ConsumedCapacity) float64 { return aws.ToFloat64(c.CapacityUnits) }

// attach makes a client report to the meter.
func (m *meter) attach(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("meter", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			switch p := in.Parameters.(type) {
			case *dynamodb.GetItemInput:
				p.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.QueryInput:
				p.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.PutItemInput:
				p.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.UpdateItemInput:
				p.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.DeleteItemInput:
				p.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
			case *dynamodb.TransactWriteItemsInput:
				m.add(0, float64(2*len(p.TransactItems)))
			}
			out, metadata, err := next.HandleInitialize(ctx, in)
			if err != nil { // a failed condition costs as much as the write
				m.add(0, 1)
				return out, metadata, err
			}
			switch r := out.Result.(type) {
			case *dynamodb.GetItemOutput:
				m.add(units(r.ConsumedCapacity), 0)
			case *dynamodb.QueryOutput:
				m.add(units(r.ConsumedCapacity), 0)
			case *dynamodb.PutItemOutput:
				m.add(0, units(r.ConsumedCapacity))
			case *dynamodb.UpdateItemOutput:
				m.add(0, units(r.ConsumedCapacity))
			case *dynamodb.DeleteItemOutput:
				m.add(0, units(r.ConsumedCapacity))
			}
			return out, metadata, err
		}), middleware.Before)
	})
}

// TestBudgets asserts what each flow of the hub costs in write units, for rows under 1 KB.
func TestBudgets(t *testing.T) {
	var m meter
	db := dynamotest.New(t, "test", m.attach)
	h := hub.New(hub.Config{
		Store: dynamo.New(db.Client, db.Name, dynamo.Options{}), Pusher: hubtest.Nowhere{}, Queue: hubtest.Nowhere{},
		Limits: hub.Limits{Rate: 1000, Burst: 1000},
	})
	ctx := t.Context()
	all := hub.Grants{"*": {hub.GrantJoin, hub.GrantPublish}}
	connect := func(user string) hub.Caller {
		c := hub.Caller{Connection: rand.Text(), User: user, Expires: time.Now().Add(time.Hour)}
		if err := h.Connect(ctx, c.Connection, hub.Identity{User: user, Grants: all, Expires: c.Expires}, protocol.Name); err != nil {
			t.Fatal(err)
		}
		return c
	}
	send := func(c hub.Caller, frame string) {
		t.Helper()
		var r struct {
			OK    bool
			Error json.RawMessage
		}
		out := h.Receive(ctx, c, []byte(frame))
		if out == nil {
			return
		}
		if err := json.Unmarshal(out, &r); err != nil || !r.OK {
			t.Fatalf("%s: %s", frame, out)
		}
	}
	spent := func(what string, most float64, do func()) {
		t.Helper()
		m.reset()
		do()
		t.Logf("%-40s %4.1f WCU (budget %g), %4.1f RCU, %d requests", what, m.write, most, m.read, m.requests)
		if m.write > most {
			t.Errorf("%s: got %g WCU, want at most %g", what, m.write, most)
		}
	}
	bob := connect("bob")
	for _, room := range []string{"channel:1", "community:1"} {
		send(bob, `{"action":"join","id":"1","room":"`+room+`"}`)
	}
	var ana hub.Caller
	spent("connect", 2, func() { ana = connect("ana") })
	spent("join a channel", 3, func() { send(ana, `{"action":"join","id":"1","room":"channel:1"}`) })
	spent("publish with an id", 4, func() { send(ana, `{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":1}`) })
	spent("publish with an id, again", 1, func() { send(ana, `{"action":"publish","id":"m1","room":"channel:1","event":"message:new","data":1}`) })
	spent("publish without an id", 3, func() { send(ana, `{"action":"publish","room":"channel:1","event":"message:new","data":1}`) })
	spent("typing", 0, func() { send(ana, `{"action":"typing:start","channelId":"1"}`) })
	if m.requests != 1 {
		t.Errorf("typing: got %d requests, want one member query", m.requests)
	}
	// A community, by a second device: the arrival of a user, which is announced once, costs its event beside.
	send(ana, `{"action":"join","id":"1","room":"community:1"}`)
	phone := connect("ana")
	spent("join a community", 3, func() { send(phone, `{"action":"join","id":"1","room":"community:1"}`) })
	spent("leave a community, another device stays", 4, func() { send(phone, `{"action":"leave","id":"1","room":"community:1"}`) })
	spent("leave a channel", 3, func() { send(ana, `{"action":"leave","id":"1","room":"channel:1"}`) })
	send(ana, `{"action":"join","id":"1","room":"channel:1"}`)
	rooms := 3 // user, channel, community
	spent("disconnect from 3 rooms", float64(1+2*rooms), func() {
		if err := h.Depart(ctx, ana.Connection); err != nil {
			t.Fatal(err)
		}
	})
	if m.write < 5 {
		t.Errorf("disconnect: %g WCU cannot be all", m.write)
	}
}

// TestBroadcastReads compares what a broadcast to a large, sharded room reads with the size of its members' rows.
func TestBroadcastReads(t *testing.T) {
	const members = 2000
	var m meter
	db := dynamotest.New(t, "test", m.attach)
	store := dynamo.New(db.Client, db.Name, dynamo.Options{})
	ctx, room := t.Context(), "channel:1"
	if err := store.Grow(ctx, room, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Head(ctx, room, time.Time{}); err != nil {
		t.Fatal(err)
	}
	bytes := 0
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range members {
		member := hub.Member{
			Connection: rand.Text()[:15] + "=", User: fmt.Sprintf("user%04d", i), Codec: protocol.Name, Shard: i % 2,
			MayPublish: true, TTL: time.Now().Add(time.Hour),
		}
		// Names and values, as DynamoDB counts them: pk, sk, u, p, ttl.
		bytes += len("pk") + len("room#"+room+"#0") + len("sk") + len("m#") + 16 + len("u") + 8 + len("p") + 1 + len("ttl") + 6
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := store.AddMember(ctx, room, member); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m.reset()
	seen := map[string]bool{}
	for shard := range 2 {
		for after, limit := "", 200; ; limit = 1000 {
			page, err := store.Members(ctx, room, shard, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, member := range page.Members {
				seen[member.Connection] = true
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	if len(seen) != members {
		t.Errorf("got %d members, want %d", len(seen), members)
	}
	least := float64(bytes) / 4096 // one RCU reads 4 KB, strongly consistent
	t.Logf("%d members: %d bytes, %.1f RCU, %.1f at the least", members, bytes, m.read, least)
	if m.read > 1.1*least {
		t.Errorf("got %.1f RCU, want at most 1.1 × %.1f", m.read, least)
	}
}

// once is an event of a program's that is logged once.
func once() hub.Draft {
	return hub.Draft{
		Event: protocol.Event{Event: "message:new", ID: "once", TS: 1, Data: json.RawMessage("1")},
		Key:   hub.Key{Maker: hub.MakerProgram, ID: "once"}, Sum: "sum", Keep: time.Hour,
	}
}

// TestOneIDManyTimes appends under one id from many sides at once: one row, and one seq for all.
func TestOneIDManyTimes(t *testing.T) {
	db := dynamotest.New(t, "test")
	store := dynamo.New(db.Client, db.Name, dynamo.Options{})
	var wg sync.WaitGroup
	seqs := make([]int64, 50)
	for i := range seqs {
		wg.Go(func() {
			entry, _, err := store.Append(t.Context(), "channel:1", once())
			for errors.Is(err, hub.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) { // too slow to write at the seq that was counted
				entry, _, err = store.Append(t.Context(), "channel:1", once())
			}
			if err != nil {
				t.Error(err)
			}
			seqs[i] = entry.Seq
		})
	}
	wg.Wait()
	entries, err := store.From(t.Context(), "channel:1", 1, 100)
	entries = slices.DeleteFunc(entries, func(e hub.Entry) bool { return e.Void })
	if err != nil || len(entries) != 1 {
		t.Fatalf("got %d entries, %v", len(entries), err)
	}
	for _, seq := range seqs {
		if seq != entries[0].Seq {
			t.Errorf("got seq %d, want %d", seq, entries[0].Seq)
		}
	}
}

// TestLapsedRowsAreCheap reads a log whose old entries DynamoDB has not deleted yet.
func TestLapsedRowsAreCheap(t *testing.T) {
	const lapsed = 1000
	var m meter
	db := dynamotest.New(t, "test", m.attach)
	var past time.Duration
	store := dynamo.New(db.Client, db.Name, dynamo.Options{Now: func() time.Time { return time.Now().Add(past) }})
	ctx, room := t.Context(), "channel:1"
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range lapsed / 8 {
				if _, _, err := store.Append(ctx, room, hub.Draft{Event: protocol.Event{Event: "e", TS: 1}, Keep: time.Hour}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	past = 2 * time.Hour
	m.reset()
	entries, err := store.Before(ctx, room, lapsed+1, 10)
	if err != nil || len(entries) != 0 || m.requests > 1 {
		t.Errorf("down: %d entries in %d requests, %v", len(entries), m.requests, err)
	}
	m.reset()
	entries, err = store.From(ctx, room, 1, 100)
	if err != nil || len(entries) != 0 || m.requests > 3 {
		t.Errorf("up: %d entries in %d requests, %v", len(entries), m.requests, err)
	}
}

// most is the size of the largest room of TestLargeRooms: go test ./internal/store/dynamo -run LargeRooms -v -members 100000.
var most = flag.Int("members", 1000, "members of the largest room")

// TestLargeRooms publishes into rooms of growing size. What a delivery costs must not grow with them.
func TestLargeRooms(t *testing.T) {
	for members := 10; members <= *most; members *= 10 {
		var m meter
		db := dynamotest.New(t, "test", m.attach)
		f := storetest.FanOut(t, dynamo.New(db.Client, db.Name, dynamo.Options{}), members, m.reset)
		t.Logf("%6d members: %4d jobs, %6d posts, %4d requests, %7.1f RCU, %4.1f WCU, %4.1f RCU per 1,000 deliveries, %5.1f MB heap, %v",
			f.Members, f.Jobs, f.Posts, m.requests, m.read, m.write, 1000*m.read/float64(members), float64(f.PeakHeap)/1e6, f.Wall.Round(time.Millisecond))
		if m.write > 5+float64(f.Jobs) || // each full shard of the last growth asks for the next one, once
			m.read > 6+float64(members)*0.025 {
			t.Errorf("%d members: %.1f RCU and %.1f WCU", members, m.read, m.write)
		}
	}
}

package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fn func(ctx context.Context, payload []byte) ([]byte, error)

func (f fn) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// table is the streams' API with one shard, of five records with the sequence numbers 1 to 5.
func table(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ask struct {
			ShardIterator, SequenceNumber string
			Limit                         int
		}
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
			t.Error(err)
		}
		switch strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target) {
		case "ListStreams":
			fmt.Fprint(w, `{"Streams":[{"StreamArn":"arn:stream"}]}`)
		case "DescribeStream":
			fmt.Fprint(w, `{"StreamDescription":{"Shards":[{"ShardId":"shard"}]}}`)
		case "GetShardIterator":
			fmt.Fprintf(w, `{"ShardIterator":"%s"}`, "0"+ask.SequenceNumber)
		case "GetRecords":
			from, _ := strconv.Atoi(ask.ShardIterator)
			var list []string
			for n := from + 1; n <= min(from+ask.Limit, 5); n++ {
				list = append(list, fmt.Sprintf(`{"eventName":"INSERT","dynamodb":{"SequenceNumber":"%d"}}`, n))
			}
			fmt.Fprintf(w, `{"Records":[%s],"NextShardIterator":"%d"}`, strings.Join(list, ","), from+len(list))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// deliver has a function follow the table until it has been given the last record, and gives the numbers that each run was given.
func deliver(t *testing.T, mapping string, answer func(run int, numbers []string) (string, error)) (runs []string) {
	t.Helper()
	tpl, err := template.Read([]byte(`
Resources:
  T: {Type: AWS::DynamoDB::Table, Properties: {AttributeDefinitions: [{AttributeName: id, AttributeType: S}], KeySchema: [{AttributeName: id, KeyType: HASH}], StreamSpecification: {StreamViewType: NEW_IMAGE}}}
  F: {Type: AWS::Serverless::Function, Properties: {Events: {E: {Type: DynamoDB, Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON, `+mapping+`}}}}}
`), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var once sync.Once
	functions, err := invoke.New(invoke.Config{Template: tpl, Code: map[string]invoke.Function{"F": fn(func(_ context.Context, payload []byte) ([]byte, error) {
		var event struct {
			Records []struct {
				EventSourceARN string
				DynamoDB       struct{ SequenceNumber string }
			}
		}
		if err := json.Unmarshal(payload, &event); err != nil || len(event.Records) == 0 || event.Records[0].EventSourceARN != "arn:stream" {
			t.Errorf("got %s, %v", payload, err)
		}
		var numbers []string
		for _, r := range event.Records {
			numbers = append(numbers, r.DynamoDB.SequenceNumber)
		}
		runs = append(runs, strings.Join(numbers, ","))
		out, err := answer(len(runs), numbers)
		if slices.Contains(numbers, "5") && err == nil && !strings.Contains(out, "itemIdentifier") {
			once.Do(func() { close(done) })
		}
		return []byte(out), err
	})}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Template: tpl, Functions: functions, Endpoint: table(t), Region: "us-east-1", Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the last record has not come")
	}
	s.Close()
	functions.Close()
	http.DefaultClient.CloseIdleConnections()
	return runs
}

func TestBatches(t *testing.T) {
	for name, c := range map[string]struct {
		mapping string
		answer  func(run int, numbers []string) (string, error)
		want    []string
	}{
		"in order": {"BatchSize: 2", func(int, []string) (string, error) { return "null", nil }, []string{"1,2", "3,4", "5"}},
		"one that fails comes again, and what is behind it waits": {"BatchSize: 2", func(run int, _ []string) (string, error) {
			if run == 2 {
				return "", errors.New("once")
			}
			return "null", nil
		}, []string{"1,2", "3,4", "3,4", "5"}},
		"from the record that is reported": {"BatchSize: 3, FunctionResponseTypes: [ReportBatchItemFailures]", func(run int, _ []string) (string, error) {
			if run == 1 {
				return `{"batchItemFailures":[{"itemIdentifier":"2"}]}`, nil
			}
			return `{"batchItemFailures":[]}`, nil
		}, []string{"1,2,3", "2,3", "4,5"}},
		"given up": {"BatchSize: 4, MaximumRetryAttempts: 0", func(run int, _ []string) (string, error) {
			if run == 1 {
				return "", errors.New("always")
			}
			return "null", nil
		}, []string{"1,2,3,4", "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := deliver(t, c.mapping, c.answer); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

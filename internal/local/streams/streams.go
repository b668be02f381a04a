// Package streams is DynamoDB Streams as a source of events for functions: it reads the streams of a template's tables in a DynamoDB that
// runs somewhere, DynamoDB Local mostly, and runs the functions that the template maps to them. It follows "Change data capture for DynamoDB
// Streams" of the Amazon DynamoDB developer guide and "Using AWS Lambda with Amazon DynamoDB" of AWS Lambda's.
//
// The records of a shard come in their order and one batch at a time: one that fails is given again, with what is behind it waiting, as on
// AWS. What has been read is kept nowhere: a start with LATEST does not see what was written before, one with TRIM_HORIZON sees it again.
package streams

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Config says what to follow. Template and Functions are required.
type Config struct {
	Template  *template.Template
	Functions *invoke.Service
	// Endpoint is the DynamoDB's URL; empty: the streams' records do not come.
	Endpoint string
	// Region and Key are what its tables belong to, and whoever asks.
	Region, Key string
	// Matches decides by a pattern of event filtering whether a record is for a function; nil: every one is.
	Matches func(pattern, record map[string]any) bool
	Logger  *slog.Logger // default discards
	// Observe is told of each batch, from the goroutine that delivered it.
	Observe func(Batch)
}

// Batch is a delivery of records to a function.
type Batch struct {
	Time     time.Time // when it began
	Duration time.Duration
	Table    string // logical id
	Function string // logical id
	Records  int
	Err      error
}

const (
	pollEvery   = 200 * time.Millisecond // of a shard; AWS's own is up to a second
	shardsEvery = time.Second
	minBackoff  = time.Second
	maxBackoff  = 30 * time.Second
	callTime    = 10 * time.Second
	maxBatch    = 1000 // records of a call, DynamoDB's own limit
	invocation  = 15 * time.Minute
	service     = "dynamodb"
	target      = "DynamoDBStreams_20120810."
)

// Service follows the streams of one template.
type Service struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup
	fns    []*invoke.Target // by the place of the mapping
}

// New finds the functions. The error names the template's line.
func New(cfg Config) (*Service, error) {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	s := &Service{cfg: cfg}
	for _, m := range cfg.Template.Streams {
		fn, err := cfg.Functions.Need(m.Function, m.Line)
		if err != nil {
			return nil, err
		}
		s.fns = append(s.fns, fn)
		if cfg.Endpoint == "" {
			cfg.Template.Warnf(m.Line, "%s: the stream of %s needs a DynamoDB; its records do not come", m.Function, m.Table)
		}
	}
	s.ctx, s.cancel = context.WithCancel(cfg.Functions.Context())
	return s, nil
}

// Start begins to follow. Call it once.
func (s *Service) Start() {
	if s.cfg.Endpoint == "" {
		return
	}
	for i, m := range s.cfg.Template.Streams {
		s.loops.Go(func() { s.follow(m, s.fns[i]) })
	}
}

// Close follows no more; a batch that a function has is waited for.
func (s *Service) Close() {
	s.cancel()
	s.loops.Wait()
}

// wait is false when the service ends first.
func (s *Service) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// follow finds a stream and its shards, and reads each.
func (s *Service) follow(m template.Stream, fn *invoke.Target) {
	i := slices.IndexFunc(s.cfg.Template.Tables, func(t template.Table) bool { return t.ID == m.Table })
	var arn, said string
	known := map[string]bool{}
	var shards sync.WaitGroup
	defer shards.Wait()
	for first := true; ; {
		found, list, err := s.shards(s.cfg.Template.Tables[i].Name)
		if err != nil && err.Error() != said && s.ctx.Err() == nil {
			said = err.Error()
			s.cfg.Logger.WarnContext(s.ctx, "a stream cannot be read", "table", m.Table, "error", err)
		}
		if err == nil && found != arn { // the table was made anew
			arn, known = found, map[string]bool{}
		}
		for _, shard := range list {
			if !known[shard] {
				known[shard] = true
				r := &reader{Service: s, mapping: m, fn: fn, arn: arn, shard: shard, latest: m.Latest && first}
				shards.Go(r.run)
			}
		}
		first = first && err != nil
		if !s.wait(shardsEvery) {
			return
		}
	}
}

// shards gives the newest stream of a table with its shards.
func (s *Service) shards(table string) (arn string, list []string, err error) {
	var streams struct {
		Streams []struct {
			ARN string `json:"StreamArn"`
		} `json:"Streams"`
	}
	if err := s.call("ListStreams", map[string]any{"TableName": table}, &streams); err != nil {
		return "", nil, err
	}
	if len(streams.Streams) == 0 {
		return "", nil, errors.New("the table has no stream: was it made before the template had one? Delete it, or start with a DynamoDB that is empty")
	}
	arn = streams.Streams[len(streams.Streams)-1].ARN
	var described struct {
		Stream struct {
			Shards []struct {
				ID string `json:"ShardId"`
			} `json:"Shards"`
		} `json:"StreamDescription"`
	}
	if err := s.call("DescribeStream", map[string]any{"StreamArn": arn}, &described); err != nil {
		return "", nil, err
	}
	for _, shard := range described.Stream.Shards {
		list = append(list, shard.ID)
	}
	return arn, list, nil
}

// call asks the API, whose JSON records are what functions get: nothing is decoded and written anew.
func (s *Service) call(operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, callTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", target+operation)
	sum := sha256.Sum256(body)
	who := aws.Credentials{AccessKeyID: s.cfg.Key, SecretAccessKey: s.cfg.Key}
	if err := v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(sum[:]), service, s.cfg.Region, time.Now()); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.300s", operation, response.Status, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

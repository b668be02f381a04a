package dynamo_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop/internal/check/dynamotest"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
	"github.com/bellhop-rt/bellhop/internal/store/storetest"
)

// trouble is what a network gives instead of an answer: an error, or another answer.
type trouble struct {
	err    error
	status int
	code   string
}

// network is that of a store, which may be in trouble.
type network struct {
	dynamodb.HTTPClient
	in atomic.Pointer[trouble]
}

func (n *network) Do(r *http.Request) (*http.Response, error) {
	in := n.in.Load()
	switch {
	case in == nil:
		return n.HTTPClient.Do(r)
	case in.err != nil:
		return nil, in.err
	}
	body := io.NopCloser(strings.NewReader(`{"__type":"com.amazonaws.dynamodb.v20120810#` + in.code + `","message":"no"}`))
	return &http.Response{StatusCode: in.status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: body, Request: r}, nil
}

// TestAway: whatever keeps DynamoDB from answering, clients are told that it may be over some time.
func TestAway(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]trouble{
		"it cannot be reached":       {err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}},
		"it does not answer in time": {err: &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}},
		"the connection is cut":      {err: &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
		"it refuses for its load":    {status: http.StatusBadRequest, code: "ProvisionedThroughputExceededException"},
		"the account has its limit":  {status: http.StatusBadRequest, code: "RequestLimitExceeded"},
		"a key is too hot":           {status: http.StatusBadRequest, code: "ThrottlingException"},
		"it has a fault":             {status: http.StatusInternalServerError, code: "InternalServerError"},
		"it is down":                 {status: http.StatusServiceUnavailable, code: "ServiceUnavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &network{}
			db := dynamotest.New(t, "away", func(o *dynamodb.Options) {
				n.HTTPClient, o.HTTPClient = o.HTTPClient, n
				o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
			})
			storetest.RunAway(t, false, func(testing.TB) (socketio.Store, func(bool)) {
				return dynamo.New(db.Client, db.Name, dynamo.Options{}), func(is bool) {
					if n.in.Store(nil); is {
						n.in.Store(&in)
					}
				}
			})
		})
	}
}

// TestNotAway: a mistake of the owner's stays an error that somebody has to look at.
func TestNotAway(t *testing.T) {
	t.Parallel()
	client := dynamo.NewClient(aws.Config{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}}, func(o *dynamodb.Options) {
		n := &network{}
		n.in.Store(&trouble{status: http.StatusBadRequest, code: "AccessDeniedException"})
		o.HTTPClient = n
	})
	_, err := dynamo.New(client, "t", dynamo.Options{}).Noted(t.Context(), "n")
	if err == nil || errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

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

// network is that of a store, which may do something else with a request than send it.
type network struct {
	dynamodb.HTTPClient
	instead atomic.Pointer[func(r *http.Request) (*http.Response, error)]
}

func (n *network) Do(r *http.Request) (*http.Response, error) {
	if instead := n.instead.Load(); instead != nil {
		return (*instead)(r)
	}
	return n.HTTPClient.Do(r)
}

// TestAway: whatever keeps DynamoDB from answering, clients are told that it may be over some time.
func TestAway(t *testing.T) { //nolint:bodyclose // there is none
	t.Parallel()
	fail := func(err error) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	for name, instead := range map[string]func(*http.Request) (*http.Response, error){
		"it cannot be reached":       fail(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
		"it does not answer in time": fail(&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}),
		"the connection is cut":      fail(&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}),
		"it refuses for its load":    answering(http.StatusBadRequest, "ProvisionedThroughputExceededException"),
		"the account has its limit":  answering(http.StatusBadRequest, "RequestLimitExceeded"),
		"a key is too hot":           answering(http.StatusBadRequest, "ThrottlingException"),
		"it has a fault":             answering(http.StatusInternalServerError, "InternalServerError"),
		"it is down":                 answering(http.StatusServiceUnavailable, "ServiceUnavailable"),
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
					if n.instead.Store(nil); is {
						n.instead.Store(&instead)
					}
				}
			})
		})
	}
}

// TestNotAway: a mistake of the owner's stays an error that somebody has to look at.
func TestNotAway(t *testing.T) {
	client := dynamo.NewClient(aws.Config{Region: "eu-west-1", Credentials: aws.AnonymousCredentials{}}, func(o *dynamodb.Options) {
		n, refuse := &network{}, answering(http.StatusBadRequest, "AccessDeniedException")
		n.instead.Store(&refuse)
		o.HTTPClient = n
	})
	_, err := dynamo.New(client, "t", dynamo.Options{}).Noted(t.Context(), "n")
	if err == nil || errors.Is(err, hub.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// answering is a service that has one answer.
func answering(status int, code string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		body := io.NopCloser(strings.NewReader(`{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"no"}`))
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: body, Request: r}, nil
	}
}

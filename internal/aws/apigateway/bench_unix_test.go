//go:build unix

package apigateway_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"

	"github.com/bellhop-rt/bellhop/internal/aws/apigateway"
)

// BenchmarkPush compares the pusher with the SDK's client as it comes, and with requests that nobody signs: what lies between that
// and the pusher is the signature. The time of the CPU is what a function pays for; a server's that only reads and answers is in it.
func BenchmarkPush(b *testing.B) {
	endpoint := answering(b) + "/dev"
	cfg := aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	shared := func() *http.Client {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 256
		b.Cleanup(t.CloseIdleConnections)
		return &http.Client{Transport: t}
	}
	plain := apigatewaymanagementapi.NewFromConfig(cfg, func(c *apigatewaymanagementapi.Options) {
		c.BaseEndpoint, c.HTTPClient = &endpoint, shared()
	})
	frame := strings.Repeat("x", 200)
	unsigned := shared()
	for _, way := range []struct {
		name string
		push func(ctx context.Context, connection string) error
	}{
		{"pusher", apigateway.New(cfg, endpoint, apigateway.Options{}).Prepare([]byte(frame))},
		{"plain SDK", func(ctx context.Context, connection string) error {
			_, err := plain.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &connection, Data: []byte(frame)})
			return err
		}},
		{"not signed", func(ctx context.Context, connection string) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/@connections/"+connection, strings.NewReader(frame))
			if err != nil {
				return err
			}
			answer, err := unsigned.Do(r)
			if err != nil {
				return err
			}
			return answer.Body.Close()
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			before := used(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := way.push(b.Context(), id); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(used(b)-before)/float64(b.N), "CPU-µs/post")
		})
	}
}

// used is the time of the CPU that this process has used, in microseconds.
func used(tb testing.TB) int64 {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}

// answering is a server that does next to nothing, and gives its address.
func answering(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for in := bufio.NewReader(conn); ; {
					for {
						line, err := in.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) <= 2 {
							break
						}
					}
					if _, err := in.Discard(200); err != nil {
						return
					}
					if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

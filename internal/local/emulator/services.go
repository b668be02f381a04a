package emulator

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/bellhop-rt/bellhop/internal/local/awsquery"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/queues"
)

// send puts what a topic has for a queue there.
func (e *Emulator) send(queue, body string, attributes map[string]awsquery.Attribute, l invoke.Lineage) error {
	m := queues.Message{Body: body, Attributes: map[string]queues.MessageAttribute{}, Trace: l.Header()}
	for name, a := range attributes {
		m.Attributes[name] = queues.MessageAttribute(a)
	}
	return e.Queues.SendMessage(queue, m, 0)
}

// service is where requests of AWS integrations for a service go: to an endpoint that was given, else to the product here, else nowhere.
func (e *Emulator) service(cfg Config) func(name string) http.RoundTripper {
	return func(name string) http.RoundTripper {
		for _, variable := range []string{"AWS_ENDPOINT_URL_" + gateway.EndpointVariable(name), "AWS_ENDPOINT_URL"} {
			if endpoint, err := url.Parse(cfg.Environment[variable]); err == nil && endpoint.Host != "" {
				return &elsewhere{
					name: name, endpoint: endpoint, now: cfg.Now, region: cmp.Or(cfg.Environment["AWS_REGION"], cfg.Template.Region),
					who: aws.Credentials{
						AccessKeyID:     cmp.Or(cfg.Environment["AWS_ACCESS_KEY_ID"], "local"),
						SecretAccessKey: cmp.Or(cfg.Environment["AWS_SECRET_ACCESS_KEY"], "local"),
					},
				}
			}
		}
		switch name {
		case "sqs":
			return within{func() http.Handler { return e.Queues }}
		case "sns":
			return within{func() http.Handler { return e.Topics }}
		case "events":
			return within{func() http.Handler { return e.Buses }}
		case "lambda":
			return within{func() http.Handler { return e.Functions }}
		}
		return nil
	}
}

// within sends requests to a product of this emulator, without a network. The products are made one after the other, so it is asked for
// with each request.
type within struct{ product func() http.Handler }

func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	out := &written{header: http.Header{}, status: http.StatusOK}
	w.product().ServeHTTP(out, r)
	return &http.Response{
		StatusCode: out.status, Header: out.header, Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()), Request: r,
	}, nil
}

// written is a response that is kept.
type written struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *written) WriteHeader(status int)      { w.status = status }

// elsewhere sends requests to an endpoint, signed as the functions' are: emulators look at whose they are.
type elsewhere struct {
	name     string
	endpoint *url.URL
	region   string
	who      aws.Credentials
	now      func() time.Time
}

func (s *elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = s.endpoint.Scheme, s.endpoint.Host, s.endpoint.Host
	out.URL.Path = strings.TrimSuffix(s.endpoint.Path, "/") + out.URL.Path
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if err := s.sign(r.Context(), out, body); err != nil {
		return nil, err
	}
	return http.DefaultTransport.RoundTrip(out)
}

func (s *elsewhere) sign(ctx context.Context, r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	now := time.Now()
	if s.now != nil {
		now = s.now()
	}
	if err := v4.NewSigner().SignHTTP(ctx, s.who, r, hex.EncodeToString(sum[:]), s.name, s.region, now); err != nil {
		return fmt.Errorf("sign the request for %s: %w", s.name, err)
	}
	return nil
}

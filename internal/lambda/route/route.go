// Package route translates between Lambda and the hub: one constructor for each function, from the events of its
// triggers to the answers that AWS expects. It decides nothing.
//
// The WebSocket events are of API Gateway,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html.
package route

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// webSocketEvent is what the functions read of an API Gateway event; the type of aws-lambda-go has five times as many
// fields to decode.
type webSocketEvent struct {
	Headers map[string]string `json:"headers"`
	Query   map[string]string `json:"queryStringParameters"`
	Context struct {
		EventType    string            `json:"eventType"`
		ConnectionID string            `json:"connectionId"`
		Authorizer   authorizerContext `json:"authorizer"`
		StatusCode   int               `json:"disconnectStatusCode"`
		Reason       string            `json:"disconnectReason"`
		Time         int64             `json:"requestTimeEpoch"` // Unix milliseconds
	} `json:"requestContext"`
	Body string `json:"body"`
}

// closedByClient reports whether the client has closed the connection, and not the page that held it, the network, or the server: AWS's
// reason for that is seen, not documented. Clients that mean to come back close with another code.
func (e *webSocketEvent) closedByClient() bool {
	switch e.Context.StatusCode {
	case closeNormal:
		return e.Context.Reason != "Connection Closed Normally"
	case closeNoStatus:
		return true
	}
	return false
}

// What closes a connection: RFC 6455, section 7.4.1.
const (
	closeNormal   = 1000
	closeNoStatus = 1005
)

// authorizerContext is what the authorizer hands on: strings only, since it is not certain how others arrive.
type authorizerContext struct {
	User    string `json:"user"`
	Name    string `json:"name"`
	Grants  string `json:"grants"`  // JSON of hub.Grants
	Expires string `json:"expires"` // Unix seconds
	Codec   string `json:"codec"`   // socketIO, or empty
}

func (a authorizerContext) expires() time.Time {
	sec, err := strconv.ParseInt(a.Expires, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

// known is an error for connections whose authorizer is newer than this function, while a deployment goes on.
func (a authorizerContext) known() error {
	if a.Codec == "" || a.Codec == socketIO {
		return nil
	}
	return fmt.Errorf("the authorizer says that the connection speaks %q, which this version does not", a.Codec)
}

// response is a Lambda proxy response.
type response struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
}

// Connect answers the $connect route. 400: the client offers subprotocols, but not ours, or speaks a Socket.IO that is not
// served.
func Connect(h *hub.Hub, sockets *socketio.Server, log *slog.Logger) lambda.Handler {
	return handler[webSocketEvent, response](func(ctx context.Context, e webSocketEvent) (response, error) {
		if e.Context.Authorizer.Codec == socketIO {
			return openSocket(ctx, sockets, e, log), nil
		}
		if err := e.Context.Authorizer.known(); err != nil {
			log.ErrorContext(ctx, "connect", "connectionId", e.Context.ConnectionID, "error", err)
			return response{StatusCode: http.StatusServiceUnavailable}, nil
		}
		offered := header(e.Headers, "Sec-WebSocket-Protocol")
		ok := response{StatusCode: http.StatusOK}
		if offered != "" {
			if !slices.Contains(list(offered), protocol.Name) {
				return response{StatusCode: http.StatusBadRequest, Body: "offer the subprotocol " + protocol.Name}, nil
			}
			ok.Headers = map[string]string{"Sec-WebSocket-Protocol": protocol.Name}
		}
		auth := e.Context.Authorizer
		grants, err := hub.ParseGrants([]byte(auth.Grants))
		if err != nil {
			return response{}, fmt.Errorf("authorizer context: %w", err)
		}
		who := hub.Identity{User: auth.User, Name: auth.Name, Grants: grants, Expires: auth.expires()}
		err = h.Connect(ctx, e.Context.ConnectionID, who, protocol.Name)
		if refused, ok := errors.AsType[*protocol.Error](err); ok {
			log.InfoContext(ctx, "connection refused", "connectionId", e.Context.ConnectionID, "userId", auth.User, "error", err)
			return response{StatusCode: refusal(refused.Code), Body: refused.Message}, nil
		}
		if err != nil {
			log.ErrorContext(ctx, "connect", "connectionId", e.Context.ConnectionID, "userId", auth.User, "error", err)
			return response{StatusCode: http.StatusServiceUnavailable}, nil
		}
		log.InfoContext(ctx, "connected", "connectionId", e.Context.ConnectionID, "userId", auth.User)
		return ok, nil
	})
}

// openSocket lets a client of Socket.IO in, if it is one that can be served.
func openSocket(ctx context.Context, sockets *socketio.Server, e webSocketEvent, log *slog.Logger) response {
	if err := sockets.Handshake(e.Query); err != nil {
		return response{StatusCode: http.StatusBadRequest, Body: err.Error()}
	}
	if err := sockets.Open(ctx, e.Context.ConnectionID); err != nil {
		log.ErrorContext(ctx, "connect", "connectionId", e.Context.ConnectionID, "error", err)
		return response{StatusCode: http.StatusServiceUnavailable}
	}
	return response{StatusCode: http.StatusOK}
}

// refusal is the status of a handshake that the application refused, or could not be asked about.
func refusal(c protocol.Code) int {
	switch c {
	case protocol.CodeUnavailable, protocol.CodeInternal:
		return http.StatusServiceUnavailable
	case protocol.CodeRateLimited:
		return http.StatusTooManyRequests
	default:
		return http.StatusForbidden
	}
}

// Disconnect answers the $disconnect route. What it cannot finish the sweep does.
func Disconnect(h *hub.Hub, sockets *socketio.Server, log *slog.Logger) lambda.Handler {
	return handler[webSocketEvent, response](func(ctx context.Context, e webSocketEvent) (response, error) {
		depart := h.Depart
		if e.closedByClient() {
			depart = h.DepartForGood
		}
		if e.Context.Authorizer.Codec == socketIO {
			depart = sockets.Closed
		}
		if err := depart(ctx, e.Context.ConnectionID); err != nil {
			return response{}, err
		}
		log.InfoContext(ctx, "disconnected",
			"connectionId", e.Context.ConnectionID, "code", e.Context.StatusCode, "reason", e.Context.Reason)
		return response{StatusCode: http.StatusOK}, nil
	})
}

// Message answers every route that a client's frame may take. An empty body says nothing to the client.
func Message(h *hub.Hub, sockets *socketio.Server) lambda.Handler {
	return handler[webSocketEvent, response](func(ctx context.Context, e webSocketEvent) (response, error) {
		auth := e.Context.Authorizer
		caller := hub.Caller{
			Connection: e.Context.ConnectionID, User: auth.User, Name: auth.Name, Expires: auth.expires(),
		}
		if e.Context.Time > 0 {
			caller.At = time.UnixMilli(e.Context.Time)
		}
		if auth.Codec == socketIO {
			if auth.Grants != "" {
				grants, err := hub.ParseGrants([]byte(auth.Grants))
				if err != nil {
					return response{}, fmt.Errorf("authorizer context: %w", err)
				}
				caller.Grants = grants
			}
			return response{StatusCode: http.StatusOK, Body: string(sockets.Receive(ctx, caller, []byte(e.Body)))}, nil
		}
		if err := auth.known(); err != nil {
			return response{}, err
		}
		return response{StatusCode: http.StatusOK, Body: string(h.Receive(ctx, caller, []byte(e.Body)))}, nil
	})
}

// sqsEvent is a batch of a queue, https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html.
type sqsEvent struct {
	Records []sqsRecord `json:"Records"`
}

type sqsRecord struct {
	MessageID  string `json:"messageId"`
	Receipt    string `json:"receiptHandle"`
	Body       string `json:"body"`
	Attributes struct {
		Receives string `json:"ApproximateReceiveCount"`
	} `json:"attributes"`
}

// sqsResponse names the messages that SQS is to deliver again.
type sqsResponse struct {
	Failures []sqsFailure `json:"batchItemFailures"`
}

type sqsFailure struct {
	Item string `json:"itemIdentifier"`
}

// answer names the messages whose error is not nil.
func (e sqsEvent) answer(ctx context.Context, log *slog.Logger, errs []error) sqsResponse {
	r := sqsResponse{Failures: []sqsFailure{}}
	for i, m := range e.Records {
		if errs[i] != nil {
			log.ErrorContext(ctx, "job failed", "messageId", m.MessageID, "error", errs[i])
			r.Failures = append(r.Failures, sqsFailure{m.MessageID})
		}
	}
	return r
}

// Deliver does the jobs of the deliver queue.
func Deliver(h *hub.Hub, sockets *socketio.Server, log *slog.Logger) lambda.Handler {
	return handler[sqsEvent, sqsResponse](func(ctx context.Context, e sqsEvent) (sqsResponse, error) {
		jobs := make([]hub.Job, len(e.Records))
		undecoded := make([]error, len(e.Records))
		for i, m := range e.Records {
			jobs[i], undecoded[i] = hub.DecodeJob([]byte(m.Body))
		}
		return e.answer(ctx, log, workAll(ctx, h, sockets, jobs, undecoded)), nil
	})
}

// workAll does the jobs of both, and gives an error for each that has to come again. Those of sockets run at the same time,
// since they may wait.
func workAll(ctx context.Context, h *hub.Hub, sockets *socketio.Server, jobs []hub.Job, undecoded []error) []error {
	errs := slices.Clone(undecoded)
	var (
		own   []hub.Job
		place []int
		wg    sync.WaitGroup
	)
	for i, j := range jobs {
		switch {
		case undecoded[i] != nil:
		case socketio.Works(j.Kind):
			wg.Go(func() { errs[i] = sockets.Work(ctx, j) })
		default:
			own, place = append(own, j), append(place, i)
		}
	}
	for n, err := range h.WorkAll(ctx, own) {
		errs[place[n]] = err
	}
	wg.Wait()
	return errs
}

// Sweep answers the schedule with what it found.
func Sweep(h *hub.Hub, log *slog.Logger) lambda.Handler {
	return handler[json.RawMessage, hub.Swept](func(ctx context.Context, _ json.RawMessage) (hub.Swept, error) {
		found, err := h.Sweep(ctx)
		log.InfoContext(ctx, "swept", "connections", found.Connections, "asked", found.Asked, "gone", found.Gone,
			"expired", found.Expired, "unfinished", found.Unfinished, "behind", found.Behind)
		return found, err
	})
}

// Emit does commands, however they come: as the payload of an invocation (one command, or a list), in messages of a
// queue, as the detail of an EventBridge event, or as a request of a program that has one of the keys. Invocations get an answer for each command. What brought a command names it, so that
// an event without an id is logged once, however often it is brought. A function cannot know whether its invocation is asynchronous,
// and nobody reads the answer of those: they send an event, as EventBridge does, whose failure is one of the invocation.
func Emit(h *hub.Hub, keys apikey.Keys, log *slog.Logger) lambda.Handler {
	return handler[json.RawMessage, any](func(ctx context.Context, payload json.RawMessage) (any, error) {
		var trigger struct {
			busEvent

			Records []sqsRecord `json:"Records"`
			httpEvent
		}
		if isList(payload) {
			return answers(ctx, h, payload), nil
		}
		if err := json.Unmarshal(payload, &trigger); err != nil {
			return refuse(fmt.Errorf("the command must be a JSON object: %w", err)), nil
		}
		switch {
		case len(trigger.Records) > 0:
			errs := make([]error, len(trigger.Records))
			for i, m := range trigger.Records {
				errs[i] = unattended(ctx, h, log, []byte(m.Body), delivered("sqs", m.MessageID))
			}
			return sqsEvent{trigger.Records}.answer(ctx, log, errs), nil
		case trigger.RouteKey != "":
			return request(ctx, h, keys, trigger.httpEvent), nil
		case trigger.Type != "":
			return nil, unattended(ctx, h, log, trigger.Detail, cmp.Or(delivered("bus", trigger.ID), invoked(ctx)))
		}
		return answers(ctx, h, payload), nil
	})
}

func isList(b []byte) bool { return strings.HasPrefix(strings.TrimLeft(string(b), " \t\r\n"), "[") }

// asked is a command as it came, or why it cannot be read.
type asked struct {
	command hub.Command
	err     error
}

// read reads one command or a list of them.
func read(payload []byte) (all []asked, list bool) {
	texts := []json.RawMessage{payload}
	if list = isList(payload); list {
		if err := json.Unmarshal(payload, &texts); err != nil {
			return []asked{{err: err}}, false
		}
	}
	for _, text := range texts {
		c, err := hub.DecodeCommand(text)
		all = append(all, asked{c, err})
	}
	return all, list
}

// do does a command of a delivery that may come again; empty: it does not.
func (a asked) do(ctx context.Context, h *hub.Hub, delivery string) hub.Answer {
	if a.err != nil {
		return refuse(a.err)
	}
	return h.EmitOnce(ctx, a.command, delivery)
}

// delivered names what brings commands, if it has an id.
func delivered(by, id string) string {
	if id == "" {
		return ""
	}
	return by + ":" + id
}

// invoked names the invocation that runs. Lambda tries one again that nobody waits for, and calls it the same.
func invoked(ctx context.Context) string {
	c, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return ""
	}
	return delivered("lambda", c.AwsRequestID)
}

// nth names one of the commands that came together.
func nth(delivery string, i int) string {
	if delivery == "" {
		return ""
	}
	return fmt.Sprintf("%s/%d", delivery, i)
}

// answers does one command or a list of them, in order, and gives a hub.Answer or a list of those.
func answers(ctx context.Context, h *hub.Hub, payload []byte) any {
	all, list := read(payload)
	if !list {
		return all[0].do(ctx, h, nth(invoked(ctx), 0))
	}
	done := make([]hub.Answer, len(all))
	for i, a := range all {
		done[i] = a.do(ctx, h, nth(invoked(ctx), i))
	}
	return done
}

func refuse(err error) hub.Answer {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return hub.Answer{Error: e}
	}
	return hub.Answer{Error: protocol.Errorf(protocol.CodeBadRequest, "%s", err.Error())}
}

// unattended does commands of triggers whose answer nobody reads: an error asks for another delivery. Commands that this
// version does not know are left to the function that does: of a list with one of them, none is done. What can never work is
// logged and dropped, since it would only fail again.
func unattended(ctx context.Context, h *hub.Hub, log *slog.Logger, payload []byte, delivery string) error {
	payload, first := unwrap(payload)
	delivery = cmp.Or(first, delivery)
	all, _ := read(payload)
	for _, a := range all {
		if errors.Is(a.err, hub.ErrNewer) {
			return a.err
		}
	}
	var errs []error
	for i, a := range all {
		command, got := a.command, a.do(ctx, h, nth(delivery, i))
		for more := true; more; {
			switch {
			case got.OK:
			case got.Error.Code.Retry():
				errs = append(errs, got.Error)
			default:
				log.ErrorContext(ctx, "command refused", "error", got.Error)
			}
			if command, more = hub.GoOn(command, got); more { // nobody else goes on
				got = h.EmitOnce(ctx, command, nth(delivery, i))
			}
		}
	}
	return errors.Join(errs...)
}

// busEvent is what there is to know of an event of an EventBridge bus.
type busEvent struct {
	ID     string          `json:"id"`
	Type   string          `json:"detail-type"`
	Detail json.RawMessage `json:"detail"`
}

// unwrap takes the commands out of what Lambda leaves in a queue of an asynchronous invocation that it gave up, for somebody to move
// them to the emit queue again: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html. delivery names what
// brought them then.
func unwrap(payload []byte) (commands []byte, delivery string) {
	var record struct {
		Context struct {
			Condition string `json:"condition"`
			RequestID string `json:"requestId"`
		} `json:"requestContext"`
		Payload json.RawMessage `json:"requestPayload"`
	}
	if isList(payload) || json.Unmarshal(payload, &record) != nil || record.Context.Condition == "" || len(record.Payload) == 0 {
		return payload, ""
	}
	var event busEvent
	if !isList(record.Payload) && json.Unmarshal(record.Payload, &event) == nil && event.Type != "" {
		return event.Detail, cmp.Or(delivered("bus", event.ID), delivered("lambda", record.Context.RequestID))
	}
	return record.Payload, delivered("lambda", record.Context.RequestID)
}

// header finds a header whatever its case.
func header(headers map[string]string, name string) string {
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func list(text string) []string {
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

package route

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// authorizerEvent is a REQUEST authorizer's,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html.
type authorizerEvent struct {
	MethodARN string            `json:"methodArn"`
	Headers   map[string]string `json:"headers"`
	Query     map[string]string `json:"queryStringParameters"`
}

// policy is an authorizer's answer: whether the connection may open, and what later events shall carry of it.
type policy struct {
	PrincipalID string            `json:"principalId"`
	Document    document          `json:"policyDocument"`
	Context     map[string]string `json:"context,omitempty"`
}

type document struct {
	Version    string      `json:"Version"`
	Statements []statement `json:"Statement"`
}

type statement struct {
	Action   string `json:"Action"`
	Effect   string `json:"Effect"`
	Resource string `json:"Resource"`
}

func decide(effect, user, arn string) policy {
	return policy{PrincipalID: user, Document: document{
		Version: "2012-10-17", Statements: []statement{{Action: "execute-api:Invoke", Effect: effect, Resource: arn}},
	}}
}

// errUnauthorized has the one text that API Gateway turns into 401.
var errUnauthorized = errors.New("Unauthorized") // the text is the contract

// maxContext is how much of an authorizer's 8 KB result the grants may take.
const maxContext = 7 << 10

// Admission is who is let in beside having a good token.
type Admission struct {
	// Origins are exact ("https://app.example.org"), or have "*" for a port or for everything. Clients that are no browsers
	// send none, and are allowed.
	Origins []string
	// SocketTokens has clients of Socket.IO show their token in the query of the handshake, and not only in the first packet.
	SocketTokens bool
}

// Authorize answers the authorizer of $connect. A missing or wrong token is 401, an origin that is not allowed 403.
//
// A refusal with 401 is an error of the function, since API Gateway knows no other way. What else goes wrong is logged as an error, which
// is how the two are told apart: see AuthorizeFailures in infra/monitoring.yaml.
func Authorize(v hub.Verifier, a Admission, log *slog.Logger) lambda.Handler {
	authorize := authorizer(v, a, log)
	return handler[authorizerEvent, policy](func(ctx context.Context, e authorizerEvent) (policy, error) {
		p, err := authorize(ctx, e)
		if err != nil && !errors.Is(err, errUnauthorized) {
			log.ErrorContext(ctx, "authorize", "error", err)
		}
		return p, err
	})
}

func authorizer(v hub.Verifier, a Admission, log *slog.Logger) handler[authorizerEvent, policy] {
	return func(ctx context.Context, e authorizerEvent) (policy, error) {
		if origin := header(e.Headers, "Origin"); origin != "" && !allowed(origin, a.Origins) {
			log.WarnContext(ctx, "origin refused", "origin", origin)
			return decide("Deny", "anonymous", e.MethodARN), nil
		}
		socket := e.Query["EIO"] != ""
		raw, ok := token.FromRequest(header(e.Headers, "Sec-WebSocket-Protocol"), e.Query["token"])
		if !ok && socket && !a.SocketTokens { // Socket.IO: the token comes in the first packet
			p := decide("Allow", "socket", e.MethodARN)
			p.Context = map[string]string{"codec": socketIO}
			return p, nil
		}
		if !ok {
			log.InfoContext(ctx, "no token")
			return policy{}, errUnauthorized
		}
		who, err := v.Verify(ctx, raw)
		if refused, ok := errors.AsType[*protocol.Error](err); ok {
			log.InfoContext(ctx, "token refused", "code", string(refused.Code), "reason", refused.Message)
			return policy{}, errUnauthorized
		}
		if err != nil {
			return policy{}, fmt.Errorf("verify token: %w", err)
		}
		grants, err := json.Marshal(who.Grants)
		if err != nil {
			return policy{}, fmt.Errorf("encode grants: %w", err)
		}
		if len(grants) > maxContext {
			return policy{}, fmt.Errorf("the grants of the token have %d bytes, API Gateway takes %d: use patterns", len(grants), maxContext)
		}
		p := decide("Allow", who.User, e.MethodARN)
		p.Context = map[string]string{
			"user": who.User, "name": who.Name, "grants": string(grants), "expires": strconv.FormatInt(who.Expires.Unix(), 10),
		}
		if socket {
			p.Context["codec"] = socketIO
		}
		return p, nil
	}
}

// socketIO marks the connections of Socket.IO clients in what later events carry of the authorizer.
const socketIO = "socketio"

// plain gives an origin of the list as browsers write it: without a path, in small letters, without the port that its scheme
// has anyway.
func plain(origin string) string {
	origin = strings.TrimSuffix(strings.ToLower(origin), "/")
	for scheme, port := range map[string]string{"https://": ":443", "http://": ":80"} {
		if strings.HasPrefix(origin, scheme) {
			return strings.TrimSuffix(origin, port)
		}
	}
	return origin
}

func allowed(origin string, origins []string) bool {
	for _, o := range origins {
		o = plain(o)
		prefix, wild := strings.CutSuffix(o, ":*")
		switch {
		case o == "*", strings.EqualFold(o, origin), wild && strings.EqualFold(prefix, origin):
			return true
		case wild:
			if port, ok := strings.CutPrefix(strings.ToLower(origin), strings.ToLower(prefix)+":"); ok && strings.Trim(port, "0123456789") == "" {
				return true
			}
		}
	}
	return false
}

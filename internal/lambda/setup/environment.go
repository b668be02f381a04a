package setup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/release"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
)

// environment reads variables and collects everything that is wrong with them, so that one start reports it all.
type environment struct {
	get  func(string) string
	show func(string) string // a variable's name as the reader of an error knows it
	errs []error
}

func fromOS() *environment {
	return &environment{get: os.Getenv, show: func(name string) string { return name }}
}

func (e *environment) failf(name, format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(e.show(name)+" "+format, args...)) //nolint:err113 // read by the one who deploys
}

// err is one line for each variable to mend.
func (e *environment) err() error { return errors.Join(e.errs...) }

func (e *environment) text(name string) string { return strings.TrimSpace(e.get(name)) }

func (e *environment) needed(name, what string) string {
	v := e.text(name)
	if v == "" {
		e.failf(name, "is not set: it must be %s", what)
	}
	return v
}

func (e *environment) list(name string) []string {
	var items []string
	for item := range strings.SplitSeq(e.text(name), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// number gives 0, the hub's default, where the variable is not set.
func (e *environment) number(name string) int {
	v := e.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		e.failf(name, "must be a whole number of at least 1, not %q", v)
	}
	return n
}

func (e *environment) duration(name string) time.Duration {
	v := e.text(name)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		e.failf(name, `must be a duration such as "10s", not %q`, v)
	}
	return d
}

// The longest times that an owner may set.
const (
	maxGrace  = 15 * time.Minute
	maxLeeway = 5 * time.Minute
)

// atMost reads a duration that has a bound, for a reason.
func (e *environment) atMost(name string, limit time.Duration, why string) time.Duration {
	d := e.duration(name)
	if d > limit {
		e.failf(name, "must be %v at most, %s", limit, why)
	}
	return d
}

// oneOf reads one of several words; absent gives the first.
func (e *environment) oneOf(name string, words ...string) string {
	v := e.text(name)
	if v == "" {
		return words[0]
	}
	if !slices.Contains(words, v) {
		e.failf(name, "must be %s, not %q", strings.Join(words, " or "), v)
	}
	return v
}

// What SOCKET_CLIENTS may be.
const (
	socketsOn    = "on"
	socketsToken = "token" // those whose handshake has a token
	socketsOff   = "off"
)

func (e *environment) socketClients() string {
	return e.oneOf("SOCKET_CLIENTS", socketsOn, socketsToken, socketsOff)
}

// parsed reads a variable by a parser; absent gives the zero value.
func parsed[T any](e *environment, name string, parse func([]byte) (T, error)) T {
	var zero T
	v := e.text(name)
	if v == "" {
		return zero
	}
	got, err := parse([]byte(v))
	if err != nil {
		e.failf(name, "is not valid: %v", err)
		return zero
	}
	return got
}

// hubConfig reads what an owner can set of the rules.
func (e *environment) hubConfig() hub.Config {
	return hub.Config{
		Version: release.Name(),
		Kinds:   parsed(e, "ROOM_KINDS", hub.ParseKinds),
		Facts:   e.facts(),
		Limits: hub.Limits{
			Rate:   float64(e.number("RATE_LIMIT")),
			Burst:  e.number("RATE_BURST"),
			Rooms:  e.number("MAX_ROOMS"),
			Inline: e.number("INLINE_LIMIT"),
			Grace:  e.atMost("PRESENCE_GRACE", maxGrace, "which is what SQS can hold a message back"),
		},
	}
}

// sockets reads what an owner can set of Socket.IO.
func (e *environment) sockets() socketio.Options {
	o := socketio.Options{
		Off:       e.socketClients() == socketsOff,
		KeepAlive: socketio.KeepAlive(e.text("SOCKET_KEEP_ALIVE")), Namespaces: e.list("SOCKET_NAMESPACES"),
		PingInterval: e.duration("SOCKET_PING_INTERVAL"), PingTimeout: e.duration("SOCKET_PING_TIMEOUT"),
		ConnectTimeout: e.duration("SOCKET_CONNECT_TIMEOUT"),
	}
	if err := o.Check(); err != nil {
		e.errs = append(e.errs, err)
	}
	return o
}

// hooks reads the application functions that a function may ask, by the variables HOOK_ACTION and so on.
func (e *environment) hooks() (functions map[hub.Hook]string, options map[hub.Hook]hooks.Options) {
	functions = map[hub.Hook]string{}
	for _, name := range hub.HookNames() {
		if function := e.text("HOOK_" + strings.ToUpper(string(name))); function != "" {
			functions[name] = function
		}
	}
	return functions, parsed(e, "HOOK_OPTIONS", hooks.ParseOptions)
}

func (e *environment) facts() []hub.FactType {
	facts, err := hub.ParseFacts(e.list("BUS_FACTS"))
	if err != nil {
		e.failf("BUS_FACTS", "is not valid: %v", err)
	}
	return facts
}

// tokenConfig reads what an owner can set of the tokens, but for the secret.
func (e *environment) tokenConfig() token.Config {
	return token.Config{
		JWKSURL:       e.text("JWKS_URL"),
		Issuer:        e.text("JWT_ISSUER"),
		Audience:      e.text("JWT_AUDIENCE"),
		Algorithms:    e.list("JWT_ALGORITHMS"),
		UserClaim:     e.text("USER_CLAIM"),
		NameClaim:     e.text("NAME_CLAIM"),
		GrantsClaim:   e.text("GRANTS_CLAIM"),
		DefaultGrants: parsed(e, "DEFAULT_GRANTS", hub.ParseGrants),
		Leeway:        e.atMost("JWT_LEEWAY", maxLeeway, `which are the "few minutes" of RFC 7519`),
	}
}

// Settings are what an owner can set.
type Settings struct {
	Hub     hub.Config // without what it is made of
	Token   token.Config
	Hooks   map[hub.Hook]hooks.Options
	Sockets socketio.Options
	Keys    apikey.Keys
	// Tokens says that clients of Socket.IO need a token in the handshake.
	Tokens bool
}

// Local reads the same settings for a composition that is not on AWS, from the parameters of template.yaml that the
// variables come from.
func Local(parameters map[string]string) (Settings, error) {
	e := &environment{get: func(name string) string { return parameters[parameterName(name)] }, show: parameterName}
	s := Settings{Hub: e.hubConfig(), Token: e.tokenConfig(), Hooks: parsed(e, "HOOK_OPTIONS", hooks.ParseOptions), Sockets: e.sockets(), Keys: parsed(e, "EMIT_KEYS", apikey.Parse)}
	s.Tokens = e.socketClients() == socketsToken
	return s, e.err()
}

// parameterName is the template parameter that a variable comes from: RateLimit for RATE_LIMIT.
func parameterName(variable string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(variable, "_") {
		name.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return name.String()
}

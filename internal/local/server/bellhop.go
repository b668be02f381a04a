package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/app"
	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/lambda/setup"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
	"github.com/bellhop-rt/bellhop/web/demo"
)

// The logical ids of the queues in template.yaml.
const (
	deliverQueue = "DeliverQueue"
	emitQueue    = "EmitQueue"
)

// Bellhop is the API of template.yaml, with its functions in this process.
type Bellhop struct {
	Store     socketio.Store
	Origins   []string         // of pages that may connect
	QueueFile string           // where jobs are kept over a restart; empty: nowhere
	Sync      bool             // the QueueFile has a job when the disk does
	Guarded   bool             // Lambda's guard against recursion holds for all functions, whatever the template allows
	Lease     *Lease           // of a Store that another server may use; nil: none can
	Hooks     processes.Hooks  // the application's own logic
	Tables    *dynamodb.Client // where Go handlers keep rows of their own; nil: nowhere
	Table     string
}

func (b Bellhop) compose(ctx context.Context, c Config, here processes.Here) (*composition, error) {
	w, err := b.wire(ctx, c)
	if err != nil {
		return nil, err
	}
	watch := console.NewWatch(w.template)
	rules := w.rules
	notes := watch.Hub(&rules, b.Store, deliverQueue)
	h, sockets := socketio.Wire(rules, notes, w.settings.Sockets)
	parts := b.parts(w, h, sockets, watch)
	b.lease(parts, c.Logger, here)
	parts.emulator.Functions = map[string]invoke.Function{
		"authorize":  route.Authorize(rules.Verifier, route.Admission{Origins: b.Origins, SocketTokens: w.settings.Tokens}, c.Logger),
		"connect":    route.Connect(h, sockets, c.Logger),
		"disconnect": route.Disconnect(h, sockets, c.Logger),
		"message":    route.Message(h, sockets),
		"emit":       route.Again(route.Emit(h, w.settings.Keys, c.Logger), hubports.Backlog{AWS: w.aws, Queue: emitQueue}, c.Logger),
		"deliver":    route.Again(route.Deliver(h, sockets, c.Logger), hubports.Backlog{AWS: w.aws, Queue: deliverQueue}, c.Logger),
		"sweep":      route.Sweep(h, c.Logger),
	}
	return parts, nil
}

// wiring is a hub of Bellhop's before it is made.
type wiring struct {
	template *template.Template
	settings setup.Settings
	rules    hub.Config
	aws      *hubports.AWS
}

func (b Bellhop) wire(ctx context.Context, c Config) (wiring, error) {
	// The laptop has no account whose quota the route throttles protect, and no alarms.
	parameters := map[string]string{"ThrottleRate": "1000000", "ThrottleBurst": "1000000", "Monitoring": "off"}
	maps.Copy(parameters, c.Parameters)
	var w wiring
	var err error
	if w.settings, err = setup.Local(parameters); err != nil {
		return w, fmt.Errorf("--parameter: %w", err)
	}
	if w.template, err = template.Read(bellhop.Template, template.Options{Parameters: parameters}); err != nil {
		return w, fmt.Errorf("read template: %w", err)
	}
	if b.Guarded {
		for i := range w.template.Functions {
			w.template.Functions[i].Recursive = false
		}
	}
	if c.Local && parameters["EmitKeys"] == "" {
		w.settings.Keys = apikey.DevelopmentKeys()
	}
	tokens := w.settings.Token
	tokens.Secret = c.Secret
	verifier, err := token.New(ctx, tokens)
	if err != nil {
		return w, err
	}
	w.aws = &hubports.AWS{Queue: deliverQueue, Bus: parameters["EventBusName"]}
	w.rules = w.settings.Hub
	w.rules.Hooks = hooks.New(b.Hooks.Callers, app.Handlers(app.Setup{DynamoDB: b.Tables, Table: b.Table}), w.settings.Hooks)
	w.rules.Store, w.rules.Pusher, w.rules.Queue, w.rules.Verifier, w.rules.Logger = b.Store, w.aws, w.aws, verifier, c.Logger
	w.rules.Limits.Lifetime = c.MaxConnection
	if w.aws.Bus != "" {
		w.rules.Bus = w.aws
	}
	return w, nil
}

// parts are those that Bellhop has wherever its functions run.
func (b Bellhop) parts(w wiring, h *hub.Hub, sockets *socketio.Server, watch *console.Watch) *composition {
	parts := &composition{
		emulator: emulator.Config{
			Template: w.template, QueueFile: b.QueueFile, QueueSync: b.Sync,
			Mappings: []string{"socket.io", "api/socket"}, // where clients of Socket.IO look, and pages of Next.js have them look
		},
		watch: watch, console: console.Bellhop{Store: b.Store, Sockets: sockets.Sockets}, pages: map[string]http.Handler{"GET /": http.FileServerFS(demo.Files()), route.HTTPRoute: emitPage(w.aws)},
		attach: []func(*emulator.Emulator){func(e *emulator.Emulator) { w.aws.Emulator = e }},
		begin:  []func(context.Context) error{departAll(h)},
		end:    []func(context.Context) error{b.Hooks.Close},
	}
	if b.QueueFile == "" {
		parts.end = append(parts.end, func(ctx context.Context) error { return workOff(ctx, h, w.aws.Emulator) })
	}
	return parts
}

// lease has a shared store leased before anything in it is changed, and given back at the very end.
func (b Bellhop) lease(parts *composition, log *slog.Logger, here processes.Here) {
	if b.Lease == nil {
		return
	}
	l := newLease(*b.Lease, b.Store, log, here.Base)
	parts.begin = slices.Insert(parts.begin, 0, l.take)
	parts.end = append(parts.end, l.release)
}

// departAll ends what is left of the connections that an earlier server had.
func departAll(h *hub.Hub) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := h.DepartAll(ctx); err != nil {
			return fmt.Errorf("depart the connections of the last start: %w", err)
		}
		return nil
	}
}

// workOff does the jobs that wait in the queue, the end of everybody's presence mostly, at once, since there is nothing to keep them in
// until the next start.
func workOff(ctx context.Context, h *hub.Hub, e *emulator.Emulator) error {
	var errs []error
	for _, m := range e.Queues.Waiting(deliverQueue) {
		job, err := hub.DecodeJob([]byte(m.Body))
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if socketio.Works(job.Kind) { // about a socket, which is gone
			continue
		}
		errs = append(errs, h.Work(ctx, job))
	}
	return errors.Join(errs...)
}

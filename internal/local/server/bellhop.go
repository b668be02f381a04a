package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/app"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/lambda/route"
	"github.com/bellhop-rt/bellhop/internal/lambda/setup"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/hubports"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/token"
	"github.com/bellhop-rt/bellhop/web/demo"
)

// deliverQueue is the logical id of the queue in template.yaml.
const deliverQueue = "DeliverQueue"

// Bellhop is the API of template.yaml, with its functions in this process.
type Bellhop struct {
	Store     socketio.Store
	Origins   []string         // of pages that may connect
	QueueFile string           // where jobs are kept over a restart; empty: nowhere
	Hooks     processes.Hooks  // the application's own logic
	Tables    *dynamodb.Client // where Go handlers keep rows of their own; nil: nowhere
	Table     string
}

func (b Bellhop) compose(ctx context.Context, c Config, _ processes.Here) (*composition, error) {
	w, err := b.wire(ctx, c)
	if err != nil {
		return nil, err
	}
	look, err := inspect(w.parameters, false)
	if err != nil {
		return nil, err
	}
	rules := w.rules
	notes := look.Wrap(&rules, b.Store, deliverQueue)
	h, sockets := socketio.Wire(rules, notes, w.settings.Sockets)
	parts := b.parts(w, h, sockets, look)
	parts.attach = append(parts.attach, func(e *emulator.Server) { look.Post = e.PostFrame })
	parts.gateway.Functions = map[string]emulator.Function{
		"authorize":  route.Authorize(rules.Verifier, b.Origins, c.Logger),
		"connect":    route.Connect(h, sockets, c.Logger),
		"disconnect": route.Disconnect(h, sockets, c.Logger),
		"message":    route.Message(h, sockets),
		"emit":       route.Emit(h, c.Logger),
		"deliver":    route.Deliver(h, sockets, c.Logger),
		"sweep":      route.Sweep(h, c.Logger),
	}
	return parts, nil
}

// wiring is a hub of Bellhop's before it is made.
type wiring struct {
	parameters map[string]string
	settings   setup.Settings
	rules      hub.Config
	aws        *hubports.AWS
}

func (b Bellhop) wire(ctx context.Context, c Config) (wiring, error) {
	// The laptop has no account whose quota the route throttles protect, and no alarms.
	w := wiring{parameters: map[string]string{"ThrottleRate": "1000000", "ThrottleBurst": "1000000", "Monitoring": "off"}}
	maps.Copy(w.parameters, c.Parameters)
	var err error
	if w.settings, err = setup.Local(w.parameters); err != nil {
		return w, fmt.Errorf("--parameter: %w", err)
	}
	tokens := w.settings.Token
	tokens.Secret = c.Secret
	verifier, err := token.New(ctx, tokens)
	if err != nil {
		return w, err
	}
	w.aws = &hubports.AWS{Queue: deliverQueue, Bus: w.parameters["EventBusName"]}
	w.rules = w.settings.Hub
	w.rules.Hooks = hooks.New(b.Hooks.Callers, app.Handlers(app.Setup{DynamoDB: b.Tables, Table: b.Table}), w.settings.Hooks)
	w.rules.Store, w.rules.Pusher, w.rules.Queue, w.rules.Verifier, w.rules.Logger = b.Store, w.aws, w.aws, verifier, c.Logger
	w.rules.Limits.Lifetime = c.MaxConnection
	if w.aws.Bus != "" {
		w.rules.Bus = w.aws
	}
	return w, nil
}

// inspect makes the inspector of template.yaml.
func inspect(parameters map[string]string, remote bool) (*console.Inspector, error) {
	t, err := emulator.ReadTemplate(bellhop.Template, parameters)
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	return console.NewInspector(t, remote), nil
}

// parts are those that Bellhop has wherever its functions run.
func (b Bellhop) parts(w wiring, h *hub.Hub, sockets *socketio.Server, look *console.Inspector) *composition {
	parts := &composition{
		gateway: emulator.Config{
			Template: bellhop.Template, Parameters: w.parameters, QueueFile: b.QueueFile,
			Mappings: []string{"socket.io"}, // where clients of Socket.IO look
		},
		look: look, console: console.Bellhop{Store: b.Store, Sockets: sockets.Sockets}, pages: map[string]http.Handler{"GET /": http.FileServerFS(demo.Files())},
		attach: []func(*emulator.Server){func(e *emulator.Server) { w.aws.Emulator = e }},
		begin:  []func(context.Context) error{departAll(h)},
		end:    []func(context.Context) error{b.Hooks.Close},
	}
	if b.QueueFile == "" {
		parts.end = append(parts.end, func(ctx context.Context) error { return workOff(ctx, h, w.aws.Emulator) })
	}
	return parts
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
func workOff(ctx context.Context, h *hub.Hub, e *emulator.Server) error {
	var errs []error
	for _, m := range e.Waiting(deliverQueue) {
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

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/server"
	"github.com/bellhop-rt/bellhop/internal/local/serverless"
	"github.com/bellhop-rt/bellhop/internal/local/tables"
	"github.com/bellhop-rt/bellhop/internal/local/terminal"
	"github.com/bellhop-rt/bellhop/internal/release"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

type devCommand struct {
	Listen         string            `default:"127.0.0.1:4000" help:"Address to listen on."`
	Data           string            `default:".bellhop" type:"path" placeholder:"DIR" help:"Directory of the store. Default: ${default}."`
	Sync           bool              `help:"Answer once the disk has what was said, so that not even a power cut loses it."`
	Memory         bool              `help:"Keep everything in memory and forget it at the end, instead of --data."`
	IdleTimeout    time.Duration     `default:"10m" help:"Close connections after this time without a frame."`
	MaxConnection  time.Duration     `default:"2h" help:"Close connections after this time."`
	AllowedOrigins []string          `placeholder:"ORIGIN" help:"Origins of pages that may connect, such as https://app.example.org. Default: every page of this machine."`
	Parameter      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Parameter of template.yaml, such as RateLimit=50; may be repeated."`
	Template       string            `type:"path" placeholder:"FILE" help:"Serve the WebSocket API of another SAM or CloudFormation template or serverless.yml, or of the one in a folder, with its functions in processes."`
	API            string            `name:"api" placeholder:"ID" help:"Logical id of the API to serve, if the template has several; otherwise all are."`
	Stage          string            `placeholder:"NAME" help:"Stage to serve, instead of the template's."`
	Functions      string            `placeholder:"HOW" help:"Where functions run: process (built, in child processes that speak the Lambda Runtime API) or endpoint=URL (of a Lambda Invoke API). Default: in this process, those of another template in child processes."`
	DynamoDB       string            `name:"dynamodb" placeholder:"URL" help:"Keep everything in this DynamoDB, such as DynamoDB Local, instead of --data; local: start one, in memory, which is fetched once and needs Java. The tables of the template are created."`
	TakeOver       bool              `help:"Use the table in --dynamodb although another bellhop dev does, whose sessions end."`
	NoWatch        bool              `help:"Leave functions and template as they are at the start. Otherwise a change is served from the next frame on, and connections stay."`
	Inspect        []string          `placeholder:"FUNCTION" help:"Run this function (its logical id, or all) in a debugger and without timeouts: node --inspect, debugpy or Delve, on a port of its own from 9229 on."`
	Runtime        map[string]string `mapsep:"none" placeholder:"NAME=COMMAND" help:"What runs functions of a runtime that is not built in, such as java21, or one function, by its logical id: a shell command that speaks the Lambda Runtime API; may be repeated."`
	IAM            map[string]string `name:"iam" env:"BELLHOP_IAM" mapsep:";" placeholder:"KEY=SECRET" help:"Access key and secret of who may sign requests where the template has AWS_IAM; may be repeated. anybody=NAME lets in everybody who does not sign, under a name."`
	Domain         string            `placeholder:"NAME" help:"domainName of events, where functions in containers reach this server, such as host.docker.internal:4000. Default: the name that the client has used."`
	Env            map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Environment variable of all functions in processes, or FUNCTION.NAME=VALUE of one; may be repeated."`
	EnvFile        string            `type:"existingfile" placeholder:"FILE" help:"Environment variables by function, in the form of sam local's --env-vars."`
	Fault          []string          `placeholder:"FAULT" help:"What goes wrong, for tests of clients: gone=1%, throttle=5%, drop-disconnect=10%, latency=50ms, shuffle=100ms; may be repeated."`
	Seed           uint64            `help:"Decides what goes wrong."`
	ReadyFile      string            `type:"path" placeholder:"FILE" help:"Write where the server is to this file, as JSON, when it serves. With --listen 127.0.0.1:0 it takes a free port."`
	Record         string            `type:"path" placeholder:"FILE" help:"Write what AWS would have billed to this file at the end, for bellhop cost."`
	Hook           map[string]string `mapsep:"none" placeholder:"NAME=WHERE" help:"Your own logic for a hook (action, join, publish, connect, disconnect), see docs/HOOKS.md: a URL that questions are posted to, such as http://127.0.0.1:9000, the Invoke URL of a Lambda function, or a folder with one in Node.js, Python or Go; may be repeated."`
	Quiet          bool              `short:"q" help:"Log problems only."`
	secretFlag
}

// Help is what --help says beneath the usage.
func (devCommand) Help() string {
	return `The page to try it is at http://127.0.0.1:4000/, the WebSocket at ws://127.0.0.1:4000/dev.

Unless --jwt-secret is given, tokens are signed with a secret that everybody knows; bellhop dev then listens on this
machine only.`
}

// Run serves until it is interrupted.
func (c devCommand) Run(ctx context.Context) error {
	if c.DynamoDB != "local" {
		return c.run(ctx)
	}
	url, stop, err := tables.Local{Cache: cache(), Say: func(text string) { terminal.New(os.Stderr, false).Note("DynamoDB", text) }}.Start(ctx)
	if err != nil {
		return err
	}
	c.DynamoDB = url
	defer stop()
	return c.run(ctx)
}

// memoryForTime has the garbage collector run when the heap is four times what is alive, not twice, unless GOGC says something: a sixth of
// what an event costs was its.
func memoryForTime() {
	const byDefault, percent = 100, 300
	if was := debug.SetGCPercent(percent); was != byDefault {
		debug.SetGCPercent(was)
	}
}

func (c devCommand) run(ctx context.Context) error {
	memoryForTime()
	local, err := c.check()
	if err != nil {
		return err
	}
	log := terminal.New(os.Stderr, c.Quiet)
	config := server.Config{
		Secret: c.secret(), Local: local, Parameters: c.Parameter, IdleTimeout: c.IdleTimeout, MaxConnection: c.MaxConnection,
		Logger: slog.New(log.Handler()), Observe: log.Observe(), Release: release.Name(),
	}
	if config.Faults, err = c.faults(); err != nil {
		return err
	}
	hooks, err := c.hooks(ctx, config.Logger)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w (is another bellhop dev running?)", c.Listen, err)
	}
	closeStore := func() error { return nil }
	if config.API, err = c.api(ctx, log, hooks, &closeStore); err != nil {
		return errors.Join(err, listener.Close(), closeStore())
	}
	s, err := server.Start(ctx, listener, config)
	if err != nil {
		return errors.Join(err, closeStore())
	}
	log.Welcome(listener.Addr().String(), s.Path(), c.where(), c.Template != "", s.Others())
	err = errors.Join(c.serve(ctx, s), closeStore())
	log.Goodbye(c.where(), err == nil)
	if c.Record != "" {
		err = errors.Join(err, s.Cost().WriteFile(c.Record))
	}
	return err
}

// api is what the flags ask for. closeStore is replaced if there is something to close.
func (c devCommand) api(ctx context.Context, log *terminal.Log, hooks processes.Hooks, closeStore *func() error) (server.API, error) {
	if c.Template != "" {
		return c.foreign(ctx, log)
	}
	if file, err := serverless.Find("."); err == nil && serverless.Is(file) {
		log.Note("template", "this is Bellhop's own API; bellhop dev --template "+file+" serves the one of "+file+", or of what `npx serverless package` makes of it")
	}
	logger := slog.New(log.Handler())
	b := server.Bellhop{Origins: c.origins(), Hooks: hooks}
	switch {
	case c.DynamoDB != "":
		if err := c.ownTable(ctx, &b); err != nil {
			return nil, err
		}
	case c.Functions != "":
		return nil, errors.New("functions in other processes need a store that they can reach: give --dynamodb URL")
	default:
		store, err := c.open(logger) //nolint:contextcheck // it is open until it is closed, not until a context ends
		if err != nil {
			return nil, err
		}
		b.Store, b.QueueFile, b.Sync, *closeStore = store, c.file("queues.db"), c.Sync, store.Close
	}
	if c.Functions == "" {
		return b, nil
	}
	outside, err := c.outside(log)
	if err != nil {
		return nil, err
	}
	return server.OpenDeployed(ctx, b, outside)
}

// ownTable is Bellhop's store in --dynamodb.
func (c devCommand) ownTable(ctx context.Context, b *server.Bellhop) error {
	own, err := tables.Own(c.Parameter)
	if err != nil {
		return err
	}
	b.Tables, b.Table = tables.Client(c.DynamoDB), own.Name
	if err := tables.Create(ctx, b.Tables, own); err != nil {
		return fmt.Errorf("--dynamodb %s: %w", c.DynamoDB, err)
	}
	b.Store = dynamo.New(b.Tables, b.Table, dynamo.Options{})
	b.Lease = &server.Lease{Store: "the table " + b.Table + " at " + c.DynamoDB, TakeOver: c.TakeOver}
	return nil
}

// foreign serves the API of a template that is not Bellhop's, with its functions in processes and its tables in --dynamodb.
func (c devCommand) foreign(ctx context.Context, log *terminal.Log) (server.API, error) {
	outside, err := c.outside(log)
	if err != nil {
		return nil, err
	}
	return server.OpenForeign(ctx, server.TemplateOf{
		File: c.Template, Stage: c.Stage, API: c.API, Domain: c.Domain, IAM: c.IAM, Watch: !c.NoWatch, Say: func(text string) { log.Note("template", text) }, Warn: func(text string) { log.Warn("template", text) },
	}, outside)
}

// outside is how functions run that are not in this process.
func (c devCommand) outside(log *terminal.Log) (o server.Outside, err error) {
	children := &processes.Children{Logger: slog.New(log.Handler()), Output: log.Output(), Tell: log.Note, Warn: log.Warn, Watch: !c.NoWatch, Runtimes: c.Runtime, Inspect: c.Inspect}
	children.Cache = cache()
	children.Built, err = c.built()
	return server.Outside{How: c.Functions, DynamoDB: c.DynamoDB, Env: c.Env, EnvFile: c.EnvFile, Parameters: c.Parameter, Children: children}, err
}

// cache is where what is fetched once stays, whatever folder somebody works in.
func cache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "bellhop")
}

// hooks reads --hook NAME=WHERE.
func (c devCommand) hooks(ctx context.Context, logger *slog.Logger) (list processes.Hooks, err error) {
	for name, where := range c.Hook {
		hook := hub.Hook(name)
		if !slices.Contains(hub.HookNames(), hook) {
			return list, fmt.Errorf("--hook %s: there is no such hook; there are %v", name, hub.HookNames())
		}
		config := processes.HookConfig{Env: tables.Environment(c.DynamoDB), Built: c.built, Logger: logger}
		if err := list.Open(ctx, hook, where, config); err != nil {
			return list, fmt.Errorf("--hook %s: %w", name, err)
		}
	}
	for _, hook := range hub.HookNames() {
		if parameter := server.HookParameter(hook); c.Parameter[parameter] != "" {
			return list, fmt.Errorf("--parameter %s names a function on AWS; here, say where it is with --hook %s=…", parameter, hook)
		}
	}
	return list, nil
}

func (c devCommand) faults() (gateway.Faults, error) {
	f, err := gateway.ParseFaults(c.Fault...)
	if err != nil {
		return f, fmt.Errorf("--fault: %w", err)
	}
	f.Seed = cmp.Or(c.Seed, f.Seed)
	return f, nil
}

// serve answers until it is interrupted, and says where.
func (c devCommand) serve(ctx context.Context, s *server.Server) error {
	if c.ReadyFile == "" {
		return s.Wait(ctx)
	}
	if err := s.WriteReady(c.ReadyFile); err != nil {
		return errors.Join(fmt.Errorf("--ready-file: %w", err), s.Stop(ctx))
	}
	defer func() { _ = os.Remove(c.ReadyFile) }()
	return s.Wait(ctx)
}

// check refuses to show the development secret to a network. local: only this machine can reach the server.
func (c devCommand) check() (local bool, err error) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false, fmt.Errorf("--listen must be an address such as 127.0.0.1:4000, not %q", c.Listen)
	}
	local = console.Loopback(host)
	if !local && c.JWTSecret == "" && c.Template == "" { // another application has no tokens of ours
		return false, fmt.Errorf("%s can be reached from other machines, and anybody could sign tokens with the development secret: give --jwt-secret or %s, or listen on 127.0.0.1", c.Listen, secretVariable)
	}
	return local, nil
}

func (c devCommand) origins() []string {
	if len(c.AllowedOrigins) > 0 {
		return c.AllowedOrigins
	}
	return []string{"http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"}
}

// where says what is kept where; empty: nothing is.
func (c devCommand) where() string {
	switch {
	case c.DynamoDB != "":
		return "DynamoDB at " + c.DynamoDB
	case c.Memory || c.Template != "":
		return ""
	}
	return c.Data
}

func (c devCommand) open(logger *slog.Logger) (*bolt.Store, error) {
	if !c.Memory {
		if err := c.makeData(); err != nil {
			return nil, err
		}
	}
	return bolt.Open(c.file("bellhop.db"), bolt.Options{Logger: logger, Sync: c.Sync})
}

// built is the folder where functions are built.
func (c devCommand) built() (string, error) {
	if err := c.makeData(); err != nil {
		return "", err
	}
	dir, err := filepath.Abs(filepath.Join(c.Data, "functions"))
	if err != nil {
		return "", fmt.Errorf("--data: %w", err)
	}
	return dir, nil
}

func (c devCommand) makeData() error {
	switch err := os.MkdirAll(c.Data, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("--data %s is a file; it must be a directory", c.Data)
	case err != nil:
		return fmt.Errorf("--data: %w", err)
	}
	return nil
}

// file is a file of the data directory; empty: everything is kept in memory.
func (c devCommand) file(name string) string {
	if c.Memory {
		return ""
	}
	return filepath.Join(c.Data, name)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/socketio"
	"github.com/bellhop-rt/bellhop/internal/store/bolt"
)

type devCommand struct {
	Listen         string            `default:"127.0.0.1:4000" help:"Address to listen on."`
	Data           string            `default:".bellhop" type:"path" placeholder:"DIR" help:"Directory of the store. Default: ${default}."`
	Memory         bool              `help:"Keep everything in memory and forget it at the end, instead of --data."`
	IdleTimeout    time.Duration     `default:"10m" help:"Close connections after this time without a frame."`
	MaxConnection  time.Duration     `default:"2h" help:"Close connections after this time."`
	AllowedOrigins []string          `placeholder:"ORIGIN" help:"Origins of pages that may connect, such as https://app.example.org. Default: every page of this machine."`
	Parameter      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Parameter of template.yaml, such as RateLimit=50; may be repeated."`
	Template       string            `type:"existingfile" placeholder:"FILE" help:"Serve the WebSocket API of another SAM or CloudFormation template, with its functions in processes."`
	API            string            `name:"api" placeholder:"ID" help:"Logical id of the API, if the template has several."`
	Stage          string            `placeholder:"NAME" help:"Stage to serve, instead of the template's."`
	Functions      string            `placeholder:"HOW" help:"Where functions run: process (built, in child processes that speak the Lambda Runtime API) or endpoint=URL (of a Lambda Invoke API). Default: in this process, those of another template in child processes."`
	DynamoDB       string            `name:"dynamodb" placeholder:"URL" help:"Keep everything in this DynamoDB, such as DynamoDB Local, instead of --data; local: start one, in memory. The tables of the template are created."`
	Env            map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Environment variable of all functions in processes; may be repeated."`
	Fault          []string          `placeholder:"FAULT" help:"What goes wrong, for tests of clients: gone=1%, throttle=5%, drop-disconnect=10%, latency=50ms, shuffle=100ms; may be repeated."`
	Seed           uint64            `help:"Decides what goes wrong."`
	ReadyFile      string            `type:"path" placeholder:"FILE" help:"Write where the server is to this file, as JSON, when it serves. With --listen 127.0.0.1:0 it takes a free port."`
	Record         string            `type:"path" placeholder:"FILE" help:"Write what AWS would have billed to this file at the end, for bellhop cost."`
	Hook           map[string]string `mapsep:"none" placeholder:"NAME=WHERE" help:"Your own logic for a hook (action, join, publish, connect, disconnect), see HOOKS.md: a URL that questions are posted to, such as http://127.0.0.1:9000, the Invoke URL of a Lambda function, or a folder with one in Node.js, Python or Go; may be repeated."`
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
	url, stop, err := startDynamoDB(ctx)
	if err != nil {
		return err
	}
	c.DynamoDB = url
	return errors.Join(c.run(ctx), stop())
}

func (c devCommand) run(ctx context.Context) error {
	local, err := c.check()
	if err != nil {
		return err
	}
	log := newDevLog(os.Stderr, c.Quiet)
	logger := slog.New(log.handler())
	config := serverConfig{
		Secret: c.secret(), Origins: c.origins(), Parameters: c.Parameter, IdleTimeout: c.IdleTimeout, MaxConnection: c.MaxConnection,
		Minting: local, Logger: logger, Observe: log.observe(),
	}
	if config.Faults, err = c.faults(); err != nil {
		return err
	}
	if config.Hooks, err = c.callers(ctx, logger); err != nil {
		return err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w (is another bellhop dev running?)", c.Listen, err)
	}
	s, closeStore, err := c.server(ctx, config)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if s.processes != nil {
		s.processes.at("http://" + listener.Addr().String())
	}
	if err := s.start(ctx); err != nil {
		return errors.Join(err, listener.Close(), finish(ctx, s.stop), closeStore())
	}
	log.welcome(listener.Addr().String(), s.path(), c.where(), c.Template != "")
	err = errors.Join(c.serve(ctx, listener, s), s.look.record(c.Record))
	log.goodbye(c.where())
	return errors.Join(err, closeStore())
}

// server is what the flags ask for, with what closes its store.
func (c devCommand) server(ctx context.Context, config serverConfig) (s *server, closeStore func() error, err error) {
	nothing := func() error { return nil }
	if c.Template != "" {
		s, err = c.foreign(ctx, config)
		return s, nothing, err
	}
	switch {
	case c.DynamoDB != "":
		err = c.ownTable(ctx, &config)
		closeStore = nothing
	case c.Functions != "":
		return nil, nil, errors.New("functions in other processes need a store that they can reach: give --dynamodb URL")
	default:
		config.QueueFile = c.file("queues.db")
		config.Store, closeStore, err = c.open(config.Logger) //nolint:contextcheck // it is open until it is closed, not until a context ends
	}
	if err != nil {
		return nil, nil, err
	}
	if c.Functions != "" {
		if config.Processes, err = c.ownProcesses(ctx, config); err != nil {
			return nil, nil, err
		}
	}
	if s, err = newServer(ctx, config); err != nil {
		return nil, nil, errors.Join(err, closeStore())
	}
	return s, closeStore, nil
}

func (c devCommand) faults() (emulator.Faults, error) {
	f, err := emulator.ParseFaults(c.Fault...)
	if err != nil {
		return f, fmt.Errorf("--fault: %w", err)
	}
	if c.Seed != 0 {
		f.Seed = c.Seed
	}
	return f, nil
}

// serve answers until it is interrupted, and says where.
func (c devCommand) serve(ctx context.Context, listener net.Listener, s *server) error {
	if c.ReadyFile == "" {
		return serve(ctx, listener, s)
	}
	where := "http://" + listener.Addr().String()
	text, err := json.Marshal(map[string]string{"http": where, "websocket": strings.Replace(where, "http", "ws", 1) + s.path()})
	if err != nil {
		return fmt.Errorf("encode --ready-file: %w", err)
	}
	// Whoever waits for the file never sees half of it.
	if err := os.WriteFile(c.ReadyFile+".new", append(text, '\n'), 0o600); err != nil {
		return errors.Join(fmt.Errorf("--ready-file: %w", err), listener.Close(), finish(ctx, s.stop))
	}
	if err := os.Rename(c.ReadyFile+".new", c.ReadyFile); err != nil {
		return errors.Join(fmt.Errorf("--ready-file: %w", err), listener.Close(), finish(ctx, s.stop))
	}
	defer func() { _ = os.Remove(c.ReadyFile) }()
	return serve(ctx, listener, s)
}

// check refuses to show the development secret to a network. local: only this machine can reach the server.
func (c devCommand) check() (local bool, err error) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false, fmt.Errorf("--listen must be an address such as 127.0.0.1:4000, not %q", c.Listen)
	}
	local = loopback(host)
	if !local && c.JWTSecret == "" {
		return false, fmt.Errorf("%s can be reached from other machines, and anybody could sign tokens with the development secret: give --jwt-secret or %s, or listen on 127.0.0.1", c.Listen, secretVariable)
	}
	return local, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
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

func (c devCommand) open(logger *slog.Logger) (socketio.Store, func() error, error) {
	if !c.Memory {
		if err := c.makeData(); err != nil {
			return nil, nil, err
		}
	}
	store, err := bolt.Open(c.file("bellhop.db"), bolt.Options{Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

func (c devCommand) makeData() error {
	err := os.MkdirAll(c.Data, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--data %s is a file; it must be a directory", c.Data)
	}
	if err != nil {
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

// serve answers until ctx is done, then lets everything that runs finish.
func serve(ctx context.Context, listener net.Listener, s *server) error {
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	err = errors.Join(err, finish(ctx, func(ctx context.Context) error { return errors.Join(s.stop(ctx), web.Shutdown(ctx)) }))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// finish gives the end its own time: ctx is mostly done by then.
func finish(ctx context.Context, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return end(ctx)
}

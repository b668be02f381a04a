package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/bellhop-rt/bellhop/internal/bolt"
)

type devCommand struct {
	Listen         string            `default:"127.0.0.1:4000" help:"Address to listen on."`
	Data           string            `default:".bellhop" type:"path" placeholder:"DIR" help:"Directory of the store. Default: ${default}."`
	Memory         bool              `help:"Keep everything in memory and forget it at the end, instead of --data."`
	IdleTimeout    time.Duration     `default:"10m" help:"Close connections after this time without a frame."`
	MaxConnection  time.Duration     `default:"2h" help:"Close connections after this time."`
	AllowedOrigins []string          `placeholder:"ORIGIN" help:"Origins of pages that may connect, such as https://app.example.org. Default: every page of this machine."`
	Parameter      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Parameter of template.yaml, such as RateLimit=50; may be repeated."`
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
	local, err := c.check()
	if err != nil {
		return err
	}
	log := newDevLog(os.Stderr, c.Quiet)
	logger := slog.New(log.handler())
	store, err := c.open(logger) //nolint:contextcheck // it is open until it is closed, not until a context ends
	if err != nil {
		return err
	}
	s, err := newServer(ctx, serverConfig{
		Store: store, Secret: c.secret(), Origins: c.origins(), Parameters: c.Parameter,
		IdleTimeout: c.IdleTimeout, MaxConnection: c.MaxConnection, QueueFile: c.file("queues.db"), Minting: local, Logger: logger, Observe: log.observe(),
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot listen on %s: %w (is another bellhop dev running?)", c.Listen, err), finish(ctx, s.stop), store.Close())
	}
	if err := s.start(ctx); err != nil {
		return errors.Join(err, listener.Close(), finish(ctx, s.stop), store.Close())
	}
	log.welcome(listener.Addr().String(), c.where())
	err = serve(ctx, listener, s)
	log.goodbye(c.where())
	return errors.Join(err, store.Close())
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

func (c devCommand) where() string {
	if c.Memory {
		return ""
	}
	return c.Data
}

func (c devCommand) open(logger *slog.Logger) (*bolt.Store, error) {
	if c.Memory {
		return bolt.Open(c.file(""), bolt.Options{Logger: logger})
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("--data %s is a file; it must be a directory", c.Data)
		}
		return nil, fmt.Errorf("--data: %w", err)
	}
	return bolt.Open(c.file("bellhop.db"), bolt.Options{Logger: logger})
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

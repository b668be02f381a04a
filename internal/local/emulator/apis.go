package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/gateway"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// A template may have several WebSocket APIs. On AWS each has a host of its own. Here they share one: each is at its stage, if no earlier one
// has the same, and at its logical id; a request with the host that AWS would give it goes to it as well. Requests about a connection go to
// the API that has it, so functions that build the address from an event reach the right one.

// apis are the logical ids of what is served: one that was asked for, or all. The empty one is the only API there is.
func (c *Config) apis() []string {
	if c.API != "" || len(c.Template.APIs) < 2 {
		return []string{c.API}
	}
	var ids []string
	for _, api := range c.Template.APIs {
		ids = append(ids, api.ID)
	}
	return ids
}

// mappings are the paths of an API beside its stage.
func (c *Config) mappings(id string) []string {
	list := slices.Clone(c.Mappings)
	if len(c.apis()) > 1 {
		list = append(list, id)
	}
	return list
}

// openGateways makes a gateway for each API.
func (e *Emulator) openGateways() error {
	var others []*gateway.Server
	for i, id := range e.cfg.apis() {
		g, err := e.openGateway(e.cfg, id)
		if err != nil {
			return err
		}
		if i == 0 {
			e.Gateway = g
			continue
		}
		others = append(others, g)
	}
	e.others.Store(&others)
	return nil
}

func (e *Emulator) openGateway(cfg Config, id string) (*gateway.Server, error) {
	return gateway.New(gateway.Config{
		Template: cfg.Template, Functions: e.Functions, API: id, Mappings: cfg.mappings(id), DomainName: cfg.DomainName,
		IdleTimeout: cfg.IdleTimeout, MaxConnection: cfg.MaxConnection, Faults: cfg.Faults, Choices: cfg.Choices,
		Services: e.service(cfg), Users: cfg.Users, Now: cfg.Now, Observe: cfg.observeGateway(),
	})
}

// gateways are those of all APIs, in the template's order; those that came later are the last.
func (e *Emulator) gateways() []*gateway.Server {
	return append([]*gateway.Server{e.Gateway}, *e.others.Load()...)
}

// Served is a WebSocket API and the path where clients reach it.
type Served struct {
	API  *template.API // must not be changed
	Path string
}

// Served are all WebSocket APIs.
func (e *Emulator) Served() (list []Served) {
	all := e.gateways()
	for _, g := range all {
		path := "/" + g.Stage()
		if len(all) > 1 {
			path = "/" + g.ID()
		}
		list = append(list, Served{g.API(), path})
	}
	return list
}

// APIs are the paths of the WebSocket APIs by logical id, if there are several.
func (e *Emulator) APIs() map[string]string {
	list := e.Served()
	if len(list) == 1 {
		return nil
	}
	out := map[string]string{}
	for _, s := range list {
		out[s.API.ID] = s.Path
	}
	return out
}

// gatewayOf is whose a request is; nil: nobody's.
func (e *Emulator) gatewayOf(r *http.Request) *gateway.Server {
	path := r.URL.EscapedPath()
	all := e.gateways()
	for _, is := range []func(*gateway.Server) bool{
		func(g *gateway.Server) bool { return strings.HasPrefix(r.Host, g.Host()) && g.Owns(path) },
		func(g *gateway.Server) bool { return g.Has(path) },
		func(g *gateway.Server) bool { return g.AtStage(path) || gateway.IsHandshake(r) && g.AtRoot(path) },
	} {
		if i := slices.IndexFunc(all, is); i >= 0 {
			return all[i]
		}
	}
	if e.Gateway.Owns(path) || gateway.IsHandshake(r) {
		return e.Gateway
	}
	return nil
}

// reloadGateways serves the APIs of another template, or with an error those of before. An API that is new is served too; one that is gone is
// an error, since it has connections.
func (e *Emulator) reloadGateways(t *template.Template) error {
	cfg := e.cfg
	cfg.Template = t
	all := e.gateways()
	others := slices.Clone(*e.others.Load())
	var fresh []*gateway.Server
	if ids := cfg.apis(); len(ids) > 1 {
		for _, id := range ids {
			if slices.ContainsFunc(all, func(g *gateway.Server) bool { return g.ID() == id }) {
				continue
			}
			g, err := e.openGateway(cfg, id)
			if err != nil {
				return err
			}
			fresh = append(fresh, g)
		}
	}
	for i, g := range all {
		err := e.serveBy(g, cfg)
		if err == nil {
			continue
		}
		before := e.cfg
		before.Template = e.served
		for _, done := range all[:i] {
			err = errors.Join(err, e.serveBy(done, before))
		}
		return err
	}
	for _, g := range fresh {
		g.Start()
		cfg.Logger.InfoContext(e.Functions.Context(), "one of several APIs", "api", g.ID(), "path", "/"+g.ID())
	}
	others = append(others, fresh...)
	e.others.Store(&others)
	return nil
}

// serveBy has a gateway serve its API as a template has it. The only API there is may be called something else now.
func (e *Emulator) serveBy(g *gateway.Server, cfg Config) error {
	if ids := cfg.apis(); len(ids) == 1 && len(e.gateways()) == 1 {
		return g.ReloadAs(cfg.Template, ids[0], cfg.mappings(ids[0]))
	}
	if _, err := cfg.Template.API(g.ID()); err != nil {
		return fmt.Errorf("%w; one that is served can only be taken away by a new start", err)
	}
	return g.ReloadAs(cfg.Template, g.ID(), cfg.mappings(g.ID()))
}

// Connections are those of all APIs.
func (e *Emulator) Connections() (list []gateway.ConnectionInfo) {
	for _, g := range e.gateways() {
		list = append(list, g.Connections()...)
	}
	return list
}

// Holder is the gateway that has a connection; the first one if none has it.
func (e *Emulator) Holder(connection string) *gateway.Server {
	for _, g := range *e.others.Load() {
		if g.Holds(connection) {
			return g
		}
	}
	return e.Gateway
}

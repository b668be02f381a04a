package emulator

import (
	"errors"
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

// openGateways makes a gateway for each API.
func (e *Emulator) openGateways(cfg Config) error {
	for i, id := range cfg.apis() {
		mappings := slices.Clone(cfg.Mappings)
		if len(cfg.apis()) > 1 {
			mappings = append(mappings, id)
		}
		g, err := gateway.New(gateway.Config{
			Template: cfg.Template, Functions: e.Functions, API: id, Mappings: mappings, DomainName: cfg.DomainName,
			IdleTimeout: cfg.IdleTimeout, MaxConnection: cfg.MaxConnection, Faults: cfg.Faults, Choices: cfg.Choices,
			Services: e.service(cfg), Users: cfg.Users, Now: cfg.Now, Observe: cfg.observeGateway(),
		})
		if err != nil {
			return err
		}
		if i == 0 {
			e.Gateway = g
			continue
		}
		e.others = append(e.others, g)
	}
	return nil
}

// gateways are those of all APIs, in the template's order.
func (e *Emulator) gateways() []*gateway.Server {
	return append([]*gateway.Server{e.Gateway}, e.others...)
}

// APIs are the paths of the WebSocket APIs by logical id, if there are several.
func (e *Emulator) APIs() map[string]string {
	if len(e.others) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, g := range e.gateways() {
		out[g.ID()] = "/" + g.ID()
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

// reloadGateways serves the APIs of another template, or with an error those of before.
func (e *Emulator) reloadGateways(t *template.Template) error {
	for i, g := range e.gateways() {
		err := g.Reload(t)
		if err == nil {
			continue
		}
		for _, done := range e.gateways()[:i] {
			err = errors.Join(err, done.Reload(e.served))
		}
		return err
	}
	return nil
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
	for _, g := range e.others {
		if g.Holds(connection) {
			return g
		}
	}
	return e.Gateway
}

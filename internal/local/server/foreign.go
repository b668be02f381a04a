package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/names"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/serverless"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/tables"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Foreign is the WebSocket API of a template that is not Bellhop's, with its functions elsewhere.
type Foreign struct {
	Template  *template.Template
	API       string // which API, if the template has several
	Domain    string // of events; empty: the name that the client came by
	Functions Elsewhere
	// Environment is that of all functions, where it says where services are: AWS_ENDPOINT_URL_DYNAMODB and its like.
	Environment map[string]string
	Users       sigv4.Users
	Tables      string        // URL of the DynamoDB that functions use; empty: there is none
	Watch       *TemplateFile // nil: the template stays as it is
}

// TemplateFile is a template that is read again when its file changes.
type TemplateFile struct {
	Path    string
	Options template.Options
	Tables  func(ctx context.Context, list []template.Table) error // makes those that are not there
	Say     func(text string)                                      // what a person wants to know
	Warn    func(text string)                                      // what is missing or wrong
}

func (f Foreign) compose(ctx context.Context, _ Config, here processes.Here) (*composition, error) {
	watch := console.NewWatch(f.Template)
	watch.Principals()
	here.Output = watch.Said
	gate, err := names.Open(strings.TrimPrefix(here.Base, "http://"), append(processes.Names(), processes.TableNames)...) //nolint:contextcheck // it serves until it is closed
	if err != nil {
		return nil, err
	}
	here.Reach = gate.Environment
	functions, err := f.Functions.Functions(ctx, here)
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	end := []func(context.Context) error{f.Functions.Close, func(context.Context) error { return gate.Close() }}
	c := &composition{
		emulator: emulator.Config{
			Template: f.Template, Functions: functions, API: f.API, DomainName: f.Domain, Environment: f.Environment, Users: f.Users,
			Tables: f.Tables, TablesRegion: tables.Region, TablesKey: tables.Key,
		},
		watch: watch, console: console.Foreign{},
		pages:    map[string]http.Handler{"GET /{$}": http.RedirectHandler("/_bellhop/", http.StatusFound)},
		extras:   []extra{{wants: asksSecret, handle: noSecret}, {wants: asksTables, handle: f.serveTables}},
		listener: gate.Listener,
		undo:     end, end: end,
	}
	if f.Watch != nil {
		r := reloader{Foreign: f, console: watch, served: f.Template}
		r.seen, _ = os.Stat(f.Watch.Path)
		c.during = append(c.during, r.run)
	}
	return c, nil
}

// reloader serves a template as its file is now.
type reloader struct {
	Foreign

	console *console.Watch
	seen    os.FileInfo
	served  *template.Template
}

// templateEvery is how often the file is looked at. It is read when two looks have seen the same, so that nothing half written is.
const templateEvery = 100 * time.Millisecond

func (r *reloader) run(ctx context.Context, s *Server) {
	tick := time.NewTicker(templateEvery)
	defer tick.Stop()
	last := r.seen
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		info, err := os.Stat(r.Watch.Path)
		if err != nil { // an editor that is about to put another one there
			continue
		}
		before := last
		last = info
		if looksLike(info, r.seen) || !looksLike(info, before) {
			continue
		}
		r.seen = info
		if text, err := r.reload(ctx, s); err != nil {
			r.Watch.Warn("it has changed, and is served as it was before, since it is wrong now: " + err.Error())
		} else {
			r.Watch.Say("it has changed, and is served as it is now" + text)
		}
	}
}

// looksLike compares a file with what it was.
func looksLike(now, before os.FileInfo) bool {
	return before != nil && now.Size() == before.Size() && now.ModTime().Equal(before.ModTime())
}

// reload serves the file as it is; with an error all stays as it was. The text says what does not change until the next start.
func (r *reloader) reload(ctx context.Context, s *Server) (text string, err error) {
	t, err := serverless.ReadFile(r.Watch.Path, r.Watch.Options)
	if err != nil {
		return "", err
	}
	if r.Watch.Tables != nil {
		if err := r.Watch.Tables(ctx, t.Tables); err != nil {
			return "", err
		}
	}
	functions, err := r.Functions.Reload(ctx, t)
	if err != nil {
		return "", err
	}
	r.console.Reload(t)
	left, err := s.emulator.Reload(t, r.console.Functions(functions)) //nolint:contextcheck // connections outlive it
	if err != nil {
		r.console.Reload(r.served)
		_, _ = r.Functions.Reload(ctx, r.served) // it was taken before
		return "", err
	}
	for _, w := range t.Warnings {
		if !slices.ContainsFunc(r.served.Warnings, func(was *template.Error) bool { return was.Text == w.Text && was.Resource == w.Resource }) {
			r.Watch.Warn(w.Error())
		}
	}
	r.served = t
	left = slices.DeleteFunc(left, func(name string) bool { return name == "tables" && r.Watch.Tables != nil })
	if len(left) > 0 {
		return "; its " + strings.Join(left, " and ") + " are those of the start until the next one", nil
	}
	return "", nil
}

// asksTables reports whether a request is for DynamoDB, by its name on AWS: SDKs that know no AWS_ENDPOINT_URL come by the proxy.
func asksTables(r *http.Request) bool {
	name, rest, _ := strings.Cut(r.Host, ".")
	return name == "dynamodb" && strings.HasSuffix(rest, "amazonaws.com")
}

func (f Foreign) serveTables(w http.ResponseWriter, r *http.Request) {
	to, err := url.Parse(f.Tables)
	if err != nil || f.Tables == "" {
		console.JSON(w, http.StatusBadRequest, map[string]string{
			"__type": "ResourceNotFoundException", "message": "bellhop dev has no DynamoDB: give --dynamodb local, or the URL of one",
		})
		return
	}
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}).ServeHTTP(w, r)
}

// noSecret answers that there are no secrets here, and which one was asked for.
func noSecret(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		ID string `json:"SecretId"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&asked); err != nil {
		asked.ID = "of an unreadable request"
	}
	w.Header()["x-amzn-ErrorType"] = []string{"ResourceNotFoundException"}
	console.JSON(w, http.StatusBadRequest, map[string]string{
		"__type":  "ResourceNotFoundException",
		"message": "bellhop dev keeps no secrets, so there is no secret " + asked.ID + ": give the function what it needs with --env, or another Secrets Manager with --env AWS_ENDPOINT_URL_SECRETS_MANAGER=URL",
	})
}

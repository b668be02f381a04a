// Package survey tries a folder of templates with `bellhop dev`, as somebody does who has just fetched them: it starts each, connects,
// sends a frame to every route, and says what came of it. It drives the built command from outside, and fetches nothing.
package survey

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/serverless"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Config is how templates are tried. Binary is required.
type Config struct {
	Binary string        // the command bellhop
	Flags  []string      // of bellhop dev, such as --dynamodb=URL
	Query  []string      // NAME=VALUE of every connection's URL
	Header []string      // NAME=VALUE of every connection's handshake
	Limit  time.Duration // for one template to start, to connect, and to answer a frame; default a minute
}

// Result is what came of one API of a template, or of a template that does not start.
type Result struct {
	File    string // relative to the folder
	API     string // logical id
	Starts  bool
	Connect int // the status of the handshake, 101 for a success
	Frames  []Frame
	Why     string // why it does not start, or does not let anybody in
}

// Frame is what came of a message to a route.
type Frame struct {
	Route    string
	Answered bool
	Why      string // why not: an integration failed, or a function returned 400 or more; empty if the frame was not even sent
}

// Answered counts the frames that something took without an error.
func (r *Result) Answered() (n int) {
	for _, f := range r.Frames {
		if f.Answered {
			n++
		}
	}
	return n
}

// websocketAPI is in every template with a WebSocket API, in YAML or JSON.
var websocketAPI = regexp.MustCompile(`AWS::Serverless::WebSocketApi|ProtocolType"?\s*:\s*["']?WEBSOCKET`)

// Find gives the templates of a folder that have a WebSocket API, relative to it. What a tool made of another template that is there too is
// left out: bellhop dev finds it by itself.
func Find(folder string) (list []string, err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open the folder of templates: %w", err)
	}
	defer func() { _ = root.Close() }()
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"node_modules", ".git", ".aws-sam", "asset"}, base):
			return fs.SkipDir
		case !d.Type().IsRegular(), !isTemplate(base), serverless.Is(name) && serverless.Packaged(filepath.Join(folder, name)) != "":
			return nil
		}
		text, err := root.ReadFile(name)
		if err == nil && (websocketAPI.Match(text) || serverless.Is(name) && strings.Contains(string(text), "websocket")) {
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for templates: %w", err)
	}
	return list, nil
}

// isTemplate tells by a file's name whether it may be a template. Of what the Serverless Framework leaves, the first is an empty stack, and
// the last that which was deployed.
func isTemplate(base string) bool {
	switch filepath.Ext(base) {
	case ".yaml", ".yml", ".json", ".template":
	default:
		return false
	}
	return base != "cloudformation-template-create-stack.json" && base != "serverless-state.json" && !strings.HasSuffix(base, ".assets.json")
}

// Try tries one template of a folder, each of its APIs in turn.
func Try(ctx context.Context, c Config, folder, file string) ([]Result, error) {
	if c.Limit == 0 {
		c.Limit = time.Minute
	}
	path := filepath.Join(folder, file)
	failed := Result{File: file}
	t, err := serverless.ReadFile(path, template.Options{})
	if err != nil {
		failed.Why = oneLine(err.Error(), path, file)
		return []Result{failed}, nil
	}
	if len(t.APIs) == 0 {
		_, err = t.API("")
		failed.Why = oneLine(err.Error(), path, file)
		return []Result{failed}, nil
	}
	var list []Result
	for _, api := range t.APIs {
		one := Result{File: file, API: api.ID}
		for _, route := range api.Routes {
			if route.Key != "$connect" && route.Key != "$disconnect" {
				one.Frames = append(one.Frames, Frame{Route: route.Key})
			}
		}
		if err := one.try(ctx, c, path, api); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			one.Why = oneLine(err.Error(), path, file)
		}
		list = append(list, one)
	}
	return list, nil
}

// oneLine is a message for a table: the first line, with the template as it is named there.
func oneLine(message, path, file string) string {
	message, _, _ = strings.Cut(strings.TrimSpace(message), "\n")
	return strings.ReplaceAll(message, path, file)
}

// try starts the template for one API, and asks everything of it. The error is why not even the first frame could be sent.
func (r *Result) try(ctx context.Context, c Config, path string, api template.API) (err error) {
	p, err := launch(ctx, c, path, api.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	r.Starts = true
	r.Connect, err = p.connect(ctx, c, api)
	if err != nil {
		return err
	}
	for i := range r.Frames {
		f := &r.Frames[i]
		if f.Why, err = p.ask(ctx, c, api, f.Route); err != nil {
			return err
		}
		f.Why = oneLine(f.Why, path, r.File)
		f.Answered = f.Why == ""
	}
	return nil
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/serverless"
	"github.com/bellhop-rt/bellhop/internal/local/sigv4"
	"github.com/bellhop-rt/bellhop/internal/local/tables"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Outside is how functions are run outside of this process, as the command line says it.
type Outside struct {
	How        string // process, or endpoint=URL of a Lambda Invoke API; empty: process
	DynamoDB   string // where functions find tables; empty: nowhere
	Env        map[string]string
	EnvFile    string              // in the form of sam local's --env-vars; empty: none
	Children   *processes.Children // what else is known of them: where they are built, what watches them
	Parameters map[string]string   // of the template
}

// environment says where services are.
func (o Outside) environment() map[string]string {
	env := tables.Environment(o.DynamoDB)
	maps.Copy(env, o.Env)
	return env
}

// open gives the functions of a template in a folder, and builds what is to be built of them.
func (o Outside) open(ctx context.Context, t *template.Template, folder string) (Elsewhere, error) {
	where, remote := strings.CutPrefix(o.How, "endpoint=")
	switch u, err := url.Parse(where); {
	case remote && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == ""):
		return nil, fmt.Errorf("--functions endpoint=%s: give a URL such as http://127.0.0.1:3001", where)
	case remote:
		return processes.Endpoint{Template: t, URL: where}, nil
	case o.How != "" && o.How != "process":
		return nil, fmt.Errorf("--functions is process or endpoint=URL, not %q", o.How)
	}
	c := o.Children
	c.Template, c.Folder, c.Parameters = t, folder, o.Parameters
	c.Env, c.EnvOf = tables.Environment(o.DynamoDB), map[string]map[string]string{}
	if err := o.readEnvFile(); err != nil {
		return nil, err
	}
	for name, value := range o.Env {
		id, variable, own := strings.Cut(name, ".")
		if !own {
			c.Env[name] = value
			continue
		}
		if c.EnvOf[id] == nil {
			c.EnvOf[id] = map[string]string{}
		}
		c.EnvOf[id][variable] = value
	}
	return c, c.Build(ctx)
}

// readEnvFile reads a file as sam local does: an object by function, whose Parameters are for all.
func (o Outside) readEnvFile() error {
	if o.EnvFile == "" {
		return nil
	}
	text, err := os.ReadFile(o.EnvFile)
	if err != nil {
		return fmt.Errorf("--env-file: %w", err)
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf(`--env-file %s is not of the form {"Function": {"NAME": "value"}, "Parameters": {…}}: %w`, o.EnvFile, err)
	}
	maps.Copy(o.Children.Env, all["Parameters"])
	delete(all, "Parameters")
	maps.Copy(o.Children.EnvOf, all)
	return nil
}

// OpenDeployed runs Bellhop's own functions outside, from the sources in the working directory.
func OpenDeployed(ctx context.Context, b Bellhop, o Outside) (Deployed, error) {
	if _, err := os.Stat("functions/message"); err != nil && o.How == "process" {
		return Deployed{}, errors.New("--functions process builds Bellhop's functions: run it in the folder of its sources, where template.yaml is")
	}
	t, err := b.Template(o.Parameters)
	if err != nil {
		return Deployed{}, err
	}
	functions, err := o.open(ctx, t, ".")
	return Deployed{Bellhop: b, Functions: functions}, err
}

// TemplateOf is a template that is not Bellhop's, as the command line says it.
type TemplateOf struct {
	File, Stage, API, Domain string
	IAM                      map[string]string // who may sign, see [sigv4.ParseUsers]
	Watch                    bool
	Say, Warn                func(text string) // what a person wants to know, and what is missing or wrong
}

// OpenForeign reads a template, makes its tables where they are to be, and gets its functions ready.
func OpenForeign(ctx context.Context, of TemplateOf, o Outside) (Foreign, error) {
	options := template.Options{Parameters: o.Parameters, Stage: of.Stage}
	file, text, err := serverless.Choose(of.File)
	if err != nil {
		return Foreign{}, err
	}
	if of.File = file; text != "" {
		of.Say(text)
	}
	t, err := serverless.ReadFile(of.File, options)
	if err != nil {
		return Foreign{}, err
	}
	var create func(context.Context, []template.Table) error
	if o.DynamoDB != "" {
		create = func(ctx context.Context, list []template.Table) error {
			if err := tables.Create(ctx, tables.Client(o.DynamoDB), list...); err != nil {
				return fmt.Errorf("--dynamodb %s: %w", o.DynamoDB, err)
			}
			return nil
		}
		if err := create(ctx, t.Tables); err != nil {
			return Foreign{}, err
		}
	} else if len(t.Tables) > 0 {
		of.Warn("it has tables, and there is no DynamoDB: give --dynamodb local, or the URL of one, for its functions to find them")
	}
	functions, err := o.open(ctx, t, filepath.Dir(of.File))
	if err != nil && !errors.Is(err, processes.ErrNotBuilt) { // that is said once more when it is called
		return Foreign{}, err
	}
	f := Foreign{Template: t, API: of.API, Domain: of.Domain, Functions: functions, Tables: o.DynamoDB, Environment: o.environment(), Users: sigv4.ParseUsers(of.IAM)}
	if of.Watch {
		f.Watch = &TemplateFile{Path: of.File, Options: options, Tables: create, Say: of.Say, Warn: of.Warn}
	}
	return f, nil
}

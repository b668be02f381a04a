package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/store/dynamo"
)

// foreign serves the API of a template that is not Bellhop's, with its functions in processes and its tables in --dynamodb.
func (c devCommand) foreign(ctx context.Context, config serverConfig) (*server, error) {
	t, err := emulator.ReadTemplateFile(c.Template, c.Parameter)
	if err != nil {
		return nil, err
	}
	switch {
	case c.DynamoDB != "":
		if err := createTables(ctx, localTables(c.DynamoDB), t.Tables); err != nil {
			return nil, fmt.Errorf("--dynamodb %s: %w", c.DynamoDB, err)
		}
	case len(t.Tables) > 0:
		config.Logger.WarnContext(ctx, "the template has tables: give --dynamodb URL, of DynamoDB Local for example, for its functions to find them", "tables", len(t.Tables))
	}
	p := &processes{Template: t, Folder: filepath.Dir(c.Template)}
	if err := c.prepare(ctx, p, config); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(c.Template)
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	functions, err := p.functions(ctx)
	if err != nil {
		return nil, err
	}
	look := inspectorOf(t, nil, config)
	e, err := emulator.New(emulator.Config{
		Template: text, TemplateFile: c.Template, Parameters: c.Parameter, Functions: look.functions(functions), API: c.API, Stage: c.Stage,
		IdleTimeout: config.IdleTimeout, MaxConnection: config.MaxConnection, Faults: config.Faults,
		Logger: config.Logger, Observe: look.observe(config.Observe),
	})
	if err != nil {
		return nil, err
	}
	p.queueURL = e.QueueURL
	return &server{emulator: e, processes: p, look: look}, nil
}

// prepare reads --functions, and builds what is to be built.
func (c devCommand) prepare(ctx context.Context, p *processes, config serverConfig) error {
	p.Logger = config.Logger
	p.Env = localEnvironment(c.DynamoDB)
	maps.Copy(p.Env, c.Env)
	url, remote := strings.CutPrefix(c.Functions, "endpoint=")
	switch {
	case remote:
		p.Endpoint = url
		return nil
	case c.Functions != "" && c.Functions != "process":
		return fmt.Errorf("--functions is process or endpoint=URL, not %q", c.Functions)
	}
	if err := c.makeData(); err != nil {
		return err
	}
	p.Built = c.builtFolder()
	return p.build(ctx)
}

func (c devCommand) builtFolder() string {
	dir, err := filepath.Abs(filepath.Join(c.Data, "functions"))
	if err != nil {
		return filepath.Join(c.Data, "functions")
	}
	return dir
}

// ownTable is Bellhop's store in --dynamodb.
func (c devCommand) ownTable(ctx context.Context, config *serverConfig) error {
	t, err := emulator.ReadTemplate(bellhop.Template, c.Parameter)
	if err != nil {
		return err
	}
	config.Tables, config.Table = localTables(c.DynamoDB), t.Tables[0].Name
	if err := createTables(ctx, config.Tables, t.Tables); err != nil {
		return fmt.Errorf("--dynamodb %s: %w", c.DynamoDB, err)
	}
	config.Store = dynamo.New(config.Tables, config.Table, dynamo.Options{})
	return nil
}

// ownProcesses runs Bellhop's own functions from their sources, or wherever --functions says.
func (c devCommand) ownProcesses(ctx context.Context, config serverConfig) (*processes, error) {
	if _, err := os.Stat("functions/message"); err != nil && c.Functions == "process" {
		return nil, errors.New("--functions process builds Bellhop's functions: run it in the folder of its sources, where template.yaml is")
	}
	p, err := ownProcesses(".", withHooks(config.Parameters, config.Hooks), config.Origins)
	if err != nil {
		return nil, err
	}
	return p, c.prepare(ctx, p, config)
}

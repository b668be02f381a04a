package server

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
)

// Foreign is the WebSocket API of a template that is not Bellhop's, with its functions elsewhere.
type Foreign struct {
	File       string // of the template
	Template   *emulator.Template
	API, Stage string // which API, if the template has several; in the place of its stage
	Functions  Elsewhere
}

func (f Foreign) compose(ctx context.Context, c Config, here processes.Here) (*composition, error) {
	text, err := os.ReadFile(f.File)
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	functions, err := f.Functions.Functions(ctx, here)
	if err != nil {
		return nil, err
	}
	return &composition{
		gateway: emulator.Config{
			Template: text, TemplateFile: f.File, Parameters: c.Parameters, Functions: functions, API: f.API, Stage: f.Stage,
		},
		look: console.NewInspector(f.Template, true), console: console.Foreign{},
		pages:  map[string]http.Handler{"GET /{$}": http.RedirectHandler("/_bellhop/", http.StatusFound)},
		extras: []extra{secretOf(nil)},
		end:    []func(context.Context) error{f.Functions.Close},
	}, nil
}

package server

import (
	"context"
	"net/http"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/emulator"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Foreign is the WebSocket API of a template that is not Bellhop's, with its functions elsewhere.
type Foreign struct {
	Template  *template.Template
	API       string // which API, if the template has several
	Functions Elsewhere
}

func (f Foreign) compose(ctx context.Context, _ Config, here processes.Here) (*composition, error) {
	functions, err := f.Functions.Functions(ctx, here)
	if err != nil {
		return nil, err
	}
	watch := console.NewWatch(f.Template)
	watch.Principals()
	return &composition{
		emulator: emulator.Config{Template: f.Template, Functions: functions, API: f.API},
		watch:    watch, console: console.Foreign{},
		pages:  map[string]http.Handler{"GET /{$}": http.RedirectHandler("/_bellhop/", http.StatusFound)},
		extras: []extra{secretOf(nil)},
		end:    []func(context.Context) error{f.Functions.Close},
	}, nil
}

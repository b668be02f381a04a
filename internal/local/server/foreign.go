package server

import (
	"context"
	"encoding/json"
	"io"
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
	watch := console.NewWatch(f.Template)
	watch.Principals()
	here.Output = watch.Said
	functions, err := f.Functions.Functions(ctx, here)
	if err != nil {
		return nil, err
	}
	return &composition{
		emulator: emulator.Config{Template: f.Template, Functions: functions, API: f.API},
		watch:    watch, console: console.Foreign{},
		pages:  map[string]http.Handler{"GET /{$}": http.RedirectHandler("/_bellhop/", http.StatusFound)},
		extras: []extra{{wants: asksSecret, handle: noSecret}},
		end:    []func(context.Context) error{f.Functions.Close},
	}, nil
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

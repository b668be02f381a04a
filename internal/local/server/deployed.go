package server

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/hooks"
	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/processes"
	"github.com/bellhop-rt/bellhop/internal/local/template"
	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// Elsewhere runs the functions of a template outside of this process: [processes.Children] or [processes.Endpoint].
type Elsewhere interface {
	// Functions gives a function for each of the template, by logical id. They run nothing before the server is there.
	Functions(ctx context.Context, here processes.Here) (map[string]invoke.Function, error)
	// Reload gives the functions of a template as it is now.
	Reload(ctx context.Context, t *template.Template) (map[string]invoke.Function, error)
	Close(ctx context.Context) error
}

// Deployed is the API of template.yaml as it is deployed: with its functions elsewhere, on a store that they reach as well.
type Deployed struct {
	Bellhop   Bellhop
	Functions Elsewhere // of Template
}

// secretARN is what the template's JwtSecretArn is here: functions in processes ask this server for it.
const secretARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:bellhop-dev" //nolint:gosec // a name, not the secret

// hookARN and a hook's name are the function that Bellhop's functions in other processes ask, by the Lambda Invoke API of
// this server.
const hookARN = "arn:aws:lambda:us-east-1:123456789012:function:bellhop-hook-"

// HookParameter is the parameter of template.yaml that names a hook's function: JoinHook.
func HookParameter(hook hub.Hook) string {
	return strings.ToUpper(string(hook[:1])) + string(hook[1:]) + "Hook"
}

// Template reads template.yaml for functions that run elsewhere and find the secret and the hooks at this server.
func (b Bellhop) Template(parameters map[string]string) (*template.Template, error) {
	own := map[string]string{"Monitoring": "off", "Metrics": "off", "JwtSecretArn": secretARN}
	if len(b.Origins) > 0 {
		own["AllowedOrigins"] = strings.Join(b.Origins, ",")
	}
	maps.Copy(own, parameters)
	for hook := range b.Hooks.Callers {
		own[HookParameter(hook)] = hookARN + string(hook)
	}
	return template.Read(bellhop.Template, template.Options{Parameters: own})
}

func (d Deployed) compose(ctx context.Context, c Config, here processes.Here) (*composition, error) {
	w, err := d.Bellhop.wire(ctx, c)
	if err != nil {
		return nil, err
	}
	watch := console.NewWatch(w.template)
	watch.Principals()
	watch.Overhear() //nolint:contextcheck // what is overheard belongs to no call
	h, sockets := socketio.Wire(w.rules, d.Bellhop.Store, w.settings.Sockets)
	parts := d.Bellhop.parts(w, h, sockets, watch)
	d.Bellhop.lease(parts, c.Logger, here)
	here.Output = watch.Said
	if parts.emulator.Functions, err = d.Functions.Functions(ctx, here); err != nil {
		return nil, err
	}
	parts.end = append([]func(context.Context) error{d.Functions.Close}, parts.end...)
	parts.undo = []func(context.Context) error{d.Functions.Close}
	parts.extras = []extra{secretOf(c.Secret)}
	for hook, caller := range d.Bellhop.Hooks.Callers {
		parts.extras = append(parts.extras, invocationOf(hook, caller))
	}
	return parts, nil
}

// asksSecret reports whether a request is GetSecretValue of Secrets Manager. Programs of this machine may ask, as they may for tokens;
// pages of the web cannot, since they may not send the header that leads here.
func asksSecret(r *http.Request) bool {
	return r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue"
}

// secretOf answers what Bellhop's own functions ask of Secrets Manager.
func secretOf(secret []byte) extra {
	return extra{wants: asksSecret, handle: func(w http.ResponseWriter, _ *http.Request) {
		console.JSON(w, http.StatusOK, map[string]string{"ARN": secretARN, "Name": "bellhop-dev", "SecretString": string(secret)})
	}}
}

// invocationOf answers invocations of a hook's function.
func invocationOf(hook hub.Hook, caller hooks.Caller) extra {
	return extra{
		wants: func(r *http.Request) bool {
			return r.Method == http.MethodPost && r.URL.Path == "/2015-03-31/functions/"+hookARN+string(hook)+"/invocations"
		},
		handle: func(w http.ResponseWriter, r *http.Request) { serveHook(w, r, caller) },
	}
}

func serveHook(w http.ResponseWriter, r *http.Request, caller hooks.Caller) {
	const most = 1 << 20
	question, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Header.Get("X-Amz-Invocation-Type") == "Event" {
		if err := caller.Tell(r.Context(), question); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	verdict, err := caller.Call(r.Context(), question)
	if err != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		console.JSON(w, http.StatusOK, processes.FunctionError{Type: "Error", Message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(verdict)
}

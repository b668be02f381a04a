package survey

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/local/console"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// program is a running `bellhop dev` with one connection to it.
type program struct {
	command *exec.Cmd
	printed *strings.Builder
	ended   chan error
	data    string
	ready   struct {
		HTTP      string `json:"http"`
		WebSocket string `json:"websocket"`
	}

	socket *websocket.Conn
	items  chan console.Item
	quit   context.CancelFunc // of what is read from it
}

const endsWithin = 20 * time.Second

// launch starts a template for one of its APIs. The error is what the program said when it gave up.
func launch(ctx context.Context, c Config, path, api string) (*program, error) {
	data, err := os.MkdirTemp("", "bellhop-survey-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is built: %w", err)
	}
	p := &program{data: data, printed: &strings.Builder{}, ended: make(chan error, 1), items: make(chan console.Item, 1000)}
	ready := filepath.Join(data, "ready.json")
	args := append([]string{"dev", "--quiet", "--listen", "127.0.0.1:0", "--data", data, "--ready-file", ready, "--template", path, "--api", api}, c.Flags...)
	p.command = exec.CommandContext(context.WithoutCancel(ctx), c.Binary, args...) //nolint:gosec // the program is the caller's
	p.command.Stdout, p.command.Stderr = p.printed, p.printed
	if err := p.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.Binary, err), os.RemoveAll(data))
	}
	go func() { p.ended <- p.command.Wait() }()
	wait := time.NewTimer(c.Limit)
	defer wait.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-p.ended:
			return nil, errors.Join(p.lastWords(err), os.RemoveAll(data))
		case <-wait.C:
			return nil, errors.Join(fmt.Errorf("it does not serve within %v", c.Limit), p.stop())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.stop())
		case <-look.C:
		}
		if text, err := os.ReadFile(ready); err == nil { //nolint:gosec // in a folder of its own
			if err := json.Unmarshal(text, &p.ready); err != nil {
				return nil, errors.Join(fmt.Errorf("read %s: %w", ready, err), p.stop())
			}
			return p, nil
		}
	}
}

// lastWords is what a program that has ended says about it.
func (p *program) lastWords(err error) error {
	_, said, ok := strings.Cut("\n"+p.printed.String(), "\nbellhop: ")
	if !ok {
		return fmt.Errorf("bellhop dev ended: %w", err)
	}
	return errors.New(said)
}

// stop ends the program as Ctrl-C does.
func (p *program) stop() error {
	if p.socket != nil {
		_ = p.socket.CloseNow()
	}
	if p.quit != nil {
		p.quit()
	}
	_ = p.command.Process.Signal(os.Interrupt)
	var err error
	select {
	case err = <-p.ended:
	case <-time.After(endsWithin):
		err = errors.Join(errors.New("it does not end when it is interrupted"), p.command.Process.Kill())
		<-p.ended //nolint:errcheck // it was killed
	}
	return errors.Join(err, os.RemoveAll(p.data))
}

// connect opens a connection, with something for each identity source that the authorizer asks for.
func (p *program) connect(ctx context.Context, c Config, api template.API) (status int, err error) {
	life, quit := context.WithCancel(context.WithoutCancel(ctx))
	p.quit = quit
	if err := p.follow(life); err != nil {
		return 0, err
	}
	query, header := url.Values{}, http.Header{}
	if api.Authorizer != nil {
		for _, source := range api.Authorizer.Sources {
			if name, ok := strings.CutPrefix(source, "route.request.querystring."); ok {
				query.Set(name, "survey")
			}
			if name, ok := strings.CutPrefix(source, "route.request.header."); ok && !strings.HasPrefix(name, "X-Forwarded-") { // those are API Gateway's own
				header[name] = []string{"survey"} // as it is written
			}
		}
	}
	for _, pair := range c.Query {
		name, value, _ := strings.Cut(pair, "=")
		query.Set(name, value)
	}
	for _, pair := range c.Header {
		name, value, _ := strings.Cut(pair, "=")
		header[name] = []string{value}
	}
	address := p.ready.WebSocket
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPHeader: header})
	if response != nil {
		status = response.StatusCode
	}
	if err == nil {
		p.socket = conn
		conn.SetReadLimit(-1)
		go drain(life, conn)
		return status, nil
	}
	return status, errors.New(cmp.Or(p.told(ctx, "connect", "", "authorize"), err.Error()))
}

// drain reads what comes, so that the server is never held up.
func drain(ctx context.Context, conn *websocket.Conn) {
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			return
		}
	}
}

// ask sends a frame to a route. why is empty if something took it without an error.
func (p *program) ask(ctx context.Context, c Config, api template.API, route string) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	if err := p.socket.Write(ctx, websocket.MessageText, frameFor(api.Selection, route)); err != nil {
		return "", fmt.Errorf("the connection is gone before a frame to %s: %w", route, err)
	}
	return p.told(ctx, "message", route), nil
}

// told waits for what the program tells of something that happens, and says what was wrong with it. An event of one of the kinds before is
// why the event itself has failed.
func (p *program) told(ctx context.Context, kind, route string, before ...string) string {
	cause := ""
	for {
		select {
		case i := <-p.items:
			for _, kind := range before {
				if i.Kind == kind && i.Error != "" {
					cause = i.Error
				}
			}
			switch {
			case i.Kind != kind || route != "" && i.Route != route:
			case i.Error != "":
				return i.Error
			case cause != "":
				return cause
			case i.Status >= http.StatusBadRequest && kind == "connect":
				return fmt.Sprintf("the handshake is answered %d", i.Status)
			case i.Status >= http.StatusBadRequest:
				return fmt.Sprintf("the function returned %d", i.Status)
			default:
				return ""
			}
		case <-ctx.Done():
			return "nothing was heard of it in time"
		}
	}
}

// follow reads the console's stream of what happens.
func (p *program) follow(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready.HTTP+"/_bellhop/events", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for what happens: %w", err)
	}
	response, err := http.DefaultClient.Do(request) //nolint:bodyclose // read closes it
	if err != nil {
		return fmt.Errorf("ask for what happens: %w", err)
	}
	go p.read(response)
	return nil
}

func (p *program) read(response *http.Response) {
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 64<<20)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || event != "items" {
			continue
		}
		var list []console.Item
		if json.Unmarshal([]byte(text), &list) != nil {
			continue
		}
		for _, i := range list {
			select {
			case p.items <- i:
			default: // nobody waits for so much
			}
		}
	}
}

// frameFor is a frame that a selection expression leads to a route, with what handlers of chat samples look for.
func frameFor(selection, route string) []byte {
	frame := map[string]any{"message": "hello", "data": "hello", "body": "hello"}
	if route == "$default" {
		route = "a-route-that-is-not-there"
	}
	path := strings.Split(strings.Trim(strings.TrimPrefix(strings.TrimPrefix(selection, "$"), "{"), "}"), ".")
	if len(path) > 2 && path[0] == "request" && path[1] == "body" {
		at := frame
		for _, name := range path[2 : len(path)-1] {
			inner := map[string]any{}
			at[name], at = inner, inner
		}
		at[path[len(path)-1]] = route
	}
	b, err := json.Marshal(frame)
	if err != nil { // texts only
		panic(err)
	}
	return b
}

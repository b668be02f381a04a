package processes

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/runtimeapi"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

const (
	allFunctions = "all"
	firstPort    = 9229 // of debuggers: Node.js's own default
)

// inspected reports whether a function runs in a debugger.
func (p *Children) inspected(id string) bool {
	return slices.Contains(p.Inspect, id) || slices.Contains(p.Inspect, allFunctions)
}

// port is where the debugger of a function listens: they are dealt out in the template's order, so that each keeps its own.
func (p *Children) port(id string) int {
	port := firstPort
	for _, f := range p.template().Functions {
		if f.ID == id {
			break
		}
		if p.inspected(f.ID) {
			port++
		}
	}
	return port
}

// inspect has a function run in the debugger of its language, in one process, which nobody ends for its time.
func (p *Children) inspect(ctx context.Context, r template.Function, c *runtimeapi.Config) error {
	if !p.inspected(r.ID) {
		return nil
	}
	c.Concurrency, c.Untimed = 1, true
	port := strconv.Itoa(p.port(r.ID))
	address := "127.0.0.1:" + port
	switch {
	case len(c.Command) > 0: // it may have a debugger in it
		p.tellf(r.ID, "has no timeout; its debugger is what --runtime says")
		return nil
	case strings.HasPrefix(r.Runtime, "nodejs"):
		c.Arguments = []string{"--inspect=" + address}
		p.tellf(r.ID, "attach a debugger of Node.js to %s", address)
	case strings.HasPrefix(r.Runtime, "python"):
		if text, err := exec.CommandContext(ctx, "python3", "-c", "import debugpy").CombinedOutput(); err != nil {
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			return fmt.Errorf("--inspect of Python needs debugpy: python3 -m pip install debugpy (%s)", lines[len(lines)-1])
		}
		c.Arguments = []string{"-Xfrozen_modules=off", "-m", "debugpy", "--listen", address}
		p.tellf(r.ID, "attach a debugger of Python (debugpy) to %s", address)
	default:
		dlv, err := exec.LookPath("dlv")
		if err != nil {
			return fmt.Errorf("--inspect of Go needs Delve: go install github.com/go-delve/delve/cmd/dlv@latest (%w)", err)
		}
		c.Command = []string{
			dlv, "exec", "--headless", "--listen=" + address, "--api-version=2", "--accept-multiclient", "--continue", filepath.Join(c.Dir, "bootstrap"),
		}
		p.tellf(r.ID, "attach a debugger of Go (dlv connect) to %s", address)
	}
	return nil
}

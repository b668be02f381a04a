package runtimeapi

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultRegion = "us-east-1"
	redirectEnv   = "_LAMBDA_REDIRECT" // this and the next are read and removed by our own runtimes
	sdkEnv        = "_LAMBDA_SDK"
	nodeScript    = "bootstrap.mjs"
	pythonScript  = "bootstrap.py"
)

//go:embed bootstrap.mjs
var nodeRuntime []byte

//go:embed bootstrap.py
var pythonRuntime []byte

// Runs reports whether functions of a Runtime can run here without a Command.
func Runs(name string) bool {
	for _, prefix := range []string{"provided", "nodejs", "python"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "" || name == "go1.x"
}

// resolve finds the program for the Runtime.
func (f *Function) resolve() ([]string, error) {
	switch name := f.cfg.Runtime; {
	case len(f.cfg.Command) > 0:
		return f.cfg.Command, nil
	case f.script() != "" && !strings.Contains(f.cfg.Handler, "."):
		return nil, fmt.Errorf("handler %q is not of the form file.method", f.cfg.Handler)
	case f.script() == nodeScript:
		node, err := find("node")
		if err != nil {
			return nil, fmt.Errorf("runtime %s needs node in PATH: install Node.js from https://nodejs.org: %w", name, err)
		}
		return append([]string{node}, f.cfg.Arguments...), nil
	case f.script() == pythonScript:
		python, err := find("python3", "python")
		if err != nil {
			return nil, fmt.Errorf("runtime %s needs python3 in PATH: install Python from https://www.python.org: %w", name, err)
		}
		return append([]string{python, "-u"}, f.cfg.Arguments...), nil // unbuffered: its lines come when they are written
	case name == "" || strings.HasPrefix(name, "provided"):
		return []string{filepath.Join(f.cfg.Dir, bootstrapName())}, nil
	case name == "go1.x" && f.cfg.Handler != "":
		return []string{filepath.Join(f.cfg.Dir, f.cfg.Handler)}, nil
	default:
		return nil, fmt.Errorf("runtime %q cannot run here: give it a command", name)
	}
}

// script is the runtime of this package that the function needs, if it needs one.
func (f *Function) script() string {
	switch {
	case len(f.cfg.Command) > 0:
		return ""
	case strings.HasPrefix(f.cfg.Runtime, "nodejs"):
		return nodeScript
	case strings.HasPrefix(f.cfg.Runtime, "python"):
		return pythonScript
	}
	return ""
}

func find(names ...string) (string, error) {
	var all error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		all = errors.Join(all, err)
	}
	return "", all
}

func bootstrapName() string {
	if runtime.GOOS == "windows" {
		return "bootstrap.exe"
	}
	return "bootstrap"
}

// writeScripts puts our runtimes where node and python3 can read them.
func (f *Function) writeScripts() (string, error) {
	dir, err := os.MkdirTemp("", "lambda-runtime-")
	if err != nil {
		return "", fmt.Errorf("make the runtime's directory: %w", err)
	}
	f.mu.Lock()
	f.scriptDir = dir
	f.mu.Unlock()
	for name, text := range map[string][]byte{nodeScript: nodeRuntime, pythonScript: pythonRuntime} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", fmt.Errorf("write the runtime: %w", err)
		}
	}
	return dir, nil
}

func (f *Function) removeScripts() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.scriptDir == "" {
		return nil
	}
	if err := os.RemoveAll(f.scriptDir); err != nil {
		return fmt.Errorf("remove the runtime's directory: %w", err)
	}
	return nil
}

// environment is that of "Using Lambda environment variables", after what programs need of this machine's own.
func (f *Function) environment(machine []string) ([]string, error) {
	env := map[string]string{}
	for _, pair := range machine {
		if name, value, ok := strings.Cut(pair, "="); ok && inherited(name) {
			env[name] = value
		}
	}
	maps.Copy(env, map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME":        f.cfg.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.cfg.Memory),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.cfg.Name,
		"LAMBDA_TASK_ROOT":                f.cfg.Dir,
		"LAMBDA_RUNTIME_DIR":              f.cfg.Dir,
		"_HANDLER":                        f.cfg.Handler,
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
	})
	if name := f.cfg.Runtime; name != "" && !strings.HasPrefix(name, "provided") {
		env["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + name
	}
	f.identity(env)
	if len(f.cfg.Redirect) > 0 {
		rules, err := redirects(f.cfg.Redirect)
		if err != nil {
			return nil, err
		}
		env[redirectEnv] = rules
	}
	own := maps.Clone(f.cfg.Env)
	if own == nil {
		own = map[string]string{}
	}
	f.searchPaths(env, own)
	maps.Copy(env, own)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out, nil
}

// searchPaths adds what is in layers, and what the runtime brings along, to where programs look for them; see "Packaging your layer
// content". own are the function's variables, which win: what they say of a path is in front.
func (f *Function) searchPaths(env, own map[string]string) {
	if f.script() == pythonScript && own["PYTHONPYCACHEPREFIX"] == "" && own["PYTHONDONTWRITEBYTECODE"] == "" {
		env["PYTHONPYCACHEPREFIX"] = filepath.Join(os.TempDir(), "bellhop-pycache") // not into the user's folders
	}
	if f.cfg.SDK != "" && f.script() != "" {
		env[sdkEnv] = f.cfg.SDK
	}
	found := map[string][]string{}
	for _, layer := range slices.Backward(f.cfg.Layers) {
		for _, p := range layerPaths(f.cfg.Runtime) {
			place := filepath.Join(layer, filepath.FromSlash(p.folder))
			if info, err := os.Stat(place); err == nil && info.IsDir() {
				found[p.variable] = append(found[p.variable], place+p.suffix)
			}
		}
	}
	if f.cfg.SDK != "" && f.script() == nodeScript { // the last of all
		found["NODE_PATH"] = append(found["NODE_PATH"], filepath.Join(f.cfg.SDK, "node_modules"))
	}
	for variable, places := range found {
		if own[variable] != "" {
			places = append([]string{own[variable]}, places...)
		}
		if env[variable] != "" {
			places = append(places, env[variable])
		}
		own[variable] = strings.Join(places, string(os.PathListSeparator))
	}
}

// layerPath is a folder of a layer that a variable leads to.
type layerPath struct{ variable, folder, suffix string }

// layerPaths are those of a runtime. The last of Node.js is a layer that sam build would have installed packages for.
func layerPaths(runtime string) []layerPath {
	version := strings.TrimSuffix(strings.TrimPrefix(runtime, "nodejs"), ".x")
	return []layerPath{
		{"NODE_PATH", "nodejs/node" + version + "/node_modules", ""},
		{"NODE_PATH", "nodejs/node_modules", ""},
		{"NODE_PATH", "node_modules", ""},
		{"PYTHONPATH", "python", ""},
		{"PYTHONPATH", "python/lib/" + runtime + "/site-packages", ""},
		{"RUBYLIB", "ruby/lib", ""},
		{"CLASSPATH", "java/lib", string(os.PathSeparator) + "*"},
		{"PATH", "bin", ""},
		{"LD_LIBRARY_PATH", "lib", ""},
	}
}

// identity adds region and credentials. The credentials are worthless: real ones are never taken from this machine.
func (f *Function) identity(env map[string]string) {
	region := defaultRegion
	if parts := strings.Split(f.cfg.ARN, ":"); len(parts) > 3 && parts[3] != "" {
		region = parts[3]
	}
	for _, name := range []string{"AWS_DEFAULT_REGION", "AWS_REGION"} {
		if v := f.cfg.Env[name]; v != "" {
			region = v
		}
	}
	env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = region, region
	if f.cfg.Env["AWS_ACCESS_KEY_ID"] == "" {
		env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_SESSION_TOKEN"] = "local", "local", "local"
	}
}

// inherited says which variables of this program a function gets.
func inherited(name string) bool {
	switch strings.ToUpper(name) {
	case "PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR",
		"SYSTEMROOT", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PATHEXT": // Windows
		return true
	}
	return false
}

// redirects is the rules as our runtimes read them: a regular expression in the syntax that Node.js and Python share, and the base
// URL, the longest pattern first.
func redirects(rules map[string]string) (string, error) {
	patterns := slices.SortedFunc(maps.Keys(rules), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var out [][2]string
	for _, pattern := range patterns {
		expression := strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(pattern)), `\*`, `.*`)
		out = append(out, [2]string{"^" + expression + "$", strings.TrimSuffix(rules[pattern], "/")})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("write redirects: %w", err)
	}
	return string(text), nil
}

// logStream is a name as Lambda gives one to each execution environment.
func logStream() string {
	return time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + strings.ReplaceAll(newID(), "-", "")
}

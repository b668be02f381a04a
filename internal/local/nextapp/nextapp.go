// Package nextapp writes what an application of Next.js needs to use Bellhop: a route that gives tokens, a provider, and variables.
package nextapp

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/token"
)

//go:embed files
var files embed.FS

// Step is what became of one file.
type Step struct {
	Path string // in the application
	Did  string // such as "written", or why not
	Kept bool   // it has something else in it, and was left alone
}

// variables are what .env.local has on a laptop.
func variables() [][2]string {
	return [][2]string{
		{"NEXT_PUBLIC_BELLHOP_URL", "ws://127.0.0.1:4000/dev"},
		{"BELLHOP_ENDPOINT", "http://127.0.0.1:4000"},
		{"BELLHOP_JWT_SECRET", token.DevelopmentSecret},
	}
}

// Write puts the files into an application. It overwrites nothing, so it may run again: a file that is there with something else in
// it is Kept. The error says what the folder lacks, and then nothing was written.
func Write(dir string) (steps []Step, err error) {
	app, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the application: %w", err)
	}
	defer func() { err = errors.Join(err, app.Close()) }()
	if err := checkPackage(app); err != nil {
		return nil, err
	}
	src := ""
	if !isDir(app, "app") {
		src = "src"
	}
	if !isDir(app, filepath.Join(src, "app")) {
		return nil, fmt.Errorf("%s has neither app/ nor src/app/: this is for the App Router of Next.js", dir)
	}
	route := "route.guest.ts"
	if hasAuth(app, src) {
		route = "route.auth.ts"
	}
	for _, f := range []struct{ path, from string }{
		{filepath.Join(src, "app", "api", "bellhop", "token", "route.ts"), route},
		{filepath.Join(src, "app", "bellhop.tsx"), "bellhop.tsx"},
	} {
		text, err := files.ReadFile("files/" + f.from)
		if err != nil {
			return steps, fmt.Errorf("read template: %w", err)
		}
		step, err := writeFile(app, f.path, text)
		if err != nil {
			return steps, err
		}
		steps = append(steps, step)
	}
	step, err := writeVariables(app)
	if err != nil {
		return steps, err
	}
	return append(steps, step), nil
}

// checkPackage finds out whether the folder is an application of Next.js.
func checkPackage(app *os.Root) error {
	text, err := app.ReadFile("package.json")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no package.json in %s: give the folder of an application of Next.js (npx create-next-app makes one)", app.Name())
	}
	if err != nil {
		return fmt.Errorf("read package.json: %w", err)
	}
	var p struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("package.json is not JSON: %w", err)
	}
	if p.Dependencies["next"] == "" {
		return errors.New("package.json does not depend on next: this is for applications of Next.js")
	}
	return nil
}

func isDir(app *os.Root, path string) bool {
	info, err := app.Stat(path)
	return err == nil && info.IsDir()
}

// hasAuth reports whether there is a module "@/auth", as Auth.js and many others have it.
func hasAuth(app *os.Root, src string) bool {
	return slices.ContainsFunc([]string{"auth.ts", "auth.js", "auth.tsx"}, func(name string) bool {
		text, err := app.ReadFile(filepath.Join(src, name))
		return err == nil && bytes.Contains(text, []byte("auth"))
	})
}

func writeFile(app *os.Root, path string, text []byte) (Step, error) {
	if err := app.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return Step{}, fmt.Errorf("make folder: %w", err)
	}
	there, err := app.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(there, text):
		return Step{Path: path, Did: "is there already"}, nil
	case err == nil:
		return Step{Path: path, Did: "is there with something else in it, and was left alone", Kept: true}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return Step{}, fmt.Errorf("read file: %w", err)
	}
	if err := app.WriteFile(path, text, 0o644); err != nil {
		return Step{}, fmt.Errorf("write file: %w", err)
	}
	return Step{Path: path, Did: "written"}, nil
}

// writeVariables adds the variables that .env.local lacks. Those that it has stay, whatever they are.
func writeVariables(app *os.Root) (Step, error) {
	const name = ".env.local"
	text, err := app.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Step{}, fmt.Errorf("read %s: %w", name, err)
	}
	var added []string
	lines := strings.Split(string(text), "\n")
	for _, v := range variables() {
		if slices.ContainsFunc(lines, func(line string) bool {
			return strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(line), "export "), v[0]+"=")
		}) {
			continue
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		text = append(text, v[0]+"="+v[1]+"\n"...)
		added = append(added, v[0])
	}
	if len(added) == 0 {
		return Step{Path: name, Did: "has all variables already"}, nil
	}
	if err := app.WriteFile(name, text, 0o600); err != nil {
		return Step{}, fmt.Errorf("write %s: %w", name, err)
	}
	return Step{Path: name, Did: "has now " + strings.Join(added, ", ")}, nil
}

// Next is what remains to be done by hand.
const Next = `
Next: npm install the package @bellhop/client, put <SocketProvider> of app/bellhop.tsx around what the layout shows, and run
"bellhop dev" beside "next dev". useChatSocket("lobby") of @bellhop/client/react is a chat.
`

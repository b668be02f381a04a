package nextapp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/local/nextapp"
)

// app makes a folder of files, by their paths.
func app(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, dir, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const pkg = `{"dependencies":{"next":"16.0.0"}}`

func TestWrite(t *testing.T) {
	dir := app(t, map[string]string{"package.json": pkg, "src/app/layout.tsx": "", ".env.local": "OTHER=1\nBELLHOP_ENDPOINT=http://127.0.0.1:5000"})
	for turn, want := range []string{"written", "is there already"} {
		steps, err := nextapp.Write(dir)
		if err != nil || len(steps) != 3 {
			t.Fatalf("%d steps, %v", len(steps), err)
		}
		for _, step := range steps[:2] {
			if step.Did != want || step.Kept {
				t.Errorf("turn %d: %s %s", turn, step.Path, step.Did)
			}
		}
	}
	if route := read(t, dir, "src/app/api/bellhop/token/route.ts"); !strings.Contains(route, "guest") {
		t.Errorf("without an auth module the route is\n%s", route)
	}
	got := strings.Split(strings.TrimSpace(read(t, dir, ".env.local")), "\n")
	if len(got) != 4 || got[0] != "OTHER=1" || got[1] != "BELLHOP_ENDPOINT=http://127.0.0.1:5000" || !strings.HasPrefix(got[2], "NEXT_PUBLIC_BELLHOP_URL=ws://") {
		t.Errorf("the variables are %q", got)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	const own = "export const mine = 1;\n"
	dir := app(t, map[string]string{"package.json": pkg, "auth.ts": "export async function auth() {}", "app/bellhop.tsx": own})
	steps, err := nextapp.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !steps[1].Kept || read(t, dir, "app/bellhop.tsx") != own {
		t.Errorf("%+v", steps[1])
	}
	if route := read(t, dir, "app/api/bellhop/token/route.ts"); !strings.Contains(route, `from "@/auth"`) {
		t.Errorf("with an auth module the route is\n%s", route)
	}
}

func TestWhatIsNoApplication(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"no package.json":         {},
		"does not depend on next": {"package.json": `{"dependencies":{}}`},
		"App Router":              {"package.json": pkg, "pages/index.tsx": ""},
		"is not JSON":             {"package.json": "{", "app/layout.tsx": ""},
	} {
		dir := app(t, files)
		if steps, err := nextapp.Write(dir); err == nil || !strings.Contains(err.Error(), want) || steps != nil {
			t.Errorf("got %v, %v, want %q", steps, err, want)
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".env*")); err != nil || left != nil {
			t.Errorf("wrote %v", left)
		}
	}
}

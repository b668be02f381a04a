package demo

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPick(t *testing.T) {
	unbuilt, err := fs.ReadFile(files, "unbuilt/index.html")
	if err != nil {
		t.Fatal(err)
	}
	index := func(folders fstest.MapFS) string {
		t.Helper()
		folders["unbuilt/index.html"] = &fstest.MapFile{Data: unbuilt}
		got, err := fs.ReadFile(pick(folders), "index.html")
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	t.Run("the page that was built is served", func(t *testing.T) {
		if got, want := index(fstest.MapFS{"dist/page/index.html": {Data: []byte("built")}}), "built"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("without it, a page says how to build it", func(t *testing.T) {
		got := index(fstest.MapFS{"dist/.gitkeep": {}})
		for _, want := range []string{"make run", "Node 20", `href="_bellhop/"`} {
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want it to mention %q", got, want)
			}
		}
	})
}

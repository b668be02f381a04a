package upgrade_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the folder of the sources, seen from here.
const root = "../../.."

// archives takes commits out of the history once for all tests.
var archives sync.Map // commit → func() (folder, error)

// sources gives a folder with a commit's sources.
func sources(tb testing.TB, commit string) string {
	tb.Helper()
	once, _ := archives.LoadOrStore(commit, sync.OnceValues(func() (string, error) { return extract(commit) }))
	dir, err := once.(func() (string, error))()
	if errors.Is(err, errNoHistory) {
		how := fmt.Sprintf("commit %s is not in this clone: fetch the whole history, git fetch --unshallow (%v)", commit, err)
		if os.Getenv("CI") != "" { //nolint:forbidigo // nothing is left out there
			tb.Fatal(how)
		}
		tb.Skip(how)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

var errNoHistory = errors.New("no such commit")

func extract(commit string) (string, error) {
	dir, err := os.MkdirTemp(temporary, commit+"-")
	if err != nil {
		return "", err
	}
	var said bytes.Buffer
	file := filepath.Join(dir, "sources.tar")
	git := exec.CommandContext(context.Background(), "git", "archive", "--output", file, commit)
	git.Dir, git.Stderr = root, &said
	if err := git.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", errNoHistory, strings.TrimSpace(said.String()))
	}
	if out, err := exec.CommandContext(context.Background(), "tar", "-x", "-f", file, "-C", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack %s: %w: %s", commit, err, out)
	}
	return dir, os.Remove(file)
}

// programs are built once for all tests.
var programs sync.Map // folder → func() (file, error)

// program builds the command line of the sources in a folder.
func program(tb testing.TB, sources string) string {
	tb.Helper()
	once, _ := programs.LoadOrStore(sources, sync.OnceValues(func() (string, error) { return build(sources) }))
	file, err := once.(func() (string, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// build leaves the folder out of what is built, so that the next time is a matter of the cache.
func build(sources string) (string, error) {
	dir, err := os.MkdirTemp(temporary, "program-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "bellhop")
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", file, "./cmd/bellhop")
	build.Dir = sources
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", sources, err, out)
	}
	return file, nil
}

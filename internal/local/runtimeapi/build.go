package runtimeapi

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// BuildGo builds the main package in dir to out/bootstrap as sam build would, but for this machine, with more flags of go build. The
// error has what the compiler said.
func BuildGo(ctx context.Context, dir, out string, flags ...string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("find %s: %w", out, err)
	}
	args := []string{"build", "-tags", "lambda.norpc", "-o", filepath.Join(out, bootstrapName())}
	if len(flags) == 0 {
		flags = []string{"-trimpath"}
	}
	cmd := exec.CommandContext(ctx, "go", append(append(args, flags...), ".")...) //nolint:gosec // the folder is the caller's
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	cmd.WaitDelay = time.Second
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", dir, err, strings.TrimSpace(string(text)))
	}
	return nil
}

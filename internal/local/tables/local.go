package tables

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// localDynamoDB is the script that fetches DynamoDB Local once, and runs it in memory.
const localDynamoDB = "scripts/dynamodb-local"

// Start runs a DynamoDB Local until stop is called.
func Start(ctx context.Context) (url string, stop func() error, err error) {
	if _, err := os.Stat(localDynamoDB); err != nil {
		return "", nil, errors.New("--dynamodb local runs scripts/dynamodb-local: call it in the folder of Bellhop's sources, or give the URL of a DynamoDB that runs")
	}
	// It has to outlive ctx: what is stored at the end is stored there.
	command := exec.CommandContext(context.WithoutCancel(ctx), localDynamoDB)
	ownGroup(command) // an interrupt from the keyboard is for this program alone
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	stderr, err := command.StderrPipe()
	if err != nil {
		return "", nil, fmt.Errorf("start DynamoDB Local: %w", err)
	}
	if err := command.Start(); err != nil {
		return "", nil, fmt.Errorf("start DynamoDB Local: %w", err)
	}
	stop = func() error {
		_ = command.Process.Signal(os.Interrupt)
		return ended(command.Wait())
	}
	lines := bufio.NewScanner(stderr)
	var said []string
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "dynamodb-local: http"); ok {
			return "http" + at, stop, nil
		}
		said = append(said, lines.Text())
	}
	return "", nil, errors.Join(fmt.Errorf("DynamoDB Local did not start: %s", strings.Join(said, " ")), command.Wait())
}

// ended is no error for a program that was asked to end.
func ended(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 130 {
		return nil
	}
	return err
}

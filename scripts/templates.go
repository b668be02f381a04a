//go:build ignore

// Templates tries every template with a WebSocket API in a folder with `bellhop dev`, and prints a table: which start, which let a client
// in, how many frames are answered, and why not. It fetches nothing; functions run as bellhop dev runs them.
//
//	go run scripts/templates.go -flag --dynamodb=http://127.0.0.1:8000 FOLDER
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/survey"
)

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set is [flag.Value].Set.
func (l *list) Set(v string) error {
	*l = append(*l, v)
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("templates: ")
	var c survey.Config
	flag.StringVar(&c.Binary, "bellhop", "", "the command to try; by default it is built")
	flag.Var((*list)(&c.Flags), "flag", "give bellhop dev `--NAME=VALUE`")
	flag.Var((*list)(&c.Query), "query", "connect with `NAME=VALUE` in the query string")
	flag.Var((*list)(&c.Header), "header", "connect with the header `NAME=VALUE`")
	flag.DurationVar(&c.Limit, "limit", 0, "how long a template may take to start, and a frame to be answered; by default a minute")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("give the folder with the templates")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, c, flag.Arg(0)); err != nil {
		log.Print(err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func run(ctx context.Context, c survey.Config, folder string) error {
	files, err := survey.Find(folder)
	if err != nil {
		return err
	}
	if c.Binary == "" {
		dir, err := os.MkdirTemp("", "bellhop-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		c.Binary = filepath.Join(dir, "bellhop")
		if text, err := exec.CommandContext(ctx, "go", "build", "-o", c.Binary, "./cmd/bellhop").CombinedOutput(); err != nil {
			return fmt.Errorf("build bellhop, in the folder of its sources: %w\n%s", err, text)
		}
	}
	var all []survey.Result
	for _, file := range files {
		fmt.Fprintln(os.Stderr, file)
		found, err := survey.Try(ctx, c, folder, file)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	return survey.Print(os.Stdout, all)
}

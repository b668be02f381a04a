package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop"
	"github.com/bellhop-rt/bellhop/internal/lambda/setup"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Validate says whether a stack with parameters would answer: it reads template.yaml with them, and has each function read its
// environment as it does when it starts, short of asking AWS. The error has a line for each thing that is wrong.
func Validate(ctx context.Context, parameters map[string]string) error {
	t, err := template.Read(bellhop.Template, template.Options{Parameters: parameters})
	if err != nil {
		return err
	}
	var all []string
	functions := setup.Functions()
	for _, f := range t.Functions {
		start, ours := functions[strings.TrimPrefix(strings.Trim(f.CodeURI, "/"), "functions/")]
		if !ours {
			continue
		}
		// What only a deployed stack has is there, whatever it is.
		variables, _, err := t.Environment(f.ID, func(to template.Reference) (string, bool) { return "https://" + to.Resource, true })
		if err != nil {
			return fmt.Errorf("environment of %s: %w", f.ID, err)
		}
		if err := setup.Check(ctx, start, variables); err != nil {
			for line := range strings.Lines(err.Error()) {
				if line = strings.TrimSpace(line); !slices.Contains(all, line) {
					all = append(all, line)
				}
			}
		}
	}
	if len(all) > 0 {
		return errors.New("the functions would not start:\n  " + strings.Join(all, "\n  "))
	}
	return nil
}

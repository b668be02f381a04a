package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/bellhop-rt/bellhop/internal/local/nextapp"
)

type initCommand struct {
	Dir string `arg:"" optional:"" default:"." help:"Folder of the application."`
}

// Run writes what the application lacks, and overwrites nothing.
func (c initCommand) Run() (err error) {
	steps, err := nextapp.Write(c.Dir)
	for _, s := range steps {
		_, _ = fmt.Fprintf(os.Stdout, "%s %s\n", s.Path, s.Did)
		if s.Kept {
			err = errors.Join(err, fmt.Errorf("%s is yours: move it away, or take over by hand what docs/MIGRATION.md has for it", s.Path))
		}
	}
	if err == nil {
		_, err = fmt.Fprint(os.Stdout, nextapp.Next)
	}
	return err
}

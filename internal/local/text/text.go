// Package text lays out what programs print for people.
package text

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Page collects lines for a writer, so that a failed write is noticed once.
type Page struct {
	W   io.Writer
	Err error // of the first write that failed
}

// Sayf prints as fmt.Printf does. Texts and errors among args are made [Visible].
func (p *Page) Sayf(format string, args ...any) {
	if p.Err != nil {
		return
	}
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = Visible(arg)
		case error:
			args[i] = Visible(arg.Error())
		}
	}
	_, p.Err = fmt.Fprintf(p.W, format, args...)
}

// Table prints rows in columns, each cell [Visible]; one that begins with > is set to the right.
func (p *Page) Table(rows [][]string) {
	if p.Err != nil {
		return
	}
	width := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = Visible(cell)
			if text, right := strings.CutPrefix(row[i], ">"); right {
				width[i] = max(width[i], len([]rune(text)))
			}
		}
	}
	t := tabwriter.NewWriter(p.W, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if text, right := strings.CutPrefix(cell, ">"); right {
				row[i] = strings.Repeat(" ", width[i]-len([]rune(text))) + text
			}
		}
		if _, err := fmt.Fprintln(t, "  "+strings.Join(row, "\t")); err != nil {
			p.Err = err
			return
		}
	}
	p.Err = t.Flush()
}

// Plural is a number of things.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

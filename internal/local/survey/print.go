package survey

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
)

// Print writes a table, and what of it worked.
func Print(w io.Writer, list []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "template\tstarts\tconnects\tframes\twhy not")
	starts, connects, answered, frames := 0, 0, 0, 0
	for _, r := range list {
		started, connected := "no", "-"
		if r.Starts {
			started, connected = "yes", fmt.Sprint(r.Connect)
			starts++
		}
		if r.Connect == http.StatusSwitchingProtocols {
			connected = "yes"
			connects++
		}
		answered += r.Answered()
		frames += len(r.Frames)
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d of %d\t%s\n", r.name(), started, connected, r.Answered(), len(r.Frames), r.whyNot())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d of %d start, %d let a client in, %d of %d frames are answered\n", starts, len(list), connects, answered, frames)
	return err
}

func (r *Result) name() string {
	if r.API == "" {
		return r.File
	}
	return r.File + " " + r.API
}

func (r *Result) whyNot() string {
	var list []string
	if r.Why != "" {
		list = append(list, r.Why)
	}
	for _, f := range r.Frames {
		if f.Why != "" {
			list = append(list, f.Route+": "+f.Why)
		}
	}
	return strings.Join(list, "; ")
}

package cost

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/text"
)

// WriteFile writes a report to a file, for bellhop cost.
func (r Report) WriteFile(name string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the recording: %w", err)
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the recording: %w", err)
	}
	return nil
}

// dollars has as many digits as tell something.
func dollars(d float64) string {
	switch {
	case d == 0:
		return "$0"
	case d < 0.01:
		return fmt.Sprintf("$%.6f", d)
	}
	return fmt.Sprintf("$%.2f", d)
}

// Amount is a quantity as people read it.
func Amount(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", n/1e9)
	case n == 1e6:
		return "1 M"
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", n/1e3)
	case n == math.Trunc(n):
		return fmt.Sprintf("%.0f", n)
	case n < 0.01:
		return fmt.Sprintf("%.2g", n)
	}
	return fmt.Sprintf("%.2f", n)
}

// listPrice has all digits of a price, and at least two.
func listPrice(p Price) string {
	text := strconv.FormatFloat(p.Dollars, 'f', -1, 64)
	if whole, cents, _ := strings.Cut(text, "."); len(cents) < 2 {
		text = whole + "." + (cents + "00")[:2]
	}
	return "$" + text
}

func billRows(b Bill, free bool) [][]string {
	var rows [][]string
	for i, l := range b.Lines {
		if l.Quantity == 0 {
			continue
		}
		p := Prices()[i]
		per := fmt.Sprintf("%s for %s", listPrice(p), Amount(p.Per))
		row := []string{l.What, ">" + Amount(l.Quantity), ">" + dollars(l.Dollars), per}
		if free && l.Free > 0 {
			row[3] += fmt.Sprintf(", of that %s in AWS's free amount", dollars(l.Free))
		}
		rows = append(rows, row)
	}
	return append(rows, []string{"in all", "", ">" + dollars(b.Dollars), ""})
}

// Print prints what was used, and a month of that.
func (r Report) Print(w io.Writer, m Pace) error {
	p := &text.Page{W: w}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
	p.Sayf("Used in %s, since %s, at list prices of %s\n\n", took, r.Began.Local().Format(time.DateTime), r.Region)
	p.Table(billRows(r.Usage.Bill(), false))
	month := r.InAMonth(m).BillOfMonth()
	p.Sayf("\nA month, %s\n\n", m)
	p.Table(billRows(month, true))
	p.Sayf("\n")
	for _, part := range []struct {
		what   string
		shares Shares
	}{{"Room", r.Rooms}, {"User, who caused it", r.Users}, {"Event", r.Events}} {
		rows := [][]string{{part.what, ">messages", ">λ", ">WRU", ">RRU", ">cost"}}
		for i, s := range part.shares.Top {
			if i == 10 {
				break
			}
			rows = append(rows, shareRow(s))
		}
		others := Share{Name: "(others, and none)", Usage: part.shares.Others, Dollars: part.shares.OthersDollars}
		for _, s := range part.shares.Top[min(10, len(part.shares.Top)):] {
			others.Usage, others.Dollars = others.Usage.Plus(s.Usage), others.Dollars+s.Dollars
		}
		p.Table(append(rows, shareRow(others)))
		p.Sayf("\n")
	}
	for _, n := range r.Notes {
		p.Sayf("%s\n", n)
	}
	sources(p)
	return p.Err
}

func shareRow(s Share) []string {
	u := s.Usage
	return []string{
		s.Name, ">" + Amount(u.MessagesIn+u.MessagesOut), ">" + Amount(u.LambdaRequests), ">" + Amount(u.WriteUnits), ">" + Amount(u.ReadUnits), ">" + dollars(s.Dollars),
	}
}

// sources are the prices, and where they are from.
func sources(p *text.Page) {
	p.Sayf("\nPrices of %s, and where they were read; AWS may have changed them since:\n\n", Region)
	var rows [][]string
	for _, price := range Prices() {
		rows = append(rows, []string{price.What, ">" + listPrice(price), "for " + Amount(price.Per), price.Read})
	}
	p.Table(rows)
}

// Print prints a month of the load, and what others would take for it.
func (l Load) Print(w io.Writer) error {
	p := &text.Page{W: w}
	p.Sayf("%s\n", l)
	month := l.Usage().BillOfMonth()
	p.Table(billRows(month, true))
	p.Sayf("\nWhat it is for\n\n")
	rows := [][]string{}
	for _, f := range l.Flows() {
		if f.Count == 0 {
			continue
		}
		what, count := f.Name, ">"+Amount(f.Count)
		switch what {
		case FlowMinutes:
			what = "minutes connected"
		case FlowWatching:
			what, count = "watching: metrics, alarms, dashboard, polling", ""
		}
		rows = append(rows, []string{what, count, ">" + dollars(f.Usage.Bill().Dollars)})
	}
	p.Table(rows)
	p.Sayf("\nBellhop on AWS: $%.2f a month, $%.2f with the free amounts of an account that uses nothing else of these services.\n", month.Dollars, month.Dollars-month.Free)
	p.Sayf("Not in it: storage, backups, taxes.\n")
	p.Sayf("\nOthers for the same messages, connections and minutes, at their list prices\n\n")
	rows = [][]string{}
	for _, peer := range Peers(l) {
		price := dollars(peer.Dollars)
		if peer.Beyond {
			price = "by quote"
		}
		mark := "?"
		if peer.Confirmed {
			mark = ""
		}
		rows = append(rows, []string{peer.Name, ">" + price, mark})
	}
	p.Table(rows)
	p.Sayf("\n? The prices were not, or not all, read in the service's own words.\n\n")
	for _, peer := range Peers(l) {
		p.Sayf("  %s: %s.\n      Read at: %s\n", peer.Name, peer.How, peer.Source)
	}
	sources(p)
	return p.Err
}

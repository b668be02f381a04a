package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bellhop-rt/bellhop/internal/local/cost"
)

type costCommand struct {
	File     string   `arg:"" optional:"" type:"path" help:"What was recorded by bellhop dev --record FILE, or saved from /_bellhop/cost. Without it and without a load: what bellhop dev has used so far."`
	Users    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Users who are connected on a day. Default: 1000."`
	Hours    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Hours of a day that each is connected. Default: 8. For a recording: hours of a day that it goes on like this, 24."`
	Rooms    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Rooms in all. Default: 50. A room has USERS × JOINED / ROOMS members."`
	Messages *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Messages that each user sends in an hour. Default: 20."`
	Joined   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Rooms that each user is in. Default: 1."`
	Typing   *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Typing signals that go with each message, to every other member. Default: 1; a client sends one for every 3 seconds of typing."`
	Bytes    *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Size of a message's frame. Default: 300."`
	Days     *float64 `group:"A load, instead of a recording" placeholder:"N" help:"Days of a month. Default: 30."`
	LambdaMs *float64 `name:"lambda-ms" group:"A load, instead of a recording" placeholder:"N" help:"Milliseconds of an invocation without its pushes. Default: 25, a guess: five requests to DynamoDB."`
	PushMs   *float64 `name:"push-ms" group:"A load, instead of a recording" placeholder:"N" help:"Milliseconds of a push; 64 are on the way at the same time. Default: 10, a guess."`
	JSON     bool     `name:"json" help:"Print JSON."`
	endpointFlag
}

// Help is what --help says beneath the usage.
func (costCommand) Help() string {
	return `What AWS would bill, at list prices, line by line; and what other services would take for the same load.

  bellhop cost                                  what bellhop dev has used, and a month of that
  bellhop cost run.json --hours 8               the same of bellhop dev --record run.json
  bellhop cost --users 1000 --hours 8 --rooms 50 --messages 20

A load is taken to have everybody in a room there at the same time, a reconnect every two hours, a ping every nine
minutes, a reply to every message, and no presence. Members beyond 200 of a room are served by the queue.`
}

// Run prints the bill.
func (c costCommand) Run(ctx context.Context) error { return c.print(ctx, os.Stdout) }

// described reports whether the flags describe a load. --hours alone does not.
func (c costCommand) described() bool {
	for _, f := range []*float64{c.Users, c.Rooms, c.Messages, c.Joined, c.Typing, c.Bytes, c.Days, c.LambdaMs, c.PushMs} {
		if f != nil {
			return true
		}
	}
	return false
}

func (c costCommand) load() cost.Load {
	l := cost.DefaultLoad()
	for to, from := range map[*float64]*float64{
		&l.Users: c.Users, &l.Hours: c.Hours, &l.Rooms: c.Rooms, &l.Messages: c.Messages, &l.Joined: c.Joined,
		&l.Typing: c.Typing, &l.Bytes: c.Bytes, &l.Days: c.Days, &l.LambdaMs: c.LambdaMs, &l.PushMs: c.PushMs,
	} {
		if from != nil {
			*to = *from
		}
	}
	return l
}

func (c costCommand) print(ctx context.Context, w io.Writer) error {
	if c.described() {
		if c.File != "" {
			return errors.New("give either a recording or a load")
		}
		l := c.load()
		if err := l.Check(); err != nil {
			return fmt.Errorf("this load makes no sense: %w", err)
		}
		if c.JSON {
			return printJSON(w, map[string]any{"load": l, "flows": l.Flows(), "usage": l.Usage(), "month": l.Usage().BillOfMonth(), "peers": cost.Peers(l), "prices": cost.Prices()})
		}
		return printLoad(w, l)
	}
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	hours := 24.0
	if c.Hours != nil {
		hours = *c.Hours
	}
	if hours < 0 || hours > 24 {
		return fmt.Errorf("a day has no %g hours", hours)
	}
	if c.JSON {
		r.Month = r.InAMonth(hours).BillOfMonth()
		return printJSON(w, r)
	}
	return printReport(w, r, hours)
}

// report reads a recording, or asks the server.
func (c costCommand) report(ctx context.Context) (r cost.Report, err error) {
	if c.File == "" {
		return r, fetch(ctx, c.Endpoint, "/_bellhop/cost", &r)
	}
	b, err := os.ReadFile(c.File)
	if err != nil {
		return r, fmt.Errorf("read recording: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Began.IsZero() {
		return r, fmt.Errorf("%s is no recording of bellhop dev --record", c.File)
	}
	return r, nil
}

// fetch gets JSON from a running bellhop dev. Its refusals are errors in its own words.
func fetch(ctx context.Context, endpoint, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoint, "/")+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("--endpoint must be a URL such as http://127.0.0.1:4000, not %q", endpoint)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w (is bellhop dev running?)", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var refused struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &refused) == nil && refused.Error != "" {
			return errors.New(refused.Error)
		}
		return fmt.Errorf("%s answered %s", endpoint, res.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode answer of %s: %w", endpoint, err)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// page collects text, so that a failed write is noticed once.
type page struct {
	w   io.Writer
	err error
}

func (p *page) sayf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// table prints rows in columns; a cell that begins with > is set to the right.
func (p *page) table(rows [][]string) {
	if p.err != nil {
		return
	}
	width := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			if text, right := strings.CutPrefix(cell, ">"); right {
				width[i] = max(width[i], len([]rune(text)))
			}
		}
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if text, right := strings.CutPrefix(cell, ">"); right {
				row[i] = strings.Repeat(" ", width[i]-len([]rune(text))) + text
			}
		}
		if _, err := fmt.Fprintln(t, "  "+strings.Join(row, "\t")); err != nil {
			p.err = err
			return
		}
	}
	p.err = t.Flush()
}

// dollars has as many digits as tell something.
func dollars(d float64) string {
	switch {
	case d == 0:
		return ">$0"
	case d < 0.01:
		return fmt.Sprintf(">$%.6f", d)
	}
	return fmt.Sprintf(">$%.2f", d)
}

// amount is a quantity as people read it.
func amount(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf(">%.2f G", n/1e9)
	case n == 1e6:
		return ">1 M"
	case n >= 1e6:
		return fmt.Sprintf(">%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf(">%.1f k", n/1e3)
	case n == math.Trunc(n):
		return fmt.Sprintf(">%.0f", n)
	case n < 0.01:
		return fmt.Sprintf(">%.2g", n)
	}
	return fmt.Sprintf(">%.2f", n)
}

// listPrice has all digits of a price, and at least two.
func listPrice(p cost.Price) string {
	text := strconv.FormatFloat(p.Dollars, 'f', -1, 64)
	if whole, cents, _ := strings.Cut(text, "."); len(cents) < 2 {
		text = whole + "." + (cents + "00")[:2]
	}
	return "$" + text
}

func billRows(b cost.Bill, free bool) [][]string {
	var rows [][]string
	for i, l := range b.Lines {
		if l.Quantity == 0 {
			continue
		}
		p := cost.Prices()[i]
		per := fmt.Sprintf("%s for %s", listPrice(p), strings.TrimPrefix(amount(p.Per), ">"))
		row := []string{l.What, amount(l.Quantity), dollars(l.Dollars), per}
		if free && l.Free > 0 {
			row[3] += fmt.Sprintf(", of that %s in AWS's free amount", strings.TrimPrefix(dollars(l.Free), ">"))
		}
		rows = append(rows, row)
	}
	return append(rows, []string{"in all", "", dollars(b.Dollars), ""})
}

func printReport(w io.Writer, r cost.Report, hours float64) error {
	p := &page{w: w}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
	p.sayf("Used in %s, since %s, at list prices of %s\n\n", took, r.Began.Local().Format(time.DateTime), r.Region)
	p.table(billRows(r.Usage.Bill(), false))
	month := r.InAMonth(hours).BillOfMonth()
	p.sayf("\nA month, if it goes on like this for %g hours of each of 30 days\n\n", hours)
	p.table(billRows(month, true))
	p.sayf("\n")
	for _, part := range []struct {
		what   string
		shares cost.Shares
	}{{"Room", r.Rooms}, {"User, who caused it", r.Users}, {"Event", r.Events}} {
		rows := [][]string{{part.what, ">messages", ">λ", ">WRU", ">RRU", ">cost"}}
		for i, s := range part.shares.Top {
			if i == 10 {
				break
			}
			rows = append(rows, shareRow(s))
		}
		others := cost.Share{Name: "(others, and none)", Usage: part.shares.Others, Dollars: part.shares.OthersDollars}
		for _, s := range part.shares.Top[min(10, len(part.shares.Top)):] {
			others.Usage, others.Dollars = others.Usage.Plus(s.Usage), others.Dollars+s.Dollars
		}
		p.table(append(rows, shareRow(others)))
		p.sayf("\n")
	}
	for _, n := range r.Notes {
		p.sayf("%s\n", n)
	}
	p.sources()
	return p.err
}

func shareRow(s cost.Share) []string {
	u := s.Usage
	return []string{
		s.Name, amount(u.MessagesIn + u.MessagesOut), amount(u.LambdaRequests), amount(u.WriteUnits), amount(u.ReadUnits), dollars(s.Dollars),
	}
}

func (p *page) sources() {
	p.sayf("\nPrices of %s, and where they were read; AWS may have changed them since:\n\n", cost.Region)
	var rows [][]string
	for _, price := range cost.Prices() {
		rows = append(rows, []string{price.What, ">" + listPrice(price), "for " + strings.TrimPrefix(amount(price.Per), ">"), price.Read})
	}
	p.table(rows)
}

func printLoad(w io.Writer, l cost.Load) error {
	p := &page{w: w}
	p.sayf("A month of %g users, each %g hours on %g days; %g rooms, %g for each user, %s members in a room;\n",
		l.Users, l.Hours, l.Days, l.Rooms, l.Joined, strings.TrimPrefix(amount(l.Members()), ">"))
	p.sayf("%g messages of %g bytes an hour from each user, with %g typing signals for each message.\n\n", l.Messages, l.Bytes, l.Typing)
	month := l.Usage().BillOfMonth()
	p.table(billRows(month, true))
	p.sayf("\nWhat it is for\n\n")
	rows := [][]string{}
	for _, f := range l.Flows() {
		what := f.Name
		if what == "connected" {
			what = "minutes connected"
		}
		rows = append(rows, []string{what, amount(f.Count), dollars(f.Usage.Bill().Dollars)})
	}
	p.table(rows)
	p.sayf("\nBellhop on AWS: $%.2f a month, $%.2f with the free amounts of an account that uses nothing else of these services.\n", month.Dollars, month.Dollars-month.Free)
	p.sayf("Not in it: logs, storage, presence, the requests with which Lambda asks an empty queue for work.\n")
	p.sayf("\nOthers for the same messages, connections and minutes, at their list prices\n\n")
	rows = [][]string{}
	for _, peer := range cost.Peers(l) {
		price := dollars(peer.Dollars)
		if peer.Beyond {
			price = ">by quote"
		}
		mark := "?"
		if peer.Confirmed {
			mark = ""
		}
		rows = append(rows, []string{peer.Name, price, mark})
	}
	p.table(rows)
	p.sayf("\n? The prices were not, or not all, read in the service's own words.\n\n")
	for _, peer := range cost.Peers(l) {
		p.sayf("  %s: %s.\n      Read at: %s\n", peer.Name, peer.How, peer.Source)
	}
	p.sources()
	return p.err
}

package costs

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// page is the document whose tables are made here.
const page = "../../../docs/COSTS.md"

var write = flag.Bool("write", false, "write the tables of COSTS.md anew")

// TestCosts makes the tables of COSTS.md again: from the price list, from the load model of `bellhop cost`, and by running
// each action through the hub on a store that is metered.
func TestCosts(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]func(testing.TB) [][]string{
		"prices": priceTable, "units": unitTable, "broadcast": broadcastTable, "months": monthTable, "peers": peerTable,
		"budget": budgetTable, "knobs": knobTable, "parts": partTable, "coalesce": coalesceTable, "load": rateTable, "quotas": quotaTable, "sweep": sweepTable,
	}
	marked := regexp.MustCompile(`(?s)<!-- table: ([a-z]+) -->\n(.*?)<!-- end -->`)
	found := 0
	text = marked.ReplaceAllFunc(text, func(block []byte) []byte {
		m := marked.FindSubmatch(block)
		name, got := string(m[1]), string(m[2])
		table, ok := tables[name]
		if !ok {
			t.Errorf("nobody makes the table %q", name)
			return block
		}
		found++
		want := markdown(table(t))
		if got != want && !*write {
			t.Errorf("the table %q is not what it should be; make docs writes it:\n%s", name, want)
		}
		return []byte("<!-- table: " + name + " -->\n" + want + "<!-- end -->")
	})
	if found != len(tables) {
		t.Errorf("COSTS.md has %d of %d tables", found, len(tables))
	}
	if *write {
		if err := os.WriteFile(page, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// markdown is a table whose first row is its head. All columns but the first are numbers, unless the head begins with a *.
func markdown(rows [][]string) string {
	var b strings.Builder
	rule := make([]string, len(rows[0]))
	for i, head := range rows[0] {
		rule[i] = "--:"
		if name, isText := strings.CutPrefix(head, "*"); isText || i == 0 {
			rows[0][i], rule[i] = name, "---"
		}
	}
	for _, row := range slices.Insert(rows, 1, rule) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

// dollars has whole dollars from 100 on.
func dollars(d float64) string {
	if d >= 100 {
		return "$" + thousands(d)
	}
	return fmt.Sprintf("$%.2f", d)
}

// thousands is a rounded number with commas.
func thousands(n float64) string {
	s := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short has one digit after the point at most.
func short(n float64) string {
	if n >= 100 {
		return thousands(n)
	}
	return strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0")
}

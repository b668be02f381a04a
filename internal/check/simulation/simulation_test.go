package simulation

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

var (
	seeds   = flag.Int("seeds", 0, "how many seeds to run; 0: a few hundred")
	from    = flag.Uint64("from", 1, "the first seed")
	tracing = flag.Bool("full", false, "print the whole trace of a seed that fails")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// play runs one seed in a bubble of its own.
func play(t *testing.T, seed uint64, p plant, traced bool) (w *world) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, p, traced)
		w.play()
		w.close()
	})
	return w
}

// many runs seeds on all cores until one fails, or all of them if goOn says so.
func many(t *testing.T, first uint64, n int, p plant, found func(*world) (goOn bool)) {
	t.Helper()
	var (
		wg   sync.WaitGroup
		next atomic.Uint64
		done atomic.Bool
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < uint64(n) && !done.Load(); i = next.Add(1) - 1 {
				if !found(play(t, first+i, p, false)) {
					done.Store(true)
				}
			}
		})
	}
	wg.Wait()
}

// explain gives the violations of a seed, and the lines of its trace that are about the first.
func explain(w *world) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d:\n", w.seed)
	for _, v := range w.ledger.violations {
		fmt.Fprintf(&b, "  %v\n", v)
	}
	if len(w.ledger.violations) == 0 {
		return b.String() + "  no violation this time: the run is not decided by its seed"
	}
	v := w.ledger.violations[0]
	lines := slices.DeleteFunc(slices.Clone(w.trace), func(line string) bool {
		return !*tracing && !slices.ContainsFunc(v.about, func(word string) bool { return strings.Contains(line, word) })
	})
	if skip := len(lines) - 80; skip > 0 && !*tracing {
		lines = lines[skip:]
	}
	fmt.Fprintf(&b, "%s\nagain: go test ./internal/check/simulation -run 'TestSimulation$' -from %d -seeds 1 -v -full", strings.Join(lines, "\n"), w.seed)
	return b.String()
}

func TestSimulation(t *testing.T) {
	n := *seeds
	switch {
	case n > 0:
	case testing.Short():
		n = 50
	default:
		n = 300
	}
	var (
		mu     sync.Mutex
		failed = map[uint64]*world{}
		sum    stats
		faults = map[string]int{}
	)
	began := time.Now()
	many(t, *from, n, plant{}, func(w *world) bool {
		mu.Lock()
		defer mu.Unlock()
		sum.steps += w.stats.steps
		sum.acts += w.stats.acts
		sum.recovered += w.stats.recovered
		sum.answers += w.stats.answers
		sum.calls += w.stats.calls
		sum.twins += w.stats.twins
		sum.aside += w.stats.aside
		for kind, n := range w.stats.faults {
			faults[kind] += n
		}
		if len(w.ledger.violations) > 0 {
			failed[w.seed] = w
		}
		return true
	})
	t.Logf("%d seeds, %d steps, %d acts, %d sessions recovered, %d answers to programs, %d calls, %d second sockets left, %d heard of what they said, in %v",
		n, sum.steps, sum.acts, sum.recovered, sum.answers, sum.calls, sum.twins, sum.aside, time.Since(began).Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(faults)) {
		t.Logf("%8d × %s", faults[kind], kind)
	}
	if len(failed) == 0 {
		return
	}
	kinds := map[string][]uint64{}
	for _, seed := range slices.Sorted(maps.Keys(failed)) {
		for _, v := range failed[seed].ledger.violations {
			if !slices.Contains(kinds[v.kind], seed) {
				kinds[v.kind] = append(kinds[v.kind], seed)
			}
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("%s: %d seeds: %v", kind, len(kinds[kind]), kinds[kind][:min(8, len(kinds[kind]))])
	}
	first := slices.Min(slices.Collect(maps.Keys(failed)))
	t.Errorf("%d of %d seeds fail. %s", len(failed), n, explain(play(t, first, plant{}, true)))
}

func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(20) {
		var sums [2][32]byte
		var traces [2][]string
		for i := range sums {
			traces[i] = play(t, seed, plant{}, true).trace
			sums[i] = sha256.Sum256([]byte(strings.Join(traces[i], "\n")))
		}
		if sums[0] != sums[1] {
			for i := range traces[0] {
				if i >= len(traces[1]) || traces[0][i] != traces[1][i] {
					t.Fatalf("seed %d: line %d of the trace is\n%s\nand then\n%s", seed, i, traces[0][i], traces[1][min(i, len(traces[1])-1)])
				}
			}
			t.Fatalf("seed %d: the second trace is longer", seed)
		}
	}
}

// TestSimulationIsAlive plants bugs that a hub might have, and sees that each is found within 1,000 seeds. For those that take hundreds it
// begins near one that has found them, so that the test takes seconds.
func TestSimulationIsAlive(t *testing.T) {
	near := map[string]uint64{
		"a change of keep is not written down":                   190,
		"a leave that is faster than the join before it is lost": 105,
		"recovery skips the join hook":                           90,
		"what is pending is taken for pushed":                    730,
	}
	bugs := map[string]plant{
		"an event is pushed before it is logged":                   {pushesFirst: true},
		"presence is a counter, not a set":                         {counts: true},
		"a join reads the log before it writes the membership":     {joinsLate: true},
		"a key is remembered after its entry is written":           {remembersLater: true, countsTwice: true},
		"a change of keep is not written down":                     {forgetsFloor: true},
		"recovery skips the join hook":                             {recoversAll: true},
		"a repetition skips the publish hook":                      {repeatsAll: true},
		"whose token has ended hears until the sweep":              {forgetsTokens: true},
		"a leave that is faster than the join before it is lost":   {forgetsLeaves: true},
		"what the disk did not take is there later":                {keepsRefused: true},
		"what is pending is taken for pushed":                      {forgetsNewer: true},
		"the first 410 of a connection that is opening departs it": {departsYoung: true},

		"a call gets the result of another":    {mixesCalls: true},
		"an answer is not kept":                {losesAnswers: true},
		"the end of one socket ends the other": {endsBoth: true},
		"an answer goes to the other socket":   {answersOther: true},
		"an answer is anybody's":               {anybodysAnswer: true},

		"the open packet is pushed once":                        {opensOnce: true},
		"no ping is sent":                                       {beatsNever: true},
		"a pong is not taken note of":                           {losesPongs: true},
		"events to clients of Socket.IO have no seq":            {losesSeq: true},
		"a session is recovered for another user":               {anybodysPID: true},
		"a client that is recovered is not told what it missed": {recoversNothing: true},
	}
	for _, name := range slices.Sorted(maps.Keys(bugs)) {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			first := (*world)(nil)
			many(t, max(near[name], 1), 1000, bugs[name], func(w *world) bool {
				mu.Lock()
				defer mu.Unlock()
				if len(w.ledger.violations) > 0 && (first == nil || w.seed < first.seed) {
					first = w
				}
				return first == nil
			})
			if first == nil {
				t.Fatal("1,000 seeds have not found it")
			}
			t.Logf("seed %d: %v", first.seed, first.ledger.violations[0])
		})
	}
}

package invoke

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// Lambda stops a function that has led to itself 16 times, unless its RecursiveLoop is Allow: "Use Lambda recursive loop detection" in the
// AWS Lambda developer guide. How functions have led to each other travels in X-Ray's trace header, which the SDKs hand on
// with a message of SQS or a call of Lambda.

// TraceHeader is where requests and messages have it; AWSTraceHeader is a message's name for it.
const TraceHeader = "X-Amzn-Trace-Id"

// Lineage is how often each function has run in a row of invocations that led to each other: "9f3a01c2:3|04be77d1:1". AWS does not say
// what the names are.
type Lineage string

// LineageOf gives the lineage in a trace header, which may be percent-encoded.
func LineageOf(header string) Lineage {
	if text, err := url.PathUnescape(header); err == nil {
		header = text
	}
	for part := range strings.SplitSeq(header, ";") {
		if l, is := strings.CutPrefix(strings.TrimSpace(part), "Lineage="); is {
			return Lineage(l)
		}
	}
	return ""
}

// Header gives a trace header of a trace that is not sampled; nothing for no lineage.
func (l Lineage) Header() string {
	if l == "" {
		return ""
	}
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0;Lineage=%s", time.Now().Unix(), id[:24], id[16:], l)
}

// mostRecursive is how often a function may have run in a row.
const mostRecursive = 16

// and gives the lineage with one more run of a function, and how many there are of it then.
func (l Lineage) and(function string) (Lineage, int) {
	var runs []string
	if l != "" {
		runs = strings.Split(string(l), "|")
	}
	for i, run := range runs {
		if count, is := strings.CutPrefix(run, function+":"); is {
			n, _ := strconv.Atoi(count)
			runs[i] = function + ":" + strconv.Itoa(n+1)
			return Lineage(strings.Join(runs, "|")), n + 1
		}
	}
	return Lineage(strings.Join(slices.Concat(runs, []string{function + ":1"}), "|")), 1
}

// inLineage is the name of a function in lineages.
func inLineage(arn string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(arn))
	return fmt.Sprintf("%08x", h.Sum32())
}

// ErrRecursive is that Lambda has stopped a function.
var ErrRecursive = &awserr.Error{
	Status: http.StatusBadRequest, Code: "RecursiveInvocationException",
	Message: fmt.Sprintf("Lambda stops a function that has led to itself more than %d times in a row, unless its RecursiveLoop is Allow", mostRecursive),
}

// Package policy decides by the policy that an authorizer returns whether a request may run an API's method or route.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Document is a policy.
type Document struct {
	Statements oneOrMore[statement] `json:"Statement"`
}

// oneOrMore accepts one value without its array, as IAM does.
type oneOrMore[T any] []T

// UnmarshalJSON reads a value or an array of them.
func (s *oneOrMore[T]) UnmarshalJSON(b []byte) error {
	if b[0] != '[' && b[0] != 'n' { // null is no value
		*s = make(oneOrMore[T], 1)
		return json.Unmarshal(b, &(*s)[0])
	}
	return json.Unmarshal(b, (*[]T)(s))
}

// statement is one of a policy that an authorizer returns; see "IAM JSON policy elements reference".
type statement struct {
	Effect      string                                  `json:"Effect"`
	Action      oneOrMore[string]                       `json:"Action"`
	NotAction   oneOrMore[string]                       `json:"NotAction"`
	Resource    oneOrMore[string]                       `json:"Resource"`
	NotResource oneOrMore[string]                       `json:"NotResource"`
	Condition   map[string]map[string]oneOrMore[scalar] `json:"Condition"`
}

// scalar is the text of a condition's value, which may be a boolean or a number.
type scalar string

// UnmarshalJSON keeps what is no text as it is written.
func (s *scalar) UnmarshalJSON(b []byte) error {
	text := string(b)
	if b[0] == '"' {
		if err := json.Unmarshal(b, &text); err != nil {
			return fmt.Errorf("a condition's value %s: %w", b, err)
		}
	}
	*s = scalar(text)
	return nil
}

// covers reports whether a statement is about execute-api:Invoke on arn.
func (st *statement) covers(arn string) bool {
	action := func(pattern string) bool { return wildcard(strings.ToLower(pattern), "execute-api:invoke") }
	resource := func(pattern string) bool { return wildcard(pattern, arn) }
	return (slices.ContainsFunc(st.Action, action) || len(st.NotAction) > 0 && !slices.ContainsFunc(st.NotAction, action)) &&
		(slices.ContainsFunc(st.Resource, resource) || len(st.NotResource) > 0 && !slices.ContainsFunc(st.NotResource, resource))
}

// Allows evaluates the policy for execute-api:Invoke on arn: a matching Deny wins, no match is a Deny. The reason says why it is one. A
// condition that is not understood here is an error: to pass over it would let in, or keep out, whom AWS does not.
func (d Document) Allows(arn string, keys map[string]string) (reason string, err error) {
	allowed := false
	reason = "no statement of the authorizer's policy allows " + arn + ": its resources are " + strings.Join(d.resources(), ", ")
	for i := range d.Statements {
		st := &d.Statements[i]
		if !st.covers(arn) {
			continue
		}
		holds, unmet, err := st.holds(keys)
		switch {
		case err != nil:
			return "", err
		case !holds && st.Effect == "Allow":
			reason = "the authorizer's policy allows " + arn + " only if " + unmet
		case holds && st.Effect == "Deny":
			return "the authorizer's policy denies " + arn, nil
		case holds && st.Effect == "Allow":
			allowed = true
		}
	}
	if allowed {
		return "", nil
	}
	return reason, nil
}

func (d Document) resources() (list []string) {
	for _, st := range d.Statements {
		list = append(list, st.Resource...)
	}
	return list
}

// Keys are what of a request a policy's conditions can ask for. Those without a value here are absent. On AWS every connection has TLS, so
// that the key says so here too.
func Keys(r *http.Request, sourceIP string, now time.Time) map[string]string {
	return map[string]string{
		"aws:sourceip": sourceIP, "aws:securetransport": "true",
		"aws:currenttime": now.UTC().Format(time.RFC3339), "aws:epochtime": strconv.FormatInt(now.Unix(), 10),
		"aws:useragent": r.UserAgent(), "aws:referer": r.Referer(),
	}
}

// holds reports whether all conditions of a statement hold, and which one does not.
func (st *statement) holds(keys map[string]string) (ok bool, unmet string, err error) {
	ok = true
	for operator, asked := range st.Condition {
		for key, values := range asked {
			one, err := condition{operator, key, values}.holds(keys)
			if err != nil {
				return false, "", err
			}
			if !one {
				ok, unmet = false, fmt.Sprintf("%s %s %v", key, operator, values)
			}
		}
	}
	return ok, unmet, nil
}

// condition is one operator on one key: it holds for one of the values, or with a negated operator for none.
type condition struct {
	operator, key string
	values        []scalar
}

func (c condition) holds(keys map[string]string) (bool, error) {
	have, known := keys[strings.ToLower(c.key)]
	if !known {
		return false, fmt.Errorf("the policy's condition on %s is not understood here", c.key)
	}
	operator, ifExists := strings.CutSuffix(c.operator, "IfExists")
	if operator == "Null" {
		return c.any(func(value string) (bool, error) { return strings.EqualFold(value, "true") == (have == ""), nil })
	}
	operator, negated := positive(operator)
	if !slices.Contains(operators(), operator) {
		return false, fmt.Errorf("the policy's condition %s is not understood here", c.operator)
	}
	matched, err := c.any(func(value string) (bool, error) {
		ok, err := compare(operator, have, value)
		if err != nil {
			err = fmt.Errorf("the policy's condition %s on %s: %w", c.operator, c.key, err)
		}
		return ok && have != "", err
	})
	if have == "" && ifExists {
		return true, err
	}
	return matched != negated, err
}

// any asks for all values, so that one that is wrong is noticed wherever it is.
func (c condition) any(matches func(value string) (bool, error)) (found bool, err error) {
	for _, value := range c.values {
		ok, wrong := matches(string(value))
		found, err = found || ok, errors.Join(err, wrong)
	}
	return found, err
}

// positive is an operator without its negation.
func positive(operator string) (name string, negated bool) {
	for _, not := range [][2]string{
		{"StringNot", "String"}, {"NumericNot", "Numeric"}, {"DateNot", "Date"}, {"NotIpAddress", "IpAddress"},
	} {
		if rest, ok := strings.CutPrefix(operator, not[0]); ok {
			return not[1] + rest, true
		}
	}
	return operator, false
}

func operators() []string {
	return []string{
		"StringEquals", "StringEqualsIgnoreCase", "StringLike", "Bool", "IpAddress",
		"NumericEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
	}
}

// compare is an operator that is not negated.
func compare(operator, have, want string) (bool, error) {
	switch operator {
	case "StringEquals":
		return have == want, nil
	case "StringEqualsIgnoreCase", "Bool":
		return strings.EqualFold(have, want), nil
	case "StringLike":
		return wildcard(want, have), nil
	case "IpAddress":
		return inRange(have, want)
	}
	kind, order := "Numeric", strings.TrimPrefix(operator, "Numeric")
	if rest, ok := strings.CutPrefix(operator, "Date"); ok {
		kind, order = "Date", rest
	}
	a, err := quantity(kind, have)
	if err != nil {
		return false, err
	}
	b, err := quantity(kind, want)
	if err != nil {
		return false, err
	}
	switch order {
	case "Equals":
		return a == b, nil
	case "LessThan":
		return a < b, nil
	case "LessThanEquals":
		return a <= b, nil
	case "GreaterThan":
		return a > b, nil
	}
	return a >= b, nil
}

// quantity is a number, or a date in seconds since 1970.
func quantity(kind, text string) (float64, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n, nil
	}
	if kind == "Numeric" {
		return 0, fmt.Errorf("%q is no number", text)
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return float64(at.UnixMilli()) / 1000, nil
		}
	}
	return 0, fmt.Errorf("%q is no date", text)
}

// inRange reports whether an address is another, or in a range such as 203.0.113.0/24.
func inRange(have, want string) (bool, error) {
	if !strings.Contains(want, "/") {
		address, err := netip.ParseAddr(want)
		if err != nil {
			return false, fmt.Errorf("%q is no address", want)
		}
		want = netip.PrefixFrom(address, address.BitLen()).String()
	}
	within, err := netip.ParsePrefix(want)
	if err != nil {
		return false, fmt.Errorf("%q is no range of addresses", want)
	}
	address, err := netip.ParseAddr(have)
	return err == nil && within.Contains(address.Unmap().WithZone("")), nil
}

// wildcard matches IAM patterns: * is any text, ? one character. It takes no more than len(pattern)·len(text) steps.
func wildcard(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

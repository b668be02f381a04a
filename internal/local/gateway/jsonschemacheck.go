package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// check says what is wrong with a value and where, nil if nothing is.
func (s *schema) check(v any, at string) error {
	switch {
	case s.ref != nil:
		return s.ref.check(v, at)
	case s.nothing:
		return fmt.Errorf("%s is not allowed", at)
	case len(s.types) > 0 && !slices.ContainsFunc(s.types, func(t string) bool { return isType(v, t) }):
		return fmt.Errorf("%s is not of type %s", at, strings.Join(s.types, " or "))
	case len(s.enum) > 0 && !slices.ContainsFunc(s.enum, func(e any) bool { return reflect.DeepEqual(e, v) }):
		return fmt.Errorf("%s is none of the allowed values", at)
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		err = s.object(v, at)
	case []any:
		err = s.array(v, at)
	case string:
		err = s.text(v, at)
	case json.Number:
		err = s.checkNumber(v, at)
	}
	if err != nil {
		return err
	}
	return s.combined(v, at)
}

func (s *schema) combined(v any, at string) error {
	for _, sub := range s.all {
		if err := sub.check(v, at); err != nil {
			return err
		}
	}
	fits := func(of []*schema) (n int) {
		for _, sub := range of {
			if sub.check(v, at) == nil {
				n++
			}
		}
		return n
	}
	switch {
	case len(s.anyOf) > 0 && fits(s.anyOf) == 0:
		return fmt.Errorf("%s fits nothing of anyOf", at)
	case len(s.one) > 0 && fits(s.one) != 1:
		return fmt.Errorf("%s does not fit exactly one of oneOf", at)
	case s.not != nil && s.not.check(v, at) == nil:
		return fmt.Errorf("%s fits what it must not", at)
	}
	return nil
}

func (s *schema) object(v map[string]any, at string) error {
	for _, name := range s.required {
		if _, ok := v[name]; !ok {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
	}
	if err := s.count("Properties", len(v), at); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if err := s.property(name, v[name], at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) property(name string, v any, at string) error {
	known := false
	if sub := s.properties[name]; sub != nil {
		known = true
		if err := sub.check(v, at); err != nil {
			return err
		}
	}
	for _, p := range s.patterns {
		if !p.name.MatchString(name) {
			continue
		}
		known = true
		if err := p.of.check(v, at); err != nil {
			return err
		}
	}
	if known || s.additional == nil {
		return nil
	}
	return s.additional.check(v, at)
}

func (s *schema) array(v []any, at string) error {
	if err := s.count("Items", len(v), at); err != nil {
		return err
	}
	for i, item := range v {
		sub := s.items
		if i < len(s.tuple) {
			sub = s.tuple[i]
		} else if len(s.tuple) > 0 {
			sub = s.rest
		}
		if sub == nil {
			continue
		}
		if err := sub.check(item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	for i := range v {
		if s.unique && slices.ContainsFunc(v[:i], func(other any) bool { return reflect.DeepEqual(other, v[i]) }) {
			return fmt.Errorf("%s[%d] is there twice", at, i)
		}
	}
	return nil
}

func (s *schema) text(v, at string) error {
	if s.pattern != nil && !s.pattern.MatchString(v) {
		return fmt.Errorf("%s does not match %s", at, s.pattern)
	}
	return s.count("Length", utf8.RuneCountInString(v), at)
}

func (s *schema) count(of string, n int, at string) error {
	least, hasLeast := s.counts["min"+of]
	most, hasMost := s.counts["max"+of]
	if hasLeast && n < least || hasMost && n > most {
		return fmt.Errorf("%s has %d, against min%s or max%s", at, n, of, of)
	}
	return nil
}

func (s *schema) checkNumber(v json.Number, at string) error {
	if s.min == nil && s.max == nil && s.multiple == nil {
		return nil
	}
	r, err := rat(v)
	if err != nil {
		return fmt.Errorf("%s %w", at, err)
	}
	if s.min != nil && (r.Cmp(s.min) < 0 || s.openMin && r.Cmp(s.min) == 0) {
		return fmt.Errorf("%s is too small", at)
	}
	if s.max != nil && (r.Cmp(s.max) > 0 || s.openMax && r.Cmp(s.max) == 0) {
		return fmt.Errorf("%s is too large", at)
	}
	if s.multiple != nil && !new(big.Rat).Quo(r, s.multiple).IsInt() {
		return fmt.Errorf("%s is no multiple of %s", at, s.multiple.RatString())
	}
	return nil
}

func isType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	case json.Number:
		return name == "number" || name == "integer" && !strings.ContainsAny(v.String(), ".eE")
	}
	return false
}

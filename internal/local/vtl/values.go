package vtl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// List is a java.util.List.
type List struct{ Items []any }

// Map is a java.util.Map that keeps the order in which its keys came.
type Map struct {
	keys   []string
	values map[string]any
}

// NewMap makes a map of keys and values in turn.
func NewMap(pairs ...any) *Map {
	m := &Map{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Put(Text(pairs[i]), pairs[i+1])
	}
	return m
}

// Put sets a key.
func (m *Map) Put(key string, v any) {
	if m.values == nil {
		m.values = map[string]any{}
	}
	if _, ok := m.values[key]; !ok {
		m.keys = append(m.keys, key)
	}
	m.values[key] = v
}

func (m *Map) remove(key string) any {
	v := m.values[key]
	delete(m.values, key)
	m.keys = slices.DeleteFunc(m.keys, func(k string) bool { return k == key })
	return v
}

// Text is what a value is written as: lists and maps as Java writes them, [a, b] and {a=1, b=2}.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return floatText(v)
	case *List:
		parts := make([]string, len(v.Items))
		for i, item := range v.Items {
			parts[i] = Text(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *Map:
		parts := make([]string, len(v.keys))
		for i, key := range v.keys {
			parts[i] = key + "=" + Text(v.values[key])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(v)
}

// floatText writes a number as Java's Double does: with a point, and with an exponent from ten million on and below a thousandth.
func floatText(f float64) string {
	if a := math.Abs(f); a != 0 && (a < 1e-3 || a >= 1e7) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		sign := ""
		if strings.HasPrefix(exponent, "-") {
			sign = "-"
		}
		return mantissa + "E" + sign + strings.TrimLeft(exponent, "+-0")
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Decode reads JSON as values, with objects in their order.
func Decode(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decode(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON")
	}
	return v, nil
}

func decode(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("the JSON is nested too deeply")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return i, nil
		}
		return t.Float64()
	case json.Delim:
		if t == '[' {
			return decodeList(dec, depth)
		}
		return decodeMap(dec, depth)
	}
	return t, nil // a text, a bool or nil
}

func decodeList(dec *json.Decoder, depth int) (any, error) {
	list := &List{}
	for dec.More() {
		v, err := decode(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, v)
	}
	_, err := dec.Token()
	return list, err
}

func decodeMap(dec *json.Decoder, depth int) (any, error) {
	m := &Map{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := decode(dec, depth+1)
		if err != nil {
			return nil, err
		}
		m.Put(Text(key), v)
	}
	_, err := dec.Token()
	return m, err
}

// itemsOf are what #foreach goes through: of a map its values.
func itemsOf(v any) ([]any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case *List:
		return slices.Clone(v.Items), true
	case *Map:
		return valuesOf(v), true
	}
	return nil, false
}

func valuesOf(m *Map) []any {
	out := make([]any, len(m.keys))
	for i, key := range m.keys {
		out[i] = m.values[key]
	}
	return out
}

func keysOf(m *Map) []any {
	out := make([]any, len(m.keys))
	for i, key := range m.keys {
		out[i] = key
	}
	return out
}

// kindOf names a value's kind in messages.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case *List:
		return "a list"
	case *Map:
		return "a map"
	}
	return "an object"
}

// propertyOf is a property: a key of a map, or what a method without arguments would give.
func propertyOf(v any, name string) (any, error) {
	switch v := v.(type) {
	case *Map:
		if value, ok := v.values[name]; ok || name != "empty" {
			return value, nil
		}
		return len(v.keys) == 0, nil
	case Object:
		value, _ := v.Get(name)
		return value, nil
	case *List:
		if name == "empty" {
			return len(v.Items) == 0, nil
		}
	case string:
		if name == "empty" {
			return v == "", nil
		}
	}
	return nil, nil //nolint:nilnil // null: there is none
}

// put sets a member of a list or a map.
func put(into, key, v any) error {
	switch into := into.(type) {
	case *Map:
		into.Put(Text(key), v)
		return nil
	case *List:
		i, ok := key.(int64)
		if !ok || i < 0 || i >= int64(len(into.Items)) {
			return fmt.Errorf("the list has no %s", Text(key))
		}
		into.Items[i] = v
		return nil
	}
	return fmt.Errorf("%s has no members", kindOf(into))
}

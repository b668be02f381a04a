package vtl

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var errArguments = errors.New("the arguments do not fit")

// call runs a method of a value.
func call(v any, name string, args []any) (any, error) {
	if o, ok := v.(Object); ok {
		return o.Call(name, args)
	}
	switch name { // of every Java object
	case "toString":
		return Text(v), nil
	case "equals":
		return len(args) == 1 && kindOf(v) == kindOf(args[0]) && equal(v, args[0]), nil
	}
	var out any
	var err error
	switch v := v.(type) {
	case string:
		out, err = callText(v, name, args)
	case *List:
		out, err = callList(v, name, args)
	case *Map:
		out, err = callMap(v, name, args)
	case int64, float64:
		out, err = callNumber(v, name)
	default:
		err = errNoMethod
	}
	switch {
	case errors.Is(err, errNoMethod):
		return nil, fmt.Errorf("the method %s of %s is not emulated", name, kindOf(v))
	case errors.Is(err, errArguments):
		return nil, fmt.Errorf("%s of %s: %w", name, kindOf(v), err)
	}
	return out, err
}

var errNoMethod = errors.New("no such method")

// texts and numbers take arguments of one kind.
func texts(args []any, n int) ([]string, error) {
	if len(args) != n {
		return nil, errArguments
	}
	out := make([]string, n)
	for i, a := range args {
		s, ok := a.(string)
		if !ok {
			return nil, errArguments
		}
		out[i] = s
	}
	return out, nil
}

// place is an argument that is an index from 0 to most.
func place(a any, most int) (int, error) {
	i, ok := a.(int64)
	if !ok {
		return 0, errArguments
	}
	if i < 0 || i > int64(most) {
		return 0, fmt.Errorf("there is no %d", i)
	}
	return int(i), nil
}

// callText runs a method of java.lang.String.
func callText(s, name string, args []any) (any, error) {
	switch name {
	case "length":
		return int64(len([]rune(s))), nil
	case "isEmpty":
		return s == "", nil
	case "isBlank":
		return strings.TrimSpace(s) == "", nil
	case "trim", "strip":
		return strings.TrimSpace(s), nil
	case "toLowerCase":
		return strings.ToLower(s), nil
	case "toUpperCase":
		return strings.ToUpper(s), nil
	case "substring":
		return substring([]rune(s), args)
	case "charAt":
		if len(args) != 1 {
			return nil, errArguments
		}
		runes := []rune(s)
		i, err := place(args[0], len(runes)-1)
		if err != nil {
			return nil, err
		}
		return string(runes[i]), nil
	case "replace", "replaceAll", "replaceFirst":
		list, err := texts(args, 2)
		if err != nil {
			return nil, err
		}
		return replace(s, name, list[0], list[1])
	case "split":
		if len(args) == 2 {
			return nil, errNoMethod
		}
		return split(s, args)
	}
	list, err := texts(args, 1)
	if err != nil {
		if isTextMethod(name) {
			return nil, err
		}
		return nil, errNoMethod
	}
	return callTextWith(s, name, list[0])
}

func isTextMethod(name string) bool {
	return slices.Contains([]string{"contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "concat", "equalsIgnoreCase", "compareTo", "matches"}, name)
}

func callTextWith(s, name, with string) (any, error) {
	switch name {
	case "contains":
		return strings.Contains(s, with), nil
	case "startsWith":
		return strings.HasPrefix(s, with), nil
	case "endsWith":
		return strings.HasSuffix(s, with), nil
	case "indexOf":
		return runesBefore(s, strings.Index(s, with)), nil
	case "lastIndexOf":
		return runesBefore(s, strings.LastIndex(s, with)), nil
	case "concat":
		return s + with, nil
	case "equalsIgnoreCase":
		return strings.EqualFold(s, with), nil
	case "compareTo":
		return int64(strings.Compare(s, with)), nil
	case "matches":
		re, err := regexp.Compile("^(?:" + with + ")$")
		if err != nil {
			return nil, fmt.Errorf("the pattern %q is not emulated: %w", with, err)
		}
		return re.MatchString(s), nil
	}
	return nil, errNoMethod
}

func runesBefore(s string, bytes int) int64 {
	if bytes < 0 {
		return -1
	}
	return int64(len([]rune(s[:bytes])))
}

func substring(runes []rune, args []any) (any, error) {
	if len(args) < 1 || len(args) > 2 {
		return nil, errArguments
	}
	begin, err := place(args[0], len(runes))
	if err != nil {
		return nil, err
	}
	end := len(runes)
	if len(args) == 2 {
		if end, err = place(args[1], len(runes)); err != nil {
			return nil, err
		}
	}
	if begin > end {
		return nil, fmt.Errorf("%d is after %d", begin, end)
	}
	return string(runes[begin:end]), nil
}

// replace is one of Java's three. Patterns are Go's, which lack what looks around and back.
func replace(s, how, old, with string) (any, error) {
	if how == "replace" {
		return strings.ReplaceAll(s, old, with), nil
	}
	re, err := regexp.Compile(old)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q is not emulated: %w", old, err)
	}
	with = replacement(with)
	if how == "replaceAll" {
		return re.ReplaceAllString(s, with), nil
	}
	at := re.FindStringSubmatchIndex(s)
	if at == nil {
		return s, nil
	}
	return s[:at[0]] + string(re.ExpandString(nil, with, s, at)) + s[at[1]:], nil
}

// replacement writes a replacement of Java, $1 and \$, as Go has it.
func replacement(java string) string {
	var b strings.Builder
	for i := 0; i < len(java); i++ {
		switch c := java[i]; {
		case c == '\\' && i+1 < len(java):
			i++
			if java[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(java[i])
		case c == '$' && i+1 < len(java) && isDigit(java[i+1]):
			i++
			b.WriteString("${" + string(java[i]) + "}")
		case c == '$' && i+1 < len(java) && java[i+1] == '{':
			b.WriteByte(c)
		case c == '$':
			b.WriteString("$$")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// split is Java's: empty texts at the end are left out.
func split(s string, args []any) (any, error) {
	list, err := texts(args, 1)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(list[0])
	if err != nil {
		return nil, fmt.Errorf("the pattern %q is not emulated: %w", list[0], err)
	}
	parts := re.Split(s, -1)
	for len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	out := &List{}
	for _, part := range parts {
		out.Items = append(out.Items, part)
	}
	return out, nil
}

// callList runs a method of java.util.List.
func callList(l *List, name string, args []any) (any, error) {
	switch name {
	case "size":
		return int64(len(l.Items)), nil
	case "isEmpty":
		return len(l.Items) == 0, nil
	}
	if len(args) == 2 {
		return callListAt(l, name, args[0], args[1])
	}
	if len(args) != 1 {
		return nil, errNoMethod
	}
	find := func() int { return slices.IndexFunc(l.Items, func(v any) bool { return equal(v, args[0]) }) }
	switch name {
	case "add":
		l.Items = append(l.Items, args[0])
		return true, nil
	case "addAll":
		more, ok := itemsOf(args[0])
		if !ok {
			return nil, errArguments
		}
		l.Items = append(l.Items, more...)
		return true, nil
	case "contains":
		return find() >= 0, nil
	case "indexOf":
		return int64(find()), nil
	case "get", "remove":
		i, err := place(args[0], len(l.Items)-1)
		if err != nil {
			return nil, err
		}
		v := l.Items[i]
		if name == "remove" {
			l.Items = slices.Delete(l.Items, i, i+1)
		}
		return v, nil
	}
	return nil, errNoMethod
}

// callListAt runs a method that changes a place of a list.
func callListAt(l *List, name string, at, v any) (any, error) {
	switch name {
	case "set":
		i, err := place(at, len(l.Items)-1)
		if err != nil {
			return nil, err
		}
		old := l.Items[i]
		l.Items[i] = v
		return old, nil
	case "add":
		i, err := place(at, len(l.Items))
		if err != nil {
			return nil, err
		}
		l.Items = slices.Insert(l.Items, i, v)
		return nil, nil //nolint:nilnil // it gives nothing
	}
	return nil, errNoMethod
}

// callMap runs a method of java.util.Map.
func callMap(m *Map, name string, args []any) (any, error) {
	switch len(args) {
	case 0:
		switch name {
		case "size":
			return int64(len(m.keys)), nil
		case "isEmpty":
			return len(m.keys) == 0, nil
		case "keySet":
			return &List{keysOf(m)}, nil
		case "values":
			return &List{valuesOf(m)}, nil
		case "entrySet":
			out := &List{}
			for _, key := range m.keys {
				out.Items = append(out.Items, &entry{key, m.values[key]})
			}
			return out, nil
		}
	case 1:
		key := Text(args[0])
		switch name {
		case "get":
			return m.values[key], nil
		case "containsKey":
			_, ok := m.values[key]
			return ok, nil
		case "containsValue":
			return slices.ContainsFunc(valuesOf(m), func(v any) bool { return equal(v, args[0]) }), nil
		case "remove":
			return m.remove(key), nil
		case "putAll":
			more, ok := args[0].(*Map)
			if !ok {
				return nil, errArguments
			}
			for _, key := range more.keys {
				m.Put(key, more.values[key])
			}
			return nil, nil //nolint:nilnil // it gives nothing
		}
	case 2:
		old, ok := m.values[Text(args[0])]
		switch {
		case name == "put":
			m.Put(Text(args[0]), args[1])
			return old, nil
		case name == "getOrDefault" && !ok:
			return args[1], nil
		case name == "getOrDefault":
			return old, nil
		}
	}
	return nil, errNoMethod
}

func callNumber(v any, name string) (any, error) {
	f, _ := number(v)
	switch name {
	case "intValue", "longValue":
		return int64(f), nil
	case "doubleValue", "floatValue":
		return f, nil
	}
	return nil, errNoMethod
}

// entry is a java.util.Map.Entry.
type entry struct {
	key   string
	value any
}

func (e *entry) String() string { return e.key + "=" + Text(e.value) }

// Get is getKey or getValue.
func (e *entry) Get(property string) (any, bool) {
	switch property {
	case "key":
		return e.key, true
	case "value":
		return e.value, true
	}
	return nil, false
}

// Call runs getKey or getValue.
func (e *entry) Call(method string, _ []any) (any, error) {
	switch method {
	case "getKey":
		return e.key, nil
	case "getValue":
		return e.value, nil
	}
	return nil, fmt.Errorf("the method %s of an entry is not emulated", strconv.Quote(method))
}

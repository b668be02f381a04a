package buses

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Matches reports whether a pattern matches an event, both as encoding/json decodes them.
func Matches(pattern, event map[string]any) bool { return matches(pattern, event) }

// Check finds what [Matches] does not know.
func Check(pattern map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(pattern)) {
		switch value := pattern[name].(type) {
		case map[string]any:
			if err := Check(value); err != nil {
				return err
			}
		case []any:
			for _, want := range value {
				if err := checkOperator(name, want); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("the event pattern's %s must be a list", name)
		}
	}
	return nil
}

func checkOperator(name string, want any) error {
	operator, is := want.(map[string]any)
	if !is {
		return nil
	}
	for key := range operator {
		if !slices.Contains([]string{"prefix", "suffix", "exists", "anything-but", "equals-ignore-case", "numeric"}, key) || len(operator) != 1 {
			return fmt.Errorf("the event pattern's operator %q of %s is not emulated", key, name)
		}
	}
	return nil
}

// matches reports whether an event has what the pattern asks for: in each field one of the values of its list.
func matches(pattern, event map[string]any) bool {
	for name, want := range pattern {
		value, there := event[name]
		if inner, is := want.(map[string]any); is {
			object, _ := value.(map[string]any)
			if !matches(inner, object) {
				return false
			}
			continue
		}
		list, _ := want.([]any)
		if !slices.ContainsFunc(list, func(w any) bool { return matchesOne(w, value, there) }) {
			return false
		}
	}
	return true
}

// matchesOne compares a field with one value of a pattern. A field that is a list matches by any of its values.
func matchesOne(want, value any, there bool) bool {
	operator, is := want.(map[string]any)
	if exists, has := operator["exists"]; is && has {
		return exists == there
	}
	if !there {
		return false
	}
	if many, isList := value.([]any); isList {
		return slices.ContainsFunc(many, func(one any) bool { return matchesOne(want, one, true) })
	}
	if !is {
		return want == value
	}
	text, isText := value.(string)
	for key, argument := range operator {
		wanted, _ := argument.(string)
		switch key {
		case "prefix":
			return isText && strings.HasPrefix(text, wanted)
		case "suffix":
			return isText && strings.HasSuffix(text, wanted)
		case "equals-ignore-case":
			return isText && strings.EqualFold(text, wanted)
		case "anything-but":
			return !anyOf(argument, value)
		case "numeric":
			return within(argument, value)
		}
	}
	return false
}

// within reports whether a number is as the argument of numeric has it: a list of comparisons and numbers in turn, such as [">", 0, "<=", 5].
func within(argument, value any) bool {
	list, _ := argument.([]any)
	n, isNumber := value.(float64)
	for i := 0; i+1 < len(list); i += 2 {
		than, ok := list[i+1].(float64)
		if !ok || list[i] != ">" && list[i] != "<" && list[i] != ">=" && list[i] != "<=" && list[i] != "=" {
			return false
		}
		if list[i] == ">" && n <= than || list[i] == ">=" && n < than || list[i] == "<" && n >= than || list[i] == "<=" && n > than || list[i] == "=" && n != than {
			return false
		}
	}
	return isNumber && len(list) > 0
}

// anyOf reports whether the argument of anything-but, one value or a list or a pattern of one operator, covers a value.
func anyOf(argument, value any) bool {
	if list, is := argument.([]any); is {
		return slices.Contains(list, value)
	}
	return matchesOne(argument, value, true)
}

package gateway

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// Example is a message that an API's route selection expression leads to a route, for people and programs to try it with: what its request
// model asks for, or else what handlers of chat samples look for. Nil: the expression gives no message this route.
func Example(api *template.API, route template.Route) []byte {
	sel, err := parseSelector(api.Selection)
	if err != nil {
		return nil
	}
	key := route.Key
	if key == "$default" { // anything that is no other route
		for key = "anything"; slices.ContainsFunc(api.Routes, func(r template.Route) bool { return r.Key == key }); key += "-else" {
			continue
		}
	}
	frame := any(map[string]any{"data": "hello", "message": "hello"})
	if model, ok := modelFor(api, route); ok {
		frame = model
	}
	for i, part := range sel {
		if part.path == nil {
			key = strings.TrimPrefix(key, part.literal)
			continue
		}
		value := key
		if i+1 < len(sel) && sel[i+1].path == nil {
			value, _, _ = strings.Cut(key, sel[i+1].literal)
		}
		key = strings.TrimPrefix(key, value)
		frame = placed(frame, part.path, value)
	}
	text, err := json.Marshal(frame)
	if err != nil {
		return nil
	}
	if got, ok := sel.appendKey(nil, text); route.Key != "$default" && (!ok || string(got) != route.Key) {
		return nil
	}
	return text
}

// placed is a value that has another one at a path. What is in its way is replaced.
func placed(value any, path []step, leaf any) any {
	if len(path) == 0 {
		return leaf
	}
	if i := path[0].index; i >= 0 {
		const most = 100 // of an index that somebody has written
		list, _ := value.([]any)
		for len(list) <= min(i, most) {
			list = append(list, nil)
		}
		list[min(i, most)] = placed(list[min(i, most)], path[1:], leaf)
		return list
	}
	object, ok := value.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object[path[0].name] = placed(object[path[0].name], path[1:], leaf)
	return object
}

// modelFor is what a route's request model describes.
func modelFor(api *template.API, route template.Route) (any, bool) {
	for _, key := range []string{"$default", route.Key} {
		name, ok := route.Models[key]
		if !ok && len(route.Models) == 1 {
			for _, name = range route.Models {
				ok = true
			}
		}
		i := slices.IndexFunc(api.Models, func(m template.Model) bool { return m.Name == name || m.ID == name })
		var schema map[string]any
		if ok && i >= 0 && json.Unmarshal([]byte(api.Models[i].Schema), &schema) == nil {
			return sample(schema, 0), true
		}
	}
	return nil, false
}

// sample is a value that a JSON schema describes, as far as its plain words go: not $ref, patterns or combinations.
func sample(schema map[string]any, depth int) any {
	const deepest = 8
	if value, ok := givenSample(schema); ok {
		return value
	}
	kind := schema["type"]
	if list, ok := kind.([]any); ok && len(list) > 0 {
		kind = list[0]
	}
	properties, hasProperties := schema["properties"].(map[string]any)
	switch {
	case depth > deepest:
		return nil
	case kind == "object" || kind == nil && hasProperties:
		object := map[string]any{}
		for name, inner := range properties {
			if inner, ok := inner.(map[string]any); ok {
				object[name] = sample(inner, depth+1)
			}
		}
		return object
	case kind == "array":
		items, ok := schema["items"].(map[string]any)
		if !ok {
			return []any{}
		}
		return []any{sample(items, depth+1)}
	case kind == "integer", kind == "number":
		if least, ok := schema["minimum"].(float64); ok {
			return least
		}
		return 1
	case kind == "boolean":
		return true
	case kind == "string" || kind == nil:
		return sampleText(schema)
	}
	return nil
}

// givenSample is a value that a schema itself gives.
func givenSample(schema map[string]any) (any, bool) {
	for _, word := range []string{"const", "default"} {
		if value, ok := schema[word]; ok {
			return value, true
		}
	}
	for _, word := range []string{"examples", "enum"} {
		if list, ok := schema[word].([]any); ok && len(list) > 0 {
			return list[0], true
		}
	}
	return nil, false
}

func sampleText(schema map[string]any) string {
	text := "hello"
	if least, ok := schema["minLength"].(float64); ok && int(least) > len(text) && least <= maxFrame {
		text += strings.Repeat("o", int(least)-len(text))
	}
	if most, ok := schema["maxLength"].(float64); ok && int(most) < len(text) && most >= 0 {
		text = text[:int(most)]
	}
	return text
}

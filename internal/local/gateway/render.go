package gateway

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// templates are the mapping templates of a request or a response, and how one of them is chosen.
type templates struct {
	byKey     map[string]rendering
	selection expression // nil: $default
}

// rendering is a mapping template that has been read.
type rendering []renderPart

// renderPart is literal text, a variable, or a part of $input.
type renderPart struct {
	literal string
	name    string
	input   string // body, path or json
	path    []step
}

func newTemplates(texts map[string]string, selection string) (t templates, err error) {
	t.byKey = map[string]rendering{}
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		if t.byKey[key], err = parseRendering(texts[key]); err != nil {
			return t, err
		}
	}
	if selection == "" {
		return t, nil
	}
	if t.selection, err = parseExpression(selection); err != nil {
		return t, fmt.Errorf("TemplateSelectionExpression %w", err)
	}
	for _, p := range t.selection {
		if p.name == "" {
			continue
		}
		if err := understood(p.name); err != nil {
			return t, fmt.Errorf("TemplateSelectionExpression %w", err)
		}
	}
	return t, nil
}

// pick chooses: the template of the selected key, else $default, else the only one there is, because many templates have one under a
// content type, as REST APIs do (UNCONFIRMED).
func (t templates) pick(s scope) (rendering, bool) {
	for _, key := range []string{s.key(t.selection), "$default"} {
		if r, ok := t.byKey[key]; ok {
			return r, true
		}
	}
	if len(t.byKey) == 1 {
		for _, r := range t.byKey {
			return r, true
		}
	}
	return nil, false
}

// parseRendering reads a mapping template. Directives (#set, #if, …) and other variables are an error: rendering them wrongly would be
// worse. See "WebSocket API mapping template reference for API Gateway".
func parseRendering(text string) (rendering, error) {
	for _, directive := range []string{"#set", "#if", "#foreach", "#else", "#end", "##"} {
		if strings.Contains(text, directive) {
			return nil, errors.New("the template uses directives, which are not emulated")
		}
	}
	variable := regexp.MustCompile(`^\$!?(?:\{((?:context|stageVariables)\.[\w.]+)\}|((?:context|stageVariables)\.[\w.]*\w)|(input\.body)|input\.(path|json)\(\s*['"]\$([^'"]*)['"]\s*\))`)
	parts := rendering{}
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			return append(parts, renderPart{literal: text}), nil
		}
		if i > 0 {
			parts = append(parts, renderPart{literal: text[:i]})
			text = text[i:]
		}
		m := variable.FindStringSubmatch(text)
		switch {
		case m == nil:
			return nil, fmt.Errorf("the template uses %.40q, which is not emulated", text)
		case m[3] != "":
			parts = append(parts, renderPart{input: "body"})
		case m[4] != "":
			path, err := parsePath(m[5])
			if err != nil {
				return nil, err
			}
			parts = append(parts, renderPart{input: m[4], path: path})
		default:
			parts = append(parts, renderPart{name: m[1] + m[2]})
		}
		text = text[len(m[0]):]
	}
	return parts, nil
}

func (r rendering) render(s scope) (out []byte) {
	for _, p := range r {
		switch {
		case p.name != "":
			out = s.append(out, p.name)
		case p.input == "body":
			out = append(out, s.input...)
		case p.input != "":
			raw, _ := lookup(s.input, p.path)
			if p.input == "path" {
				out = appendText(out, raw)
			} else {
				out = append(out, raw...)
			}
		default:
			out = append(out, p.literal...)
		}
	}
	return out
}

package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// requestModels are what the messages of a route must look like; see "Request validation for WebSocket APIs".
type requestModels struct {
	selector selector
	models   map[string]*schema // nil: the model checks nothing
}

// check says why a message is refused, nil if it is not. A message that no model is selected for is refused as well, as AWS documents.
func (m *requestModels) check(body []byte) error {
	key, ok := m.selector.appendKey(nil, body)
	if !ok {
		return errors.New("the message is not JSON")
	}
	model, known := m.models[string(key)]
	if !known {
		model, known = m.models["$default"]
	}
	switch {
	case !known:
		return fmt.Errorf("no model for %q, and no $default", key)
	case model == nil:
		return nil
	}
	value, err := decodeNumbers(body)
	if err != nil {
		return err
	}
	return model.check(value, "$")
}

// decodeNumbers decodes JSON and keeps numbers as they are written.
func decodeNumbers(body []byte) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	err = dec.Decode(&value)
	return value, err
}

func (s *Server) modelsOf(spec template.Route, models map[string]*schema) (*requestModels, error) {
	warn := ""
	switch {
	case len(spec.Models) == 0:
		return nil, nil //nolint:nilnil // nothing is checked
	case spec.Key == "$connect" || spec.Key == "$disconnect":
		warn = "it has no body that RequestModels could check"
	case spec.ModelSelection == "":
		warn = "RequestModels without a ModelSelectionExpression check nothing"
	}
	if warn != "" {
		s.cfg.Template.Warnf(spec.Line, "route %s: %s", spec.Key, warn)
		return nil, nil //nolint:nilnil // see above
	}
	out := &requestModels{models: map[string]*schema{}}
	var err error
	if out.selector, err = parseSelector(spec.ModelSelection); err != nil {
		return nil, fmt.Errorf("ModelSelectionExpression: %w", err)
	}
	for key, name := range spec.Models {
		model, known := models[name]
		if !known {
			return nil, fmt.Errorf("the model %q is not in this template", name)
		}
		out.models[key] = model
	}
	return out, nil
}

// compileModels gives the API's models by logical id and by name. One that is not understood checks nothing.
func (s *Server) compileModels() map[string]*schema {
	out := map[string]*schema{}
	texts := map[string]any{}
	for _, m := range s.api.Models {
		texts[m.Name], _ = decodeNumbers([]byte(m.Schema))
	}
	for _, m := range s.api.Models {
		compiled, err := compileSchema(texts[m.Name], texts)
		if err != nil {
			s.cfg.Template.Warnf(m.Line, "%s: %v; the model checks nothing", m.ID, err)
		}
		out[m.ID], out[m.Name] = compiled, compiled
	}
	return out
}

package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// requestModels are what the messages of a route must look like; see "Request validation for WebSocket APIs".
type requestModels struct {
	selector selector
	models   map[string]*jsonschema.Schema // nil: the model checks nothing
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
	return validate(model, body)
}

// validate decodes numbers as floating point, as JavaScript does: what does not fit there is refused, and costs nothing to compare.
func validate(model *jsonschema.Schema, body []byte) error {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	return model.Validate(value)
}

func (p *plan) modelsOf(spec template.Route, models map[string]*jsonschema.Schema) (*requestModels, error) {
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
		p.template.Warnf(spec.Line, "route %s: %s", spec.Key, warn)
		return nil, nil //nolint:nilnil // see above
	}
	out := &requestModels{models: map[string]*jsonschema.Schema{}}
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
func (p *plan) compileModels() map[string]*jsonschema.Schema {
	out := map[string]*jsonschema.Schema{}
	texts := modelTexts{}
	for _, m := range p.api.Models {
		texts[m.Name] = m.Schema
	}
	for _, m := range p.api.Models {
		compiled, err := texts.compile(m.Name)
		if err != nil {
			p.template.Warnf(m.Line, "%s: %v; the model checks nothing", m.ID, err)
		}
		out[m.ID], out[m.Name] = compiled, compiled
	}
	return out
}

// modelTexts are the schemas of an API by name. A model may refer to another by an address whose last element is its name.
type modelTexts map[string]string

// compile reads a schema as API Gateway does, which knows draft 4 alone. Formats are not checked, and 1.0 is an integer; whether
// AWS does so is UNCONFIRMED.
func (m modelTexts) compile(name string) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.UseLoader(m)
	for _, format := range []string{"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference", "json-pointer", "period", "relative-json-pointer", "semver", "time", "uri", "uri-reference", "uri-template", "uuid"} {
		c.RegisterFormat(&jsonschema.Format{Name: format, Validate: func(any) error { return nil }})
	}
	return c.Compile(modelURL + name)
}

const modelURL = "https://apigateway.amazonaws.com/restapis/local/models/"

func (m modelTexts) Load(url string) (any, error) {
	name := url[strings.LastIndexByte(url, '/')+1:]
	text, ok := m[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s leads to nothing", url)
	case url != modelURL+name: // one schema for each model, or those that refer to each other by addresses like this would be without end
		return map[string]any{"$ref": modelURL + name}, nil
	}
	var schema any
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		return nil, err
	}
	if object, ok := schema.(map[string]any); ok {
		delete(object, "$schema") // whatever it says
		delete(object, "id")      // its address is known
	}
	return schema, nil
}

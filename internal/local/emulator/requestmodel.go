package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// requestModels are what the messages of a route must look like.
type requestModels struct {
	selector selector
	models   map[string]*schema
}

// check says why a message is refused, nil if it is not. A message that no model is selected for is refused as well, as AWS documents.
func (m *requestModels) check(body []byte) error {
	key, ok := m.selector.appendKey(nil, body)
	if !ok {
		return errors.New("the message is not JSON")
	}
	model := m.models[string(key)]
	if model == nil {
		model = m.models["$default"]
	}
	if model == nil {
		return fmt.Errorf("no model for %q, and no $default", key)
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

// readModels compiles the API's models. One that is not understood checks nothing.
func (r *reader) readModels() error {
	r.schemas = map[string]*schema{}
	texts := map[string]any{}
	lines := map[string]int{}
	var names [][2]string // Ref and name, which lead to the same
	for res := range r.t.of("AWS::ApiGatewayV2::Model") {
		var p struct {
			API    string    `yaml:"ApiId"`
			Name   string    `yaml:"Name"`
			Schema yaml.Node `yaml:"Schema"`
		}
		if err := r.t.decode(res, &p); err != nil {
			return err
		}
		if !r.mine(p.API) {
			continue
		}
		text, err := schemaOf(&p.Schema)
		if err != nil {
			return res.errorf("Schema: %v", err)
		}
		texts[p.Name], lines[p.Name] = text, res.line
		names = append(names, [2]string{res.id, p.Name})
	}
	for _, n := range names {
		id, name := n[0], n[1]
		compiled, err := compileSchema(texts[name], texts)
		if err != nil {
			r.warnf(lines[name], "%s: %v; the model checks nothing", id, err)
			compiled = &schema{}
		}
		r.schemas[id], r.schemas[name] = compiled, compiled
	}
	return nil
}

// schemaOf reads a schema that is written as JSON text or as a part of the template.
func schemaOf(n *yaml.Node) (any, error) {
	if n.Kind == yaml.ScalarNode {
		return decodeNumbers([]byte(n.Value))
	}
	var data any
	if err := n.Decode(&data); err != nil {
		return nil, err
	}
	b, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	return decodeNumbers(b)
}

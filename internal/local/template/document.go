package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// parseDocument reads YAML, or JSON, which is not quite YAML: it may be indented with tabs, and has other escapes. An empty document is nil.
func parseDocument(data []byte) (*yaml.Node, error) {
	if trimmed := bytes.TrimLeft(data, " \t\r\n\ufeff"); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		skipped := bytes.Count(data[:len(data)-len(trimmed)], []byte("\n"))
		return (&jsonDocument{data: trimmed, dec: json.NewDecoder(bytes.NewReader(trimmed)), line: skipped + 1}).read()
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, nil //nolint:nilnil // said in the comment
	}
	return doc.Content[0], nil
}

// again is a key that a mapping has already.
type again struct {
	name         string
	line, before int
}

// lastCounts leaves the last of several values of one key, as CloudFormation does, and says which there were.
func lastCounts(n *yaml.Node, twice *[]again) {
	if n.Kind == yaml.MappingNode {
		at := map[string]int{} // of the keys
		kept := n.Content[:0]
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			before, known := at[key.Value]
			if known && key.Kind == yaml.ScalarNode && key.Value != "<<" {
				*twice = append(*twice, again{key.Value, key.Line, kept[before].Line})
				kept[before], kept[before+1] = key, value
				continue
			}
			at[key.Value] = len(kept)
			kept = append(kept, key, value)
		}
		n.Content = kept
	}
	for _, inner := range n.Content { // what an alias stands for is gone through where it is written
		lastCounts(inner, twice)
	}
}

// jsonDocument makes nodes of JSON, with their lines.
type jsonDocument struct {
	data   []byte
	dec    *json.Decoder
	offset int64 // up to which lines are counted
	line   int
}

func (d *jsonDocument) read() (*yaml.Node, error) {
	d.dec.UseNumber()
	n, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the end")
	}
	return n, nil
}

func (d *jsonDocument) token() (json.Token, error) {
	t, err := d.dec.Token()
	end := d.dec.InputOffset()
	d.line += bytes.Count(d.data[d.offset:end], []byte("\n"))
	d.offset = end
	return t, err
}

func (d *jsonDocument) value(depth int) (*yaml.Node, error) {
	if depth > maxResolveDepth {
		return nil, errors.New("the template is nested too deeply")
	}
	t, err := d.token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: d.line}
	switch v := t.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if v == '{' {
			n.Kind = yaml.MappingNode
		}
		for d.dec.More() { // of a mapping, key and value in turn
			item, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err = d.token()
		return n, err
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Value = v.String()
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if v {
			n.Value = "true"
		}
	case nil:
		n.Tag, n.Value = "!!null", "null"
	}
	return n, nil
}

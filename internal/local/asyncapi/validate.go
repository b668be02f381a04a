package asyncapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Schemas are the compiled schemas of the document's messages and of the data of events.
type Schemas struct {
	compiler *jsonschema.Compiler
	events   map[string]event
}

const resource = "asyncapi.json"

// Compile reads the document's schemas.
func Compile() (*Schemas, error) {
	text, err := Document("0")
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	d, err := read()
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // AsyncAPI's
	if err := c.AddResource(resource, document); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	return &Schemas{c, d.Events}, nil
}

// Frame checks a frame against a message of the document, such as "action_join" or "event_message_new".
func (s *Schemas) Frame(key string, frame []byte) error {
	return s.check("/components/messages/"+key+"/payload", frame)
}

// Data checks the data of an event that the system defines; that of others is their owner's affair. The error is a sentence
// for a person.
func (s *Schemas) Data(eventName string, data json.RawMessage) error {
	e, defined := s.events[eventName]
	if !defined || e.Data == nil {
		return nil
	}
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	err := s.check("/components/messages/event_"+name(eventName)+"/payload/properties/data", data)
	if invalid, is := errors.AsType[*jsonschema.ValidationError](err); is {
		return errors.New(sentence(invalid))
	}
	return err
}

func (s *Schemas) check(pointer string, text []byte) error {
	schema, err := s.compiler.Compile(resource + "#" + pointer)
	if err != nil {
		return fmt.Errorf("compile schema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	return schema.Validate(value)
}

// sentence says the first thing that is wrong: data.content is missing.
func sentence(e *jsonschema.ValidationError) string {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	where := strings.Join(append([]string{"data"}, e.InstanceLocation...), ".")
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return where + "." + strings.Join(k.Missing, ", "+where+".") + " is missing"
	case *kind.Type:
		return where + " must be " + strings.Join(k.Want, " or ") + ", not " + k.Got
	default:
		return where + ": " + e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	}
}

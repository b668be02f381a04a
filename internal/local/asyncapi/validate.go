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

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Schemas are the compiled schemas of the document's messages and of the data of events. They may be used by many at once.
type Schemas struct {
	frames map[string]*jsonschema.Schema // by the key of their message
	data   map[string]*jsonschema.Schema // by the name of their event
}

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
	var keys struct {
		Components struct {
			Messages map[string]json.RawMessage `json:"messages"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	const resource = "asyncapi.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // AsyncAPI's
	if err := c.AddResource(resource, document); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	payload := func(key string) string { return resource + "#/components/messages/" + key + "/payload" }
	s := &Schemas{map[string]*jsonschema.Schema{}, map[string]*jsonschema.Schema{}}
	for key := range keys.Components.Messages {
		if s.frames[key], err = c.Compile(payload(key)); err != nil {
			return nil, fmt.Errorf("compile %s: %w", key, err)
		}
	}
	for _, row := range events() {
		if row.Data == "" {
			continue
		}
		if s.data[row.Name], err = c.Compile(payload(eventKey(row.Name)) + "/properties/data"); err != nil {
			return nil, fmt.Errorf("compile data of %s: %w", row.Name, err)
		}
	}
	return s, nil
}

// Action checks an action's frame against the document.
func (s *Schemas) Action(frame []byte) error {
	var named struct {
		Action any `json:"action"`
	}
	if err := json.Unmarshal(frame, &named); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	action, _ := named.Action.(string)
	schema, has := s.frames["action_"+name(action)]
	if !has {
		schema = s.frames["action_other"]
	}
	return check(schema, frame)
}

// Sent checks a frame of the server's against the document.
func (s *Schemas) Sent(frame []byte) error {
	var f struct {
		Event string            `json:"event"`
		OK    *bool             `json:"ok"`
		Batch []json.RawMessage `json:"batch"`
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	switch {
	case f.Batch != nil:
		for _, each := range f.Batch {
			if err := s.Sent(each); err != nil {
				return err
			}
		}
		return check(s.frames["batch"], frame)
	case f.Event != "":
		return s.event(f.Event, frame)
	case f.OK != nil && *f.OK:
		return check(s.frames["reply_other"], frame)
	}
	return check(s.frames["refused"], frame)
}

func (s *Schemas) event(event string, frame []byte) error {
	key := "event_other"
	if row, defined := protocol.EventNamed(event); defined && !row.SocketIO {
		if key = eventKey(event); row.Sort == protocol.Answer {
			key = event
		}
	}
	return check(s.frames[key], frame)
}

// Reply checks a frame that answers an action against what the action's row says of it.
func (s *Schemas) Reply(row protocol.ActionRow, frame []byte) error {
	if row.Reply == "" {
		return check(s.frames[protocol.Pong], frame)
	}
	return check(s.frames["reply_"+row.Reply], frame)
}

// Data checks the data of an event that the system defines; that of others is their owner's affair. The error is a sentence
// for a person.
func (s *Schemas) Data(eventName string, data json.RawMessage) error {
	schema, defined := s.data[eventName]
	if !defined {
		return nil
	}
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	err := check(schema, data)
	if invalid, is := errors.AsType[*jsonschema.ValidationError](err); is {
		return errors.New(sentence(invalid))
	}
	return err
}

func check(schema *jsonschema.Schema, text []byte) error {
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

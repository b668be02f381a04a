package protocol

import (
	"encoding/json"
	"fmt"
)

// DecodeEvents reads the events of a server's frame, [JSON].EncodeEvent and EncodeBatch the other way round. A reply has none.
func (JSON) DecodeEvents(frame []byte) ([]Event, error) {
	var f struct {
		Event
		Batch []json.RawMessage `json:"batch"`
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	var list []Event
	if f.Event.Event != "" {
		list = append(list, f.Event)
	}
	for _, one := range f.Batch {
		events, err := JSON{}.DecodeEvents(one)
		if err != nil {
			return nil, err
		}
		list = append(list, events...)
	}
	return list, nil
}

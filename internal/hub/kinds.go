package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what rooms of one kind do.
type Kind struct {
	Owner    bool          // only the user that the room is named after may join, and every connection of that user does
	Presence bool          // keeps and announces who is in the room
	Keep     time.Duration // how long its log is kept
	Lazy     time.Duration // how long it may take until a large room is told who comes and goes; 0: not at all
	Coalesce time.Duration // how long an event of a busy room may wait for others, to go in one frame; 0: not at all
	Typing   int           // members up to which all are told who types, and in larger rooms those who talk; 0: nobody ever is
}

// DefaultTyping is the Typing of kinds that do not say. Each signal to all costs as much as a message to all.
const DefaultTyping = 25

// Kinds are the kinds of rooms there are, by the part of a room's name before the ':'.
type Kinds map[string]Kind

// DefaultKinds are users, channels and communities.
func DefaultKinds() Kinds {
	return Kinds{
		"user":      {Owner: true, Keep: 30 * 24 * time.Hour, Typing: DefaultTyping},
		"channel":   {Keep: 24 * time.Hour, Typing: DefaultTyping},
		"community": {Presence: true, Keep: time.Hour, Lazy: DefaultLazy, Typing: DefaultTyping},
	}
}

// ParseKinds reads the parameter RoomKinds:
//
//	{"user":{"owner":true,"keep":"720h"},"channel":{"keep":"24h","typing":50},"community":{"presence":true,"keep":"1h"}}
//
// "typing" may be left out, see [DefaultTyping]; so may "lazy", see [DefaultLazy], and "coalesce", which is "0s" then.
func ParseKinds(text []byte) (Kinds, error) {
	var raw map[string]struct {
		Owner    bool    `json:"owner"`
		Presence bool    `json:"presence"`
		Keep     string  `json:"keep"`
		Typing   *int    `json:"typing"`
		Lazy     *string `json:"lazy"`
		Coalesce *string `json:"coalesce"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf(`room kinds must be an object such as {"channel":{"keep":"24h"}}: %w`, err)
	}
	kinds := make(Kinds, len(raw))
	for name, k := range raw {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return nil, fmt.Errorf("room kinds: %q: a kind is lower-case letters, digits and '-'", name)
		}
		keep, err := time.ParseDuration(k.Keep)
		if err != nil || keep < time.Minute {
			return nil, fmt.Errorf(`room kinds: %q: "keep" must be a duration of at least "1m", such as "24h", not %q`, name, k.Keep)
		}
		kind := Kind{Owner: k.Owner, Presence: k.Presence, Keep: keep, Typing: DefaultTyping}
		if k.Typing != nil {
			kind.Typing = *k.Typing
		}
		if kind.Typing < 0 {
			return nil, fmt.Errorf(`room kinds: %q: "typing" must be a number of members, 0 for never, not %d`, name, kind.Typing)
		}
		if kind.Presence && keep >= KeepToWait {
			kind.Lazy = DefaultLazy
		}
		if err := errors.Join(readWait("lazy", k.Lazy, MaxLazy, keep, &kind.Lazy), readWait("coalesce", k.Coalesce, MaxCoalesce, keep, &kind.Coalesce)); err != nil {
			return nil, fmt.Errorf("room kinds: %q: %w", name, err)
		}
		kinds[name] = kind
	}
	if !kinds["user"].Owner {
		return nil, fmt.Errorf(`room kinds: "user" must be there with "owner":true: notifications go to it`)
	}
	return kinds, nil
}

// readWait reads how long something may wait, if it is there.
func readWait(key string, text *string, most, keep time.Duration, to *time.Duration) error {
	if text == nil {
		return nil
	}
	wait, err := time.ParseDuration(*text)
	switch {
	case err != nil, wait < 0, wait > most:
		return fmt.Errorf("%q must be a duration of at most %q, \"0s\" for never, not %q", key, most, *text)
	case wait > 0 && keep < KeepToWait:
		return fmt.Errorf("%q needs a \"keep\" of at least %q: what waits is read from the log", key, KeepToWait)
	}
	*to = wait
	return nil
}

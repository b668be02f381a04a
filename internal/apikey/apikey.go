// Package apikey has the keys of POST /emit: programs outside of AWS that have no credentials of it. A key is known by its hash alone,
// may do what its scope says, and ends; several are good at once, so that one can be exchanged for another while both work.
//
// The parameter EmitKeys lists them as JSON:
//
//	[{"id":"shop","sha256":"9f86d0…","commands":["publish"],"rooms":["channel:*"],"users":["*"],"events":["order:*"],"until":"2027-06-30T00:00:00Z"}]
//
// A list of names has each name in full, or its beginning and a '*'. What is not listed is not allowed, but for commands, which are
// publish alone, and events, which are all.
package apikey

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// Key is one key.
type Key struct {
	ID     string    `json:"id"`     // names it in logs; letters, digits, '-' and '_'
	SHA256 string    `json:"sha256"` // of the key's text, in hexadecimal
	Until  time.Time `json:"until,omitzero"`

	Commands []string `json:"commands,omitempty"` // empty: publish
	Rooms    []string `json:"rooms,omitempty"`    // where it may go, and what it may ask about
	Users    []string `json:"users,omitempty"`    // the same, of users and their rooms
	Events   []string `json:"events,omitempty"`   // what it may publish; empty: all
	From     []string `json:"from,omitempty"`     // in which users' names it may publish
}

// Keys are all there are.
type Keys []Key

const (
	prefix  = "bellhop_"
	maxKeys = 20 // so that they fit into the environment of a function
)

// New makes a key of an id, and what EmitKeys is to have of it. The text is nowhere else.
func New(id string) (text string, key Key) {
	text = prefix + id + "_" + rand.Text()
	return text, Key{ID: id, SHA256: hash(text)}
}

// Development is the key of `bellhop dev`, which everybody knows: it may do everything, so nothing that can be reached from another
// machine may have it.
const Development = prefix + "development_everybody-knows-this-key"

// DevelopmentKeys are what EmitKeys is on a laptop, unless it is given.
func DevelopmentKeys() Keys {
	all := []string{"*"}
	return Keys{{ID: "development", SHA256: hash(Development), Commands: all, Rooms: all, Users: all, From: all}}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Parse reads the parameter EmitKeys.
func Parse(text []byte) (Keys, error) {
	var keys Keys
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&keys); err != nil {
		return nil, fmt.Errorf(`must be a list such as [{"id":"shop","sha256":"…","rooms":["channel:*"]}], as bellhop key prints it: %w`, err)
	}
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("there may be %d keys, these are %d", maxKeys, len(keys))
	}
	for i, k := range keys {
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("key %d (%q): %w", i+1, k.ID, err)
		}
	}
	return keys, nil
}

func (k Key) check() error {
	if !CheckID(k.ID) {
		return errors.New("its id must have 1 to 32 letters, digits, '-' or '_'")
	}
	if sum, err := hex.DecodeString(k.SHA256); err != nil || len(sum) != sha256.Size {
		return errors.New("sha256 must be 64 hexadecimal digits, as bellhop key prints them")
	}
	for _, name := range k.Commands {
		if name != "*" && !slices.Contains(hub.CommandNames(), name) {
			return fmt.Errorf("there is no command %q; there are %s", name, strings.Join(hub.CommandNames(), ", "))
		}
	}
	for _, name := range slices.Concat(k.Rooms, k.Users, k.Events, k.From) {
		if name == "" || strings.Contains(strings.TrimSuffix(name, "*"), "*") {
			return fmt.Errorf("%q: a '*' may only stand at the end", name)
		}
	}
	return nil
}

// CheckID reports whether an id may name a key.
func CheckID(id string) bool {
	return id != "" && len(id) <= 32 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// Find gives the key of a text, if there is one and it has not ended. All are compared, whichever it is.
func (keys Keys) Find(text string, now time.Time) (found Key, ok bool) {
	sum := []byte(hash(text))
	for _, k := range keys {
		if subtle.ConstantTimeCompare(sum, []byte(strings.ToLower(k.SHA256))) == 1 && (k.Until.IsZero() || now.Before(k.Until)) {
			found, ok = k, true
		}
	}
	return found, ok
}

// Allow refuses what a key may not do.
func (k Key) Allow(c hub.Command) error {
	w := hub.WhatOf(c)
	commands := k.Commands
	if len(commands) == 0 {
		commands = []string{"publish"}
	}
	events := k.Events
	if len(events) == 0 {
		events = []string{"*"}
	}
	refused := func(what, name string) error {
		return protocol.Errorf(protocol.CodeForbidden, "the key %s may not do this: %s %.60q is not in its scope", k.ID, what, name)
	}
	if !fits(commands, w.Command) {
		return refused("command", w.Command)
	}
	for _, room := range w.Rooms {
		user, own := strings.CutPrefix(room, protocol.UserRoom(""))
		if own && fits(k.Users, user) {
			continue
		}
		if !fits(k.Rooms, room) {
			return refused("room", room)
		}
	}
	for _, user := range w.Users {
		if !fits(k.Users, user) {
			return refused("user", user)
		}
	}
	// A connection may be anybody's.
	if len(w.Connections) > 0 && !slices.Contains(k.Users, "*") {
		return refused("connection", w.Connections[0])
	}
	if w.Event != "" && !fits(events, w.Event) {
		return refused("event", w.Event)
	}
	if w.From != "" && !fits(k.From, w.From) {
		return refused("from", w.From)
	}
	return nil
}

func fits(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		start, wild := strings.CutSuffix(pattern, "*")
		return pattern == name || wild && strings.HasPrefix(name, start)
	})
}

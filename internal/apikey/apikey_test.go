package apikey_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-rt/bellhop/internal/apikey"
	"github.com/bellhop-rt/bellhop/internal/hub"
)

func TestRotation(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	oldText, older := apikey.New("shop")
	newText, newer := apikey.New("shop")
	older.Until = now.Add(time.Hour)
	text, err := json.Marshal(apikey.Keys{older, newer})
	if err != nil || strings.Contains(string(text), oldText) || strings.Contains(string(text), strings.TrimPrefix(oldText, "bellhop_shop_")) {
		t.Fatalf("the key itself is in what is kept: %s, %v", text, err)
	}
	keys, err := apikey.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		at   time.Time
		want bool
	}{
		{oldText, now, true},
		{newText, now, true},
		{oldText, now.Add(time.Hour), false},
		{newText, now.Add(time.Hour), true},
		{"", now, false},
		{newText + "x", now, false},
		{newer.SHA256, now, false},
		{strings.ToLower(newText), now, false},
	} {
		if got, ok := keys.Find(tt.text, tt.at); ok != tt.want || ok && got.ID != "shop" {
			t.Errorf("%.20s at %v: got %v", tt.text, tt.at, ok)
		}
	}
}

func TestScope(t *testing.T) {
	shop := apikey.Key{ID: "shop", Rooms: []string{"channel:orders-*", "community:7"}, Users: []string{"ana"}, Events: []string{"order:*"}, From: []string{"bot"}}
	ops := apikey.Key{ID: "ops", Commands: []string{"*"}, Rooms: []string{"*"}, Users: []string{"*"}}
	for _, tt := range []struct {
		key     apikey.Key
		command string
		want    bool
	}{
		{shop, `{"command":"publish","rooms":["channel:orders-1","community:7"],"users":["ana"],"event":"order:paid"}`, true},
		{shop, `{"command":"publish","rooms":["user:ana"],"event":"order:paid","from":{"userId":"bot"}}`, true},
		{shop, `{"command":"publish","rooms":["channel:orders-1","channel:1"],"event":"order:paid"}`, false},
		{shop, `{"command":"publish","rooms":["community:77"],"event":"order:paid"}`, false},
		{shop, `{"command":"publish","rooms":["user:bob"],"event":"order:paid"}`, false},
		{shop, `{"command":"publish","users":["ana","bob"],"event":"order:paid"}`, false},
		{shop, `{"command":"publish","users":["ana"],"event":"message:new"}`, false},
		{shop, `{"command":"publish","users":["ana"],"event":"order:paid","from":{"userId":"ana"}}`, false},
		{shop, `{"command":"publish","connections":["c="],"event":"order:paid"}`, false},
		{shop, `{"command":"history","room":"channel:orders-1"}`, false},
		{shop, `{"command":"stats"}`, false},
		{shop, `{"command":"publish","all":true,"id":"1","event":"order:paid"}`, false},
		{apikey.Key{ID: "k", Users: []string{"a*"}}, `{"command":"publish","all":true,"id":"1","event":"order:paid"}`, false},
		{apikey.Key{ID: "k", Rooms: []string{"*"}}, `{"command":"publish","all":true,"id":"1","event":"order:paid"}`, false},
		{ops, `{"command":"publish","all":true,"id":"1","event":"order:paid"}`, true},
		{ops, `{"command":"publish","connections":["c="],"users":["x"],"rooms":["channel:1"],"event":"anything"}`, true},
		{ops, `{"command":"publish","users":["x"],"event":"n","from":{"userId":"ana"}}`, false},
		{ops, `{"command":"disconnect","user":"ana"}`, true},
		{ops, `{"command":"stats"}`, true},
		{apikey.Key{ID: "k", Commands: []string{"disconnect"}, Users: []string{"a*"}}, `{"command":"disconnect","user":"bob"}`, false},
		{apikey.Key{ID: "k", Commands: []string{"disconnect"}, Users: []string{"a*"}}, `{"command":"disconnect","connection":"c="}`, false},
		{apikey.Key{ID: "k", Commands: []string{"disconnect"}, Users: []string{"a*"}}, `{"command":"disconnect","rooms":["channel:1"]}`, false},
		{apikey.Key{ID: "k", Commands: []string{"join"}, Users: []string{"*"}}, `{"command":"join","user":"ana","room":"channel:1"}`, false},
		{apikey.Key{ID: "k", Commands: []string{"close"}, Rooms: []string{"channel:*"}}, `{"command":"close","room":"channel:1"}`, true},
		{apikey.Key{ID: "k", Commands: []string{"members", "presence"}, Rooms: []string{"channel:*"}}, `{"command":"members","room":"community:1"}`, false},
		{apikey.Key{ID: "k", Commands: []string{"ask"}, Rooms: []string{"*"}, Events: []string{"sure?"}}, `{"command":"ask","rooms":["channel:1"],"event":"delete?"}`, false},
	} {
		c, err := hub.DecodeCommand([]byte(tt.command))
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.key.Allow(c); (err == nil) != tt.want {
			t.Errorf("%s, %s: got %v", tt.key.ID, tt.command, err)
		}
	}
}

// TestEveryCommandHasAScope: a command that is added must say what it is about.
func TestEveryCommandHasAScope(t *testing.T) {
	for _, name := range hub.CommandNames() {
		c, err := hub.DecodeCommand([]byte(`{"command":"` + name + `","room":"channel:1","rooms":["channel:1"]}`))
		if err != nil {
			t.Fatal(err)
		}
		if w := hub.WhatOf(c); name != "stats" && len(w.Rooms) == 0 || w.Command != name {
			t.Errorf("%s: got %+v", name, w)
		}
	}
}

func TestParse(t *testing.T) {
	const sum = `"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	for text, want := range map[string]string{
		`{}`: "must be a list", `[{"id":"a b",` + sum + `}]`: "its id", `[{"id":"a","sha256":"12"}]`: "64 hexadecimal digits",
		`[{"id":"a",` + sum + `,"commands":["shout"]}]`: `no command "shout"`, `[{"id":"a",` + sum + `,"rooms":["c*:1"]}]`: "may only stand at the end",
		`[{"id":"a",` + sum + `,"room":["channel:1"]}]`: "unknown field", `[{"id":"a",` + sum + `,"until":"soon"}]`: "must be a list",
		`[{"id":"a",` + sum + `,"rooms":["*"],"commands":["publish","*"]}]`: "",
	} {
		if _, err := apikey.Parse([]byte(text)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

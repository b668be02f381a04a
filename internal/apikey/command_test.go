package apikey

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestCommand: what is printed as an entry knows what is printed as the key.
func TestCommand(t *testing.T) {
	now := time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC)
	var out strings.Builder
	if err := (Command{ID: "shop", Rooms: []string{"channel:*"}, Expires: time.Hour}).print(&out, now); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`^key, for the program: (bellhop_shop_[A-Z2-7]{26})\nentry, for the parameter EmitKeys: (\{.*\})\n$`).FindStringSubmatch(out.String())
	if got == nil {
		t.Fatalf("printed %s", out.String())
	}
	keys, err := Parse([]byte("[" + got[2] + "]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := keys.Find(got[1], now.Add(time.Hour-time.Second)); !ok {
		t.Error("the entry does not know the key")
	}
	if _, ok := keys.Find(got[1], now.Add(time.Hour)); ok {
		t.Error("the key does not end")
	}
	for _, c := range []Command{{ID: "a b"}, {ID: "a", Rooms: []string{"*:1"}}, {ID: "a", Commands: []string{"shout"}}} {
		if err := c.print(&out, now); err == nil {
			t.Errorf("%+v is no key", c)
		}
	}
}

package apikey

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Command is `bellhop key`: it makes a key and prints it.
type Command struct {
	ID       string        `name:"id" required:"" help:"Name of the key, such as the program's: letters, digits, '-', '_'."`
	Commands []string      `name:"command" placeholder:"COMMAND" sep:"none" help:"What it may do; may be repeated; '*' for all. Default: publish."`
	Rooms    []string      `name:"room" placeholder:"ROOMS" sep:"none" help:"Where, such as 'channel:*'; may be repeated."`
	Users    []string      `name:"user" placeholder:"USERS" sep:"none" help:"To which users, such as '*'; may be repeated."`
	Events   []string      `name:"event" placeholder:"EVENTS" sep:"none" help:"Which events, such as 'order:*'; may be repeated. Default: all."`
	From     []string      `name:"from" placeholder:"USERS" sep:"none" help:"In which users' names; may be repeated. Default: nobody's."`
	Expires  time.Duration `placeholder:"TIME" help:"After how long it ends, such as 2160h. Default: never."`
}

// Help is what --help says beneath the usage.
func (Command) Help() string {
	return `It prints the key, which is kept nowhere, and its entry for the parameter EmitKeys, a JSON list of such:

  bellhop key --id shop --room 'channel:*' --event 'order:*' --expires 2160h

EMIT.md says how to exchange one for another.`
}

// Run prints the key.
func (c Command) Run() error { return c.print(os.Stdout, time.Now()) }

func (c Command) print(w io.Writer, now time.Time) error {
	text, key := New(c.ID)
	key.Commands, key.Rooms, key.Users, key.Events, key.From = c.Commands, c.Rooms, c.Users, c.Events, c.From
	if c.Expires > 0 {
		key.Until = now.Add(c.Expires).UTC().Truncate(time.Second)
	}
	if err := key.check(); err != nil {
		return fmt.Errorf("the key %q: %w", c.ID, err)
	}
	entry, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("write the entry: %w", err)
	}
	if _, err := fmt.Fprintf(w, "key, for the program: %s\nentry, for the parameter EmitKeys: %s\n", text, entry); err != nil {
		return fmt.Errorf("print the key: %w", err)
	}
	return nil
}

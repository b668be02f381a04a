package hub

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a grant allows in a room.
const (
	GrantJoin     = "join"     // join, read history, see and be seen
	GrantPublish  = "publish"  // publish and signal
	GrantSignal   = "signal"   // signal, typing above all, without publishing
	GrantModerate = "moderate" // delete other people's messages
)

// Grants says what a token allows: patterns of rooms to what is allowed there. A pattern is a room name, or ends in '*'
// and then stands for every room that begins with what is before it. Patterns add up.
//
//	{"channel:*":["join","publish"],"channel:42":["moderate"],"community:*":["join"]}
type Grants map[string][]string

// Allow reports whether some pattern that fits the room lists what.
func (g Grants) Allow(room, what string) bool {
	for pattern, may := range g {
		if fits(pattern, room) && slices.Contains(may, what) {
			return true
		}
	}
	return false
}

func fits(pattern, room string) bool {
	if prefix, wild := strings.CutSuffix(pattern, "*"); wild {
		return strings.HasPrefix(room, prefix)
	}
	return pattern == room
}

// ParseGrants reads the JSON of a grants claim or of the parameter DefaultGrants.
func ParseGrants(text []byte) (Grants, error) {
	var g Grants
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, fmt.Errorf(`grants must be an object such as {"channel:*":["join","publish"]}: %w`, err)
	}
	for pattern, may := range g {
		if strings.Contains(strings.TrimSuffix(pattern, "*"), "*") {
			return nil, fmt.Errorf("grants: %q: a '*' may only stand at the end", pattern)
		}
		for _, what := range may {
			if !slices.Contains([]string{GrantJoin, GrantPublish, GrantSignal, GrantModerate}, what) {
				return nil, fmt.Errorf("grants: %q allows %q, which is none of %s, %s, %s, %s", pattern, what, GrantJoin, GrantPublish, GrantSignal, GrantModerate)
			}
		}
	}
	return g, nil
}

// Identity is who a verified token names. User passes [protocol.CheckUser].
type Identity struct {
	User    string
	Name    string
	Grants  Grants
	Expires time.Time
}

package gateway

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// verify looks at the signature of a handshake; see "Control access to WebSocket APIs with IAM authorization". A status other than 0 is the
// answer to one that is not as it should be.
func (h *handshake) verify(now time.Time, account string) (status int) {
	s := h.conn.srv
	who, err := s.cfg.Users.Verify(h.r, nil, now)
	if err != nil {
		s.observe(Event{Kind: KindAuthorize, Time: now, Connection: h.conn.id, Status: http.StatusForbidden, Reason: err.Error()})
		return http.StatusForbidden
	}
	h.principal = who.Name
	// UNCONFIRMED: that functions find the fields of a REST API's $context.identity.* in their events here as well.
	fields := who.Fields(account)
	identity := h.conn.identity[:len(h.conn.identity)-1]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		identity = append(identity, ',')
		identity = appendString(identity, name)
		identity = append(identity, ':')
		identity = appendString(identity, fields[name])
	}
	h.conn.identity = append(identity, '}')
	return 0
}

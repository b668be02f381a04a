package protocol_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// nested gives JSON that is nested so deep.
func nested(depth int) string {
	return strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("[", depth%2) + strings.Repeat("]", depth%2) + strings.Repeat(`]}`, depth/2)
}

func TestDepth(t *testing.T) {
	for name, frame := range map[string]string{
		"publish":                  `{"action":"publish","id":"x","room":"channel:1","event":"e","data":%s}`,
		"signal":                   `{"action":"signal","id":"x","room":"channel:1","event":"e","data":%s}`,
		"presence":                 `{"action":"presence","id":"x","status":"away","data":%s}`,
		"presence:update":          `{"action":"presence:update","id":"x","status":"away","data":%s}`,
		"the application's own":    `{"action":"poll:vote","id":"x","data":%s}`,
		"message:send, in content": `{"action":"message:send","id":"x","channelId":"1","content":%s}`,
	} {
		t.Run(name, func(t *testing.T) {
			most := protocol.MaxDepth
			if name == "message:send, in content" {
				most-- // it is a field of the data
			}
			if _, err := (protocol.JSON{}).Decode(fmt.Appendf(nil, frame, nested(most))); err != nil {
				t.Errorf("%d deep: %v", most, err)
			}
			for _, depth := range []int{most + 1, 500, 5000} {
				a, err := protocol.JSON{}.Decode(fmt.Appendf(nil, frame, nested(depth)))
				if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Code != protocol.CodeBadRequest || a.ID != "x" {
					t.Errorf("%d deep: got %v for %q", depth, err, a.ID)
				}
			}
		})
	}
	t.Run("brackets in texts are none", func(t *testing.T) {
		for _, data := range []string{`"` + strings.Repeat("[", 100) + `"`, `["\"` + strings.Repeat("{", 100) + `", "\\"]`, `[[]` + strings.Repeat(",[]", 100) + `]`, ""} {
			if err := protocol.CheckDepth([]byte(data)); err != nil {
				t.Errorf("%.40s: %v", data, err)
			}
		}
	})
}

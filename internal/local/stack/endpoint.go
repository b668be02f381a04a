package stack

import (
	"fmt"
	"net/url"
	"strings"
)

// Endpoint is where a bellhop dev listens: http://127.0.0.1:4000. Empty, where a command has a default of its own.
type Endpoint string

// Validate refuses what nothing can be asked at, above all an address without its scheme.
func (e Endpoint) Validate() error {
	if e == "" {
		return nil
	}
	u, err := url.Parse(string(e))
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	if other, err := url.Parse("http://" + string(e)); err == nil && other.Host != "" && !strings.Contains(string(e), ":/") {
		return fmt.Errorf("give the scheme too: http://%s", string(e))
	}
	return fmt.Errorf("must be a URL such as http://127.0.0.1:4000, not %q", string(e))
}

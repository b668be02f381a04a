package hub

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
)

// each calls do(0) to do(n-1), at most parallel at the same time, waits for all, and gives every error.
func each(n, parallel int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex
		errs []error
	)
	for range min(n, parallel) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// object is the JSON object of one field.
func object(key string, value any) json.RawMessage { return mustJSON(map[string]any{key: value}) }

// mustJSON is for values of the hub's own, which always have a JSON form.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

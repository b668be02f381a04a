//go:build unix

package gateway

import (
	"errors"
	"syscall"
)

const canTryWrite = true

// tryWriter writes to a socket without waiting for it. net.Conn cannot: its Write waits until everything is taken.
type tryWriter struct {
	attempt func(fd uintptr) bool
	buf     []byte
	n       int
	err     error
}

func (t *tryWriter) init() {
	t.attempt = func(fd uintptr) bool {
		for {
			t.n, t.err = syscall.Write(int(fd), t.buf)
			if !errors.Is(t.err, syscall.EINTR) {
				return true // even if the socket is full: do not wait
			}
		}
	}
}

// write returns how much the socket took, which may be nothing.
func (t *tryWriter) write(raw syscall.RawConn, buf []byte) (int, error) {
	t.buf = buf
	err := raw.Write(t.attempt)
	t.buf = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(t.err, syscall.EAGAIN):
		return 0, nil
	case t.err != nil:
		return 0, t.err
	}
	return t.n, nil
}

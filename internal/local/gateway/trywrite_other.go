//go:build !unix

package gateway

import "syscall"

const canTryWrite = false

type tryWriter struct{}

func (t *tryWriter) init() {}

func (t *tryWriter) write(syscall.RawConn, []byte) (int, error) { return 0, nil }

//go:build unix && !linux

package runtimeapi

import "syscall"

// attributes gives a process a group of its own, so that what it starts can be killed with it. When this program is killed, a process
// that waits for a call ends by itself because its connection breaks; one that has a call ends after it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func peakMemory(int) int64 { return 0 }

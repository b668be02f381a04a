//go:build !unix

package runtimeapi

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

func peakMemory(int) int64 { return 0 }

// terminateGroup kills at once: there is no SIGTERM, and a process that handles none could not tell the difference.
func terminateGroup(pid int) { killGroup(pid) }

// killGroup ends the process, but not what it started.
func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // it may be gone
		_ = p.Release()
	}
}

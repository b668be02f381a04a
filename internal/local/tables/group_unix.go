//go:build unix

package tables

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps signals for this program's group from a child.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

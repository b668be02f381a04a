package tables

import "os/exec"

func ownGroup(*exec.Cmd) {}

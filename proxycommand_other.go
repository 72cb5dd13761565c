//go:build !unix

package shoal

import "os/exec"

func ownSession(*exec.Cmd) {}

func killSession(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

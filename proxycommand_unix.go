//go:build unix

package shoal

import (
	"os/exec"
	"syscall"
)

// ownSession keeps the terminal's signals and prompts away from a program: ^C is
// for Shoal to act on, and many programs cannot ask one person.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// killSession ends the program and what it started.
func killSession(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

//go:build unix

package inventory

import (
	"os/exec"
	"syscall"
)

// killGroup has the end of the command's context kill all that it started.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

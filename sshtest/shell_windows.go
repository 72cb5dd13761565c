package sshtest

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"golang.org/x/crypto/ssh"
)

func newGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) { cmd.Process.Kill() }

// signalGroup knows only how to end a process.
func signalGroup(cmd *exec.Cmd, sig ssh.Signal) {
	switch sig {
	case ssh.SIGKILL, ssh.SIGTERM, ssh.SIGINT, ssh.SIGHUP:
		cmd.Process.Kill()
	}
}

func killedBy(*os.ProcessState) (sig ssh.Signal, core, ok bool) { return "", false, false }

func (p *process) runPTY(context.Context) ExitStatus {
	return p.fail(errors.New("no PTY for real shells on this system"))
}

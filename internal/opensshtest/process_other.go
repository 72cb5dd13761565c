//go:build !unix

package opensshtest

import (
	"errors"
	"os/exec"
	"syscall"
)

// No sshd is started here: [LookPath] finds none. These keep the package and
// the tests that use it compiling.

func prepare() error { return errors.ErrUnsupported }

func procAttr() *syscall.SysProcAttr { return nil }

func runOnThread(_ *exec.Cmd, started chan<- error, _ chan<- struct{}) {
	started <- errors.ErrUnsupported
}

func stop(int) error { return errors.ErrUnsupported }

func kill(int) error { return errors.ErrUnsupported }

func killChildren(int) {}

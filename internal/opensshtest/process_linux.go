package opensshtest

import "syscall"

// procAttr keeps terminal signals away from the server, whose end is the
// test's business, and lets the kernel end it when the test dies without
// cleaning up, as after a panic.
func procAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

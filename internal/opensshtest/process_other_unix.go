//go:build unix && !linux

package opensshtest

import "syscall"

// procAttr keeps terminal signals away from the server, whose end is the
// test's business.
func procAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

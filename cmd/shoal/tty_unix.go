//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal opens the controlling terminal, whatever the standard streams
// are.
func openTerminal() (in, out *os.File, err error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return f, f, err
}

func closeTerminal(in, _ *os.File) error { return in.Close() }

// hideInput has a terminal show nothing of what is typed. It does so before a
// question is written, for people type fast. What was set before is restored by
// the state that term.GetState returns.
func hideInput(fd int) error {
	t, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	t.Lflag &^= unix.ECHO
	t.Lflag |= unix.ICANON | unix.ISIG // lines, and ^C
	t.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, setTermios, t)
}

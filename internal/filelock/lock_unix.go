//go:build unix && !aix && !solaris

package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func try(f *os.File, alone bool) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		lockErr = unix.Flock(int(fd), how|unix.LOCK_NB)
	})
	if errors.Is(lockErr, unix.EWOULDBLOCK) || errors.Is(lockErr, unix.EINTR) {
		return false, err
	}
	if errors.Is(lockErr, unix.ENOLCK) {
		return false, errors.ErrUnsupported
	}
	return err == nil && lockErr == nil, errors.Join(err, lockErr)
}

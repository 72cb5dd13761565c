//go:build unix && !aix && !solaris

package knownhosts

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks f unless it is locked already; closing f unlocks it.
func tryLock(f *os.File) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
	})
	if errors.Is(lockErr, unix.EWOULDBLOCK) || errors.Is(lockErr, unix.EINTR) {
		return false, err
	}
	if errors.Is(lockErr, unix.ENOLCK) {
		return false, errors.ErrUnsupported
	}
	return err == nil && lockErr == nil, errors.Join(err, lockErr)
}

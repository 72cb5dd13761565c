package knownhosts

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks f unless it is locked already; closing f unlocks it. Locks are
// mandatory on Windows, so it locks a byte far behind the end, which keeps
// nobody from reading.
func tryLock(f *os.File) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
		lockErr = windows.LockFileEx(windows.Handle(fd), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	})
	if errors.Is(lockErr, windows.ERROR_LOCK_VIOLATION) {
		return false, err
	}
	return err == nil && lockErr == nil, errors.Join(err, lockErr)
}

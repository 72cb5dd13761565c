package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func try(f *os.File, alone bool) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if alone {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		lockErr = windows.LockFileEx(windows.Handle(fd), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	})
	if errors.Is(lockErr, windows.ERROR_LOCK_VIOLATION) {
		return false, err
	}
	return err == nil && lockErr == nil, errors.Join(err, lockErr)
}

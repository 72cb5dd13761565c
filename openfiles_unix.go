//go:build unix

package shoal

import "syscall"

// openFiles returns how many files the process may have open at once.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return maxOpenFiles
	}
	return int(min(uint64(limit.Cur), maxOpenFiles))
}

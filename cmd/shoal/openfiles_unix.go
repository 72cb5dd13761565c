//go:build unix

package main

import "golang.org/x/sys/unix"

// maxIdle is how many connections a session keeps open: half as many as the limit
// of open files allows, since those at work want room too.
func maxIdle() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return manyHosts
	}
	return int(min(max(uint64(limit.Cur)/2, 1), manyHosts))
}

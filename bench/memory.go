package main

import (
	"os"
	"strconv"
	"strings"
)

// peakMemory is the most memory this process has had resident, in bytes; 0
// where the system has no /proc. Not getrusage(2): what a process began as,
// before exec, counts there.
func peakMemory() int64 { return status("VmHWM:") }

// residentMemory is the memory this process has resident, in bytes.
func residentMemory() int64 { return status("VmRSS:") }

// status reads a size from proc_pid_status(5).
func status(field string) int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), field)
	size, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

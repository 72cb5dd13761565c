package main

import (
	"os"
	"runtime/debug"
)

// tuneGC trades memory for CPU, which connections and their packets use up
// much of, unless the user's environment sets the garbage collector.
func tuneGC() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(baseMemory)
	}
}

const (
	baseMemory = 192 << 20
	hostMemory = 128 << 10 // about three times what a connection holds
)

// tuneGCFor lets the memory grow with the hosts at work: a limit below what
// lives would make the collector run all the time.
func tuneGCFor(hosts int) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(baseMemory + int64(hosts)*hostMemory)
	}
}

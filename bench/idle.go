package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// idleWorkload holds connections on which nothing happens.
func idleWorkload(n int) *workload {
	return &workload{
		name:    "idle",
		about:   fmt.Sprintf("%d connections, logged in, with nothing to do", n),
		fleet:   fleetSpec{Hosts: n},
		columns: []string{columnGoroutines, columnHeap, columnResident},
		contenders: []contender{
			{name: nameBare, run: func(t *target) (sample, error) {
				before := occupied()
				clients, err := bareConnect(t.config(), t.addrs, 100)
				defer closeAll(clients)
				return occupied().since(before, len(clients)), err
			}},
			{name: nameShoal, run: func(t *target) (sample, error) {
				before := occupied()
				client := t.client()
				defer client.Close()
				conns, err := t.conns(client)
				return occupied().since(before, len(conns)), err
			}},
		},
	}
}

// occupancy is what a process holds.
type occupancy struct {
	goroutines int
	heap       uint64 // and stacks
	resident   int64
}

func occupied() occupancy {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return occupancy{runtime.NumGoroutine(), m.HeapInuse + m.StackInuse, residentMemory()}
}

// since is what n connections made of the difference.
func (o occupancy) since(before occupancy, n int) sample {
	each := func(v float64) float64 { return v / float64(max(n, 1)) }
	return sample{
		columnGoroutines: each(float64(o.goroutines - before.goroutines)),
		columnHeap:       each(float64(o.heap-before.heap) / 1024),
		columnResident:   each(float64(o.resident-before.resident) / 1024),
	}
}

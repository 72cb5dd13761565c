package rollout

import (
	"sync"

	"github.com/shoal-ssh/shoal"
)

// gate gives hosts to a run as the rollout lets them begin. Its hosts are
// ranged over in a goroutine of the run.
type gate struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []shoal.Host
	begun   int // that were given
	free    int // that may begin before others end
	shut    bool
}

// newGate makes a gate with at most so many hosts at work.
func newGate(limit int) *gate {
	g := &gate{free: limit}
	g.changed.L = &g.mu
	return g
}

// hosts yields the hosts until the gate is shut.
func (g *gate) hosts(yield func(shoal.Host) bool) {
	for {
		h, ok := g.next()
		if !ok || !yield(h) {
			return
		}
	}
}

func (g *gate) next() (h shoal.Host, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.shut && (len(g.waiting) == 0 || g.free == 0) {
		g.changed.Wait()
	}
	if g.shut {
		return h, false
	}
	h, g.waiting = g.waiting[0], g.waiting[1:]
	g.free--
	g.begun++
	return h, true
}

// add lets more hosts begin.
func (g *gate) add(hosts []shoal.Host) { g.change(func() { g.waiting = hosts }) }

// ended says that a host is at work no more.
func (g *gate) ended() { g.change(func() { g.free++ }) }

// stop lets no host begin any more.
func (g *gate) stop() { g.change(func() { g.shut = true }) }

func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	g.changed.Broadcast()
}

// rest returns the hosts that were let begin and have not. The gate is shut.
func (g *gate) rest() []shoal.Host {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

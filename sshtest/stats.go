package sshtest

import "sync/atomic"

// Stats counts what a fleet has served.
type Stats struct {
	Conns, PeakConns, TotalConns                int // connections, logged in or not
	Handshakes, PeakHandshakes, TotalHandshakes int // key exchanges and logins under way
	Sessions, PeakSessions, TotalSessions       int // session channels
}

// Stats returns the counts of this moment.
func (f *Fleet) Stats() (s Stats) {
	s.Conns, s.PeakConns, s.TotalConns = f.stats.conns.read()
	s.Handshakes, s.PeakHandshakes, s.TotalHandshakes = f.stats.handshakes.read()
	s.Sessions, s.PeakSessions, s.TotalSessions = f.stats.sessions.read()
	return s
}

type counters struct{ conns, handshakes, sessions gauge }

// A gauge counts things that come and go.
type gauge struct{ now, peak, total atomic.Int64 }

func (g *gauge) up() {
	g.total.Add(1)
	now := g.now.Add(1)
	for peak := g.peak.Load(); now > peak && !g.peak.CompareAndSwap(peak, now); {
		peak = g.peak.Load()
	}
}

func (g *gauge) down() { g.now.Add(-1) }

func (g *gauge) read() (now, peak, total int) {
	return int(g.now.Load()), int(g.peak.Load()), int(g.total.Load())
}

package sshtest

import (
	"math/rand/v2"
	"sync"
)

// Startups is sshd's MaxStartups (sshd_config(5)) for each host: once Start
// connections have not logged in yet, further ones are dropped with a chance
// of Rate percent, which grows evenly until all are dropped at Full. The zero
// value drops none.
type Startups struct {
	Start, Rate, Full int
}

// startups counts a host's connections that are not logged in.
type startups struct {
	mu    sync.Mutex
	limit Startups
	now   int
	rand  *rand.Rand
}

func (s *startups) init(limit Startups, seed uint64, host int) {
	s.limit = limit
	if limit != (Startups{}) {
		s.rand = rand.New(rand.NewPCG(seed, uint64(host)))
	}
}

// enter reports whether one more connection is let in; leave has to follow.
func (s *startups) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops() {
		return false
	}
	s.now++
	return true
}

func (s *startups) drops() bool {
	l := s.limit
	switch {
	case s.rand == nil || s.now < l.Start:
		return false
	case s.now >= l.Full || l.Rate >= 100:
		return true
	}
	chance := l.Rate + (100-l.Rate)*(s.now-l.Start)/(l.Full-l.Start)
	return s.rand.IntN(100) < chance
}

func (s *startups) leave() {
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
}

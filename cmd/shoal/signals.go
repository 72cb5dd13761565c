package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// signalError ends a run because of a signal.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string {
	switch e.signal {
	case syscall.SIGTERM:
		return "terminated"
	case syscall.SIGHUP:
		return "hung up"
	}
	return "interrupted"
}

// code is what shells make of the signal.
func (e *signalError) code() int { return 128 + int(e.signal) }

// signals ends a run on signals: SIGTERM and SIGHUP at once; SIGINT too,
// unless a person sits there, who first is told what runs and has to press ^C
// once more.
type signals struct {
	cancel   context.CancelCauseFunc
	person   bool        // stderr is a terminal
	asking   func() bool // a question stands there: ^C is the answer
	progress func()      // says what runs

	// interrupt is what SIGINT does, however often it comes, where what runs is
	// part of something that goes on; nil where nothing does.
	interrupt func(error)

	wg           sync.WaitGroup
	first, ended time.Time
}

const (
	twice    = 2 * time.Second // between the two ^C
	patience = 3 * time.Second // in which a run ends: later signals do not wait
)

// watch handles signals until stop is called.
func (s *signals) watch() (stop func()) {
	ch := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) { // by nohup, or of a background job
			signal.Notify(ch, sig)
		}
	}
	// A write to a closed pipe is an error then and does not end the program,
	// which has commands to end first.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	done := make(chan struct{})
	s.wg.Go(func() {
		for {
			select {
			case sig := <-ch:
				s.handle(sig.(syscall.Signal), time.Now())
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(ch)
		signal.Stop(pipe)
		close(done)
		s.wg.Wait()
	}
}

func (s *signals) handle(sig syscall.Signal, now time.Time) {
	e := &signalError{sig}
	switch {
	case sig == syscall.SIGINT && s.interrupt != nil:
		s.interrupt(e)
		return
	case !s.ended.IsZero():
		if now.Sub(s.ended) > patience {
			os.Exit(e.code()) // stuck, perhaps in a write to a stopped pager
		}
		return
	case sig == syscall.SIGINT && s.person && !s.asking() && now.Sub(s.first) > twice:
		s.first = now
		s.wg.Go(s.progress) // apart, since the screen may be stuck and ^C comes again
		return
	}
	s.ended = now
	s.cancel(e)
}

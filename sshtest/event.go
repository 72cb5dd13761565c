package sshtest

import (
	"context"
	"slices"
	"sync"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events, in the order in which a connection meets them.
const (
	EventConnect   EventKind = "connect"   // a connection was accepted
	EventThrottle  EventKind = "throttle"  // it was dropped by MaxStartups
	EventFault     EventKind = "fault"     // a fault begins to play; Detail is its kind
	EventHandshake EventKind = "handshake" // the key exchange is done; Detail is the client's version
	EventKeyOffer  EventKind = "key-offer" // a public key was offered; Key and OK are set
	EventAuth      EventKind = "auth"      // an attempt to log in ended; Method and OK are set, Key for publickey
	EventLogin     EventKind = "login"     // the client is in; User is set
	EventSession   EventKind = "session"   // a session channel was opened; OK tells whether it was accepted
	EventEnv       EventKind = "env"       // Detail is NAME=value; OK tells whether it was accepted
	EventPTY       EventKind = "pty"       // Detail is TERM COLSxROWS
	EventResize    EventKind = "resize"    // Detail is COLSxROWS
	EventExec      EventKind = "exec"      // Detail is the command line, as sent
	EventShell     EventKind = "shell"     // an interactive shell was asked for
	EventSubsystem EventKind = "subsystem" // Detail is its name
	EventSignal    EventKind = "signal"    // Detail is the signal's name without SIG
	EventAgent     EventKind = "agent"     // a session may use the client's agent
	EventForward   EventKind = "forward"   // direct-tcpip or direct-streamlocal; Detail is host:port or the path, OK tells whether it was allowed
	EventListen    EventKind = "listen"    // tcpip-forward or streamlocal-forward; Detail is host:port or the path, OK tells whether it was allowed
	EventProbe     EventKind = "probe"     // a channel that the server opened unasked; Detail is its type, OK tells whether the client took it
	EventGlobal    EventKind = "global"    // any other global request; Detail is its type
	EventExit      EventKind = "exit"      // a session's handler returned; Detail is its exit status
	EventClose     EventKind = "close"     // the connection is gone
)

// An Event is one thing that happened on a fleet's side of a connection.
// Passwords and answers to prompts are never part of it.
type Event struct {
	Time    time.Time
	Host    int    // the host's index
	Conn    uint64 // the connection's number in the fleet, from 1
	Session int    // the session's number in the connection, from 1; 0 outside sessions
	Kind    EventKind
	User    string // the name that the client gave, from auth on
	Method  string // of an auth event
	Key     string // SHA256 fingerprint of a public key
	OK      bool   // of events that are accepted or refused
	Detail  string // see the kind; comes from the client, so quote it
}

// defaultEventLimit bounds the log: about 20 MB of events.
const defaultEventLimit = 100_000

// An eventLog keeps the latest events. A nil log keeps nothing.
type eventLog struct {
	mu      sync.Mutex
	limit   int
	events  []Event
	first   uint64 // number of events[0] since the start
	changed chan struct{}
}

func newEventLog(limit int) *eventLog {
	if limit < 0 {
		return nil
	}
	if limit == 0 {
		limit = defaultEventLimit
	}
	return &eventLog{limit: limit, changed: make(chan struct{})}
}

func (l *eventLog) add(e Event) {
	e.Time = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) >= l.limit {
		drop := max(l.limit/4, 1) // not one by one: each drop moves the rest
		l.events = slices.Delete(l.events, 0, drop)
		l.first += uint64(drop)
	}
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
}

// since returns the events from number n on, the number that comes next, and a
// channel that is closed when there are more.
func (l *eventLog) since(n uint64) ([]Event, uint64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	skip := uint64(0)
	if n > l.first {
		skip = n - l.first
	}
	return slices.Clone(l.events[skip:]), l.first + uint64(len(l.events)), l.changed
}

// Events returns the events so far, oldest first: the latest
// [Config.EventLimit] of them. It may be called at any time, also after Close.
func (f *Fleet) Events() []Event {
	if f.log == nil {
		return nil
	}
	events, _, _ := f.log.since(0)
	return events
}

// WaitEvent returns the first event, past or to come, that match accepts, so
// that a test need not sleep. It fails when ctx ends first, and at once when
// events are off. It is safe for concurrent use.
func (f *Fleet) WaitEvent(ctx context.Context, match func(Event) bool) (Event, error) {
	if f.log == nil {
		return Event{}, errNoEvents
	}
	next := uint64(0)
	for {
		events, n, changed := f.log.since(next)
		if i := slices.IndexFunc(events, match); i >= 0 {
			return events[i], nil
		}
		next = n
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

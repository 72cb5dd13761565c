package shoal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// peer is a host as the client's pool keeps it: its connections, usually one,
// more where the server allows too few sessions on one.
type peer struct {
	client *Client
	key    string
	host   Host
	users  int // of the pool

	turn chan struct{} // holds one token: who has it may connect

	mu          sync.Mutex
	links       []*link
	round       int       // attempts to connect that ended
	failure     error     // of the last one
	failedUntil time.Time // see recent
	isJump      bool      // hosts are reached through it
	refused     bool      // a session, by the server
	closed      bool
}

func newPeer(c *Client, key string, h Host) *peer {
	p := &peer{client: c, key: key, host: h, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

func (p *peer) keep()    { p.client.cache.keep(p) }
func (p *peer) release() { p.client.cache.release(p) }

func (p *peer) alive() bool { return p.any() != nil }

// any returns a living connection.
func (p *peer) any() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if l.alive() {
			return l
		}
	}
	return nil
}

// connect makes sure that there is a living connection.
func (p *peer) connect(ctx context.Context) (Timings, error) {
	l, fresh, err := p.link(ctx, (*peer).any)
	if err != nil || !fresh {
		return Timings{}, err
	}
	return l.timings, nil
}

// link returns the connection that find finds, or a new one. Who waited while
// another failed to connect shares that failure.
func (p *peer) link(ctx context.Context, find func(*peer) *link) (_ *link, fresh bool, _ error) {
	if l := find(p); l != nil {
		return l, false, nil
	}
	p.mu.Lock()
	round := p.round
	p.mu.Unlock()
	select {
	case <-p.turn:
	case <-ctx.Done():
		return nil, false, &HostError{Stage: StageConnect, Kind: endKind(context.Cause(ctx)), Err: context.Cause(ctx)}
	}
	defer func() { p.turn <- struct{}{} }()
	if l := find(p); l != nil {
		return l, false, nil
	}
	p.mu.Lock()
	shared := p.round > round && p.failure != nil
	failure := p.failure
	p.mu.Unlock()
	if shared {
		return nil, false, failure
	}
	began := time.Now()
	l, err := p.client.dial(ctx, p.host, p.wantsAlone())
	if err != nil {
		p.failed(ctx, err, time.Since(began))
		return nil, false, err
	}
	if !p.add(l) {
		l.close()
		return nil, false, &HostError{Host: p.host.Name, Stage: StageConnect, Kind: KindCancelled, Err: errClientClosed}
	}
	find(p) // takes its place in it
	return l, true, nil
}

// wantsAlone reports whether a shared connection would be of no use: there is
// one whose sessions are taken.
func (p *peer) wantsAlone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused || slices.ContainsFunc(p.links, (*link).alive)
}

// failed notes a failure for those who wait, unless it is the caller's own.
func (p *peer) failed(ctx context.Context, err error, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = nil
	if ctx.Err() == nil {
		p.round++
		p.failure, p.failedUntil = err, time.Now().Add(min(max(took, minRecent), maxRecent))
	}
}

func (p *peer) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	living := p.links[:0]
	for _, old := range p.links {
		if old.alive() {
			living = append(living, old)
		}
	}
	p.links, p.failure = append(living, l), nil
	return true
}

// close ends the connections.
func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	links := p.links
	p.links = nil
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range links {
		wg.Go(l.close)
	}
	wg.Wait()
}

// session opens a session channel. A server that allows no more of them on one
// connection is answered with another connection; a connection that turns out
// to be dead is replaced once, which is safe since nothing was begun.
func (p *peer) session(ctx context.Context) (*session, error) {
	began := time.Now()
	for replaced, retried := false, false; ; {
		var l *link
		reserve := func(p *peer) *link {
			if l == nil {
				l = p.reserve()
			}
			return l
		}
		made, fresh, err := p.link(ctx, reserve)
		if err != nil {
			return nil, err
		}
		if l == nil { // the new one died at once
			if replaced {
				return nil, p.channelError(ctx, made, made.reason(errConnClosed), began)
			}
			replaced = true
			continue
		}
		s, err := l.session(ctx, p.host.Timeout)
		if err == nil {
			return s, nil
		}
		_, isRefusal := errors.AsType[*ssh.OpenChannelError](err)
		more := isRefusal && (l.refused() || !retried)
		if isRefusal {
			p.mu.Lock()
			p.refused = true
			p.mu.Unlock()
		}
		if more {
			retried = true // another session may have ended meanwhile
		}
		lost := !isRefusal && ctx.Err() == nil && !errors.Is(err, errBudget)
		l.leave()
		if more {
			continue
		}
		if lost && !replaced && !fresh {
			replaced = true
			l.fail(errConnClosed)
			continue
		}
		return nil, p.channelError(ctx, l, err, began)
	}
}

func (p *peer) reserve() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if l.reserve() {
			return l
		}
	}
	return nil
}

func (p *peer) channelError(ctx context.Context, l *link, err error, began time.Time) *HostError {
	he := &HostError{Host: p.host.Name, Stage: StageChannel, Elapsed: time.Since(began), Err: err}
	refusal, isRefusal := errors.AsType[*ssh.OpenChannelError](err)
	switch {
	case isRefusal:
		he.Kind, he.Err = KindChannelRefused, &refusalError{refusal}
	case ctx.Err() != nil, errors.Is(err, errBudget):
		he.Kind = endKind(err)
	default:
		he.Kind, he.Err = l.end(err)
	}
	return he.at()
}

// refusalError is a refused channel in one safe line.
type refusalError struct{ *ssh.OpenChannelError }

func (e *refusalError) Error() string {
	return "the server opened no session (" + e.Reason.String() + ": " + printable(e.Message) + ")"
}

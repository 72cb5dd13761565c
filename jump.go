package shoal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxHops bounds a chain of jump hosts.
const maxHops = 16

// maxForwards is how many connections to hosts go through one connection to a
// jump host. sshd needs a descriptor for each, and 1024 is its usual limit.
const maxForwards = 500

// chain returns all jump hosts on the way to h, the first to connect to first.
// Each has all its settings, and in Via those before it. A jump host starts
// from [Client.Host] as every host does, but for the jump hosts in it.
func (c *Client) chain(h Host, depth int) ([]Host, error) {
	defaults := c.Host
	defaults.Via, defaults.Args, defaults.Vars = nil, nil, nil
	var chain []Host
	for i, hop := range h.Via {
		if i > 0 { // it is reached through the one before it
			hop.Via, hop.ProxyCommand = []Host{}, "none"
		}
		full, err := c.settle(hop.or(defaults))
		if err == nil {
			_, _, err = full.address()
		}
		if err == nil && i == 0 && len(full.Via) > 0 && depth < maxHops {
			chain, err = c.chain(full, depth+1)
		}
		if err == nil && len(chain) >= maxHops || depth >= maxHops {
			err = fmt.Errorf("more than %d jump hosts; is one of them its own jump host?", maxHops)
		}
		if err != nil {
			return nil, &hopError{hop.Name, err}
		}
		full.Via, full.ForwardAgent = slices.Clip(chain), Auth{} // no command of ours runs there
		chain = append(chain, full)
	}
	return chain, nil
}

// hopError is what went wrong at a jump host.
type hopError struct {
	hop string
	err error
}

func (e *hopError) Error() string { return "jump host " + e.hop + ": " + e.err.Error() }
func (e *hopError) Unwrap() error { return e.err }

// at names the jump host at which it happened, where it was one.
func (e *HostError) at() *HostError {
	if hop, ok := errors.AsType[*hopError](e.Err); ok {
		e.Hop, e.Err = hop.hop, hop.err
	}
	return e
}

// jump is a connection through a jump host to the next host.
type jump struct {
	peer *peer // of the last jump host
	link *link
}

// jump returns a place in a connection to the last jump host of h.
func (c *Client) jump(ctx context.Context, h Host) (*jump, *HostError) {
	last := h.Via[len(h.Via)-1]
	failed := func(err error) *HostError {
		he := &HostError{Stage: StageConnect, Kind: KindCancelled, Err: err}
		if own, ok := errors.AsType[*HostError](err); ok {
			*he = *own
		}
		if he.Hop == "" {
			he.Hop = last.Name
		}
		return he
	}
	p, err := c.cache.acquire(c, last)
	if err != nil {
		return nil, failed(err)
	}
	if err := p.asJump(); err != nil {
		p.release()
		return nil, failed(err)
	}
	l, err := p.forward(ctx)
	if err != nil {
		p.release()
		return nil, failed(err)
	}
	return &jump{p, l}, nil
}

// forward returns a connection with a place in it for what is no session.
func (p *peer) forward(ctx context.Context) (*link, error) {
	for range 2 { // a new connection may die at once
		var l *link
		_, _, err := p.link(ctx, func(p *peer) *link {
			if l == nil {
				l = p.reserveForward()
			}
			return l
		})
		if err != nil || l != nil {
			return l, err
		}
	}
	return nil, errConnClosed
}

func (j *jump) release() {
	j.link.leaveForward()
	j.peer.release()
}

// connectVia connects to the host through its last jump host.
func (hs *handshake) connectVia(ctx context.Context, host string, port int) (net.Conn, *HostError) {
	for replaced := false; ; {
		hs.budget.pause() // the jump host has its own Timeout
		j, he := hs.client.jump(ctx, hs.host)
		hs.budget.resume()
		if he != nil {
			return nil, he
		}
		began := time.Now()
		conn, err := j.dial(ctx, host, port)
		hs.timings.Connect = time.Since(began)
		if err == nil {
			hs.jump = j
			return conn, nil
		}
		refusal, isRefusal := errors.AsType[*ssh.OpenChannelError](err)
		switch {
		case ctx.Err() != nil:
		case isRefusal && isFull(refusal) && j.link.refusedForward():
			j.release()
			continue
		case !isRefusal && !replaced: // it had died; nothing was begun
			replaced = true
			j.link.fail(errConnClosed)
			j.release()
			continue
		}
		he = j.failure(ctx, err)
		j.release()
		return nil, he
	}
}

// isFull tells a server that forwards no more from one that forwards nothing.
func isFull(refusal *ssh.OpenChannelError) bool {
	return refusal.Reason == ssh.ResourceShortage || strings.Contains(refusal.Message, "Too many open files")
}

// dial connects to the host from the jump host, in a direct-tcpip channel
// (RFC 4254 §7.2). The connection's Close releases the jump.
func (j *jump) dial(ctx context.Context, host string, port int) (net.Conn, error) {
	ch, requests, err := j.link.openChannel(ctx, "direct-tcpip", directTCP(host, port))
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests) // until the channel closes
	return &jumpConn{Channel: ch, jump: j, addr: forwardAddr{"tcp", net.JoinHostPort(host, strconv.Itoa(port))}}, nil
}

// jumpConn is the network connection of a host behind a jump host: the bare
// channel, as x/crypto sets no deadlines, and ends with the channel.
type jumpConn struct {
	ssh.Channel
	jump *jump
	addr net.Addr
	once sync.Once
}

func (c *jumpConn) Close() error {
	err := c.Channel.Close()
	c.once.Do(c.jump.release)
	return err
}

func (c *jumpConn) LocalAddr() net.Addr              { return forwardAddr{"tcp", "via " + c.jump.peer.host.Name} }
func (c *jumpConn) RemoteAddr() net.Addr             { return c.addr }
func (c *jumpConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *jumpConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *jumpConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// directTCP is the data of a direct-tcpip channel (RFC 4254 §7.2).
func directTCP(host string, port int) []byte {
	return ssh.Marshal(struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}{host, uint32(port), "127.0.0.1", 0})
}

// openChannel opens a channel to something behind the server. What does not answer in
// time is left to itself: the far end is slow, not the connection.
func (l *link) openChannel(ctx context.Context, kind string, payload []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	type answer struct {
		ch       ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	answers := make(chan answer)
	l.run(func() {
		ch, requests, err := l.ssh.OpenChannel(kind, payload)
		select {
		case answers <- answer{ch, requests, err}:
		case <-ctx.Done():
			if err == nil {
				go ssh.DiscardRequests(requests) // until the channel closes
				ch.Close()
			}
		}
	})
	select {
	case a := <-answers:
		return a.ch, a.requests, a.err
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// failure is what a refused direct-tcpip channel says about the host behind.
func (j *jump) failure(ctx context.Context, err error) *HostError {
	he := &HostError{Stage: StageConnect, Kind: KindUnreachable, Err: err}
	name := j.peer.host.Name
	refusal, ok := errors.AsType[*ssh.OpenChannelError](err)
	switch {
	case ctx.Err() != nil:
		he.Kind, he.Err = endKind(context.Cause(ctx)), context.Cause(ctx)
		return he
	case !ok:
		he.Hop, he.Kind, he.Err = name, KindLost, j.link.reason(err)
		return he
	}
	said := printable(refusal.Message)
	he.Err = fmt.Errorf("%s could not connect to it: %s", name, said)
	if refusal.Reason != ssh.ConnectionFailed {
		he.Hop, he.Stage, he.Kind = name, StageChannel, KindChannelRefused
		he.Err = fmt.Errorf("it forwards no connection to the host: %s: %s", refusal.Reason, said)
		return he
	}
	if he.Kind = refusalKind(said); he.Kind == KindDNS {
		he.Stage = StageResolve
	}
	return he
}

// refusalKind is why a server could not connect to something, by its words.
func refusalKind(said string) Kind {
	contains := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(said), t) })
	}
	switch {
	case contains("refused"):
		return KindRefused
	case contains("name or service not known", "name resolution", "no address associated", "no such host", "does not resolve"):
		return KindDNS
	case contains("timed out", "timeout"):
		return KindTimeout
	}
	return KindUnreachable
}

// reserveForward takes a place for a connection to a host behind.
func (p *peer) reserveForward() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		if l.reserveForward() {
			return l
		}
	}
	return nil
}

func (l *link) reserveForward() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drained || l.forwards >= orDefault(l.fullForwards, maxForwards) || !l.alive() {
		return false
	}
	l.forwards++
	l.opened++
	return true
}

func (l *link) leaveForward() {
	l.mu.Lock()
	l.forwards--
	last := l.drained && l.open+l.forwards == 0
	l.mu.Unlock()
	if last {
		l.fail(errConnClosed)
	}
}

// refusedForward notes that the server allows no more connections through this
// one. It reports whether there are others: else it is no limit.
func (l *link) refusedForward() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	others := l.forwards - 1
	if others <= 0 {
		return false
	}
	if l.fullForwards == 0 || others < l.fullForwards {
		l.fullForwards = others
	}
	return true
}

// Bounds on how long the hosts behind a jump host that cannot be reached share
// its failure instead of trying it each for itself.
const (
	minRecent = time.Second
	maxRecent = 10 * time.Second
)

// asJump makes the peer a jump host. It returns its recent failure.
func (p *peer) asJump() error {
	p.mu.Lock()
	p.isJump = true
	p.mu.Unlock()
	return p.recent()
}

// recent returns the failure of a jump host's last attempt to connect, for as
// long as the attempt took, within bounds.
func (p *peer) recent() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isJump || p.failure == nil || time.Now().After(p.failedUntil) {
		return nil
	}
	return p.failure
}

package shoal

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync"
)

// limits bounds what is under way at once.
type limits struct {
	handshakes chan struct{}
	lookups    chan struct{}
	address    *addressLimit
}

// maxLookups bounds calls of the resolver, some of which take a thread each.
const maxLookups = 64

func newLimits(handshakes, perAddress int) limits {
	return limits{
		handshakes: make(chan struct{}, max(handshakes, 1)),
		lookups:    make(chan struct{}, maxLookups),
		address:    &addressLimit{n: max(perAddress, 1), lines: map[string]*line{}},
	}
}

// take takes a place, or returns the context's cause.
func take(ctx context.Context, places chan struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // also where there is a place
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// addressLimit bounds the connections being made to one address.
type addressLimit struct {
	n     int
	mu    sync.Mutex
	lines map[string]*line
}

type line struct {
	places chan struct{}
	users  int
}

// take waits for a place at the address and returns how to leave it.
func (a *addressLimit) take(ctx context.Context, addr string) (leave func(), err error) {
	a.mu.Lock()
	l := a.lines[addr]
	if l == nil {
		l = &line{places: make(chan struct{}, a.n)}
		a.lines[addr] = l
	}
	l.users++
	a.mu.Unlock()
	done := func() {
		a.mu.Lock()
		if l.users--; l.users == 0 {
			delete(a.lines, addr)
		}
		a.mu.Unlock()
	}
	if err := take(ctx, l.places); err != nil {
		done()
		return nil, err
	}
	return func() { <-l.places; done() }, nil
}

// pool keeps the peers of a client: one for each host and way to log in.
type pool struct {
	mu      sync.Mutex
	peers   map[string][]*peer
	idle    int
	maxIdle int
	over    int // peers that found no room since the last sweep
	closed  bool
}

var errClientClosed = errors.New("the client is closed")

func (p *pool) init(maxIdle int) {
	p.peers, p.maxIdle = map[string][]*peer{}, max(maxIdle, 0)
}

func poolKey(h Host) string {
	addr := h.Addr
	if addr == "" {
		addr = h.Name
	}
	key := h.User + "@" + addr + " " + strconv.Itoa(h.Port) + " " + h.Network
	if len(h.Via) > 0 {
		key += " via " + poolKey(h.Via[len(h.Via)-1])
	}
	return key
}

// acquire returns the peer for the host, with one more user.
func (p *pool) acquire(c *Client, h Host) (*peer, error) {
	key := poolKey(h)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClientClosed
	}
	for _, old := range p.peers[key] {
		if sameLogin(old.host, h) {
			if old.users++; old.users == 1 {
				p.idle--
			}
			return old, nil
		}
	}
	n := newPeer(c, key, h)
	n.users = 1
	p.peers[key] = append(p.peers[key], n)
	return n, nil
}

func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// sameLogin reports whether a connection made for a serves b.
func sameLogin(a, b Host) bool {
	return slices.EqualFunc(a.Auth, b.Auth, Auth.equal) && sameHostKeys(a.HostKeys, b.HostKeys) &&
		a.HostKeyAlias == b.HostKeyAlias && a.BindAddress == b.BindAddress && a.proxyCommand() == b.proxyCommand() && a.Algorithms.equal(b.Algorithms) &&
		slices.Equal(a.Methods, b.Methods) && a.ForwardAgent.equal(b.ForwardAgent) &&
		(len(a.Via) == 0 || sameLogin(a.Via[len(a.Via)-1], b.Via[len(b.Via)-1])) // as many in both: the key says so
}

func sameHostKeys(a, b HostKeys) bool {
	if a == nil || b == nil { // with a Transport
		return a == b
	}
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// keep takes one more user of a peer that has some.
func (p *pool) keep(q *peer) {
	p.mu.Lock()
	q.users++
	p.mu.Unlock()
}

// release takes a user off; a peer without users stays while there is room and
// its connection lives.
func (p *pool) release(q *peer) {
	p.mu.Lock()
	q.users--
	var drop []*peer
	switch {
	case q.users > 0 || p.closed:
	case (q.alive() || q.recent() != nil) && (p.idle < p.maxIdle || p.sweep(&drop)):
		p.idle++
	default:
		p.remove(q)
		drop = append(drop, q)
	}
	p.mu.Unlock()
	for _, d := range drop {
		d.close()
	}
}

// sweep takes the idle peers out whose connection is lost, once in a while, and
// reports whether there is room now.
func (p *pool) sweep(lost *[]*peer) bool {
	if p.over++; p.over < p.maxIdle {
		return false
	}
	p.over = 0
	for _, list := range p.peers {
		for _, q := range list {
			if q.users == 0 && !q.alive() {
				*lost = append(*lost, q)
			}
		}
	}
	for _, q := range *lost {
		p.remove(q)
		p.idle--
	}
	return p.idle < p.maxIdle
}

func (p *pool) remove(q *peer) {
	rest := slices.DeleteFunc(p.peers[q.key], func(x *peer) bool { return x == q })
	if len(rest) == 0 {
		delete(p.peers, q.key)
	} else {
		p.peers[q.key] = rest
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	peers := p.peers
	p.peers = nil
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, list := range peers {
		for _, q := range list {
			wg.Go(q.close)
		}
	}
	wg.Wait()
}

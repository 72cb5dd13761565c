package sshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Host is one SSH server of a fleet, as its clients see it.
type Host struct {
	// Index is the host's place in the fleet, from 0.
	Index int
	// Name is what Config.Name made; only Fleet.Dial can look it up.
	Name string
	// Addr is the numeric address with the port, such as 127.0.0.2:40022.
	Addr string
	// HostKey is the first of HostKeys.
	HostKey ssh.PublicKey
	// HostKeys are the host's plain public keys; certificates are left out.
	HostKeys []ssh.PublicKey
}

// A host is a Host with what only its server may know.
type host struct {
	Host
	signers  []ssh.Signer
	fault    Fault
	played   int // connections that the fault was played on; guarded by Fleet.mu
	startups startups
}

// A Fleet is a set of running SSH servers. Its methods are safe for concurrent
// use.
type Fleet struct {
	cfg       Config
	hosts     []*host
	byAddr    map[string]*host // by Addr, and by name and port
	users     map[string]*User
	methods   []string
	client    ssh.Signer
	clientPEM []byte
	log       *eventLog
	stats     counters

	ready     chan struct{}  // closed when the hosts have all they need
	done      chan struct{}  // closed by Close
	wg        sync.WaitGroup // accept loops and connections
	mu        sync.Mutex
	closed    bool
	listeners []io.Closer
	conns     map[*conn]struct{}
	lastConn  uint64
}

// TB is the part of [testing.TB] that New needs, so that programs which embed
// a fleet do not link package testing.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New starts a fleet for a test, which fails if it cannot be started and which
// closes the fleet when it is over.
func New(tb TB, cfg Config) *Fleet {
	tb.Helper()
	f, err := Start(cfg)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}

// Start starts a fleet. The caller has to close it.
func Start(cfg Config) (*Fleet, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.complete()
	f := &Fleet{cfg: cfg, log: newEventLog(cfg.EventLimit), conns: make(map[*conn]struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	f.makeHosts()
	if err := errors.Join(f.makeUsers(), f.makeClientKey(), f.makeHostKeys()); err != nil {
		return nil, err
	}
	if err := f.listen(); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.publish(); err != nil {
		f.Close()
		return nil, err
	}
	close(f.ready)
	return f, nil
}

func (f *Fleet) makeHosts() {
	for i := range f.cfg.Hosts {
		h := &host{Host: Host{Index: i, Name: f.cfg.Name(i)}}
		if f.cfg.Faults != nil {
			h.fault = f.cfg.Faults(i)
		}
		h.startups.init(f.cfg.MaxStartups, f.cfg.Seed, i)
		f.hosts = append(f.hosts, h)
	}
}

func (f *Fleet) makeUsers() error {
	f.users = make(map[string]*User)
	offered := make(map[string]bool)
	for i := range f.cfg.Users {
		u := &f.cfg.Users[i]
		if f.users[u.Name] != nil {
			return fmt.Errorf("sshtest: user %q is there twice", u.Name)
		}
		f.users[u.Name] = u
		for _, m := range u.methods() {
			offered[m] = true
		}
	}
	// A server has to offer something, even where nobody can get in.
	offered["publickey"] = offered["publickey"] || len(offered) == 0
	for m := range offered {
		f.methods = append(f.methods, m)
	}
	return nil
}

// publish makes the hosts reachable by Dial and certifies their keys, both of
// which need the addresses.
func (f *Fleet) publish() error {
	f.byAddr = make(map[string]*host, 2*len(f.hosts))
	for _, h := range f.hosts {
		_, port, _ := net.SplitHostPort(h.Addr)
		f.byAddr[net.JoinHostPort(h.Name, port)] = h
		if f.cfg.HostCA == nil {
			continue
		}
		if err := h.certify(f.cfg.HostCA); err != nil {
			return err
		}
	}
	for _, h := range f.hosts {
		f.byAddr[h.Addr] = h
	}
	return nil
}

// Hosts returns the hosts in order.
func (f *Fleet) Hosts() []Host {
	hosts := make([]Host, len(f.hosts))
	for i, h := range f.hosts {
		hosts[i] = h.Host
	}
	return hosts
}

// Host returns host i, from 0. It panics if there is no such host.
func (f *Fleet) Host(i int) Host { return f.hosts[i].Host }

// start takes a connection into the fleet; it is closed if the fleet is.
func (f *Fleet) start(h *host, nc net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		nc.Close()
		return
	}
	f.lastConn++
	c := &conn{fleet: f, host: h, id: f.lastConn, fault: h.nextFault()}
	c.wire = f.newWire(h, nc)
	f.conns[c] = struct{}{}
	f.wg.Go(c.serve)
}

// forget is the end of what start began.
func (f *Fleet) forget(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// Disconnect resets all connections of host i, as if it had lost power and was
// back at once. It panics if there is no such host.
func (f *Fleet) Disconnect(i int) {
	h := f.hosts[i]
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if c.host == h {
			c.wire.reset()
		}
	}
}

// Close stops listening, closes all connections, kills what real shells have
// left running, and waits until every goroutine of the fleet has ended. A
// [Handler] that does not return when its context ends holds it up. Closing
// again does nothing; the error is always nil.
func (f *Fleet) Close() error {
	f.mu.Lock()
	if !f.closed {
		close(f.done)
	}
	f.closed = true
	for _, l := range f.listeners {
		l.Close()
	}
	for c := range f.conns {
		c.wire.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	return nil
}

// Dial connects to a host in memory, past any listener. addr is a Host's Addr,
// or its name and port, or its name alone. It takes one round trip of
// Config.Latency. Errors are *[net.OpError], as of [net.Dial].
func (f *Fleet) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	h := f.lookup(addr)
	if h == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host in the fleet", Name: addr, IsNotFound: true}}
	}
	target, err := net.ResolveTCPAddr("tcp", h.Addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if err := pause(ctx, 2*f.latency(h)); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: target, Err: err}
	}
	if h.fault.Kind == Refuse {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: target, Err: errRefused}
	}
	f.mu.Lock()
	port := 1024 + int(f.lastConn%60000)
	f.mu.Unlock()
	client, server := newPipe(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, target, f.latency(h))
	f.start(h, server)
	return client, nil
}

// lookup finds the host that addr stands for.
func (f *Fleet) lookup(addr string) *host {
	if h := f.byAddr[addr]; h != nil {
		return h
	}
	for _, h := range f.hosts {
		if h.Name == addr {
			return h
		}
	}
	return nil
}

func (f *Fleet) latency(h *host) (d time.Duration) {
	if f.cfg.Latency != nil {
		d = max(f.cfg.Latency(h.Index), 0)
	}
	return d
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

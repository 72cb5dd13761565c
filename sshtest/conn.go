package sshtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// A conn is one connection to one host, from accept to close.
type conn struct {
	fleet *Fleet
	host  *host
	id    uint64
	fault Fault
	wire  *wire
	ssh   *ssh.ServerConn
	raw   *rawConn // instead of ssh, for faults that need packets made by hand
	user  string

	wg          sync.WaitGroup // everything that runs for this connection
	open        atomic.Int32   // sessions
	lastSession atomic.Int32
}

// event logs e for this connection.
func (c *conn) event(e Event) {
	if c.fleet.log == nil {
		return
	}
	e.Host, e.Conn = c.host.Index, c.id
	c.fleet.log.add(e)
}

func (c *conn) serve() {
	c.fleet.stats.conns.up()
	c.event(Event{Kind: EventConnect, Detail: c.wire.RemoteAddr().String()})
	ctx, cancel := context.WithCancel(context.Background())
	switch over := c.playEarly(); {
	case over:
	case c.fault.raw():
		c.talkRaw(ctx)
	default:
		c.talk(ctx)
	}
	cancel()
	c.wire.Close()
	c.event(Event{Kind: EventClose, User: c.user})
	c.fleet.stats.conns.down()
	c.wg.Wait() // what a real shell has left behind can take long
	c.fleet.forget(c)
}

// talk speaks SSH until the connection ends.
func (c *conn) talk(ctx context.Context) {
	channels, requests, ok := c.greet()
	if !ok {
		return
	}
	c.event(Event{Kind: EventLogin, User: c.user, OK: true})
	c.wg.Go(func() { c.global(requests) })
	if c.playLoggedIn() {
		c.wire.Close()
	}
	for nc := range channels {
		c.channel(ctx, nc)
	}
}

// greet does the handshake and the login.
func (c *conn) greet() (<-chan ssh.NewChannel, <-chan *ssh.Request, bool) {
	if !c.host.startups.enter() {
		c.throttle()
		return nil, nil, false
	}
	defer c.host.startups.leave()
	c.fleet.stats.handshakes.up()
	defer c.fleet.stats.handshakes.down()
	if limit := c.fleet.cfg.LoginGrace; limit > 0 && c.fault.Kind == "" {
		grace := time.AfterFunc(limit, func() { c.wire.Close() })
		defer grace.Stop()
	}
	sc, channels, requests, err := ssh.NewServerConn(c.wire, c.config())
	if err != nil {
		return nil, nil, false
	}
	u := userOf(sc.Permissions)
	if u == nil {
		return nil, nil, false
	}
	c.ssh, c.user = sc, u.Name
	return channels, requests, true
}

// throttle drops a connection the way sshd does: a word before the version
// line, then the end.
func (c *conn) throttle() {
	c.event(Event{Kind: EventThrottle})
	c.wire.Write([]byte("Exceeded MaxStartups\r\n"))
}

// config is made for each connection, as the callbacks have to know it.
func (c *conn) config() *ssh.ServerConfig {
	cfg := &c.fleet.cfg
	sc := &ssh.ServerConfig{Config: cfg.Algorithms, ServerVersion: cfg.Version}
	if cfg.Banner != "" {
		sc.BannerCallback = func(ssh.ConnMetadata) string { return cfg.Banner }
	}
	if c.fleet.log != nil {
		sc.PreAuthConnCallback = func(p ssh.ServerPreAuthConn) {
			c.event(Event{Kind: EventHandshake, Detail: string(p.ClientVersion())})
		}
	}
	for _, s := range c.host.signers {
		sc.AddHostKey(s)
	}
	l := &login{conn: c}
	l.configure(sc)
	c.playKex(sc)
	c.playLogin(sc)
	return sc
}

// global answers requests that concern the whole connection (RFC 4254 §4).
func (c *conn) global(requests <-chan *ssh.Request) {
	var open listenings
	defer func() { open.close() }()
	for req := range requests {
		switch {
		case c.fault.ignores(req.Type):
			c.event(Event{Kind: EventGlobal, User: c.user, Detail: req.Type})
		case req.Type == "tcpip-forward", req.Type == "streamlocal-forward@openssh.com":
			open = c.listenFor(open, req)
		case req.Type == "cancel-tcpip-forward", req.Type == "cancel-streamlocal-forward@openssh.com":
			open = c.unlisten(open, req)
		default:
			c.event(Event{Kind: EventGlobal, User: c.user, Detail: req.Type})
			req.Reply(false, nil) // which is all that a keepalive wants
		}
	}
}

// channel answers a request to open a channel (RFC 4254 §5.1).
func (c *conn) channel(ctx context.Context, nc ssh.NewChannel) {
	switch {
	case c.fault.Kind == ChanOpenSilent:
	case c.fault.Kind == ChanOpenRefused:
		nc.Reject(ssh.ResourceShortage, "no \x1b[31mroom\r\n[host2] OK")
	case nc.ChannelType() == "session":
		c.session(ctx, nc)
	case nc.ChannelType() == "direct-tcpip", nc.ChannelType() == "direct-streamlocal@openssh.com":
		c.wg.Go(func() { c.direct(ctx, nc) })
	default:
		nc.Reject(ssh.UnknownChannelType, "unknown channel type")
	}
}

// session opens a session, unless there are too many.
func (c *conn) session(ctx context.Context, nc ssh.NewChannel) {
	number := int(c.lastSession.Add(1))
	limit := c.fleet.cfg.MaxSessions
	ok := limit < 0 || int(c.open.Load()) < limit
	c.event(Event{Kind: EventSession, Session: number, User: c.user, OK: ok})
	if !ok {
		nc.Reject(ssh.ConnectionFailed, "open failed") // as sshd words it
		return
	}
	c.open.Add(1)
	c.fleet.stats.sessions.up()
	closed := func() {
		c.fleet.stats.sessions.down()
		c.open.Add(-1)
	}
	ch, requests, err := nc.Accept()
	if err != nil {
		closed()
		return
	}
	s := newSession(c, number, ch)
	c.wg.Go(func() {
		defer closed()
		s.serve(ctx, requests)
	})
}

package shoal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial connects from the host to an address: network "tcp" with "host:port",
// where the host looks the name up and an empty one is itself (direct-tcpip, RFC
// 4254 §7.2), or "unix" with the path of a socket (direct-streamlocal@openssh.com,
// OpenSSH's PROTOCOL §2.4).
//
// ctx bounds connecting, not the connection, as with [net.Dialer.DialContext];
// so Dial does for a [net/http.Transport]. The connection has deadlines and a
// CloseWrite method, and holds the host's connection until it is closed. It reads
// [io.EOF] only where the far side ended regularly; where the connection to the
// host is lost, its errors are [*HostError] and are [ErrLost].
//
// The error is a [*HostError] with [StageForward]: [KindRefused], [KindDNS],
// [KindTimeout] or [KindUnreachable] are what the host says about the target,
// [KindChannelRefused] is that it forwards no connection there (AllowTcpForwarding
// and PermitOpen in sshd_config(5)).
func (c *Conn) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	began := time.Now()
	to, err := parseForward(network, addr)
	if err == nil && network == "tcp" && to.port == 0 {
		err = fmt.Errorf("address %q has no port", addr)
	}
	if err != nil {
		return nil, c.forwardError(KindInvalid, err, began)
	}
	if c.gone.Load() {
		return nil, c.forwardError(KindCancelled, errConnClosed, began)
	}
	if to.host == "" {
		to.host = "localhost"
	}
	for replaced := false; ; {
		l, err := c.peer.forward(ctx)
		if err != nil {
			return nil, c.forwardError(KindCancelled, err, began)
		}
		ch, requests, err := l.openChannel(ctx, to.direct(), to.directData())
		if err == nil {
			c.peer.keep()
			local := forwardAddr{network, "via " + c.host.Name}
			return newForwardConn(l, c.host.Name, ch, requests, local, to.addr(), func() { l.leaveForward(); c.peer.release() }), nil
		}
		refusal, isRefusal := errors.AsType[*ssh.OpenChannelError](err)
		switch {
		case ctx.Err() != nil:
		case isRefusal && isFull(refusal) && l.refusedForward():
			l.leaveForward()
			continue
		case !isRefusal && !replaced: // it had died; nothing was begun
			replaced = true
			l.fail(errConnClosed)
			l.leaveForward()
			continue
		}
		he := c.forwardError(KindLost, err, began)
		switch {
		case ctx.Err() != nil:
			he.Kind = endKind(err)
		case isRefusal:
			to.refused(he, refusal)
		default:
			he.Err = l.reason(err)
		}
		l.leaveForward()
		return nil, he.at()
	}
}

// forwardError is an error of the kind, unless it says itself what it is.
func (c *Conn) forwardError(kind Kind, err error, began time.Time) *HostError {
	he := &HostError{Stage: StageForward, Kind: kind, Err: err}
	if own, ok := errors.AsType[*HostError](err); ok {
		*he = *own
	}
	he.Host, he.Elapsed = c.host.Name, time.Since(began)
	return he
}

// forwardTo is where a forwarded connection goes to, or comes in.
type forwardTo struct {
	network string
	host    string // of tcp
	port    int
	path    string // of unix
}

func parseForward(network, addr string) (forwardTo, error) {
	switch network {
	case "unix":
		if addr == "" || strings.ContainsRune(addr, 0) {
			return forwardTo{}, fmt.Errorf("%q is not the path of a socket", addr)
		}
		return forwardTo{network: network, path: addr}, nil
	case "tcp":
		host, p, err := net.SplitHostPort(addr)
		if err != nil {
			return forwardTo{}, fmt.Errorf("address %q: want host:port or [ipv6]:port", addr)
		}
		port, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return forwardTo{}, fmt.Errorf("address %q: port %q is not a number up to 65535", addr, p)
		}
		return forwardTo{network: network, host: host, port: int(port)}, nil
	}
	return forwardTo{}, fmt.Errorf("network %q is neither tcp nor unix", network)
}

func (t forwardTo) String() string {
	if t.network == "unix" {
		return t.path
	}
	return net.JoinHostPort(t.host, strconv.Itoa(t.port))
}

func (t forwardTo) direct() string {
	if t.network == "unix" {
		return "direct-streamlocal@openssh.com"
	}
	return "direct-tcpip"
}

func (t forwardTo) directData() []byte {
	if t.network == "unix" {
		return ssh.Marshal(struct {
			Path     string
			Reserved string
			Number   uint32
		}{Path: t.path})
	}
	return directTCP(t.host, t.port)
}

// addr is the address of a socket where it is one, else its text.
func (t forwardTo) addr() net.Addr {
	if t.network == "unix" {
		return &net.UnixAddr{Name: t.path, Net: "unix"}
	}
	if ip := net.ParseIP(t.host); ip != nil {
		return &net.TCPAddr{IP: ip, Port: t.port}
	}
	return forwardAddr{t.network, t.String()}
}

// forwardAddr is the address of something that only the host knows.
type forwardAddr struct{ network, addr string }

func (a forwardAddr) Network() string { return a.network }
func (a forwardAddr) String() string  { return a.addr }

// refused says why a server opened no connection.
func (t forwardTo) refused(he *HostError, refusal *ssh.OpenChannelError) {
	said := printable(refusal.Message)
	if refusal.Reason != ssh.ConnectionFailed {
		he.Kind, he.Err = KindChannelRefused, fmt.Errorf("it forwards no connection to %s: %s: %s", t, refusal.Reason, said)
		he.Hint = "AllowTcpForwarding, PermitOpen and AllowStreamLocalForwarding in sshd_config, and options in authorized_keys, say what it forwards"
		return
	}
	he.Kind, he.Err = refusalKind(said), fmt.Errorf("it could not connect to %s: %s", t, said)
	if t.network == "unix" {
		he.Hint = "nothing listens on the socket, or AllowStreamLocalForwarding in sshd_config forbids it"
	}
}

// Listen has the host listen on an address: network "tcp" with "host:port", where
// port 0 leaves the choice to the server (tcpip-forward, RFC 4254 §7.1), or "unix"
// with the path of a socket to make (streamlocal-forward@openssh.com, OpenSSH's
// PROTOCOL §2.4). Connections that come in there are what the listener accepts:
// see [Conn.Dial] for what they can do.
//
// An empty host asks for all the server's addresses; sshd listens on loopback all
// the same, unless it has GatewayPorts. ctx ends the listening, and Close does;
// accepted connections go on. Up to 128 connections wait to be accepted, more are
// refused. Accept fails with a [*HostError] that is [ErrLost] when the connection
// to the host is lost: the listener is gone then.
//
// The error is a [*HostError] with [StageForward]: [KindChannelRefused] where the
// server does not listen, and it does not say why.
func (c *Conn) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	began := time.Now()
	at, err := parseForward(network, addr)
	if err != nil {
		return nil, c.forwardError(KindInvalid, err, began)
	}
	if c.gone.Load() {
		return nil, c.forwardError(KindCancelled, errConnClosed, began)
	}
	if c.peer.client.Transport != nil {
		return nil, c.forwardError(KindInvalid, errors.New("a Client with a Transport does not listen on hosts; use one without, or ssh -R"), began)
	}
	for replaced := false; ; {
		l, err := c.peer.forward(ctx)
		if err != nil {
			return nil, c.forwardError(KindCancelled, err, began)
		}
		ln := &forwardListener{conn: c, link: l, at: at, queue: make(chan ssh.NewChannel, maxBacklog), closed: make(chan struct{})}
		reply, ok, err := ln.ask(ctx, at.listen(), c.host.Timeout)
		if err == nil && ok && ln.settle(reply) {
			c.peer.keep()
			ln.unwatch = context.AfterFunc(ctx, func() { ln.end(context.Cause(ctx)) })
			return ln, nil
		}
		l.unlisten(ln)
		he := c.forwardError(KindLost, err, began)
		switch {
		case err == nil:
			he.Kind, he.Err = KindChannelRefused, fmt.Errorf("it does not listen on %s for us", at)
			he.Hint = "the address may be in use or privileged, or forbidden by AllowTcpForwarding, PermitListen or AllowStreamLocalForwarding in sshd_config, or by options in authorized_keys"
		case ctx.Err() != nil, errors.Is(err, errBudget):
			he.Kind = endKind(err)
		case !replaced:
			replaced = true
			l.fail(errConnClosed)
			l.leaveForward()
			continue
		default:
			he.Err = l.reason(err)
		}
		l.leaveForward()
		return nil, he.at()
	}
}

// maxBacklog is how many connections wait to be accepted.
const maxBacklog = 128

// forwardListener is a port or a socket of the server.
type forwardListener struct {
	conn    *Conn
	link    *link
	at      forwardTo
	unwatch func() bool // the context

	mu     sync.Mutex
	queue  chan ssh.NewChannel
	closed chan struct{}
	cause  error // set before closed is closed
	once   sync.Once
}

func (t forwardTo) listen() string {
	if t.network == "unix" {
		return "streamlocal-forward@openssh.com"
	}
	return "tcpip-forward"
}

// ask makes a request about the listener, which is known from then on:
// connections may come in before the answer.
func (ln *forwardListener) ask(ctx context.Context, request string, budget time.Duration) (reply []byte, ok bool, err error) {
	payload := ssh.Marshal(struct {
		Host string
		Port uint32
	}{ln.at.host, uint32(ln.at.port)})
	if ln.at.network == "unix" {
		payload = ssh.Marshal(struct{ Path string }{ln.at.path})
	}
	ln.link.mu.Lock()
	if !slices.Contains(ln.link.listeners, ln) {
		ln.link.listeners = append(ln.link.listeners, ln)
	}
	ln.link.mu.Unlock()
	reply, err = await(ctx, ln.link, budget, func() ([]byte, error) {
		yes, reply, err := ln.link.ssh.SendRequest(request, true, payload)
		if !yes {
			return nil, err
		}
		return append([]byte{}, reply...), err
	})
	return reply, reply != nil, err
}

// settle takes the port that the server chose.
func (ln *forwardListener) settle(reply []byte) bool {
	if ln.at.network == "unix" || ln.at.port != 0 {
		return true
	}
	var chosen struct {
		Port uint32
		Rest []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(reply, &chosen) != nil || chosen.Port == 0 || chosen.Port > 65535 {
		return false
	}
	ln.link.mu.Lock()
	defer ln.link.mu.Unlock()
	ln.at.port = int(chosen.Port)
	return true
}

func (l *link) unlisten(ln *forwardListener) {
	l.mu.Lock()
	l.listeners = slices.DeleteFunc(l.listeners, func(x *forwardListener) bool { return x == ln })
	l.mu.Unlock()
	ln.shut(net.ErrClosed)
}

// incoming hands a channel that the server opened to who asked for such. It
// reports false where nobody did.
func (l *link) incoming(nc ssh.NewChannel) bool {
	switch nc.ChannelType() {
	case "auth-agent@openssh.com":
		return l.incomingAgent(nc)
	case "forwarded-tcpip", "forwarded-streamlocal@openssh.com":
		at, _, err := parseForwarded(nc)
		if err != nil {
			return false
		}
		ln := l.listener(at)
		if ln != nil {
			ln.offer(nc)
		}
		return ln != nil
	}
	return false
}

// parseForwarded reads where a connection came in, and from where.
func parseForwarded(nc ssh.NewChannel) (at, from forwardTo, err error) {
	if nc.ChannelType() == "forwarded-tcpip" { // RFC 4254 §7.2
		var data struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}
		err = ssh.Unmarshal(nc.ExtraData(), &data)
		return forwardTo{network: "tcp", host: data.Host, port: int(data.Port)},
			forwardTo{network: "tcp", host: printable(data.Origin), port: int(data.OriginPort)}, err
	}
	var data struct {
		Path     string
		Reserved string
	}
	err = ssh.Unmarshal(nc.ExtraData(), &data)
	return forwardTo{network: "unix", path: data.Path}, forwardTo{network: "unix"}, err
}

// listener finds who listens there. Some servers say the address otherwise than
// they were asked; the port tells then, if only one listener has it.
func (l *link) listener(at forwardTo) *forwardListener {
	l.mu.Lock()
	defer l.mu.Unlock()
	var same []*forwardListener
	for _, ln := range l.listeners {
		if ln.at == at {
			return ln
		}
		if at.network == "tcp" && ln.at.network == "tcp" && ln.at.port == at.port {
			same = append(same, ln)
		}
	}
	if len(same) == 1 {
		return same[0]
	}
	return nil
}

// offer queues a connection, or refuses it.
func (ln *forwardListener) offer(nc ssh.NewChannel) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	select {
	case <-ln.closed:
		nc.Reject(ssh.ConnectionFailed, "no longer listening")
		return
	default:
	}
	select {
	case ln.queue <- nc:
	default:
		nc.Reject(ssh.ResourceShortage, "too many connections wait")
	}
}

func (ln *forwardListener) Accept() (net.Conn, error) {
	for {
		var nc ssh.NewChannel
		select {
		case nc = <-ln.queue:
		case <-ln.closed:
			return nil, &net.OpError{Op: "accept", Net: ln.at.network, Addr: ln.Addr(), Err: ln.cause}
		case <-ln.link.dead:
			he := &HostError{Host: ln.conn.host.Name, Stage: StageForward, Kind: KindLost, Err: ln.link.err}
			return nil, he.at()
		}
		_, from, _ := parseForwarded(nc)
		ch, requests, err := nc.Accept()
		if err != nil {
			continue // the connection's end says more
		}
		l, p := ln.link, ln.conn.peer
		l.mu.Lock()
		l.forwards++
		l.opened++
		l.mu.Unlock()
		p.keep()
		return newForwardConn(l, ln.conn.host.Name, ch, requests, ln.Addr(), from.addr(), func() { l.leaveForward(); p.release() }), nil
	}
}

// Close has the server listen no longer; connections that wait are refused.
func (ln *forwardListener) Close() error {
	ln.unwatch()
	ln.end(net.ErrClosed)
	return nil
}

func (ln *forwardListener) end(cause error) {
	ln.once.Do(func() {
		ln.shut(cause)
		ctx, cancel := context.WithTimeout(context.Background(), closeBudget)
		defer cancel()
		ln.ask(ctx, "cancel-"+ln.at.listen(), closeBudget)
		ln.link.unlisten(ln)
		ln.link.leaveForward()
		ln.conn.peer.release()
	})
}

// shut refuses what waits, and what comes.
func (ln *forwardListener) shut(cause error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	select {
	case <-ln.closed:
		return
	default:
	}
	ln.cause = cause
	close(ln.closed)
	for {
		select {
		case nc := <-ln.queue:
			nc.Reject(ssh.ConnectionFailed, "no longer listening")
		default:
			return
		}
	}
}

func (ln *forwardListener) Addr() net.Addr { return ln.at.addr() }

// ForwardLocal passes on each connection that l accepts here to the address,
// which the host connects to as [Conn.Dial] has it: ssh -L. It closes l when ctx
// ends, ends the connections and returns the context's cause; where l fails or
// is closed before, it returns that error when the connections have ended. One
// connection that fails is logged as a warning, and ends no other.
func (c *Conn) ForwardLocal(ctx context.Context, l net.Listener, network, addr string) error {
	return c.passOn(ctx, l, func(ctx context.Context, conn net.Conn) (net.Conn, error) {
		far, err := c.Dial(ctx, network, addr)
		if err != nil {
			reset(conn)
		}
		return far, err
	})
}

// ForwardRemote passes on each connection that l, which [Conn.Listen] made,
// accepts on the host to an address that is connected to from here: ssh -R. It
// ends as [Conn.ForwardLocal] does.
func (c *Conn) ForwardRemote(ctx context.Context, l net.Listener, network, addr string) error {
	return c.passOn(ctx, l, func(ctx context.Context, _ net.Conn) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
}

// passOn serves l: each connection goes on to the one that dial makes for it.
func (c *Conn) passOn(ctx context.Context, l net.Listener, dial func(context.Context, net.Conn) (net.Conn, error)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			wg.Go(func() { c.passOne(ctx, conn, dial) })
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			pause = min(2*pause+5*time.Millisecond, time.Second)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		default:
			return err
		}
	}
}

func (c *Conn) passOne(ctx context.Context, conn net.Conn, dial func(context.Context, net.Conn) (net.Conn, error)) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { reset(conn) })
	defer stop()
	log := c.peer.client.Log
	far, err := dial(ctx, conn)
	if err != nil {
		if ctx.Err() == nil {
			log.Warn("a connection could not be forwarded", hostAttr(c.host), errorAttr(err))
		}
		return
	}
	defer far.Close()
	stopFar := context.AfterFunc(ctx, func() { reset(far) })
	defer stopFar()
	if err := relay(conn, far); err != nil {
		log.LogAttrs(ctx, LevelStage, "a forwarded connection broke off", hostAttr(c.host), errorAttr(err))
	}
}

// relay copies both ways until both have ended; each end is passed on. It
// returns an error where one side broke off, and then ends both.
func relay(a, b net.Conn) error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	one := func(err *error, to, from net.Conn) {
		if *err = copyTo(to, from); *err != nil {
			reset(a)
			reset(b)
		}
	}
	wg.Go(func() { one(&errs[0], b, a) })
	one(&errs[1], a, b)
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return errors.Join(errs...)
}

// copyTo copies to the end, which it passes on, and returns what broke reading.
// One who takes no more may still send, which is the other direction's concern.
func copyTo(to, from net.Conn) error {
	buf := make([]byte, forwardBuffer)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return nil
			}
		}
		if err == io.EOF {
			closeWrite(to)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reset closes a connection so that the other side does not take it for the
// regular end, where that can be said.
func reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

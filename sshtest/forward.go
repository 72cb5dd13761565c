package sshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// forward is the data of a direct-tcpip or forwarded-tcpip channel (RFC 4254
// §7.2).
type forward struct {
	Host       string
	Port       uint32
	Origin     string
	OriginPort uint32
}

var errNotAllowed = errors.New("administratively prohibited")

// direct connects a channel to another host of the fleet, or to loopback.
func (c *conn) direct(ctx context.Context, nc ssh.NewChannel) {
	var to forward
	if ssh.Unmarshal(nc.ExtraData(), &to) != nil {
		nc.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	addr := net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10))
	target, err := c.fleet.dialForward(ctx, addr, to.Host)
	c.event(Event{Kind: EventForward, User: c.user, Detail: addr, OK: err == nil})
	switch {
	case errors.Is(err, errNotAllowed):
		nc.Reject(ssh.Prohibited, "open failed")
		return
	case err != nil:
		nc.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	ch, requests, err := nc.Accept()
	if err != nil {
		target.Close()
		return
	}
	c.join(ctx, ch, requests, target)
}

// dialForward reaches what clients may be forwarded to. It looks up no names
// but those of the fleet and "localhost".
func (f *Fleet) dialForward(ctx context.Context, addr, host string) (net.Conn, error) {
	if f.byAddr[addr] != nil {
		return f.Dial(ctx, "tcp", addr)
	}
	if !f.cfg.ForwardLoopback || !isLoopback(host) {
		return nil, errNotAllowed
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// join copies between a channel and a connection until both directions have
// ended, or one side is gone.
func (c *conn) join(ctx context.Context, ch ssh.Channel, requests <-chan *ssh.Request, target net.Conn) {
	stop := context.AfterFunc(ctx, func() { target.Close() })
	defer stop()
	var up, down sync.WaitGroup
	up.Go(func() {
		io.Copy(target, ch)
		closeWrite(target)
	})
	down.Go(func() {
		io.Copy(ch, target)
		ch.CloseWrite()
	})
	c.wg.Go(func() {
		ssh.DiscardRequests(requests) // ends when the client has closed the channel
		up.Wait()
		target.Close()
	})
	up.Wait()
	down.Wait()
	target.Close()
	ch.Close()
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	c.Close()
}

// A listening is one tcpip-forward of a connection (RFC 4254 §7.1).
type listening struct {
	net.Listener
	host string // as the client wrote it
	port uint32
}

// listenings are those of one connection; only its global requests' goroutine
// uses them.
type listenings []listening

// listenFor serves a tcpip-forward request. Whatever address the client names,
// the listener is on loopback.
func (c *conn) listenFor(ls listenings, req *ssh.Request) listenings {
	var at struct {
		Host string
		Port uint32
	}
	err := ssh.Unmarshal(req.Payload, &at)
	if err == nil && !c.fleet.cfg.ForwardLoopback {
		err = errNotAllowed
	}
	var l net.Listener
	if err == nil {
		l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", at.Port))
	}
	c.event(Event{Kind: EventListen, User: c.user, Detail: fmt.Sprintf("%s:%d", at.Host, at.Port), OK: err == nil})
	if err != nil {
		req.Reply(false, nil)
		return ls
	}
	port := uint32(l.Addr().(*net.TCPAddr).Port)
	var reply []byte
	if at.Port == 0 {
		reply = ssh.Marshal(struct{ Port uint32 }{port})
	}
	req.Reply(true, reply)
	c.wg.Go(func() { c.acceptFor(l, at.Host, port) })
	return append(ls, listening{l, at.Host, port})
}

// acceptFor passes connections on to the client until the listener closes.
func (c *conn) acceptFor(l net.Listener, host string, port uint32) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		from := nc.RemoteAddr().(*net.TCPAddr)
		c.wg.Go(func() {
			defer nc.Close()
			ch, requests, err := c.ssh.OpenChannel("forwarded-tcpip", ssh.Marshal(forward{host, port, from.IP.String(), uint32(from.Port)}))
			if err == nil {
				c.join(ctx, ch, requests, nc)
			}
		})
	}
}

// unlisten serves cancel-tcpip-forward.
func (c *conn) unlisten(ls listenings, req *ssh.Request) listenings {
	var at struct {
		Host string
		Port uint32
	}
	if ssh.Unmarshal(req.Payload, &at) != nil {
		req.Reply(false, nil)
		return ls
	}
	for i, l := range ls {
		if l.host == at.Host && l.port == at.Port {
			l.Close()
			req.Reply(true, nil)
			return append(ls[:i:i], ls[i+1:]...)
		}
	}
	req.Reply(false, nil)
	return ls
}

func (ls listenings) close() {
	for _, l := range ls {
		l.Close()
	}
}

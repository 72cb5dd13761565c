package sshtest

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

// direct connects a channel (RFC 4254 §7.2, or OpenSSH's PROTOCOL §2.4) to
// another host of the fleet, or to loopback.
func (c *conn) direct(ctx context.Context, nc ssh.NewChannel) {
	network, addr, host := "unix", "", ""
	if nc.ChannelType() == "direct-tcpip" {
		var to forward
		if ssh.Unmarshal(nc.ExtraData(), &to) != nil {
			nc.Reject(ssh.ConnectionFailed, "malformed request")
			return
		}
		network, host = "tcp", to.Host
		addr = net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10))
	} else {
		var to struct {
			Path     string
			Reserved string
			Number   uint32
		}
		if ssh.Unmarshal(nc.ExtraData(), &to) != nil {
			nc.Reject(ssh.ConnectionFailed, "malformed request")
			return
		}
		addr = to.Path
	}
	target, err := c.fleet.dialForward(ctx, network, addr, host)
	c.event(Event{Kind: EventForward, User: c.user, Detail: addr, OK: err == nil})
	switch refusal, isRefusal := errors.AsType[*ssh.OpenChannelError](err); {
	case isRefusal:
		nc.Reject(refusal.Reason, refusal.Message)
		return
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
func (f *Fleet) dialForward(ctx context.Context, network, addr, host string) (net.Conn, error) {
	if f.cfg.Forward != nil {
		return f.cfg.Forward(ctx, network, addr)
	}
	if f.byAddr[addr] != nil {
		return f.Dial(ctx, "tcp", addr)
	}
	if !f.cfg.ForwardLoopback || network == "tcp" && !isLoopback(host) {
		return nil, errNotAllowed
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
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

// A listening is one tcpip-forward (RFC 4254 §7.1) or streamlocal-forward
// (OpenSSH's PROTOCOL §2.4) of a connection.
type listening struct {
	net.Listener
	at listenAt
}

// listenAt is where a client wants to listen, as it wrote it.
type listenAt struct {
	host string // of TCP
	port uint32
	path string // of a Unix socket
}

func parseListen(req *ssh.Request) (at listenAt, err error) {
	if strings.Contains(req.Type, "streamlocal") {
		var socket struct{ Path string }
		err = ssh.Unmarshal(req.Payload, &socket)
		return listenAt{path: socket.Path}, err
	}
	var tcp struct {
		Host string
		Port uint32
	}
	err = ssh.Unmarshal(req.Payload, &tcp)
	return listenAt{host: tcp.Host, port: tcp.Port}, err
}

func (at listenAt) String() string {
	if at.path != "" {
		return at.path
	}
	return fmt.Sprintf("%s:%d", at.host, at.port)
}

// listenings are those of one connection; only its global requests' goroutine
// uses them.
type listenings []listening

// listenFor serves a request to listen. Whatever address the client names, a
// TCP listener is on loopback.
func (c *conn) listenFor(ls listenings, req *ssh.Request) listenings {
	at, err := parseListen(req)
	if err == nil && !c.fleet.cfg.ForwardLoopback {
		err = errNotAllowed
	}
	var l net.Listener
	if err == nil && at.path != "" {
		l, err = net.Listen("unix", at.path)
	} else if err == nil {
		l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", at.port))
	}
	c.event(Event{Kind: EventListen, User: c.user, Detail: at.String(), OK: err == nil})
	if err != nil {
		req.Reply(false, nil)
		return ls
	}
	var reply []byte
	if at.path == "" && at.port == 0 {
		at.port = uint32(l.Addr().(*net.TCPAddr).Port)
		reply = ssh.Marshal(struct{ Port uint32 }{at.port})
	}
	req.Reply(true, reply)
	c.wg.Go(func() { c.acceptFor(l, at) })
	return append(ls, listening{l, at})
}

// acceptFor passes connections on to the client until the listener closes.
func (c *conn) acceptFor(l net.Listener, at listenAt) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		typ, data := "forwarded-streamlocal@openssh.com", ssh.Marshal(struct{ Path, Reserved string }{Path: at.path})
		if from, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
			typ, data = "forwarded-tcpip", ssh.Marshal(forward{at.host, at.port, from.IP.String(), uint32(from.Port)})
		}
		c.wg.Go(func() {
			defer nc.Close()
			ch, requests, err := c.ssh.OpenChannel(typ, data)
			if err == nil {
				c.join(ctx, ch, requests, nc)
			}
		})
	}
}

// unlisten serves the request to listen no longer.
func (c *conn) unlisten(ls listenings, req *ssh.Request) listenings {
	at, err := parseListen(req)
	i := slices.IndexFunc(ls, func(l listening) bool { return l.at == at })
	if err != nil || i < 0 {
		req.Reply(false, nil)
		return ls
	}
	ls[i].Close()
	req.Reply(true, nil)
	return slices.Delete(ls, i, i+1)
}

func (ls listenings) close() {
	for _, l := range ls {
		l.Close()
	}
}

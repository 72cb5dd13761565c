package shoal

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Transport makes the connections of a [Client] in another way than Shoal does
// by itself. Package openssh has one, which leaves it to the user's own ssh.
//
// Connect connects to the host, checks its key and logs in. The host has what
// [Client.Host] and [Client.Complete] have for it and no defaults; Addr is the
// bare name or address, and Port is 0 where none was given, in its jump hosts
// too. Connect keeps Host.Timeout, and returns when ctx ends. alone asks for a
// connection that is not shared with others. An error that is a [*HostError]
// says stage, kind, jump host and cause; any other is a host that is
// unreachable. Connect must be safe for concurrent use.
type Transport interface {
	Connect(ctx context.Context, h Host, alone bool) (*Carrier, error)
}

// Carrier is a connection made by a [Transport].
type Carrier struct {
	// Conn carries SSH's connection protocol (RFC 4254) as the socket of an
	// OpenSSH ControlMaster does in proxy mode (OpenSSH's PROTOCOL.mux, §"Requesting
	// passing of all channels"). An error of its Read says why the connection
	// ended. Close ends it and waits until nothing of it is left.
	Conn net.Conn
	// Shared says that others may have sessions on the connection.
	Shared bool
	// MaxSessions is the number of sessions to have on it at once; 0 means as
	// many as the server allows.
	MaxSessions int
}

// carry has the client's Transport make the connection.
func (hs *handshake) carry(ctx context.Context, alone bool) (*link, *HostError) {
	c := hs.client
	if err := take(ctx, c.limit.handshakes); err != nil {
		return nil, &HostError{Stage: StageConnect, Kind: endKind(err), Err: err}
	}
	leave := sync.OnceFunc(func() { <-c.limit.handshakes })
	defer leave()
	defer time.AfterFunc(stalled, leave).Stop()
	began := time.Now()
	carrier, err := c.Transport.Connect(ctx, hs.bare(), alone)
	hs.timings.Auth = time.Since(began)
	if err != nil {
		he := &HostError{Stage: StageConnect, Kind: connectKind(ctx, StageConnect, err), Err: err}
		if own, ok := errors.AsType[*HostError](err); ok {
			*he = *own
		}
		if ctx.Err() != nil {
			he.Kind, he.Err = endKind(context.Cause(ctx)), causeOf(ctx, he.Err)
		}
		he.timings = hs.timings
		return nil, he
	}
	hs.login, hs.carrier = new(login), carrier
	hs.wire = newWire(carrier.Conn, nil)
	hs.wire.done = true // there is no identification, and the login is done
	hs.wire.loggedIn.Store(true)
	sc, channels, requests, err := hs.control(ctx)
	if err != nil {
		hs.wire.Close()
		he := &HostError{Stage: StageAuth, Kind: KindLost, Err: trimSSH(err)}
		if ctx.Err() != nil || errors.Is(err, errBudget) {
			he.Kind, he.Err = endKind(causeOf(ctx, err)), causeOf(ctx, err)
		}
		return nil, he
	}
	return newLink(hs, sc, channels, requests), nil
}

// control asks to have all channels passed on, within channelBudget.
func (hs *handshake) control(ctx context.Context) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, channelBudget, errBudget)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { hs.wire.Close() })
	sc, channels, requests, err := ssh.NewControlClientConn(hs.wire)
	if !stop() {
		if err == nil {
			go discard(channels, requests)
		}
		return nil, nil, nil, context.Cause(ctx)
	}
	return sc, channels, requests, err
}

// discard takes what comes until the connection, which was closed, has ended.
func discard(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	for ch := range channels {
		ch.Reject(ssh.Prohibited, "closed")
	}
	ssh.DiscardRequests(requests)
}

// bare is the host as a Transport gets it.
func (hs *handshake) bare() Host {
	h := hs.host.bare()
	h.Via = make([]Host, len(hs.host.Via))
	for i, hop := range hs.host.Via {
		h.Via[i] = hop.bare()
	}
	return h
}

func (h Host) bare() Host {
	addr := h.Addr
	if addr == "" {
		addr = h.Name
	}
	host, port, err := splitAddr(addr)
	if err == nil { // it was checked before
		h.Addr = host
	}
	if port != 0 {
		h.Port = port
	}
	return h
}

// askInSession asks for a sign of life in one of the sessions: requests outside
// of them do not pass a ControlMaster, which ends the connection at such a one.
func (l *link) askInSession() error {
	l.mu.Lock()
	var channel ssh.Channel
	for channel = range l.channels {
		break
	}
	l.mu.Unlock()
	if channel == nil {
		return errors.New("there is no session to ask in")
	}
	l.asks.Add(1)
	_, err := channel.SendRequest("keepalive@openssh.com", true, nil)
	return err
}

// leave ends the session and gives its place back.
func (s *session) leave() {
	s.link.mu.Lock()
	delete(s.link.channels, s.channel)
	s.link.mu.Unlock()
	s.link.leave()
}

func (c *Client) checkCarried(h Host) error {
	if c.Dial != nil {
		return errors.New("Client.Dial and Client.Transport exclude each other")
	}
	if !h.ForwardAgent.invalid() {
		return errors.New("ForwardAgent: a Transport forwards no agent; use a Client without one")
	}
	return checkEnv(h.Env)
}

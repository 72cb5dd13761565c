package sshtest

import (
	"context"
	"slices"

	"github.com/shoal-ssh/shoal/sshtest/internal/rawssh"
	"golang.org/x/crypto/ssh"
)

// Messages of RFC 4252 §6 and RFC 4254 §9.
const (
	msgServiceRequest   = 5
	msgServiceAccept    = 6
	msgAuthRequest      = 50
	msgAuthFailure      = 51
	msgAuthSuccess      = 52
	msgAuthKeyOK        = 60
	msgGlobalRequest    = 80
	msgGlobalSuccess    = 81
	msgGlobalFailure    = 82
	msgChannelOpen      = 90
	msgChannelOpenError = 92
	msgChannelSuccess   = 99
	msgChannelFailure   = 100
)

// A rawConn serves a connection on which a fault is played that takes packets
// made by hand. It logs in with one key or password and has sessions only.
type rawConn struct {
	conn     *conn
	t        *rawssh.Conn
	sessions map[uint32]*rawSession // by the server's channel number
	next     uint32
	pong     chan struct{} // answers to ping
}

type rawSession struct {
	*Session
	ch     *rawssh.Channel
	ctx    context.Context
	cancel context.CancelFunc
}

// talkRaw is talk for a rawConn.
func (c *conn) talkRaw(ctx context.Context) {
	t, err := rawssh.Accept(c.wire, c.fleet.cfg.Version, c.host.signers[:len(c.host.HostKeys)])
	if err != nil {
		return
	}
	c.event(Event{Kind: EventHandshake, Detail: string(t.ClientVersion())})
	r := &rawConn{conn: c, t: t, sessions: make(map[uint32]*rawSession), pong: make(chan struct{}, 1)}
	u := r.login()
	if u == nil {
		return
	}
	c.user, c.raw = u.Name, r
	c.event(Event{Kind: EventLogin, User: c.user, OK: true})
	r.playLoggedIn()
	r.loop(ctx)
	for _, s := range r.sessions {
		s.ch.Abandon()
	}
}

// login answers until the client is in (RFC 4252 §5); nil if it fails.
func (r *rawConn) login() *User {
	p, err := r.t.ReadPacket()
	if err != nil || p[0] != msgServiceRequest {
		return nil
	}
	r.t.WritePacket(append([]byte{msgServiceAccept}, p[1:]...))
	r.playServiceAccepted()
	tries := cmpOr(r.conn.fleet.cfg.MaxAuthTries, 6)
	for range max(tries, 1) + 1 { // the first "none" is free
		p, err := r.t.ReadPacket()
		if err != nil || p[0] != msgAuthRequest || r.playAuthRequest() {
			return nil
		}
		user, err := r.attempt(p)
		if err != nil {
			return nil
		}
		if user != nil {
			r.t.WritePacket([]byte{msgAuthSuccess})
			return user
		}
	}
	return nil
}

// attempt answers one request; the user is nil unless the client is in.
func (r *rawConn) attempt(p []byte) (*User, error) {
	var req struct {
		User    string `sshtype:"50"`
		Service string
		Method  string
		Rest    []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(p, &req); err != nil {
		return nil, err
	}
	u, ok, answered := r.conn.fleet.users[req.User], false, false
	if u != nil && u.Require == nil {
		switch req.Method {
		case "password":
			ok = passwordMatches(u, req.Rest)
		case "publickey":
			ok, answered = r.publicKey(u, req.Rest)
		}
	}
	if answered {
		return nil, nil
	}
	r.conn.event(Event{Kind: EventAuth, User: req.User, Method: req.Method, OK: ok})
	if ok {
		return u, nil
	}
	return nil, r.refuse()
}

func (r *rawConn) refuse() error {
	return r.t.WritePacket(ssh.Marshal(struct {
		Methods []string `sshtype:"51"`
		Partial bool
	}{Methods: r.conn.fleet.methods}))
}

// passwordMatches reads RFC 4252 §8.
func passwordMatches(u *User, rest []byte) bool {
	var req struct {
		Change   bool
		Password string
	}
	return ssh.Unmarshal(rest, &req) == nil && !req.Change && u.Password != "" && sameSecret(req.Password, u.Password)
}

// publicKey checks RFC 4252 §7: an offer, which it answers, or a signature.
func (r *rawConn) publicKey(u *User, rest []byte) (ok, answered bool) {
	var req struct {
		Signed    bool
		Algorithm string
		Key       []byte
		Signature []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(rest, &req) != nil {
		return false, false
	}
	key, err := ssh.ParsePublicKey(req.Key)
	if err != nil || !r.conn.fleet.authorizedKey(u, key) {
		return false, false
	}
	if !req.Signed {
		r.t.WritePacket(ssh.Marshal(struct {
			Algorithm string `sshtype:"60"`
			Key       []byte
		}{req.Algorithm, r.playOffer(req.Key)}))
		return false, true
	}
	return r.verify(u.Name, key, req.Algorithm, req.Signature), false
}

// verify checks the signature over the session and the request.
func (r *rawConn) verify(user string, key ssh.PublicKey, algorithm string, field []byte) bool {
	var blob struct{ Signature []byte }
	var sig ssh.Signature
	if ssh.Unmarshal(field, &blob) != nil || ssh.Unmarshal(blob.Signature, &sig) != nil {
		return false
	}
	safe := []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	if sig.Format != algorithm || !slices.Contains(safe, algorithm) {
		return false
	}
	return key.Verify(ssh.Marshal(struct {
		Session               []byte
		Type                  byte
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{r.t.SessionID(), msgAuthRequest, user, "ssh-connection", "publickey", true, algorithm, key.Marshal()}), &sig) == nil
}

// loop serves the connection until it ends.
func (r *rawConn) loop(ctx context.Context) {
	for {
		p, err := r.t.ReadPacket()
		if err != nil {
			return
		}
		switch p[0] {
		case msgGlobalRequest:
			r.global(p)
		case msgGlobalSuccess, msgGlobalFailure:
			select {
			case r.pong <- struct{}{}:
			default:
			}
		case msgChannelOpen:
			r.open(ctx, p)
		case rawssh.MsgChannelRequest:
			r.request(p)
		case rawssh.MsgChannelWindowAdjust, rawssh.MsgChannelData, rawssh.MsgChannelEOF, rawssh.MsgChannelClose:
			r.deliver(p)
		}
	}
}

func (r *rawConn) global(p []byte) {
	var req struct {
		Type      string `sshtype:"80"`
		WantReply bool
		Rest      []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(p, &req) != nil {
		return
	}
	r.conn.event(Event{Kind: EventGlobal, User: r.conn.user, Detail: req.Type})
	if req.WantReply {
		r.t.WritePacket([]byte{msgGlobalFailure})
	}
}

// ping waits for the answer to a global request.
func (r *rawConn) ping() {
	select {
	case <-r.pong: // of another request
	default:
	}
	r.t.WritePacket(globalRequest("keepalive@openssh.com"))
	select {
	case <-r.pong:
	case <-r.conn.wire.gone:
	}
}

func globalRequest(name string) []byte {
	return ssh.Marshal(struct {
		Type      string `sshtype:"80"`
		WantReply bool
	}{name, true})
}

func (r *rawConn) open(ctx context.Context, p []byte) {
	var req struct {
		Type              string `sshtype:"90"`
		Remote            uint32
		Window, MaxPacket uint32
		Rest              []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(p, &req) != nil {
		return
	}
	limit := r.conn.fleet.cfg.MaxSessions
	ok := req.Type == "session" && (limit < 0 || len(r.sessions) < limit)
	if !ok {
		r.t.WritePacket(ssh.Marshal(struct {
			Remote         uint32 `sshtype:"92"`
			Reason         ssh.RejectionReason
			Text, Language string
		}{req.Remote, ssh.Prohibited, "open failed", ""}))
		return
	}
	c := r.conn
	ch := r.t.NewChannel(req.Remote, req.Window, req.MaxPacket)
	s := &rawSession{Session: newSession(c, int(c.lastSession.Add(1)), ch), ch: ch}
	s.ctx, s.cancel = context.WithCancel(ctx)
	c.event(Event{Kind: EventSession, Session: s.number, User: c.user, OK: true})
	c.fleet.stats.sessions.up()
	c.wg.Go(func() {
		<-s.ctx.Done()
		c.fleet.stats.sessions.down()
	})
	r.sessions[r.next] = s
	r.playOpen(s, r.next)
	r.next++
}

// request passes a channel request on to its session.
func (r *rawConn) request(p []byte) {
	var req struct {
		Channel   uint32 `sshtype:"98"`
		Type      string
		WantReply bool
		Payload   []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(p, &req) != nil {
		return
	}
	s := r.sessions[req.Channel]
	if s == nil {
		return
	}
	s.Session.request(s.ctx, request{req.Type, req.Payload, func(ok bool) {
		answer := byte(msgChannelFailure)
		if ok {
			answer = msgChannelSuccess
		}
		if req.WantReply {
			r.t.WritePacket(rawssh.Uint32s(answer, s.ch.Remote))
		}
	}})
}

// deliver passes any other message of a channel on.
func (r *rawConn) deliver(p []byte) {
	var msg struct {
		Channel uint32
		Rest    []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(p[1:], &msg) != nil {
		return
	}
	s := r.sessions[msg.Channel]
	if s == nil {
		return
	}
	s.ch.Deliver(p)
	if p[0] == rawssh.MsgChannelClose {
		s.cancel()
		delete(r.sessions, msg.Channel)
	}
}

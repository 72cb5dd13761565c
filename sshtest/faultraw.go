package sshtest

import (
	"bytes"
	"context"
	"strings"

	"github.com/shoal-ssh/shoal/sshtest/internal/rawssh"
	"golang.org/x/crypto/ssh"
)

// forgery is a text for DISCONNECT that looks like a result of another host
// where it is printed as it is.
const forgery = "bye\r\n\x1b[32m[host2] OK exit=0\x1b[0m\r\n"

// disconnect sends DISCONNECT (RFC 4253 §11.1) and FIN.
func (r *rawConn) disconnect() {
	r.t.WritePacket(ssh.Marshal(struct {
		Reason         uint32 `sshtype:"1"`
		Text, Language string
	}{11, forgery, ""}))
	closeWrite(r.conn.wire.Conn)
}

// flood sends a packet many times, beside the loop that reads what comes
// back, and then calls after.
func (r *rawConn) flood(packet []byte, normal int64, after func()) {
	n := r.conn.fault.count(normal)
	r.conn.wg.Go(func() {
		for range n {
			if r.t.WritePacket(packet) != nil {
				return
			}
		}
		after()
	})
}

func nothing() {}

// playServiceAccepted plays what comes before the first answer to a login.
func (r *rawConn) playServiceAccepted() {
	text := strings.Repeat("z", 200)
	switch r.conn.fault.Kind {
	case IgnoreFlood:
		r.flood(ssh.Marshal(struct {
			Data string `sshtype:"2"`
		}{text}), 100_000, r.conn.wire.silence)
	case DebugFlood:
		r.flood(ssh.Marshal(struct {
			Display        bool `sshtype:"4"`
			Text, Language string
		}{true, text, ""}), 100_000, r.conn.wire.silence)
	case AuthSuccessSoon:
		r.t.WritePacket([]byte{msgAuthSuccess})
	}
}

// playAuthRequest reports whether the connection is over.
func (r *rawConn) playAuthRequest() bool {
	switch r.conn.fault.Kind {
	case AuthDisconnect:
		r.disconnect()
		r.conn.wire.drain()
		return true
	case IgnoreFlood, DebugFlood:
		r.conn.wire.drain()
		return true
	case AuthSuccessSoon:
		r.t.ReadPacket() // of a client that takes itself to be logged in
		r.refuse()
		r.conn.wire.drain()
		return true
	}
	return false
}

// playOffer is the key that an offer of key is answered with.
func (r *rawConn) playOffer(key []byte) []byte {
	if r.conn.fault.Kind != AuthKeyOther {
		return key
	}
	other := bytes.Clone(key)
	other[len(other)-1] ^= 1
	return other
}

// playLoggedIn plays what comes right after the login.
func (r *rawConn) playLoggedIn() {
	switch r.conn.fault.Kind {
	case AfterAuthLeave:
		r.disconnect()
	case GlobalFlood:
		r.flood(globalRequest("flood@example.com"), 10_000, nothing)
	case ReplyFlood:
		r.flood([]byte{msgGlobalSuccess}, 10_000, nothing)
	case ChanOpenFlood:
		r.flood(ssh.Marshal(struct {
			Type                      string `sshtype:"90"`
			Remote, Window, MaxPacket uint32
			Data                      []byte `ssh:"rest"`
		}{"forwarded-tcpip", 77, rawssh.Window, rawssh.MaxPacket, probeData("forwarded-tcpip")}), 10_000, nothing)
	}
}

// playOpen answers the opening of a session.
func (r *rawConn) playOpen(s *rawSession, local uint32) {
	window, maxPacket := uint32(rawssh.Window), uint32(rawssh.MaxPacket)
	switch r.conn.fault.Kind {
	case DataBeforeConfirm:
		s.ch.Write([]byte("too soon\n"))
	case WindowZero:
		window = 0
	case MaxPacketZero:
		maxPacket = 0
	case MaxPacketOne:
		maxPacket = 1
	}
	s.ch.Confirm(local, window, maxPacket)
	switch r.conn.fault.Kind {
	case ConfirmTwice:
		s.ch.Confirm(local, window, maxPacket)
	case ChanReplyFlood:
		// All at once, so that none comes after the channel is closed.
		for range r.conn.fault.count(1000) {
			r.t.WritePacket(rawssh.Uint32s(msgChannelSuccess, s.ch.Remote))
		}
	case UnknownChannel:
		r.t.WritePacket(append(rawssh.Uint32s(rawssh.MsgChannelData, 4242, 1), 'x'))
	case UnknownMessage:
		r.t.WritePacket([]byte("\xc8what"))
	case EmptyPayload:
		r.t.WritePacket(nil)
	}
}

// unimplemented says that the last packet was not understood (RFC 4253 §11.4).
func (r *rawConn) unimplemented() {
	r.t.WritePacket(rawssh.Uint32s(rawssh.MsgUnimplemented, r.t.Last()))
}

// playEnd runs a command and breaks the rules of channels about it.
func (r *rawConn) playEnd(ctx context.Context, s *Session, handler Handler) {
	remote := s.ch.(*rawssh.Channel).Remote
	data := rawssh.Uint32s(rawssh.MsgChannelData, remote)
	switch r.conn.fault.Kind {
	case ExecWindowOverrun:
		packet := append(append(data, 0, 0, 0x80, 0), make([]byte, 0x8000)...)
		for range r.conn.fault.count(rawssh.Window+128<<10) / 0x8000 {
			r.t.WritePacket(packet)
		}
	case ExecHugePacket:
		r.t.WritePacket(append(append(data, 0, 3, 0x20, 0), make([]byte, 0x32000)...))
	case ExecDataLenLie:
		r.t.WritePacket(append(data, "\x00\x00\xff\xffshort"...))
		<-ctx.Done()
		return
	}
	status := handler(ctx, s)
	after := append(data, "\x00\x00\x00\x06after\n"...)
	switch r.conn.fault.Kind {
	case ExecDataAfterEOF:
		s.SendExit(status)
		s.ch.CloseWrite()
		r.t.WritePacket(after)
		s.ch.Close()
	case ExecDataAfterClose:
		s.end(status)
		r.t.WritePacket(after)
	default:
		s.end(status)
	}
}

// cut is called in the middle of stdout.
func (r *rawConn) cut(s *Session) {
	switch r.conn.fault.Kind {
	case ExecDisconnectMid:
		r.disconnect()
	case RekeySilent:
		r.t.FeignRekey()
		r.conn.wire.silence()
	case RekeyDataFlood:
		r.t.FeignRekey()
		fill(s.out, []byte("not a key exchange\n"), 64<<20)
		r.conn.wire.silence()
	case RekeyNewHostKey:
		if key, err := GenerateKey("ed25519"); err == nil {
			r.t.StartRekey([]ssh.Signer{key})
		}
	}
}

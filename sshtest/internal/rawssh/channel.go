package rawssh

import (
	"encoding/binary"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Messages of channels (RFC 4254 §9).
const (
	MsgChannelOpenConfirm  = 91
	MsgChannelWindowAdjust = 93
	MsgChannelData         = 94
	MsgChannelExtended     = 95
	MsgChannelEOF          = 96
	MsgChannelClose        = 97
	MsgChannelRequest      = 98
)

// Window and MaxPacket are what a channel grants the client unless it is told
// otherwise.
const (
	Window    = 2 << 20
	MaxPacket = 32 << 10
)

// A Channel is one channel that the client has opened. It is an [ssh.Channel].
type Channel struct {
	// Remote is the client's number of the channel, which goes into every
	// message about it.
	Remote uint32

	conn *Conn
	mu   sync.Mutex
	cond *sync.Cond

	room      int64 // bytes that the client takes
	maxPacket int
	data      []byte // from the client, not read yet
	consumed  int    // bytes read and not yet granted again
	eof, gone bool
}

// NewChannel makes the server's end of a channel; the confirmation of it is
// the caller's.
func (c *Conn) NewChannel(remote, window, maxPacket uint32) *Channel {
	ch := &Channel{Remote: remote, conn: c, room: int64(window), maxPacket: int(min(maxPacket, MaxPacket))}
	ch.cond = sync.NewCond(&ch.mu)
	return ch
}

// Confirm tells the client that its channel is open, under the number local.
func (ch *Channel) Confirm(local, window, maxPacket uint32) error {
	return ch.conn.WritePacket(Uint32s(MsgChannelOpenConfirm, ch.Remote, local, window, maxPacket))
}

// Uint32s makes a message of numbers.
func Uint32s(msg byte, numbers ...uint32) []byte {
	p := []byte{msg}
	for _, n := range numbers {
		p = binary.BigEndian.AppendUint32(p, n)
	}
	return p
}

// Deliver takes a message from the client that is not a request.
func (ch *Channel) Deliver(p []byte) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch p[0] {
	case MsgChannelWindowAdjust:
		if len(p) >= 9 {
			ch.room += int64(binary.BigEndian.Uint32(p[5:]))
		}
	case MsgChannelData:
		if len(p) >= 9 && len(ch.data) < Window {
			ch.data = append(ch.data, p[9:]...)
		}
	case MsgChannelEOF:
		ch.eof = true
	case MsgChannelClose:
		ch.eof, ch.gone = true, true
	}
	ch.cond.Broadcast()
}

// Abandon ends reading and writing when the connection is gone.
func (ch *Channel) Abandon() { ch.Deliver([]byte{MsgChannelClose}) }

// Read reads what the client sends.
func (ch *Channel) Read(p []byte) (int, error) {
	ch.mu.Lock()
	for len(ch.data) == 0 && !ch.eof {
		ch.cond.Wait()
	}
	n := copy(p, ch.data)
	ch.data = ch.data[n:]
	ch.consumed += n
	grant := 0
	if ch.consumed > Window/2 {
		grant, ch.consumed = ch.consumed, 0
	}
	ch.mu.Unlock()
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	if grant > 0 {
		ch.conn.WritePacket(Uint32s(MsgChannelWindowAdjust, ch.Remote, uint32(grant)))
	}
	return n, nil
}

// Write sends stdout.
func (ch *Channel) Write(p []byte) (int, error) {
	return ch.send(p, Uint32s(MsgChannelData, ch.Remote))
}

// Stderr sends stderr; there is nothing to read from it.
func (ch *Channel) Stderr() io.ReadWriter { return extended{ch} }

type extended struct{ *Channel }

func (e extended) Read([]byte) (int, error) { return 0, io.EOF }

func (e extended) Write(p []byte) (int, error) {
	return e.send(p, Uint32s(MsgChannelExtended, e.Remote, 1))
}

// send sends data as the window allows.
func (ch *Channel) send(p, head []byte) (n int, err error) {
	for len(p) > 0 {
		size, err := ch.reserve(len(p))
		if err != nil {
			return n, err
		}
		packet := binary.BigEndian.AppendUint32(head[:len(head):len(head)], uint32(size))
		if err := ch.conn.WritePacket(append(packet, p[:size]...)); err != nil {
			return n, err
		}
		n += size
		p = p[size:]
	}
	return n, nil
}

func (ch *Channel) reserve(n int) (int, error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for ch.room == 0 && !ch.gone {
		ch.cond.Wait()
	}
	if ch.gone {
		return 0, net.ErrClosed
	}
	n = int(min(int64(n), ch.room, int64(ch.maxPacket)))
	ch.room -= int64(n)
	return n, nil
}

// CloseWrite sends EOF.
func (ch *Channel) CloseWrite() error { return ch.conn.WritePacket(Uint32s(MsgChannelEOF, ch.Remote)) }

// Close sends CLOSE.
func (ch *Channel) Close() error { return ch.conn.WritePacket(Uint32s(MsgChannelClose, ch.Remote)) }

// SendRequest sends a request; a reply is not waited for and must not be asked
// for.
func (ch *Channel) SendRequest(name string, _ bool, payload []byte) (bool, error) {
	return false, ch.conn.WritePacket(ssh.Marshal(struct {
		Channel   uint32 `sshtype:"98"`
		Name      string
		WantReply bool
		Payload   []byte `ssh:"rest"`
	}{ch.Remote, name, false, payload}))
}

var _ ssh.Channel = (*Channel)(nil)

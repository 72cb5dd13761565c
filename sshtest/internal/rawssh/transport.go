// Package rawssh is the server's side of an SSH transport whose packets are
// made by hand, so that a test server can send what no correct one would. It
// knows one key exchange and one cipher, which every current client offers:
// curve25519-sha256 (RFC 8731) and aes128-gcm@openssh.com (OpenSSH PROTOCOL
// §1.6, RFC 5647).
package rawssh

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// maxPacket bounds what a peer can make us allocate.
const maxPacket = 256 << 10

// Conn is a connection after its first key exchange. One goroutine may read
// while others write.
type Conn struct {
	nc       net.Conn
	r        *bufio.Reader
	hostKeys []ssh.Signer

	clientVersion, serverVersion []byte
	sessionID                    []byte

	in       *sealer // nil before the first NEWKEYS
	received uint32
	feigned  atomic.Bool // a key exchange was begun that is not to happen

	mu      sync.Mutex // guards what follows, and the order of packets
	out     *sealer
	ours    []byte   // the KEXINIT of an exchange that StartRekey has begun
	waiting [][]byte // packets that have to wait for the end of it
}

// Accept exchanges versions and keys with a client.
func Accept(nc net.Conn, version string, hostKeys []ssh.Signer) (*Conn, error) {
	c := &Conn{nc: nc, r: bufio.NewReader(nc), hostKeys: hostKeys, serverVersion: []byte(version)}
	if _, err := io.WriteString(nc, version+"\r\n"); err != nil {
		return nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("version line: %w", err)
	}
	c.clientVersion = bytes.Clone(bytes.TrimRight(line, "\r\n"))
	if !bytes.HasPrefix(c.clientVersion, []byte("SSH-2.0-")) {
		return nil, fmt.Errorf("version line %.80q", c.clientVersion)
	}
	if err := c.exchange(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// ClientVersion is the client's identification string.
func (c *Conn) ClientVersion() []byte { return c.clientVersion }

// SessionID is the hash of the first key exchange (RFC 4253 §7.2).
func (c *Conn) SessionID() []byte { return c.sessionID }

// Messages about the transport (RFC 4253 §12, RFC 5656 §7.1, RFC 8308 §2.3).
const (
	MsgDisconnect    = 1
	MsgIgnore        = 2
	MsgUnimplemented = 3
	MsgDebug         = 4
	msgExtInfo       = 7
	msgKexInit       = 20
	msgNewKeys       = 21
)

// ReadPacket returns the payload of the next packet that is not about the
// transport. A key exchange that the client begins is done on the way.
func (c *Conn) ReadPacket() ([]byte, error) {
	for {
		p, err := c.read()
		if err != nil {
			return nil, err
		}
		switch p[0] {
		case MsgIgnore, MsgUnimplemented, MsgDebug, msgExtInfo:
		case msgKexInit:
			if c.feigned.Load() {
				continue
			}
			if err := c.exchange(p); err != nil {
				return nil, err
			}
		default:
			return p, nil
		}
	}
}

// Last is the sequence number of the packet read last.
func (c *Conn) Last() uint32 { return c.received - 1 }

// read returns the payload of the next packet (RFC 4253 §6).
func (c *Conn) read() ([]byte, error) {
	c.received++
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 2 || size > maxPacket {
		return nil, fmt.Errorf("packet of %d bytes", size)
	}
	tag := 0
	if c.in != nil {
		tag = c.in.aead.Overhead()
	}
	body := make([]byte, int(size)+tag)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return nil, err
	}
	if c.in != nil {
		var err error
		if body, err = c.in.aead.Open(body[:0], c.in.nonce(), body, head[:]); err != nil {
			return nil, err
		}
	}
	end := len(body) - int(body[0])
	if end <= 1 {
		return nil, errors.New("packet without payload")
	}
	return body[1:end], nil
}

// WritePacket sends a packet; while keys are exchanged it only takes it.
func (c *Conn) WritePacket(payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ours != nil {
		c.waiting = append(c.waiting, bytes.Clone(payload))
		return nil
	}
	return c.write(payload)
}

func (c *Conn) write(payload []byte) error {
	block := 8
	if c.out != nil {
		block = aes.BlockSize
	}
	// The length field is not encrypted with AEAD, nor counted when padding.
	counted := 1 + len(payload)
	if c.out == nil {
		counted += 4
	}
	padding := block - counted%block
	if padding < 4 {
		padding += block
	}
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	packet = append(packet, byte(padding))
	packet = append(packet, payload...)
	packet = append(packet, make([]byte, padding)...)
	if c.out != nil {
		sealed := c.out.aead.Seal(nil, c.out.nonce(), packet[4:], packet[:4])
		packet = append(packet[:4:4], sealed...)
	}
	_, err := c.nc.Write(packet)
	return err
}

// A sealer encrypts one direction.
type sealer struct {
	aead cipher.AEAD
	iv   []byte
}

func newSealer(key, iv []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead, iv}, nil
}

// nonce returns the next one: its last 8 bytes are a counter (RFC 5647 §7.1).
func (s *sealer) nonce() []byte {
	nonce := bytes.Clone(s.iv)
	binary.BigEndian.PutUint64(s.iv[4:], binary.BigEndian.Uint64(s.iv[4:])+1)
	return nonce
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

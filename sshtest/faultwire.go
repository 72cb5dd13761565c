package sshtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Message numbers of RFC 4253 §12 and RFC 5656 §7.1.
const (
	msgKexInit      = 20
	msgNewKeys      = 21
	msgKexECDHReply = 31
)

// playEarly plays the faults that come before SSH. It reports whether the
// connection is over; if not, it goes on as usual.
func (c *conn) playEarly() (over bool) {
	if c.fault.Kind != "" {
		c.event(Event{Kind: EventFault, Detail: string(c.fault.Kind)})
	}
	w, version := c.wire, c.fleet.cfg.Version+"\r\n"
	switch c.fault.Kind {
	case TCPSilent:
		w.drain()
	case TCPClose:
		w.finish()
	case TCPReset:
		w.reset()
	case Throttled:
		w.finish("Not allowed at this time\r\n")
	case BannerHTTP:
		w.finish("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad Request")
	case BannerGarbage:
		w.finish(string(noise(int(c.fault.count(64)))))
	case BannerSlow:
		c.trickle(version)
	case BannerLines:
		c.babble(c.fault.count(-1))
		w.drain()
	case BannerPreamble:
		c.babble(c.fault.count(1000))
		return false
	case BannerGiant:
		fill(w, []byte("x"), c.fault.count(10<<20))
		w.finish()
	case BannerEscape:
		w.say("SSH-2.0-\x1b[31mred\x1b[0m\a\r\n")
		w.drain()
	case BannerSSH1:
		w.say("SSH-1.5-old\n")
		w.drain()
	case BannerSilent:
		w.say(version)
		w.drain()
	case BannerClose:
		w.finish(version)
	case BannerReset:
		w.say(version)
		w.awaitClient()
		w.reset()
	case KexGarbage:
		w.say(version, string(noise(1<<20)))
		w.drain()
	case KexLengthHuge:
		w.say(version, "\xff\xff\xff\xff\x04\x14")
		w.drain()
	case KexLengthZero:
		w.say(version, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		w.drain()
	case KexPaddingLie:
		w.say(version, "\x00\x00\x00\x1c\xff\x14"+strings.Repeat("\x00", 26))
		w.drain()
	case KexAlgoBomb:
		w.say(version, string(cleartext(algorithmBomb(int(c.fault.count(20_000))))))
		w.drain()
	default:
		return false
	}
	return true
}

// algorithmBomb is a KEXINIT (RFC 4253 §7.1) with n names in its first list.
func algorithmBomb(n int) []byte {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("x%d", i)
	}
	one := []string{"none"}
	return ssh.Marshal(struct {
		Cookie                    [16]byte `sshtype:"20"`
		Names                     []string
		A, B, C, D, E, F, G, H, I []string
		Follows                   bool
		Reserved                  uint32
	}{Names: names, A: one, B: one, C: one, D: one, E: one, F: one, G: one})
}

// cleartext makes a packet of the time before the first NEWKEYS (RFC 4253 §6).
func cleartext(payload []byte) []byte {
	padding := 8 - (5+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	p := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	p = append(append(p, byte(padding)), payload...)
	return append(p, make([]byte, padding)...)
}

// noise is the same each time and has no newline in it.
func noise(n int) []byte {
	b := make([]byte, n)
	state := uint32(2463534242)
	for i := range b {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		b[i] = byte(state)
		if b[i] == '\n' {
			b[i] = 0xff
		}
	}
	return b
}

// trickle writes a byte a second and then nothing.
func (c *conn) trickle(text string) {
	c.wg.Go(func() {
		for i := range len(text) {
			c.wire.say(text[i : i+1])
			if !c.wire.sleep(time.Second) {
				return
			}
		}
	})
	c.wire.drain()
	c.wire.Close()
}

// babble writes n lines that are no version line, without end if n is negative.
func (c *conn) babble(n int64) {
	for i := int64(0); i != n; i++ {
		if c.wire.say("this line is not the version line\r\n") != nil {
			return
		}
	}
}

// say writes texts as they are.
func (w *wire) say(texts ...string) (err error) {
	for _, text := range texts {
		if _, err = io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// finish writes texts and a FIN, and reads until the client has closed too: to
// close with unread bytes would be an RST.
func (w *wire) finish(texts ...string) {
	w.say(texts...)
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	} else {
		w.Close()
	}
	w.drain()
}

// awaitClient reads once, so that the client is known to be there.
func (w *wire) awaitClient() { w.Conn.Read(make([]byte, 256)) }

// sleep waits for d and reports whether the connection is still there.
func (w *wire) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.gone:
		return false
	}
}

// playKex sets up the faults that show in the first key exchange, whose
// packets are not encrypted.
func (c *conn) playKex(sc *ssh.ServerConfig) {
	switch c.fault.Kind {
	case Banner199:
		sc.ServerVersion = "SSH-1.99-sshtest"
	case KexNoMatch:
		sc.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1}
		sc.Ciphers = []string{ssh.InsecureCipherTripleDESCBC}
	case RekeyFlood:
		sc.RekeyThreshold = 256 // the least that x/crypto takes
	case KexInitSilent:
		c.wire.filter = (&kexFilter{stop: msgKexInit}).sent
	case NewKeysSilent:
		c.wire.filter = (&kexFilter{stop: msgKexECDHReply}).sent
	case ServiceSilent:
		c.wire.filter = (&kexFilter{stop: msgNewKeys}).sent
	case KexBadSig:
		c.wire.filter = (&kexFilter{stop: msgNewKeys, change: breakSignature}).sent
	case KexZeroPoint:
		c.wire.filter = (&kexFilter{stop: msgNewKeys, change: zeroPoint}).sent
	case KexIgnore:
		c.wire.filter = (&kexFilter{stop: msgNewKeys, change: injectIgnore}).sent
	case BannerLF:
		c.wire.filter = func(p []byte) ([]byte, int32) {
			c.wire.filter = nil // the version line is the first write
			return bytes.Replace(p, []byte("\r\n"), []byte("\n"), 1), wireOpen
		}
	}
}

// A kexFilter watches the packets that a server sends until NEWKEYS.
type kexFilter struct {
	stop   byte                      // the last message that gets through
	change func(reply []byte) []byte // of the key exchange
	buf    []byte
	begun  bool // the version line has passed
	over   bool
}

func (k *kexFilter) sent(p []byte) (send []byte, then int32) {
	if k.over {
		return p, wireOpen
	}
	k.buf = append(k.buf, p...)
	for !k.over {
		packet := k.next()
		if packet == nil {
			break
		}
		send = append(send, packet...)
	}
	if !k.over {
		return send, wireOpen
	}
	if k.change == nil {
		return send, wireSilent
	}
	return append(send, k.buf...), wireOpen
}

// next takes a whole version line or packet (RFC 4253 §6) from what is sent.
func (k *kexFilter) next() []byte {
	if !k.begun {
		end := bytes.IndexByte(k.buf, '\n') + 1
		k.begun = end > 0
		return k.take(end)
	}
	if len(k.buf) < 6 {
		return nil
	}
	size := 4 + int(binary.BigEndian.Uint32(k.buf))
	if len(k.buf) < size {
		return nil
	}
	packet := k.take(size)
	k.over = packet[5] == k.stop
	if k.change != nil && packet[5] == msgKexECDHReply {
		packet = k.change(packet)
	}
	return packet
}

func (k *kexFilter) take(n int) []byte {
	if n == 0 {
		return nil
	}
	packet := k.buf[:n:n]
	k.buf = k.buf[n:]
	return packet
}

// breakSignature flips a bit of the last field of a key exchange reply.
func breakSignature(reply []byte) []byte {
	padding := int(reply[4])
	reply[len(reply)-padding-1] ^= 1
	return reply
}

// zeroPoint clears the second field, the server's public value.
func zeroPoint(reply []byte) []byte {
	at := 6
	hostKey := int(binary.BigEndian.Uint32(reply[at:]))
	at += 4 + hostKey
	size := int(binary.BigEndian.Uint32(reply[at:]))
	clear(reply[at+4 : at+4+size])
	return reply
}

func injectIgnore(reply []byte) []byte {
	return append(cleartext([]byte("\x02\x00\x00\x00\x01x")), reply...)
}

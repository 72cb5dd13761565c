package shoal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// ForwardDynamic is a SOCKS server for what l accepts here, whose connections are
// made by the host: ssh -D. It speaks versions 4, 4a and 5 (RFC 1928), CONNECT
// only and without authentication, so that l must be on loopback or no TCP
// listener. The host looks names up. It ends as [Conn.ForwardLocal] does.
func (c *Conn) ForwardDynamic(ctx context.Context, l net.Listener) error {
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() {
		l.Close()
		return c.forwardError(KindInvalid, fmt.Errorf("a SOCKS server asks for no password, so that it listens on loopback only, not on %s", at), time.Now())
	}
	return c.passOn(ctx, l, c.socks)
}

// socksBudget bounds how long a client takes to say where it wants to go.
const socksBudget = 30 * time.Second

// socks makes the connection that a SOCKS client asks for, and answers it.
func (c *Conn) socks(ctx context.Context, client net.Conn) (net.Conn, error) {
	client.SetDeadline(time.Now().Add(socksBudget))
	addr, answer, err := readSOCKS(client)
	if err != nil {
		return nil, fmt.Errorf("SOCKS: %w", err)
	}
	far, err := c.Dial(ctx, "tcp", addr)
	client.SetDeadline(time.Now().Add(socksBudget))
	if _, e := client.Write(answer(err)); e != nil && err == nil {
		far.Close()
		return nil, e
	}
	if err != nil {
		closeWrite(client) // the answer arrives
		return nil, err
	}
	client.SetDeadline(time.Time{})
	return far, nil
}

// readSOCKS reads a request up to its end, and no further. It returns the address
// that is wanted and how the outcome is answered.
func readSOCKS(rw io.ReadWriter) (addr string, answer func(error) []byte, err error) {
	b, err := readN(rw, 1)
	if err != nil {
		return "", nil, err
	}
	switch b[0] {
	case 4:
		addr, err = readSOCKS4(rw)
		return addr, socks4Answer, err
	case 5:
		addr, err = readSOCKS5(rw)
		return addr, socks5Answer, err
	}
	return "", nil, fmt.Errorf("version %d is neither 4 nor 5", b[0])
}

// readSOCKS4 reads what follows the version: SOCKS 4, or 4a where the address
// stands for a name at the end.
func readSOCKS4(r io.Reader) (string, error) {
	b, err := readN(r, 7)
	if err != nil {
		return "", err
	}
	if b[0] != socksConnect {
		return "", fmt.Errorf("command %d is not CONNECT", b[0])
	}
	port, host := binary.BigEndian.Uint16(b[1:]), net.IP(b[3:]).String()
	if _, err := readText(r); err != nil { // the user, who is not asked for
		return "", err
	}
	if b[3] == 0 && b[4] == 0 && b[5] == 0 && b[6] != 0 {
		if host, err = readText(r); err != nil {
			return "", err
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), nil
}

func socks4Answer(err error) []byte {
	code := byte(90) // granted
	if err != nil {
		code = 91
	}
	return []byte{0, code, 0, 0, 0, 0, 0, 0}
}

// Codes of RFC 1928.
const (
	socksConnect    = 1
	socksNoMethod   = 0xff
	socksFailed     = 1
	socksForbidden  = 2
	socksNoHost     = 4
	socksRefused    = 5
	socksNoCommand  = 7
	socksNoAddrType = 8
)

// readSOCKS5 reads what follows the version: the methods, which it answers with
// none, and the request. What it does not know it answers itself.
func readSOCKS5(rw io.ReadWriter) (string, error) {
	b, err := readN(rw, 1)
	if err != nil {
		return "", err
	}
	methods, err := readN(rw, int(b[0]))
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(methods, 0) < 0 {
		rw.Write([]byte{5, socksNoMethod})
		return "", errors.New("the client insists on authentication")
	}
	if _, err := rw.Write([]byte{5, 0}); err != nil {
		return "", err
	}
	if b, err = readN(rw, 4); err != nil {
		return "", err
	}
	command, addrType := b[1], b[3]
	size := 0
	switch addrType {
	case 1:
		size = net.IPv4len
	case 4:
		size = net.IPv6len
	case 3:
		if b, err = readN(rw, 1); err != nil {
			return "", err
		}
		size = int(b[0])
	default:
		rw.Write(socks5Reply(socksNoAddrType))
		return "", fmt.Errorf("address type %d is not known", addrType)
	}
	if b, err = readN(rw, size+2); err != nil {
		return "", err
	}
	if command != socksConnect {
		rw.Write(socks5Reply(socksNoCommand))
		return "", fmt.Errorf("command %d is not CONNECT", command)
	}
	host := string(b[:size])
	if addrType != 3 {
		host = net.IP(b[:size]).String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(b[size:])))), nil
}

func socks5Reply(code byte) []byte { return []byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0} }

func socks5Answer(err error) []byte {
	he, _ := errors.AsType[*HostError](err)
	switch {
	case err == nil:
		return socks5Reply(0)
	case he == nil:
		return socks5Reply(socksFailed)
	case he.Kind == KindChannelRefused:
		return socks5Reply(socksForbidden)
	case he.Kind == KindRefused:
		return socks5Reply(socksRefused)
	case he.Kind == KindDNS, he.Kind == KindUnreachable, he.Kind == KindTimeout:
		return socks5Reply(socksNoHost)
	}
	return socks5Reply(socksFailed)
}

func readN(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// maxSOCKSText bounds a text that ends with a zero byte.
const maxSOCKSText = 255

func readText(r io.Reader) (string, error) {
	var text []byte
	for len(text) <= maxSOCKSText {
		b, err := readN(r, 1)
		if err != nil {
			return "", err
		}
		if b[0] == 0 {
			return string(text), nil
		}
		text = append(text, b[0])
	}
	return "", fmt.Errorf("a text of more than %d bytes", maxSOCKSText)
}

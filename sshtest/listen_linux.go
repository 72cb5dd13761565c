package sshtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// manyAddresses tells that all of 127.0.0.0/8 can be listened on.
const manyAddresses = true

// listenLoopback serves any number of addresses with one socket. It is bound
// to the loopback device (SO_BINDTODEVICE, socket(7)), which any user may do
// since Linux 5.7: what comes in from another machine cannot reach it. Where
// that is refused, each address gets its own socket.
func (f *Fleet) listenLoopback() error {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = syscall.BindToDevice(int(fd), "lo") }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "tcp4", "0.0.0.0:"+strconv.Itoa(f.cfg.Port))
	if err != nil {
		if eachErr := f.listenEach(); eachErr != nil {
			return fmt.Errorf("sshtest: one listener on lo: %w; one for each host: %w", err, eachErr)
		}
		return nil
	}
	f.setAddrs(l.Addr().(*net.TCPAddr).Port)
	f.accept(l, nil)
	return f.refuse()
}

// refuse moves the hosts that play Refuse to a port where nobody listens: the
// one listener would accept for them too.
func (f *Fleet) refuse() error {
	port := 0
	for _, h := range f.hosts {
		if h.fault.Kind != Refuse {
			continue
		}
		if port == 0 {
			r, err := reserve()
			if err != nil {
				return fmt.Errorf("sshtest: %w", err)
			}
			f.listeners = append(f.listeners, r)
			port = r.port
		}
		h.Addr = net.JoinHostPort(loopback(h.Index).String(), strconv.Itoa(port))
	}
	return nil
}

// A reserved port is bound but not listened on.
type reserved struct{ fd, port int }

func reserve() (r reserved, err error) {
	r.fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return r, os.NewSyscallError("socket", err)
	}
	if err = syscall.Bind(r.fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		r.Close()
		return r, os.NewSyscallError("bind", err)
	}
	addr, err := syscall.Getsockname(r.fd)
	if err != nil {
		r.Close()
		return r, os.NewSyscallError("getsockname", err)
	}
	r.port = addr.(*syscall.SockaddrInet4).Port
	return r, nil
}

func (r reserved) Close() error { return syscall.Close(r.fd) }

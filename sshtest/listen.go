package sshtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

const (
	// maxHosts keeps the addresses within 127.0.0.0/8.
	maxHosts = 1 << 23
	// maxListeners is the number of hosts up to which each gets a listener of
	// its own; beyond it file descriptors would run out.
	maxListeners = 256
	// portTries is how often another port is tried when the one that was free
	// on the first address is taken on a later one.
	portTries = 20
)

var errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// loopback is the address of host i.
func loopback(i int) net.IP {
	n := uint32(127<<24 + 1 + i)
	return net.IPv4(byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// listen gives every host its address and begins to accept connections.
func (f *Fleet) listen() error {
	switch {
	case f.cfg.InMemory:
		f.setAddrs(cmpOr(f.cfg.Port, 22))
		return nil
	case f.cfg.ManyPorts || (!manyAddresses && len(f.hosts) > 1):
		return f.listenPorts()
	case len(f.hosts) > maxListeners:
		return f.listenLoopback()
	}
	return f.listenEach()
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

func (f *Fleet) setAddrs(port int) {
	for i, h := range f.hosts {
		h.Addr = net.JoinHostPort(loopback(i).String(), strconv.Itoa(port))
	}
}

// listenPorts listens on 127.0.0.1, on one port for each host.
func (f *Fleet) listenPorts() error {
	for _, h := range f.hosts {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("sshtest: %w", err)
		}
		h.Addr = l.Addr().String()
		f.accept(l, h)
	}
	return nil
}

// listenEach listens on each host's own address, all on the same port.
func (f *Fleet) listenEach() error {
	for try := 1; ; try++ {
		listeners, err := f.openEach()
		if err == nil {
			for i, l := range listeners {
				f.accept(l, f.hosts[i])
			}
			return nil
		}
		if f.cfg.Port != 0 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("sshtest: %w", err)
		}
	}
}

func (f *Fleet) openEach() (listeners []net.Listener, err error) {
	port := f.cfg.Port
	defer func() {
		if err != nil {
			closeAll(listeners)
		}
	}()
	for i, h := range f.hosts {
		l, err := net.Listen("tcp4", net.JoinHostPort(loopback(i).String(), strconv.Itoa(port)))
		if err != nil {
			return listeners, err
		}
		listeners = append(listeners, l)
		h.Addr = l.Addr().String()
		port = l.Addr().(*net.TCPAddr).Port
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// accept serves what comes in at l. Without a host, the address that a client
// connected to tells which host it means. A host that plays Refuse keeps its
// address but not its listener.
func (f *Fleet) accept(l net.Listener, h *host) {
	if h != nil && h.fault.Kind == Refuse {
		l.Close()
		return
	}
	f.mu.Lock()
	f.listeners = append(f.listeners, l)
	f.mu.Unlock()
	f.wg.Go(func() {
		select {
		case <-f.ready:
		case <-f.done:
			return
		}
		for {
			nc, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // the peer has gone again, or descriptors are short
			}
			f.route(nc, h)
		}
	})
}

// route finds the host that a connection is for. Addresses that no host has
// are closed before a byte is read or written.
func (f *Fleet) route(nc net.Conn, h *host) {
	if h == nil {
		h = f.hostAt(nc.LocalAddr())
	}
	if h == nil {
		nc.Close()
		return
	}
	f.start(h, nc)
}

func (f *Fleet) hostAt(addr net.Addr) *host {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return nil
	}
	ip := tcp.IP.To4()
	if ip == nil || ip[0] != 127 {
		return nil
	}
	i := int(ip[1])<<16 + int(ip[2])<<8 + int(ip[3]) - 1
	if i < 0 || i >= len(f.hosts) || f.hosts[i].fault.Kind == Refuse {
		return nil
	}
	return f.hosts[i]
}

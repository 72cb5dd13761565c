package sshtest

import (
	"context"
	"fmt"
	"net"
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
	return nil
}

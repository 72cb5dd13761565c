package shoal_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// dropSYN returns a port of the address whose connections are never answered:
// its queue of one is full.
func dropSYN(t *testing.T, addr, port string) {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(addr, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		conn, err := net.DialTimeout("tcp4", l.Addr().String(), 20*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the queue does not fill")
}

// An address that does not answer holds the next one up for a quarter of a
// second (RFC 8305 §5), not for its own timeout.
func TestSilentAddress(t *testing.T) {
	conform(t, "3.2 test_multiple_available_addr")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	dropSYN(t, "127.0.0.23", portOf(f))
	c := pinnedClient(t, f)
	c.Resolver = resolver(t, zone{"slow.test.": {addrs: []string{"127.0.0.23", "127.0.0.1"}}, "dead.test.": {addrs: []string{"127.0.0.23"}}})
	r, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts("slow.test.:"+portOf(f)), shoal.Command{Line: "hostname"}))
	if err != nil || r[0].Value.Text() != "host0\n" {
		t.Errorf("got %q, %v", r[0].Value.Text(), err)
	}
	if d := r[0].Timings.Connect; d < 200*time.Millisecond || d > 5*time.Second {
		t.Errorf("connecting took %v, want a little more than 250ms", d)
	}
	_, err = c.Conn(testContext(t), shoal.Host{Name: "dead.test.:" + portOf(f), Timeout: 20 * time.Millisecond})
	wantHostError(t, err, shoal.StageConnect, shoal.KindTimeout)
}

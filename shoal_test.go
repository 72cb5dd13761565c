package shoal_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("SHOAL_TEST_RELAY"); addr != "" {
		relayTo(addr)
		return
	}
	goleak.VerifyTestMain(m)
}

// relayTo connects the standard input and output to an address, as nc does.
func relayTo(addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		os.Exit(0)
	}()
	_, _ = io.Copy(os.Stdout, conn)
}

// testContext ends well before the test's own deadline, so that a hang fails
// with a message.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// newClient returns a client that logs in to the fleet and knows its keys.
func newClient(t *testing.T, f *sshtest.Fleet) *shoal.Client {
	t.Helper()
	c := &shoal.Client{Host: shoal.Host{
		User:     sshtest.DefaultUser,
		Auth:     []shoal.Auth{shoal.Key(f.ClientSigner())},
		HostKeys: fleetKeys(t, f),
	}}
	t.Cleanup(func() { c.Close() })
	return c
}

// fleetKeys are the fleet's host keys as a known_hosts file.
func fleetKeys(t *testing.T, f *sshtest.Fleet) *shoal.KnownHosts {
	t.Helper()
	return &shoal.KnownHosts{Files: []string{writeFile(t, "known_hosts", f.KnownHosts())}}
}

// hostsOf are the fleet's hosts, by their names.
func hostsOf(f *sshtest.Fleet) iter.Seq[shoal.Host] {
	return func(yield func(shoal.Host) bool) {
		for _, h := range f.Hosts() {
			if !yield(shoal.Host{Name: h.Name, Addr: h.Addr}) {
				return
			}
		}
	}
}

// openssh starts a real sshd and returns a client that logs in to it, and its host.
func openssh(t *testing.T, extra ...string) (*shoal.Client, shoal.Host, *opensshtest.Server) {
	t.Helper()
	s := opensshtest.Start(t, opensshtest.Config{Extra: extra})
	c := &shoal.Client{Host: shoal.Host{
		User:     s.User,
		Auth:     []shoal.Auth{shoal.KeyFile(s.KeyFile)},
		HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}},
	}}
	t.Cleanup(func() { c.Close() })
	return c, shoal.Host{Name: s.Addr}, s
}

func TestRunFleet(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 20})
	c := newClient(t, f)
	results, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "hostname; echo oops >&2"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 20 {
		t.Fatalf("got %d results, want 20", len(results))
	}
	for i, r := range results {
		if got, want := r.Value.Text(), f.Host(i).Name+"\n"; got != want {
			t.Errorf("host %d: got %q, want %q", i, got, want)
		}
		if got := r.Value.ErrText(); got != "oops\n" {
			t.Errorf("host %d: stderr %q, want oops", i, got)
		}
	}
}

func TestRunOpenSSH(t *testing.T) {
	c, h, _ := openssh(t)
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, err := conn.Run(testContext(t), shoal.Command{Line: "echo out; echo err >&2; exit 7", Stdin: strings.NewReader("x")})
	if e, ok := err.(*shoal.ExitError); !ok || e.Code != 7 {
		t.Fatalf("got error %v, want exit status 7", err)
	}
	if out.Text() != "out\n" || out.ErrText() != "err\n" || out.Code != 7 {
		t.Errorf("got %+v", out)
	}
}

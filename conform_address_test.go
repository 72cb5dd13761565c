package shoal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// zone is what a name server knows: the addresses of names, which end in a dot.
type zone map[string]record

type record struct {
	addrs  []string
	code   byte // of the response, RFC 1035 §4.1.1
	silent bool // never answers
	cname  string
}

const (
	serverFailure = 2
	noSuchName    = 3
)

// resolver asks a name server of the zone.
func resolver(t *testing.T, z zone) *net.Resolver {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex // net's lookups outlive their contexts
	ended := false
	end := make(chan struct{})
	t.Cleanup(func() {
		mu.Lock()
		ended = true
		mu.Unlock()
		close(end)
		wg.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return nil, net.ErrClosed
		}
		client, server := net.Pipe()
		wg.Go(func() { z.serve(server) })
		wg.Go(func() { <-end; server.Close() })
		return client, nil
	}}
}

// serve answers questions as over TCP (RFC 1035 §4.2.2), until the client leaves.
func (z zone) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		if reply := z.answer(query); reply != nil {
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
		}
	}
}

func (z zone) answer(query []byte) []byte {
	name, end := "", 12
	for query[end] != 0 {
		name += string(query[end+1:end+1+int(query[end])]) + "."
		end += 1 + int(query[end])
	}
	end += 5 // the last label, type and class
	kind := binary.BigEndian.Uint16(query[end-4:])
	r, ok := z[name]
	if !ok {
		r.code = noSuchName
	}
	if r.silent {
		return nil
	}
	var answers []byte
	count := byte(0)
	if r.cname != "" { // the address is that of the name it stands for
		var target []byte
		for label := range strings.SplitSeq(strings.TrimSuffix(r.cname, "."), ".") {
			target = append(append(target, byte(len(label))), label...)
		}
		target = append(target, 0)
		answers = append(answers, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, byte(len(target)))
		answers = append(answers, target...)
		count++
	}
	for _, a := range r.addrs {
		ip := netip.MustParseAddr(a)
		if want := map[bool]uint16{true: 1, false: 28}[ip.Is4()]; kind != want { // A, AAAA
			continue
		}
		owner := []byte{0xc0, 12}
		if r.cname != "" { // where the alias's own name was written
			owner = []byte{0xc0, byte(end + 12)}
		}
		answers = append(answers, append(owner, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 60, 0, byte(ip.BitLen()/8))...)
		answers = append(answers, ip.AsSlice()...)
		count++
	}
	reply := append([]byte{query[0], query[1], 0x81, 0x80 | r.code, 0, 1, 0, count, 0, 0, 0, 0}, query[12:end]...)
	return append(reply, answers...)
}

// forward listens at an address and connects each connection to target. It
// returns the port.
func forward(t *testing.T, network, addr, target string) string {
	t.Helper()
	l, err := net.Listen(network, net.JoinHostPort(addr, "0"))
	if err != nil {
		if network == "tcp6" && os.Getenv("SHOAL_REQUIRE_ALL") == "" {
			t.Skipf("left out: connecting over IPv6: %v", err)
		}
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer out.Close()
				wg.Go(func() { io.Copy(out, in); out.Close() })
				io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// portOf is the fleet's port.
func portOf(f *sshtest.Fleet) string {
	_, port, _ := net.SplitHostPort(f.Host(0).Addr)
	return port
}

// pinnedClient is newClient for names that no known_hosts file has.
func pinnedClient(t *testing.T, f *sshtest.Fleet) *shoal.Client {
	t.Helper()
	c := newClient(t, f)
	c.Host.HostKeys = shoal.PinnedHostKeys(f.Host(0).HostKey)
	return c
}

// A name without an address, and a name server that fails or says nothing.
func TestUnknownHost(t *testing.T) {
	conform(t, "3.1 test_unknown_host_failure", "3.1 test_retries", "3.1 test_connection_timeout")
	t.Parallel()
	r := resolver(t, zone{"broken.test.": {code: serverFailure}, "mute.test.": {silent: true}, "empty.test.": {}})
	for _, tt := range []struct {
		name     string
		retry    shoal.Retry
		attempts int
		kind     shoal.Kind
	}{
		{"nobody.test.", shoal.Retry{}, 1, shoal.KindDNS},
		{"nobody.test.", shoal.Retry{Attempts: 2, Delay: 1}, 2, shoal.KindDNS},
		{"empty.test.", shoal.Retry{}, 1, shoal.KindDNS},
		{"broken.test.", shoal.Retry{Delay: 1}, 2, shoal.KindDNS}, // a passing failure is asked about once more
		{"broken.test.", shoal.Retry{Attempts: -1}, 1, shoal.KindDNS},
		{"mute.test.", shoal.Retry{}, 1, shoal.KindTimeout},
	} {
		t.Run(fmt.Sprint(tt.name, tt.retry.Attempts), func(t *testing.T) {
			c := &shoal.Client{Resolver: r, Host: shoal.Host{User: "u", Auth: []shoal.Auth{}, Retry: tt.retry, Timeout: 50 * time.Millisecond}}
			if tt.kind == shoal.KindDNS {
				c.Host.Timeout = 0
			}
			defer c.Close()
			_, err := c.Conn(testContext(t), shoal.Host{Name: tt.name})
			he := wantHostError(t, err, shoal.StageResolve, tt.kind)
			if he.Attempt != tt.attempts || he.Host != tt.name {
				t.Errorf("got %q after %d attempts, want %d", he, he.Attempt, tt.attempts)
			}
		})
	}
}

// A Dial of the program's own that resolves names fails as one of ours does.
func TestUnknownHostByDial(t *testing.T) {
	conform(t, "3.1 test_unknown_host_failure")
	_, c := memoryFleet(t, sshtest.Config{})
	c.Host.Retry.Attempts = 1
	_, err := c.Conn(testContext(t), shoal.Host{Name: "nobody"})
	wantHostError(t, err, shoal.StageConnect, shoal.KindDNS)
}

// A name that cannot be found is one host's error; the client goes on with the
// others.
func TestUnknownHostAmongOthers(t *testing.T) {
	conform(t, "3.1 test_retries", "3.1 test_unknown_host_failure")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	c := pinnedClient(t, f)
	c.Resolver = resolver(t, zone{"good.test.": {addrs: []string{"127.0.0.1"}}})
	names := []string{"good.test.:" + portOf(f), "nobody.test.:" + portOf(f), "tester@good.test.:" + portOf(f)}
	results, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts(names...), shoal.Command{Line: "hostname"}))
	he := wantHostError(t, err, shoal.StageResolve, shoal.KindDNS)
	if he.Host != names[1] {
		t.Errorf("got %v, want it of %s", he, names[1])
	}
	for i, r := range results {
		if i != 1 && (r.Err != nil || r.Value.Text() != "host0\n" || r.Host.Name != names[i]) {
			t.Errorf("%s: %q, %v", r.Host.Name, r.Value.Text(), r.Err)
		}
	}
}

// Of several addresses those that refuse are passed over at once, each tried
// once.
func TestSeveralAddresses(t *testing.T) {
	conform(t, "3.2 test_multiple_available_addr")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{}) // at 127.0.0.1
	dead := []string{"127.0.0.21", "127.0.0.22"}
	c := pinnedClient(t, f)
	c.Resolver = resolver(t, zone{
		"some.test.": {addrs: append(slices.Clone(dead), "127.0.0.1")},
		"none.test.": {addrs: dead},
	})
	r, err := shoal.Gather(c.Run(testContext(t), shoal.Hosts("some.test.:"+portOf(f)), shoal.Command{Line: "hostname"}))
	if err != nil || r[0].Value.Text() != "host0\n" {
		t.Errorf("got %q, %v", r[0].Value.Text(), err)
	}
	_, err = c.Conn(testContext(t), shoal.Host{Name: "none.test.:" + portOf(f)})
	he, ok := errors.AsType[*shoal.HostError](err)
	if !ok || he.Stage != shoal.StageConnect || he.Attempt != 1 {
		t.Fatalf("got %v", err)
	}
	for _, addr := range dead {
		if n := strings.Count(he.Error(), addr+":"); n != 1 {
			t.Errorf("%q names %s %d times, want once", he, addr, n)
		}
	}
}

// A name with addresses of both families, and hosts that insist on one.
func TestNetwork(t *testing.T) {
	conform(t, "3.1 test_ipv6", "3.2 test_ipv6", "3.4 test_ipv6", "3.1 test_no_ipv6", "3.2 test_no_ipv6")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	six := forward(t, "tcp6", "::1", f.Host(0).Addr)
	four := portOf(f)
	c := pinnedClient(t, f)
	c.Resolver = resolver(t, zone{
		"both.test.": {addrs: []string{"127.0.0.1", "::1"}},
		"four.test.": {addrs: []string{"127.0.0.1"}},
	})
	for _, tt := range []struct {
		name, port, network string
		works               bool
	}{
		{"both.test.", six, "tcp6", true},
		{"both.test.", six, "tcp4", false},
		{"both.test.", six, "", true}, // the other address refuses
		{"both.test.", six, "tcp", true},
		{"both.test.", four, "tcp4", true},
		{"both.test.", four, "tcp6", false},
		{"both.test.", four, "", true},
		{"four.test.", four, "tcp6", false},
		{"127.0.0.1", four, "tcp6", false},
		{"::1", six, "tcp4", false},
		{"::1", six, "tcp6", true},
		{"::1", six, "", true},
		{"127.0.0.1", four, "udp", false},
	} {
		var port int
		fmt.Sscan(tt.port, &port)
		h := shoal.Host{Name: tt.name, Port: port, Network: tt.network}
		results, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "hostname"}))
		he, _ := errors.AsType[*shoal.HostError](err)
		if (err == nil) != tt.works {
			t.Errorf("%s port %s by %q: %v", tt.name, tt.port, tt.network, err)
		}
		if results[0].Host.Name != tt.name {
			t.Errorf("the result's host is %q, want %q", results[0].Host.Name, tt.name)
		}
		if want := map[string]shoal.Kind{"four.test.": shoal.KindDNS, "127.0.0.1": shoal.KindDNS, "::1": shoal.KindDNS}[tt.name]; he != nil &&
			want != "" && tt.network != "udp" && (he.Kind != want || !strings.Contains(he.Error(), tt.name)) {
			t.Errorf("%s by %q: got %s (%v), want %s", tt.name, tt.network, he.Kind, he, want)
		}
		if tt.network == "udp" && (he == nil || he.Kind != shoal.KindInvalid) {
			t.Errorf("network udp: got %v, want invalid", err)
		}
	}
}

// IPv6 addresses in all the ways they are written reach the same server, whose
// key is known by the address in brackets with its port.
func TestIPv6(t *testing.T) {
	conform(t, "3.7 real IPv6", "3.1 test_ipv6", "3.2 test_ipv6", "3.4 test_ipv6")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	port := forward(t, "tcp6", "::1", f.Host(0).Addr)
	c := newClient(t, f)
	key := string(ssh.MarshalAuthorizedKey(f.Host(0).HostKey))
	known := &shoal.KnownHosts{Files: []string{writeFile(t, "known_hosts", []byte("[::1]:"+port+" "+key))}}
	var n int
	fmt.Sscan(port, &n)
	for _, h := range []shoal.Host{
		{Name: "[::1]:" + port}, {Name: "::1", Port: n}, {Name: "[::1]", Port: n}, {Name: "six", Addr: "[::1]:" + port},
		{Name: "six", Addr: "::1", Port: n}, {Name: "[::1]:" + port, Port: 1, Network: "tcp6"},
	} {
		h.HostKeys = known
		r, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "hostname"}))
		if err != nil || r[0].Value.Text() != "host0\n" || r[0].Host.Name != h.Name {
			t.Errorf("%+v: %q, %v", h, r[0].Value.Text(), err)
		}
	}
	_, err := c.Conn(testContext(t), shoal.Host{Name: "[::1]:" + port})
	he := wantHostError(t, err, shoal.StageHostKey, shoal.KindHostKeyUnknown)
	if !strings.Contains(he.Error(), "[::1]:"+port) {
		t.Errorf("%q does not say which name is unknown", he)
	}
	_, err = c.Conn(testContext(t), shoal.Host{Name: "fe80::1%no-such-interface", Port: n})
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Stage != shoal.StageConnect {
		t.Errorf("an address of a zone that is not there: %v", err)
	}
}

// Of many names that are looked up at once, 64 are asked about at a time, so that
// a name server which is silent does not take a thread for each.
func TestLookupsBounded(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	c := &shoal.Client{Limit: 400, Host: shoal.Host{User: "u", Auth: []shoal.Auth{}, Network: "tcp4", Timeout: 500 * time.Millisecond}}
	c.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	defer c.Close()
	var names []string
	for i := range 400 {
		names = append(names, fmt.Sprintf("mute%d.test.", i))
	}
	for r := range c.Run(testContext(t), shoal.Hosts(names...), shoal.Command{Line: "true"}) {
		if he, ok := errors.AsType[*shoal.HostError](r.Err); !ok || he.Kind != shoal.KindTimeout {
			t.Errorf("%s: %v", r.Host.Name, r.Err)
		}
	}
	// Those of net that were given up end a moment later than their places are free.
	if got := most.Load(); got < 32 || got > 2*64 {
		t.Errorf("%d lookups were under way at once, want 64", got)
	}
}

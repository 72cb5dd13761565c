package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// behind are the fleet's hosts from first on.
func behind(f *sshtest.Fleet, first int) []shoal.Host {
	var hosts []shoal.Host
	for i := first; i < len(f.Hosts()); i++ {
		hosts = append(hosts, hostOf(f, i))
	}
	return hosts
}

// connections counts the connections that each host of the fleet saw.
func connections(f *sshtest.Fleet) map[int]int {
	n := map[int]int{}
	for _, e := range eventsOf(f, sshtest.EventConnect) {
		n[e.Host]++
	}
	return n
}

// All hosts behind a jump host share one connection to it, which the jump
// host's own commands use too; results carry the hosts' own names, in order.
func TestJump(t *testing.T) {
	conform(t, "3.3 test_tunnel_server", "3.3 test_tunnel_parallel_client", "3.3 test_tunnel_server_reconn")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 30})
	c := newClient(t, f)
	c.Host.Via = []shoal.Host{hostOf(f, 0)}
	for range 2 {
		results, err := shoal.Gather(c.Run(testContext(t), seq(behind(f, 1)...), shoal.Command{Line: "hostname"}))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if want := f.Host(i + 1).Name; r.Host.Name != want || r.Value.Text() != want+"\n" {
				t.Errorf("result %d is %s: %q, want %s", i, r.Host.Name, r.Value.Text(), want)
			}
		}
	}
	own := hostOf(f, 0)
	own.Via = []shoal.Host{} // none
	if _, err := shoal.Gather(c.Run(testContext(t), seq(own), shoal.Command{Line: "true"})); err != nil {
		t.Fatal(err)
	}
	for i, n := range connections(f) {
		if n != 1 {
			t.Errorf("host %d: %d connections, want 1", i, n)
		}
	}
	if n := len(eventsOf(f, sshtest.EventForward)); n != 29 {
		t.Errorf("%d forwarded connections, want 29", n)
	}
}

// Any number of jump hosts, each with its own user, password, port and key,
// and a jump host that has its own jump host.
func TestJumpChain(t *testing.T) {
	conform(t, "3.3 test_proxy_pkey_bytes_data", "3.3 test_tunnel_host_config")
	t.Parallel()
	users := []sshtest.User{{Name: "gate", Password: "g8"}, {Name: "inner", Password: "1nner"}, {Name: "ops", Password: "0ps"}}
	f := sshtest.New(t, sshtest.Config{Hosts: 4, Users: users})
	c := newClient(t, f)
	c.Host.Auth, c.Host.User = []shoal.Auth{shoal.Password("0ps")}, "ops"
	gate, inner := hostOf(f, 0), hostOf(f, 1)
	gate.User, gate.Auth = "gate", []shoal.Auth{shoal.Password("g8")}
	inner.User, inner.Auth = "inner", []shoal.Auth{shoal.Password("1nner")}
	nested := inner
	nested.Via = []shoal.Host{gate}
	for name, via := range map[string][]shoal.Host{
		"one": {gate}, "two": {gate, inner}, "three": {gate, inner, hostOf(f, 3)}, "nested": {nested},
	} {
		t.Run(name, func(t *testing.T) {
			h := hostOf(f, 2)
			h.Via = via
			results, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "hostname"}))
			if err != nil {
				t.Fatal(err)
			}
			if got := results[0].Value.Text(); got != f.Host(2).Name+"\n" {
				t.Errorf("got %q", got)
			}
		})
	}
	if n := connections(f); n[0] != 1 || n[1] != 1 {
		t.Errorf("%v connections to the hosts, want one to each jump host", n)
	}
	circle := hostOf(f, 2)
	c.Complete = func(h shoal.Host) (shoal.Host, error) {
		h.Via = []shoal.Host{gate}
		return h, nil
	}
	_, err := c.Conn(testContext(t), circle)
	he := wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
	if he.Hop != gate.Name || !strings.Contains(he.Error(), "its own jump host") {
		t.Errorf("a circle of jump hosts: %v (hop %q)", err, he.Hop)
	}
}

// A failure says which hop it was and at which stage.
func TestJumpFailures(t *testing.T) {
	conform(t, "3.3 test_proxy_error", "3.3 test_proxy_bad_target", "3.3 test_tunnel_parallel_client_part_failure")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3, ForwardLoopback: true})
	other := sshtest.New(t, sshtest.Config{Hosts: 1}) // whose keys nobody knows
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	noUser := hostOf(f, 0)
	noUser.User = "nobody-here"
	for name, tt := range map[string]struct {
		target shoal.Host
		via    []shoal.Host
		hop    string
		stage  shoal.Stage
		kind   shoal.Kind
	}{
		"jump host refuses":          {hostOf(f, 2), []shoal.Host{{Name: closed}}, closed, shoal.StageConnect, shoal.KindRefused},
		"jump host's key":            {hostOf(f, 2), []shoal.Host{hostOf(other, 0)}, hostOf(other, 0).Name, shoal.StageHostKey, shoal.KindHostKeyUnknown},
		"jump host's login":          {hostOf(f, 2), []shoal.Host{noUser}, noUser.Name, shoal.StageAuth, shoal.KindAuthFailed},
		"second jump host's login":   {hostOf(f, 2), []shoal.Host{hostOf(f, 1), noUser}, noUser.Name, shoal.StageAuth, shoal.KindAuthFailed},
		"second jump host refuses":   {hostOf(f, 2), []shoal.Host{hostOf(f, 1), {Name: closed}}, closed, shoal.StageConnect, shoal.KindRefused},
		"target refuses":             {shoal.Host{Name: closed}, []shoal.Host{hostOf(f, 0)}, "", shoal.StageConnect, shoal.KindRefused},
		"target's key":               {hostOf(other, 0), []shoal.Host{hostOf(f, 0)}, "", shoal.StageHostKey, shoal.KindHostKeyUnknown},
		"jump host forwards nothing": {shoal.Host{Name: "192.0.2.1"}, []shoal.Host{hostOf(f, 0)}, f.Host(0).Name, shoal.StageChannel, shoal.KindChannelRefused},
		"jump host's name":           {hostOf(f, 2), []shoal.Host{{Name: "a b"}}, "a b", shoal.StagePrepare, shoal.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, f)
			good := hostOf(f, 1)
			tt.target.Via = tt.via
			results, _ := shoal.Gather(c.Run(testContext(t), seq(good, tt.target), shoal.Command{Line: "hostname"}))
			if results[0].Err != nil {
				t.Errorf("the other host: %v", results[0].Err)
			}
			he := wantHostError(t, results[1].Err, tt.stage, tt.kind)
			if he.Host != tt.target.Name || he.Hop != tt.hop {
				t.Errorf("%v names host %q and hop %q, want %q and %q", he, he.Host, he.Hop, tt.target.Name, tt.hop)
			}
		})
	}
}

// A jump host that cannot be reached is tried once, not once for each host
// behind it, and again when it is back.
func TestJumpDownOnce(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 41})
	c := newClient(t, f)
	c.Limit = 4
	gate := hostOf(f, 0)
	gate.Auth = []shoal.Auth{}
	c.Host.Via = []shoal.Host{gate}
	results, _ := shoal.Gather(c.Run(testContext(t), seq(behind(f, 1)...), shoal.Command{Line: "true"}))
	for _, r := range results {
		wantHostError(t, r.Err, shoal.StageAuth, shoal.KindAuthFailed)
	}
	if n := connections(f); n[0] != 1 || len(n) != 1 {
		t.Errorf("connections to hosts: %v, want one to the jump host", n)
	}
}

// When a jump host dies, so do the commands behind it, which say so; it is
// connected to once more for all the hosts that come after.
func TestJumpDies(t *testing.T) {
	conform(t, "3.3 test_tunnel_parallel_client_running_fail")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 21})
	c := newClient(t, f)
	c.Host.Via = []shoal.Host{hostOf(f, 0)}
	ctx := testContext(t)
	var procs []*shoal.Proc
	for r := range c.Start(ctx, seq(behind(f, 1)...), shoal.Command{Line: "sleep 1000"}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		procs = append(procs, r.Value)
	}
	f.Disconnect(0)
	for _, p := range procs {
		he := wantHostError(t, p.Wait(ctx), shoal.StageRun, shoal.KindLost)
		if he.Hop != f.Host(0).Name || !he.MayRun || !errors.Is(he, shoal.ErrLost) {
			t.Errorf("%v (hop %q)", he, he.Hop)
		}
	}
	if _, err := shoal.Gather(c.Run(ctx, seq(behind(f, 1)...), shoal.Command{Line: "true"})); err != nil {
		t.Error(err)
	}
	for i, n := range connections(f) {
		if n != 2 {
			t.Errorf("host %d: %d connections, want 2", i, n)
		}
	}
}

// Five hundred hosts behind one real sshd share one connection to it, and more
// hosts take one more.
func TestJumpOpenSSH(t *testing.T) {
	conform(t, "3.3 test_tunnel_server_same_port")
	n := 600
	c, gate, s := openssh(t)
	f := sshtest.New(t, sshtest.Config{Hosts: n})
	gate.User, gate.Auth, gate.HostKeys = s.User, c.Host.Auth, c.Host.HostKeys
	c = newClient(t, f)
	c.Limit = n
	c.Host.Timeout = time.Minute // five hundred key exchanges at once, on any machine
	c.Host.Via = []shoal.Host{gate}
	var held []*shoal.Conn
	defer func() {
		for _, conn := range held {
			conn.Close()
		}
	}()
	connect := func(hosts []shoal.Host) {
		t.Helper()
		for r := range shoal.Each(testContext(t), c, seq(hosts...), func(ctx context.Context, conn *shoal.Conn) (string, error) {
			out, err := conn.Run(ctx, shoal.Command{Line: "hostname"})
			return out.Text(), err
		}) {
			if r.Err != nil || r.Value != r.Host.Name+"\n" {
				t.Fatalf("%s: %q, %v", r.Host.Name, r.Value, r.Err)
			}
			conn, err := c.Conn(testContext(t), r.Host)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
	}
	logins := func() int { return strings.Count(s.Log(), "Accepted publickey") }
	connect(behind(f, 0)[:500])
	if got := logins(); got != 1 {
		t.Errorf("500 hosts took %d connections to the jump host, want 1", got)
	}
	connect(behind(f, 0)[500:])
	if got := logins(); got != 2 {
		t.Errorf("600 hosts took %d connections to the jump host, want 2", got)
	}
}

// A real sshd that was told to forward nothing, a target that refuses, and a
// target whose name the jump host cannot look up.
func TestJumpOpenSSHFailures(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	open, openGate, _ := openssh(t)
	open.Host.Via = []shoal.Host{openGate}
	shut, shutGate, _ := openssh(t, "AllowTcpForwarding no")
	shut.Host.Via = []shoal.Host{shutGate}
	for _, tt := range []struct {
		client *shoal.Client
		target string
		hop    string
		stage  shoal.Stage
		kind   shoal.Kind
	}{
		{open, closed, "", shoal.StageConnect, shoal.KindRefused},
		{open, "no-such-host.invalid", "", shoal.StageResolve, shoal.KindDNS},
		{shut, f.Host(0).Addr, shutGate.Name, shoal.StageChannel, shoal.KindChannelRefused},
	} {
		t.Run(tt.target, func(t *testing.T) {
			_, err := tt.client.Conn(testContext(t), shoal.Host{Name: tt.target})
			if he := wantHostError(t, err, tt.stage, tt.kind); he.Hop != tt.hop {
				t.Errorf("%v names hop %q, want %q", he, he.Hop, tt.hop)
			}
		})
	}
}

// A target that accepts and says nothing runs into its own time, and holds
// back no other host behind the same jump host.
func TestJumpSilentTarget(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := sshtest.New(t, sshtest.Config{Hosts: 3, ForwardLoopback: true})
	c := newClient(t, f)
	c.Host.Via = []shoal.Host{hostOf(f, 0)}
	silent := shoal.Host{Name: l.Addr().String(), Timeout: 300 * time.Millisecond}
	results, _ := shoal.Gather(c.Run(testContext(t), seq(silent, hostOf(f, 1), hostOf(f, 2)), shoal.Command{Line: "true"}))
	wantHostError(t, results[0].Err, shoal.StageBanner, shoal.KindTimeout)
	for _, r := range results[1:] {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if n := connections(f)[0]; n != 1 {
		t.Errorf("%d connections to the jump host, want 1", n)
	}
}

// Closing the client ends what runs behind jump hosts as well.
func TestJumpClose(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 4})
	c := newClient(t, f)
	c.MaxIdle = -1 // connections that nobody uses end at once
	c.Host.Via = []shoal.Host{hostOf(f, 0), hostOf(f, 1)}
	for r := range c.Run(testContext(t), seq(behind(f, 2)...), shoal.Command{Line: "hostname"}) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	total := 0
	for _, n := range connections(f) {
		total += n
	}
	waitClosed(t, f, total) // and nothing was left open
	if _, err := shoal.Gather(c.Run(testContext(t), seq(behind(f, 2)...), shoal.Command{Line: "hostname"})); err != nil {
		t.Error(fmt.Errorf("again: %w", err))
	}
}

// A host behind that fails, and with it the last use of the jump host's
// connection, is not taken for a jump host that failed.
func TestJumpLastUse(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2})
	c := newClient(t, f)
	c.MaxIdle = -1
	h := hostOf(f, 1)
	h.Via = []shoal.Host{hostOf(f, 0)}
	h.User = "nobody-here"
	for range 20 {
		_, err := c.Conn(testContext(t), h)
		if he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed); he.Hop != "" {
			t.Errorf("%v names hop %q", err, he.Hop)
		}
	}
}

package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// Connecting beforehand is a loop that does nothing, and what runs then uses
// the same connections.
func TestConnectBeforehand(t *testing.T) {
	conform(t, "3.1 test_connect_auth", "3.2 test_context_manager", "3.5 test_context_manager")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	c := newClient(t, f)
	connect := func(context.Context, *shoal.Conn) (struct{}, error) { return struct{}{}, nil }
	if _, err := shoal.Gather(shoal.Each(testContext(t), c, hostsOf(f), connect)); err != nil {
		t.Fatal(err)
	}
	if n := len(eventsOf(f, sshtest.EventSession)); n != 0 {
		t.Errorf("connecting opened %d sessions", n)
	}
	for range 2 {
		results, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "hostname"}))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Timings.Kex != 0 || r.Timings.Auth != 0 {
				t.Errorf("%s: took %+v over a connection that was there", r.Host.Name, r.Timings)
			}
		}
	}
	conns := map[int]uint64{}
	for _, e := range eventsOf(f, sshtest.EventLogin) {
		if conns[e.Host] != 0 {
			t.Errorf("host %d was logged in to twice", e.Host)
		}
		conns[e.Host] = e.Conn
	}
	for _, e := range eventsOf(f, sshtest.EventExec) {
		if conns[e.Host] != e.Conn {
			t.Errorf("host %d: a command over connection %d, want %d", e.Host, e.Conn, conns[e.Host])
		}
	}
	c.Close()
	waitClosed(t, f, 3)
}

// Twenty clients one after the other, each with its connection, leave nothing.
func TestManyClients(t *testing.T) {
	conform(t, "3.2 test_multiple_clients_exec_terminates_channels",
		"3.2 test_multiple_clients_exec_terminates_channels_explicit_disc",
		"3.5 test_multiple_clients_exec_terminates_channels",
		"3.1 test_client_disconnect", "3.1 test_client_disconnect_error",
		"3.2 test_disconnect_exc", "3.5 test_disconnect_exc")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	other := newClient(t, f)
	kept, err := other.Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	for range 20 {
		c := newClient(t, f)
		if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
	}
	if out, err := kept.Run(testContext(t), shoal.Command{Line: "echo kept"}); err != nil || out.Text() != "kept\n" {
		t.Errorf("the other client's connection: %q, %v", out.Text(), err)
	}
	for conn := range uint64(20) {
		if _, err := f.WaitEvent(testContext(t), func(e sshtest.Event) bool {
			return e.Kind == sshtest.EventClose && e.Conn == conn+2
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.Stats().Conns; n != 1 {
		t.Errorf("the server has %d connections, want 1", n)
	}
	f.Disconnect(0) // closing what the server has ended is no error
	if err := other.Close(); err != nil {
		t.Errorf("Close of a lost connection: %v", err)
	}
}

// Hosts that stall at any step, with few handshakes allowed at once, keep no
// good host from its work.
func TestStalledHostsDelayNobody(t *testing.T) {
	t.Parallel()
	faults := []sshtest.FaultKind{sshtest.TCPSilent, sshtest.BannerSilent, sshtest.KexInitSilent, sshtest.NewKeysSilent,
		sshtest.AuthSilent, sshtest.AfterAuthFreeze, sshtest.ExecHang}
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Hosts: 40, LoginGrace: -1, Faults: func(host int) sshtest.Fault {
			if host < 28 {
				return sshtest.Fault{Kind: faults[host%len(faults)]}
			}
			return sshtest.Fault{}
		}})
		c.Limit, c.Handshakes = 40, 2
		began := time.Now()
		good := 0
		for r := range c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "hostname", Timeout: time.Minute}) {
			switch {
			case r.Index >= 28 && (r.Err != nil || time.Since(began) > 15*time.Second):
				t.Errorf("%s: %v after %v", r.Host.Name, r.Err, time.Since(began))
			case r.Index >= 28:
				good++
			case r.Err == nil:
				t.Errorf("%s, which stalls, is done", r.Host.Name)
			}
		}
		if good != 12 {
			t.Errorf("%d of 12 good hosts", good)
		}
	})
}

// A login that stalls on one host takes nothing from the others' time.
func TestStalledLogin(t *testing.T) {
	conform(t, "3.7 stalled auth")
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Hosts: 10, LoginGrace: -1, Faults: func(host int) sshtest.Fault {
			return map[int]sshtest.Fault{0: {Kind: sshtest.AuthSilent}}[host]
		}})
		for r := range c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "true"}) {
			if r.Index > 0 && (r.Err != nil || r.Took > 10*time.Millisecond) {
				t.Errorf("%s took %v: %v", r.Host.Name, r.Took, r.Err)
			}
			if r.Index == 0 && r.Took != 30*time.Second {
				t.Errorf("the stalled host took %v, want its 30s", r.Took)
			}
		}
	})
}

// A hundred hosts far away take as long as one.
func TestManyHostsFarAway(t *testing.T) {
	conform(t, "3.7 many hosts x latency")
	t.Parallel()
	took := func(n int) (d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{Hosts: n, Latency: func(int) time.Duration { return 50 * time.Millisecond }})
			began := time.Now()
			if _, err := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
				t.Error(err)
			}
			d = time.Since(began)
		})
		return d
	}
	if one, many := took(1), took(100); many > one*13/10 || one > 1200*time.Millisecond {
		t.Errorf("one host %v, a hundred %v", one, many)
	}
}

// At most PerAddress connections are made to one address at once, and that many.
func TestPerAddress(t *testing.T) {
	t.Parallel()
	for set, want := range map[int]int{0: 8, 3: 3, -1: 1} {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{Latency: func(int) time.Duration { return time.Millisecond }})
			c.PerAddress = set
			if _, err := shoal.Gather(c.Run(t.Context(), seq(apart(f, 20)...), shoal.Command{Line: "true"})); err != nil {
				t.Error(err)
			}
			if got := f.Stats().PeakHandshakes; got != want {
				t.Errorf("PerAddress %d: %d connections were made at once, want %d", set, got, want)
			}
		})
	}
}

// At most Handshakes key exchanges are under way at once, one after the other
// where that is 1.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	took := func(handshakes int) (d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{Hosts: 8, Latency: func(int) time.Duration { return 50 * time.Millisecond }})
			c.Handshakes = handshakes
			began := time.Now()
			if _, err := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
				t.Error(err)
			}
			d = time.Since(began)
		})
		return d
	}
	all, single := took(8), took(1)
	if single < all+7*100*time.Millisecond {
		t.Errorf("eight key exchanges, each of a round trip at least, one by one: %v; together %v", single, all)
	}
}

// Connections beyond MaxIdle are closed when they are not in use, and lost ones
// take no place.
func TestMaxIdle(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	run := func(c *shoal.Client) {
		t.Helper()
		if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
			t.Fatal(err)
		}
	}
	none := newClient(t, f)
	none.MaxIdle = -1
	run(none)
	waitClosed(t, f, 3)

	one := newClient(t, f)
	one.MaxIdle = 1
	run(one)
	run(one) // one of three is there
	if n := len(eventsOf(f, sshtest.EventLogin)); n != 3+3+2 {
		t.Errorf("got %d logins, want 8", n)
	}
	for i := range 3 {
		f.Disconnect(i)
	}
	conn, err := one.Conn(testContext(t), shoal.Host{Name: f.Host(2).Addr, User: sshtest.DefaultUser})
	if err != nil {
		t.Fatal(err)
	}
	before := len(eventsOf(f, sshtest.EventLogin))
	conn.Close()
	if conn, err = one.Conn(testContext(t), shoal.Host{Name: f.Host(2).Addr}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if n := len(eventsOf(f, sshtest.EventLogin)) - before; n != 0 {
		t.Error("a lost connection took the place of a living one")
	}
}

// Close ends what runs, and later calls fail without connecting.
func TestClientClose(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2})
	c := newClient(t, f)
	results, err := shoal.Gather(c.Start(testContext(t), hostsOf(f), shoal.Command{Line: "cat"}))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, r := range results {
		err := r.Value.Wait(testContext(t))
		he, ok := errors.AsType[*shoal.HostError](err)
		if !ok || !he.MayRun || !errors.Is(err, shoal.ErrLost) && !errors.Is(err, shoal.ErrCancelled) {
			t.Errorf("%s: got %v, want the connection's end", r.Host.Name, err)
		}
	}
	waitClosed(t, f, 2)
	again, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"}))
	if len(again) != 2 || !errors.Is(err, shoal.ErrCancelled) {
		t.Errorf("after Close: %d results, %v", len(again), err)
	}
	if _, err := c.Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr}); !errors.Is(err, shoal.ErrCancelled) {
		t.Errorf("after Close: %v", err)
	}
	if n := len(eventsOf(f, sshtest.EventConnect)); n != 2 {
		t.Errorf("got %d connections, want 2", n)
	}
}

// Close during an attempt to connect leaves no connection behind.
func TestClientCloseWhileConnecting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Latency: func(int) time.Duration { return time.Second }})
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err = c.Conn(t.Context(), shoal.Host{Name: "host0"})
		}()
		time.Sleep(3 * time.Second)
		c.Close()
		<-done
		if !errors.Is(err, shoal.ErrCancelled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := f.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// What was given out stays of use when the connection was given back or the
// client forgotten; what was given back is used no more.
func TestConnClose(t *testing.T) {
	conform(t, "3.2 test_output_client_scope", "3.2 test_output_client_scope_disconnect",
		"3.5 test_output_client_scope", "3.5 test_output_client_scope_disconnect", "3.5 test_client_bad_sock")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	c := newClient(t, f)
	c.MaxIdle = -1
	conn, err := c.Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	p, err := conn.Start(testContext(t), shoal.Command{Line: "cat; exit 3"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	conn.Close()
	if _, err := conn.Run(testContext(t), shoal.Command{Line: "true"}); !errors.Is(err, shoal.ErrCancelled) {
		t.Errorf("a command over a Conn that was closed: %v", err)
	}
	fmt.Fprint(p.Stdin, "still here\n")
	p.Stdin.Close()
	for line, err := range p.Stdout.Lines(testContext(t)) {
		if line != "still here" || err != nil {
			t.Errorf("got %q, %v", line, err)
		}
	}
	if e, ok := errors.AsType[*shoal.ExitError](p.Wait(testContext(t))); !ok || e.Code != 3 {
		t.Errorf("got %v, want exit status 3", p.Wait(testContext(t)))
	}
	waitClosed(t, f, 1) // with its last command, since nothing is kept
}

// Two callers who want the same connection at once share it, or its failure.
func TestConnShared(t *testing.T) {
	t.Parallel()
	for _, fault := range []sshtest.Fault{{}, {Kind: sshtest.AuthFailAll}} {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{Faults: faulty(fault),
				Latency: func(int) time.Duration { return time.Second }})
			hosts := make([]shoal.Host, 10)
			for i := range hosts {
				hosts[i] = shoal.Host{Name: fmt.Sprint("alias", i), Addr: "host0"}
			}
			results, _ := shoal.Gather(shoal.Each(t.Context(), c, seq(hosts...),
				func(context.Context, *shoal.Conn) (int, error) { return 1, nil }))
			for i, r := range results {
				he, ok := errors.AsType[*shoal.HostError](r.Err)
				if ok != (fault.Kind != "") || ok && he.Host != hosts[i].Name {
					t.Errorf("%s: %v", hosts[i].Name, r.Err)
				}
			}
			if n := len(eventsOf(f, sshtest.EventConnect)); n != 1 {
				t.Errorf("%v: got %d connections, want 1", fault, n)
			}
		})
	}
}

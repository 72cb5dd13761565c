package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// memoryFleet is a fleet without sockets, for tests on synctest's clock, and a
// client of it.
func memoryFleet(t *testing.T, cfg sshtest.Config) (*sshtest.Fleet, *shoal.Client) {
	t.Helper()
	cfg.InMemory = true
	f := sshtest.New(t, cfg)
	c := newClient(t, f)
	c.Dial = f.Dial
	return f, c
}

// faulty gives every host the fault.
func faulty(fault sshtest.Fault) func(int) sshtest.Fault {
	return func(int) sshtest.Fault { return fault }
}

// wantHostError checks where and how a host failed.
func wantHostError(t *testing.T, err error, stage shoal.Stage, kind shoal.Kind) *shoal.HostError {
	t.Helper()
	he, ok := errors.AsType[*shoal.HostError](err)
	if !ok {
		t.Fatalf("got %v, want a HostError %s at %s", err, kind, stage)
	}
	if he.Stage != stage || he.Kind != kind {
		t.Errorf("got %s at %s (%v), want %s at %s", he.Kind, he.Stage, he, kind, stage)
	}
	return he
}

// eventsOf are the fleet's events of a kind.
func eventsOf(f *sshtest.Fleet, kind sshtest.EventKind) []sshtest.Event {
	return slices.DeleteFunc(f.Events(), func(e sshtest.Event) bool { return e.Kind != kind })
}

// waitClosed waits until the server saw the end of the first n connections.
func waitClosed(t *testing.T, f *sshtest.Fleet, n int) {
	t.Helper()
	for conn := range uint64(n) {
		_, err := f.WaitEvent(testContext(t), func(e sshtest.Event) bool {
			return e.Kind == sshtest.EventClose && e.Conn == conn+1
		})
		if err != nil {
			t.Fatalf("connection %d: %v", conn+1, err)
		}
	}
}

// seq is the hosts as a sequence.
func seq(hosts ...shoal.Host) iter.Seq[shoal.Host] { return slices.Values(hosts) }

// A port on which nothing listens is an error at once, with everything that
// tells the host and the cause.
func TestConnectRefused(t *testing.T) {
	conform(t, "3.2 test_conn_refused", "3.1 test_conn_failure", "3.1 test_connection_error",
		"3.4 test_connection_error_exception")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.Refuse})})
	c := newClient(t, f)
	r, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"}))
	he := wantHostError(t, err, shoal.StageConnect, shoal.KindRefused)
	if he.Host != "host0" || he.Attempt != 1 || he.Elapsed <= 0 || he.MayRun {
		t.Errorf("got %+v", he)
	}
	if runtime.GOOS != "windows" && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v is not ECONNREFUSED", err)
	}
	if text := err.Error(); !strings.Contains(text, "host0") || !strings.Contains(text, f.Host(0).Addr) {
		t.Errorf("%q does not tell the host and the address", text)
	}
	if len(r) != 1 || r[0].Value.Code != -1 || r[0].Host.Name != "host0" {
		t.Errorf("got %+v, want one result without an exit status", r)
	}
	for _, group := range []error{shoal.ErrAuth, shoal.ErrHostKey, shoal.ErrLost, shoal.ErrTimeout, shoal.ErrNotRun, shoal.ErrCancelled} {
		if errors.Is(err, group) {
			t.Errorf("%v is %v", err, group)
		}
	}
}

// One host that works and one that does not: both answer, and the first runs.
func TestPartFailure(t *testing.T) {
	conform(t, "3.1 test_pssh_client_hosts_list_part_failure", "3.4 test_hosts_list_part_failure")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Faults: func(host int) sshtest.Fault {
		return []sshtest.Fault{{}, {Kind: sshtest.Refuse}}[host]
	}})
	c := newClient(t, f)
	results, err := shoal.Gather(c.Start(testContext(t), hostsOf(f), shoal.Command{Line: "cat"}))
	if len(results) != 2 {
		t.Fatalf("got %d results, want 2", len(results))
	}
	he := wantHostError(t, results[1].Err, shoal.StageConnect, shoal.KindRefused)
	if he.Host != "host1" || results[1].Host.Name != "host1" || results[1].Value != nil || !errors.Is(err, he) {
		t.Errorf("got %+v and %v", results[1], err)
	}
	good := results[0].Value
	if results[0].Err != nil || good.Done() {
		t.Fatalf("the good host: %v, done %v", results[0].Err, good.Done())
	}
	good.Stdin.Close()
	if err := shoal.Join(testContext(t), good, results[1].Value); err != nil {
		t.Fatal(err)
	}
	if code, ok := good.ExitCode(); !good.Done() || !ok || code != 0 {
		t.Errorf("after Join: done %v, exit %d, %v", good.Done(), code, ok)
	}
}

// Host.Timeout: each stage has its own budget where it is zero, all of one
// attempt share it where it is positive, and only the caller's context bounds
// them where it is negative.
func TestTimeouts(t *testing.T) {
	conform(t, "3.1 test_pssh_client_timeout", "3.4 test_client_timeout", "3.1 test_connection_timeout",
		"3.4 test_connection_timeout", "3.2 test_connection_timeout", "3.5 test_connection_timeout",
		"3.1 test_zero_timeout", "3.4 test_zero_timeout", "3.1 test_timeout_on_open_session",
		"3.4 test_timeout_on_open_session", "3.2 test_open_session_timeout", "3.5 test_open_session_timeout")
	const noDial = "no-dial" // the network does not answer
	for _, tt := range []struct {
		fault sshtest.FaultKind
		stage shoal.Stage
		zero  time.Duration
	}{
		{noDial, shoal.StageConnect, 10 * time.Second},
		{sshtest.TCPSilent, shoal.StageBanner, 15 * time.Second},
		{sshtest.BannerSlow, shoal.StageBanner, 15 * time.Second}, // a byte now and then buys no time
		{sshtest.BannerSilent, shoal.StageKex, 15 * time.Second},
		{sshtest.KexInitSilent, shoal.StageKex, 15 * time.Second},
		{sshtest.NewKeysSilent, shoal.StageKex, 15 * time.Second},
		{sshtest.ServiceSilent, shoal.StageAuth, 30 * time.Second},
		{sshtest.AuthSilent, shoal.StageAuth, 30 * time.Second},
		{sshtest.AuthSilentKey, shoal.StageAuth, 30 * time.Second},
		{sshtest.AuthBannerFlood, shoal.StageAuth, 30 * time.Second},
		{sshtest.ChanOpenSilent, shoal.StageChannel, 10 * time.Second},
		{sshtest.ExecSilent, shoal.StageExec, 10 * time.Second},
	} {
		for _, timeout := range []time.Duration{0, time.Second, -1} {
			t.Run(fmt.Sprintf("%s/%v", tt.fault, timeout), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := sshtest.Config{LoginGrace: -1}
					if tt.fault != noDial {
						cfg.Faults = faulty(sshtest.Fault{Kind: tt.fault, N: 100})
					}
					_, c := memoryFleet(t, cfg)
					if tt.fault == noDial {
						c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
							<-ctx.Done()
							return nil, ctx.Err()
						}
					}
					c.Host.Timeout, c.Host.KeepAlive = timeout, -1
					want := map[time.Duration]time.Duration{0: tt.zero, time.Second: time.Second, -1: time.Hour}[timeout]
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					began := time.Now()
					_, err := shoal.Gather(c.Run(ctx, seq(shoal.Host{Name: "host0"}), shoal.Command{Line: "true"}))
					if took := time.Since(began); took < want || took > want+5*time.Second {
						t.Errorf("took %v, want %v", took, want)
					}
					stage := tt.stage
					if tt.fault == sshtest.BannerSlow && timeout < 0 {
						stage = shoal.StageKex // the whole banner came
					}
					wantHostError(t, err, stage, shoal.KindTimeout)
					if !errors.Is(err, shoal.ErrTimeout) {
						t.Errorf("%v is not ErrTimeout", err)
					}
				})
			})
		}
	}
}

// No time bound, and a host that needs none.
func TestTimeoutNegative(t *testing.T) {
	conform(t, "3.1 test_zero_timeout", "3.4 test_zero_timeout")
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Latency: func(int) time.Duration { return time.Minute }, LoginGrace: -1})
		c.Host.Timeout, c.Host.KeepAlive = -1, -1
		r, err := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "hostname"}))
		if err != nil || r[0].Value.Text() != "host0\n" {
			t.Errorf("got %q, %v", r[0].Value.Text(), err)
		}
		c.Host.Timeout = time.Millisecond
		_, err = c.Conn(t.Context(), shoal.Host{Name: "again", Addr: "host0:22", Timeout: time.Millisecond})
		if !errors.Is(err, shoal.ErrTimeout) {
			t.Errorf("a millisecond for a minute's way: got %v", err)
		}
	})
}

// Timeout bounds one attempt, not all of them.
func TestTimeoutIsOfOneAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.TCPSilent, Times: 2})})
		c.Host.Timeout = 2 * time.Second
		c.Host.Retry = shoal.Retry{Attempts: 3, Delay: time.Millisecond, MaxDelay: time.Millisecond}
		began := time.Now()
		if _, err := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 4*time.Second || took > 4*time.Second+10*time.Millisecond {
			t.Errorf("took %v, want two timeouts of 2s", took)
		}
	})
}

// A session that the server does not open is an error of that host, in one
// printable line.
func TestSessionRefused(t *testing.T) {
	conform(t, "3.2 test_open_session_exc", "3.5 test_open_session_exc")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.ChanOpenRefused})})
	c := newClient(t, f)
	_, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"}))
	he := wantHostError(t, err, shoal.StageChannel, shoal.KindChannelRefused)
	if he.MayRun || strings.ContainsAny(err.Error(), "\x1b\r\n") {
		t.Errorf("got %q, may run %v", err, he.MayRun)
	}
	if n := len(eventsOf(f, sshtest.EventConnect)); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}

// A server that falls silent is given up after as many unanswered requests as
// the host, the client or ServerAliveCountMax allows.
func TestKeepAliveMax(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		client, host int
		option       string
		want         time.Duration
	}{
		{0, 0, "", 60 * time.Second},
		{0, 1, "", 30 * time.Second},
		{1, 0, "", 30 * time.Second},
		{1, 5, "", 90 * time.Second},
		{0, 0, "ServerAliveCountMax=1", 30 * time.Second},
		{0, 0, "ServerAliveCountMax=5", 90 * time.Second},
		{0, 1, "ServerAliveCountMax=5", 30 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d/%d/%s", tt.client, tt.host, tt.option), func(t *testing.T) {
			host := shoal.Host{Name: "host0", KeepAliveMax: tt.host}
			if tt.option != "" {
				config := &shoal.SSHConfig{File: "none", Options: []string{tt.option}}
				completed, err := config.Complete(host)
				if err != nil {
					t.Fatal(err)
				}
				host.KeepAliveMax = completed.KeepAliveMax
			}
			synctest.Test(t, func(t *testing.T) {
				_, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.ExecFreezeMid})})
				c.Host.KeepAliveMax = tt.client
				results, err := shoal.Gather(c.Run(t.Context(), seq(host), shoal.Command{Line: "echo out"}))
				wantHostError(t, err, shoal.StageRun, shoal.KindLost)
				if took := results[0].Took; took < tt.want || took > tt.want+2*time.Second {
					t.Errorf("lost after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// Keep-alives are sent where nothing came for a while, by the host's own
// setting, and a negative one turns the client's off.
func TestKeepAlive(t *testing.T) {
	conform(t, "3.1 test_keepalive_off")
	t.Parallel()
	for _, tt := range []struct {
		client, host time.Duration
		want         int // in ten minutes
	}{
		{0, 0, 40}, {time.Minute, 0, 10}, {0, time.Minute, 10}, {time.Second, 5 * time.Minute, 2},
		{-1, 0, 0}, {time.Second, -1, 0},
	} {
		t.Run(fmt.Sprintf("%v/%v", tt.client, tt.host), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := memoryFleet(t, sshtest.Config{})
				c.Host.KeepAlive = tt.client
				conn, err := c.Conn(t.Context(), shoal.Host{Name: "host0", KeepAlive: tt.host})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				time.Sleep(10*time.Minute + 500*time.Millisecond)
				synctest.Wait()
				if n := len(eventsOf(f, sshtest.EventGlobal)); n < tt.want-2 || n > tt.want {
					t.Errorf("got %d requests in ten minutes, want %d", n, tt.want)
				}
				if !conn.Alive() {
					t.Error("the connection is lost")
				}
			})
		})
	}
}

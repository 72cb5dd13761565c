package shoal_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// apart are n hosts at one address that share no connection, since each has
// host keys of its own.
func apart(f *sshtest.Fleet, n int) []shoal.Host {
	var hosts []shoal.Host
	for i := range n {
		hosts = append(hosts, shoal.Host{Name: fmt.Sprint("h", i), Addr: f.Host(0).Addr,
			HostKeys: shoal.PinnedHostKeys(f.Host(0).HostKey)})
	}
	return hosts
}

// How often a connection is attempted, by what went wrong. A closed loop of
// network, server and clock; nothing waits.
func TestRetryAttempts(t *testing.T) {
	conform(t, "3.1 test_pssh_client_retries", "3.1 test_retries", "3.1 test_conn_failure", "3.2 test_retry_failure",
		"3.5 test_retry_failure", "3.2 test_auth_retry_failure", "3.5 test_auth_retry_failure",
		"3.2 test_handshake_retries", "3.2 test_handshake_fail", "3.2 test_sock_shutdown_fail", "3.5 test_sock_shutdown_fail",
		"3.5 test_session_connect_exc")
	one, three, never := shoal.Retry{}, shoal.Retry{Attempts: 3}, shoal.Retry{Attempts: -1}
	for _, tt := range []struct {
		fault sshtest.FaultKind
		retry shoal.Retry
		want  int
		stage shoal.Stage
		kind  shoal.Kind
	}{
		{sshtest.Refuse, one, 1, shoal.StageConnect, shoal.KindRefused},
		{sshtest.Refuse, shoal.Retry{Attempts: 1}, 1, shoal.StageConnect, shoal.KindRefused},
		{sshtest.Refuse, three, 3, shoal.StageConnect, shoal.KindRefused},
		{sshtest.Refuse, never, 1, shoal.StageConnect, shoal.KindRefused},
		{sshtest.TCPSilent, one, 1, shoal.StageBanner, shoal.KindTimeout},
		{sshtest.TCPSilent, three, 3, shoal.StageBanner, shoal.KindTimeout},
		{sshtest.KexInitSilent, three, 3, shoal.StageKex, shoal.KindTimeout},
		{sshtest.BannerClose, one, 1, shoal.StageKex, shoal.KindLost},
		{sshtest.BannerReset, three, 3, shoal.StageKex, shoal.KindLost},
		// A busy server asks to be asked again.
		{sshtest.Throttled, one, 10, shoal.StageBanner, shoal.KindThrottled},
		{sshtest.TCPClose, one, 10, shoal.StageBanner, shoal.KindThrottled},
		{sshtest.TCPReset, three, 10, shoal.StageBanner, shoal.KindThrottled},
		{sshtest.Throttled, shoal.Retry{Attempts: 12}, 12, shoal.StageBanner, shoal.KindThrottled},
		{sshtest.Throttled, never, 1, shoal.StageBanner, shoal.KindThrottled},
		// What will be no better the next time.
		{sshtest.BannerHTTP, three, 1, shoal.StageBanner, shoal.KindNotSSH},
		{sshtest.BannerSSH1, three, 1, shoal.StageBanner, shoal.KindNotSSH},
		{sshtest.KexNoMatch, three, 1, shoal.StageKex, shoal.KindNoAlgorithm},
		{sshtest.KexBadSig, three, 1, shoal.StageKex, shoal.KindProtocol},
		// Once the login has begun nothing is repeated: servers lock users out.
		{sshtest.AuthFailAll, three, 1, shoal.StageAuth, shoal.KindAuthFailed},
		{sshtest.AuthSilent, three, 1, shoal.StageAuth, shoal.KindTimeout},
		{sshtest.ServiceSilent, three, 1, shoal.StageAuth, shoal.KindTimeout},
	} {
		t.Run(fmt.Sprintf("%s/%d", tt.fault, tt.retry.Attempts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: tt.fault})})
				dials := 0
				c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					dials++
					return f.Dial(ctx, network, addr)
				}
				c.Host.Retry = tt.retry
				_, err := c.Conn(t.Context(), shoal.Host{Name: "host0"})
				he := wantHostError(t, err, tt.stage, tt.kind)
				if dials != tt.want || he.Attempt != tt.want {
					t.Errorf("got %d attempts, the error says %d; want %d", dials, he.Attempt, tt.want)
				}
				if n := len(eventsOf(f, sshtest.EventAuth)); n > 2 { // none and the key
					t.Errorf("the server saw %d attempts to log in", n)
				}
			})
		})
	}
}

// The pauses grow by 1.6 from Delay up to MaxDelay, each a random part, and the
// command runs once.
func TestRetryBackoff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		retry shoal.Retry
		want  time.Duration // the sum of the longest pauses
	}{
		{shoal.Retry{}, 2270 * time.Millisecond}, // 200, 320, 512, 819.2 and 418.8 to spare
		{shoal.Retry{Delay: 10 * time.Second, MaxDelay: 12 * time.Second}, 46 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.Throttled, Times: 4})})
			c.Host.Retry = tt.retry
			began := time.Now()
			r, err := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: "hostname"}))
			if err != nil || r[0].Value.Text() != "host0\n" {
				t.Fatalf("got %q, %v", r[0].Value.Text(), err)
			}
			if took := time.Since(began); took > tt.want || took < 4*time.Millisecond {
				t.Errorf("%+v: four pauses took %v, want at most %v", tt.retry, took, tt.want)
			}
			if n := len(eventsOf(f, sshtest.EventConnect)); n != 5 {
				t.Errorf("got %d connections, want 5", n)
			}
			if n := len(eventsOf(f, sshtest.EventExec)); n != 1 {
				t.Errorf("the command was begun %d times", n)
			}
		})
	}
}

// A caller who leaves during a pause gets the cause of the attempts, at once.
func TestRetryCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.Refuse})})
		c.Host.Retry = shoal.Retry{Attempts: 100, Delay: time.Hour, MaxDelay: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Conn(ctx, shoal.Host{Name: "host0"})
		wantHostError(t, err, shoal.StageConnect, shoal.KindRefused)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A server that throttles at random lets in two hundred connections at once,
// in the end.
func TestMaxStartups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{MaxStartups: sshtest.Startups{Start: 10, Rate: 30, Full: 100},
			Latency: func(int) time.Duration { return 5 * time.Millisecond }})
		c.PerAddress, c.Limit, c.Handshakes = 200, 200, 200
		login := func(context.Context, *shoal.Conn) (struct{}, error) { return struct{}{}, nil }
		r, err := shoal.Gather(shoal.Each(t.Context(), c, seq(apart(f, 200)...), login))
		if err != nil || len(r) != 200 {
			t.Errorf("%d results, %v", len(r), err)
		}
		throttled := len(eventsOf(f, sshtest.EventThrottle))
		if throttled < 20 || throttled > 600 {
			t.Errorf("the server dropped %d connections: the test tests nothing, or we asked too often", throttled)
		}
	})
}

// The same with the real server, and a limit by which nothing need be repeated.
func TestMaxStartupsOpenSSH(t *testing.T) {
	// sshd gives a place back a moment after the login that had it.
	for _, tt := range []struct {
		perAddress, hosts int
		startups          string
	}{{0, 20, "16:50:20"}, {20, 20, "9:50:20"}} {
		t.Run(fmt.Sprint(tt.perAddress), func(t *testing.T) {
			c, h, s := openssh(t, "MaxStartups "+tt.startups)
			c.PerAddress = tt.perAddress
			c.Host.Retry = shoal.Retry{Delay: 50 * time.Millisecond, MaxDelay: 200 * time.Millisecond, Attempts: 30}
			var hosts []shoal.Host
			for i := range tt.hosts {
				hosts = append(hosts, shoal.Host{Name: fmt.Sprint(i), Addr: h.Name, HostKeys: shoal.PinnedHostKeys(s.HostKey)})
			}
			if _, err := shoal.Gather(c.Run(testContext(t), seq(hosts...), shoal.Command{Line: "true"})); err != nil {
				t.Error(err)
			}
			if n := strings.Count(s.Log(), "drop connection"); tt.perAddress == 0 && n > 0 {
				t.Errorf("the server dropped %d connections", n)
			}
		})
	}
}

// A cached connection that died is replaced, whether that was noticed or not,
// and no command runs twice.
func TestReconnect(t *testing.T) {
	conform(t, "3.7 reconnect")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	c := newClient(t, f)
	conn, err := c.Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 20 {
		line := fmt.Sprint("echo ", i)
		out, err := conn.Run(testContext(t), shoal.Command{Line: line})
		if err != nil || out.Text() != fmt.Sprintln(i) {
			t.Fatalf("run %d: %q, %v", i, out.Text(), err)
		}
		f.Disconnect(0)
	}
	if n := len(eventsOf(f, sshtest.EventLogin)); n != 20 {
		t.Errorf("got %d logins, want 20", n)
	}
	if n := len(eventsOf(f, sshtest.EventExec)); n != 20 {
		t.Errorf("got %d commands, want 20", n)
	}
}

// A server that was restarted between two calls.
func TestReconnectOpenSSH(t *testing.T) {
	c, h, s := openssh(t)
	for i := range 3 {
		r, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "echo up"}))
		if err != nil || r[0].Value.Text() != "up\n" {
			t.Fatalf("run %d: %q, %v", i, r[0].Value.Text(), err)
		}
		s.Kill()
		if i == 0 {
			_, err := shoal.Gather(c.Run(testContext(t), seq(h), shoal.Command{Line: "echo up"}))
			wantHostError(t, err, shoal.StageConnect, shoal.KindRefused)
		}
		s.Restart()
	}
}

// What this machine has none of just now, ports or open files, is waited for
// as a busy server is.
func TestRetryShortage(t *testing.T) {
	t.Parallel()
	for _, shortage := range []error{syscall.EADDRNOTAVAIL, syscall.EMFILE} {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{})
			dials := 0
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials++; dials <= 4 {
					return nil, &net.OpError{Op: "dial", Net: network, Err: shortage}
				}
				return f.Dial(ctx, network, addr)
			}
			if _, err := c.Conn(t.Context(), shoal.Host{Name: "host0"}); err != nil || dials != 5 {
				t.Errorf("%v: %v after %d attempts", shortage, err, dials)
			}
		})
	}
}

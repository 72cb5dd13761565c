package shoal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// halfCloser is what every TCP, Unix and forwarded connection is.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// listen listens on loopback, or on a Unix socket.
func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = socketPath(t)
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// socketPath is short enough for a Unix socket.
func socketPath(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "s")
}

// serve calls do for each connection of l, and waits for all at the test's end.
func serve(t *testing.T, l net.Listener, do func(halfCloser)) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				do(conn.(halfCloser))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

// answer reads to the end and then sends back how much it was and its sum: so it
// needs half-closed connections, and every byte.
func answer(conn halfCloser) {
	sum := sha256.New()
	n, err := io.Copy(sum, conn)
	fmt.Fprintf(conn, "%d %x %v", n, sum.Sum(nil), err)
}

// checkAnswer sends data to what answers.
func checkAnswer(conn halfCloser, data []byte) error {
	if _, err := conn.Write(data); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if want := fmt.Sprintf("%d %x <nil>", len(data), sha256.Sum256(data)); err != nil || string(got) != want {
		return fmt.Errorf("got %.100q, %v, want %q", got, err, want)
	}
	return nil
}

// syncBuffer is a log that goroutines share.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func forwardFrom(t *testing.T, c *shoal.Client, h shoal.Host) *shoal.Conn {
	t.Helper()
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// inBackground runs a forward in the background; the function it returns ends it and
// returns its error.
func inBackground(t *testing.T, forward func(context.Context) error) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error, 1)
	go func() { done <- forward(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return stop
}

// bothServers runs a test on the embedded fleet and on a real sshd.
func bothServers(t *testing.T, test func(t *testing.T, c *shoal.Client, h shoal.Host)) {
	t.Run("sshtest", func(t *testing.T) {
		t.Parallel()
		f := sshtest.New(t, sshtest.Config{ForwardLoopback: true, Shell: "/bin/sh"})
		test(t, newClient(t, f), hostOf(f, 0))
	})
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		c, h, _ := openssh(t)
		test(t, c, h)
	})
}

// Dial reaches TCP ports and Unix sockets; bytes are exact both ways, and one
// direction ends before the other.
func TestForwardDial(t *testing.T) {
	bothServers(t, func(t *testing.T, c *shoal.Client, h shoal.Host) {
		conn := forwardFrom(t, c, h)
		for _, network := range []string{"tcp", "unix"} {
			l := listen(t, network)
			serve(t, l, answer)
			for _, size := range []int{0, 1, 8 << 20} {
				nc, err := conn.Dial(testContext(t), network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if err := checkAnswer(nc.(halfCloser), randomBytes(size)); err != nil {
					t.Errorf("%s, %d bytes: %v", network, size, err)
				}
				if got, want := nc.RemoteAddr().String(), l.Addr().String(); got != want {
					t.Errorf("remote address %s, want %s", got, want)
				}
				nc.Close()
			}
		}
	})
}

// A forwarded connection is good for what takes any net.Conn.
func TestForwardHTTP(t *testing.T) {
	bothServers(t, func(t *testing.T, c *shoal.Client, h shoal.Host) {
		conn := forwardFrom(t, c, h)
		l := listen(t, "tcp")
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		})}
		done := make(chan struct{})
		go func() { defer close(done); srv.Serve(l) }()
		defer func() { srv.Close(); <-done }()
		transport := &http.Transport{DialContext: conn.Dial}
		defer transport.CloseIdleConnections()
		data := randomBytes(1 << 20)
		for range 3 { // over one connection, whatever becomes of the first request's context
			ctx, cancel := context.WithCancel(testContext(t))
			req, err := http.NewRequestWithContext(ctx, "POST", "http://"+l.Addr().String(), bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			cancel()
		}
	})
}

// Listen has the host listen on TCP ports, of its choice or ours, and on Unix
// sockets, until Close.
func TestForwardListen(t *testing.T) {
	bothServers(t, func(t *testing.T, c *shoal.Client, h shoal.Host) {
		conn := forwardFrom(t, c, h)
		free := listen(t, "tcp")
		fixed := free.Addr().String()
		free.Close()
		for _, at := range []struct{ network, addr string }{{"tcp", "localhost:0"}, {"tcp", "127.0.0.1:0"}, {"tcp", fixed}, {"unix", socketPath(t)}} {
			l, err := conn.Listen(testContext(t), at.network, at.addr)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(l.Addr().String(), ":0") || l.Addr().Network() != at.network {
				t.Errorf("listens on %v", l.Addr())
			}
			serve(t, l, answer)
			for range 3 {
				nc, err := net.Dial(at.network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if err := checkAnswer(nc.(halfCloser), randomBytes(1<<20)); err != nil {
					t.Errorf("%v: %v", at, err)
				}
				nc.Close()
			}
			l.Close()
			if nc, err := net.Dial(at.network, l.Addr().String()); err == nil {
				nc.Close()
				t.Errorf("%v: still listened on", at)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("accept on a closed listener: %v", err)
			}
		}
	})
}

// Forwards both ways and SOCKS: a hundred connections at once, each byte exact
// and each end passed on; the end of the context ends all of it.
func TestForwards(t *testing.T) {
	bothServers(t, func(t *testing.T, c *shoal.Client, h shoal.Host) {
		conn := forwardFrom(t, c, h)
		for _, network := range []string{"tcp", "unix"} {
			target := listen(t, network)
			serve(t, target, answer)
			to := target.Addr().String()
			here := listen(t, network)
			stopLocal := inBackground(t, func(ctx context.Context) error { return conn.ForwardLocal(ctx, here, network, to) })
			addr := "localhost:0"
			if network == "unix" {
				addr = socketPath(t)
			}
			there, err := conn.Listen(testContext(t), network, addr)
			if err != nil {
				t.Fatal(err)
			}
			stopRemote := inBackground(t, func(ctx context.Context) error { return conn.ForwardRemote(ctx, there, network, to) })
			for name, at := range map[string]net.Addr{"local": here.Addr(), "remote": there.Addr()} {
				t.Run(name+" "+network, func(t *testing.T) {
					var wg sync.WaitGroup
					for range 100 {
						wg.Go(func() {
							nc, err := net.Dial(network, at.String())
							if err != nil {
								t.Error(err)
								return
							}
							defer nc.Close()
							if err := checkAnswer(nc.(halfCloser), randomBytes(100_000)); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
				})
			}
			for _, stop := range []func() error{stopLocal, stopRemote} {
				if err := stop(); !errors.Is(err, context.Canceled) {
					t.Errorf("ended with %v, want the context's cause", err)
				}
			}
			for _, l := range []net.Listener{here, there} {
				if nc, err := net.Dial(network, l.Addr().String()); err == nil {
					nc.Close()
					t.Errorf("%s is still listened on", l.Addr())
				}
			}
		}
	})
}

// The end of the context breaks connections off that are at work, so that it is
// not taken for their end.
func TestForwardContext(t *testing.T) {
	bothServers(t, func(t *testing.T, c *shoal.Client, h shoal.Host) {
		conn := forwardFrom(t, c, h)
		target := listen(t, "tcp")
		serve(t, target, func(nc halfCloser) {
			io.WriteString(nc, "hello")
			io.Copy(io.Discard, nc)
		})
		here := listen(t, "tcp")
		stop := inBackground(t, func(ctx context.Context) error {
			return conn.ForwardLocal(ctx, here, "tcp", target.Addr().String())
		})
		nc, err := net.Dial("tcp", here.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.ReadFull(nc, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		stop()
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v, want a reset", err)
		}

		ctx, cancel := context.WithCancel(testContext(t))
		l, err := conn.Listen(ctx, "tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := l.Accept(); !errors.Is(err, context.Canceled) {
			t.Errorf("accept: %v", err)
		}
		l.Close()
	})
}

// SOCKS 4, 4a and 5, as real clients speak it.
func TestForwardDynamic(t *testing.T) {
	bothServers(t, func(t *testing.T, c *shoal.Client, h shoal.Host) {
		conn := forwardFrom(t, c, h)
		target := listen(t, "tcp")
		serve(t, target, answer)
		here := listen(t, "tcp")
		inBackground(t, func(ctx context.Context) error { return conn.ForwardDynamic(ctx, here) })
		_, port, _ := net.SplitHostPort(target.Addr().String())
		d, err := proxy.SOCKS5("tcp", here.Addr().String(), nil, proxy.Direct)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"127.0.0.1", "localhost"} {
			nc, err := d.Dial("tcp", net.JoinHostPort(name, port))
			if err != nil {
				t.Fatal(err)
			}
			if err := checkAnswer(nc.(halfCloser), randomBytes(100_000)); err != nil {
				t.Error(err)
			}
			nc.Close()
		}
		web := listen(t, "tcp")
		serve(t, web, func(nc halfCloser) {
			io.ReadFull(nc, make([]byte, 10))
			io.WriteString(nc, "HTTP/1.0 200 OK\r\n\r\nhello")
		})
		_, port, _ = net.SplitHostPort(web.Addr().String())
		opensshtest.Need(t, "curl")
		for _, flag := range []string{"--socks4", "--socks4a", "--socks5", "--socks5-hostname"} {
			out, err := exec.Command("curl", "-sS", "--noproxy", "", flag, here.Addr().String(), "http://localhost:"+port).CombinedOutput()
			if err != nil || string(out) != "hello" {
				t.Errorf("curl %s: %q, %v", flag, out, err)
			}
		}
	})
}

// halfPipe is a pipe that can be halved: it goes on being read.
type halfPipe struct{ net.Conn }

func (halfPipe) CloseWrite() error { return nil }

// What a SOCKS client asks for and is answered, byte by byte.
func TestForwardDynamicProtocol(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Forward: func(_ context.Context, _, addr string) (net.Conn, error) {
		switch addr {
		case "ok.example:80", "192.0.2.1:80", "[2001:db8::1]:80":
			a, b := net.Pipe()
			go func() { io.WriteString(b, "@"+addr); b.Close() }()
			return halfPipe{a}, nil // the client ends its side before it has the answer
		case "closed.example:80":
			return nil, &ssh.OpenChannelError{Reason: ssh.ConnectionFailed, Message: "Connection refused"}
		case "unknown.example:80":
			return nil, &ssh.OpenChannelError{Reason: ssh.ConnectionFailed, Message: "Name or service not known"}
		}
		return nil, &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "open failed"}
	}})
	conn := forwardFrom(t, newClient(t, f), hostOf(f, 0))
	l := listen(t, "tcp")
	inBackground(t, func(ctx context.Context) error { return conn.ForwardDynamic(ctx, l) })
	name := func(s string) string {
		return "\x05\x01\x00" + "\x05\x01\x00\x03" + string(rune(len(s))) + s + "\x00\x50"
	}
	reply := func(code string) string { return "\x05\x00" + "\x05" + code + "\x00\x01\x00\x00\x00\x00\x00\x00" }
	reply4 := func(code string) string { return "\x00" + code + "\x00\x00\x00\x00\x00\x00" }
	for what, tt := range map[string]struct{ ask, want string }{
		"5, a name":           {name("ok.example"), reply("\x00") + "@ok.example:80"},
		"5, IPv4":             {"\x05\x02\x02\x00" + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", reply("\x00") + "@192.0.2.1:80"},
		"5, IPv6":             {"\x05\x01\x00" + "\x05\x01\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x00\x50", reply("\x00") + "@[2001:db8::1]:80"},
		"5, refused":          {name("closed.example"), reply("\x05")},
		"5, unknown":          {name("unknown.example"), reply("\x04")},
		"5, forbidden":        {name("other.example"), reply("\x02")},
		"5, bind":             {"\x05\x01\x00" + "\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x50", reply("\x07")},
		"5, other addresses":  {"\x05\x01\x00" + "\x05\x01\x00\x09", reply("\x08")},
		"5, with a password":  {"\x05\x01\x02", "\x05\xff"},
		"4":                   {"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00", reply4("\x5a") + "@192.0.2.1:80"},
		"4a":                  {"\x04\x01\x00\x50\x00\x00\x00\x01\x00ok.example\x00", reply4("\x5a") + "@ok.example:80"},
		"4a, refused":         {"\x04\x01\x00\x50\x00\x00\x00\x01\x00closed.example\x00", reply4("\x5b")},
		"4, bind":             {"\x04\x02\x00\x50\xc0\x00\x02\x01\x00", ""},
		"4, a name too long":  {"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + strings.Repeat("x", 256), ""},
		"HTTP":                {"G", ""},
		"nothing":             {"", ""},
		"5, and then nothing": {"\x05", ""},
	} {
		t.Run(what, func(t *testing.T) {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			io.WriteString(nc, tt.ask)
			nc.(halfCloser).CloseWrite()
			got, err := io.ReadAll(nc)
			if tt.want == "" && errors.Is(err, syscall.ECONNRESET) {
				err = nil // bytes of the request were left unread
			}
			if string(got) != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	everywhere, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.ForwardDynamic(testContext(t), everywhere); err == nil || !strings.Contains(err.Error(), "loopback only") {
		t.Errorf("a SOCKS server for everybody: %v", err)
	}
}

// What servers refuse is said, with the host, what for and what to look at; a
// forwarder answers its client with it and goes on.
func TestForwardRefused(t *testing.T) {
	t.Parallel()
	target := listen(t, "tcp")
	serve(t, target, answer)
	gone := listen(t, "tcp")
	closed := gone.Addr().String()
	gone.Close()
	_, targetPort, _ := net.SplitHostPort(target.Addr().String())
	dial := func(network, addr string) func(*testing.T, *shoal.Conn) error {
		return func(t *testing.T, c *shoal.Conn) error {
			nc, err := c.Dial(testContext(t), network, addr)
			if err == nil {
				nc.Close()
			}
			return err
		}
	}
	listenAt := func(network, addr string) func(*testing.T, *shoal.Conn) error {
		return func(t *testing.T, c *shoal.Conn) error {
			l, err := c.Listen(testContext(t), network, addr)
			if err == nil {
				l.Close()
			}
			return err
		}
	}
	for _, server := range []struct {
		extra string
		tests map[string]struct {
			do   func(*testing.T, *shoal.Conn) error
			kind shoal.Kind // empty where it works
			says string
		}
	}{
		{"AllowTcpForwarding yes", map[string]struct {
			do   func(*testing.T, *shoal.Conn) error
			kind shoal.Kind
			says string
		}{
			"a closed port":      {dial("tcp", closed), shoal.KindRefused, "could not connect to " + closed + ": Connection refused"},
			"no such name":       {dial("tcp", "no-such-host.invalid:1"), shoal.KindDNS, "no-such-host.invalid:1"},
			"no such socket":     {dial("unix", "/nonexistent/s"), shoal.KindUnreachable, "could not connect to /nonexistent/s"},
			"a port in use":      {listenAt("tcp", target.Addr().String()), shoal.KindChannelRefused, "does not listen on " + target.Addr().String()},
			"a folder not there": {listenAt("unix", "/nonexistent/s"), shoal.KindChannelRefused, "does not listen on /nonexistent/s"},
			"another network":    {dial("udp", closed), shoal.KindInvalid, `network "udp" is neither tcp nor unix`},
			"no port":            {dial("tcp", "web"), shoal.KindInvalid, "want host:port"},
			"port 0":             {dial("tcp", "web:0"), shoal.KindInvalid, "has no port"},
			"a big port":         {listenAt("tcp", "web:70000"), shoal.KindInvalid, "port"},
			"no path":            {dial("unix", ""), shoal.KindInvalid, "path of a socket"},
		}},
		{"AllowTcpForwarding no\nAllowStreamLocalForwarding no", map[string]struct {
			do   func(*testing.T, *shoal.Conn) error
			kind shoal.Kind
			says string
		}{
			"dial":          {dial("tcp", target.Addr().String()), shoal.KindChannelRefused, "forwards no connection to " + target.Addr().String()},
			"dial a socket": {dial("unix", "/tmp/s"), shoal.KindUnreachable, "/tmp/s"},
			"listen":        {listenAt("tcp", "localhost:0"), shoal.KindChannelRefused, "does not listen on localhost:0"},
			"make a socket": {listenAt("unix", "/tmp/shoal-no"), shoal.KindChannelRefused, "does not listen on /tmp/shoal-no"},
		}},
		{"PermitListen localhost:1\nPermitOpen 127.0.0.1:" + targetPort, map[string]struct {
			do   func(*testing.T, *shoal.Conn) error
			kind shoal.Kind
			says string
		}{
			"an allowed target": {dial("tcp", target.Addr().String()), "", ""},
			"another target":    {dial("tcp", closed), shoal.KindChannelRefused, "forwards no connection"},
			"another port":      {listenAt("tcp", "localhost:0"), shoal.KindChannelRefused, "does not listen"},
		}},
	} {
		t.Run(server.extra, func(t *testing.T) {
			c, h, _ := openssh(t, strings.Split(server.extra, "\n")...)
			conn := forwardFrom(t, c, h)
			for name, tt := range server.tests {
				t.Run(name, func(t *testing.T) {
					err := tt.do(t, conn)
					if tt.kind == "" {
						if err != nil {
							t.Error(err)
						}
						return
					}
					he := wantHostError(t, err, shoal.StageForward, tt.kind)
					if !strings.Contains(err.Error(), tt.says) || he.Host != h.Name {
						t.Errorf("got %v, want %q", err, tt.says)
					}
				})
			}
		})
	}
}

// One connection that fails breaks off, so that it is not taken for a short
// answer; the others go on.
func TestForwardOneFails(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	f := sshtest.New(t, sshtest.Config{ForwardLoopback: true})
	c := newClient(t, f)
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	conn := forwardFrom(t, c, hostOf(f, 0))
	target := listen(t, "tcp")
	addr := target.Addr().String()
	here := listen(t, "tcp")
	inBackground(t, func(ctx context.Context) error { return conn.ForwardLocal(ctx, here, "tcp", addr) })
	target.Close()
	nc, err := net.Dial("tcp", here.Addr().String())
	if err == nil { // else the reset came before Dial was done
		_, err = io.ReadAll(nc)
		nc.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	target, err = net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, target, answer)
	if nc, err = net.Dial("tcp", here.Addr().String()); err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := checkAnswer(nc.(halfCloser), []byte("x")); err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.Contains(got, "could not be forwarded") || !strings.Contains(got, addr) {
		t.Errorf("logged %q", got)
	}
}

// A lost connection is never a regular end: not to who reads, writes or accepts,
// and not to the clients of forwards.
func TestForwardLost(t *testing.T) {
	lost := func(t *testing.T, c *shoal.Client, h shoal.Host, lose func()) {
		conn := forwardFrom(t, c, h)
		target := listen(t, "tcp")
		serve(t, target, func(nc halfCloser) {
			io.WriteString(nc, "hello")
			io.Copy(io.Discard, nc)
		})
		nc, err := conn.Dial(testContext(t), "tcp", target.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		l, err := conn.Listen(testContext(t), "tcp", "localhost:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		here := listen(t, "tcp")
		inBackground(t, func(ctx context.Context) error {
			return conn.ForwardLocal(ctx, here, "tcp", target.Addr().String())
		})
		through, err := net.Dial("tcp", here.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer through.Close()
		for _, r := range []io.Reader{nc, through} {
			if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		lose()
		if n, err := nc.Read(make([]byte, 1)); !errors.Is(err, shoal.ErrLost) {
			t.Errorf("read %d, %v", n, err)
		}
		wantHostError(t, func() error { _, err := nc.Write([]byte("x")); return err }(), shoal.StageForward, shoal.KindLost)
		_, err = l.Accept()
		wantHostError(t, err, shoal.StageForward, shoal.KindLost)
		if n, err := through.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a client of the forward read %d, %v, want a reset", n, err)
		}
	}
	t.Run("disconnected", func(t *testing.T) {
		t.Parallel()
		f := sshtest.New(t, sshtest.Config{ForwardLoopback: true})
		lost(t, newClient(t, f), hostOf(f, 0), func() { f.Disconnect(0) })
	})
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		c, h, s := openssh(t)
		lost(t, c, h, s.KillSessions)
	})
	t.Run("closed by us", func(t *testing.T) {
		t.Parallel()
		f := sshtest.New(t, sshtest.Config{ForwardLoopback: true})
		c := newClient(t, f)
		lost(t, c, hostOf(f, 0), func() { c.Close() })
	})
}

// A forward goes on over a new connection when the old one was lost.
func TestForwardReconnects(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{ForwardLoopback: true})
	conn := forwardFrom(t, newClient(t, f), hostOf(f, 0))
	target := listen(t, "tcp")
	serve(t, target, answer)
	here := listen(t, "tcp")
	inBackground(t, func(ctx context.Context) error {
		return conn.ForwardLocal(ctx, here, "tcp", target.Addr().String())
	})
	for range 3 {
		nc, err := net.Dial("tcp", here.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := checkAnswer(nc.(halfCloser), randomBytes(1000)); err != nil {
			t.Error(err)
		}
		nc.Close()
		f.Disconnect(0)
	}
}

// Deadlines end a wait and lose nothing: not what comes later, not what was
// under way; they can be set again, by others, at any time.
func TestForwardDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var far net.Conn
		ready := make(chan struct{})
		f := sshtest.New(t, sshtest.Config{InMemory: true, Forward: func(context.Context, string, string) (net.Conn, error) {
			var near net.Conn
			near, far = net.Pipe()
			close(ready)
			return near, nil
		}})
		c := newClient(t, f)
		c.Dial = f.Dial
		c.Host.KeepAlive = -1
		conn, err := c.Conn(t.Context(), hostOf(f, 0))
		if err != nil {
			t.Fatal(err)
		}
		nc, err := conn.Dial(t.Context(), "tcp", "db:5432")
		if err != nil {
			t.Fatal(err)
		}
		<-ready
		if got := nc.RemoteAddr().String(); got != "db:5432" {
			t.Errorf("remote address %q", got)
		}
		buf := make([]byte, 8)
		timedOut := func(err error) {
			t.Helper()
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want a timeout", err)
			}
		}
		for range 2 {
			began := time.Now()
			nc.SetReadDeadline(began.Add(time.Second))
			_, err := nc.Read(buf)
			timedOut(err)
			if got := time.Since(began); got != time.Second {
				t.Errorf("timed out after %v", got)
			}
		}
		nc.SetDeadline(time.Now().Add(-1))
		_, err = nc.Read(buf)
		timedOut(err)
		_, err = nc.Write(buf)
		timedOut(err)
		nc.SetDeadline(time.Time{})
		go far.Write([]byte("one two"))
		if n, err := io.ReadFull(nc, buf[:3]); err != nil || string(buf[:n]) != "one" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		if n, err := io.ReadFull(nc, buf[:4]); err != nil || string(buf[:n]) != " two" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		// A deadline that is moved while somebody waits.
		go func() {
			time.Sleep(time.Second)
			nc.SetReadDeadline(time.Now().Add(time.Second))
		}()
		began := time.Now()
		_, err = nc.Read(buf)
		timedOut(err)
		if got := time.Since(began); got != 2*time.Second {
			t.Errorf("timed out after %v", got)
		}
		// Nobody reads on the far side: writing stops at the window's size, and
		// what is counted as written arrives once.
		data := randomBytes(8 << 20)
		sent := 0
		for {
			nc.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := nc.Write(data[sent:])
			sent += n
			if err == nil {
				break
			}
			timedOut(err)
			if sent == len(data) {
				t.Fatal("all was written to nobody")
			}
			if far != nil {
				go func(far net.Conn) { // from now on somebody does
					got := make([]byte, len(data))
					_, err := io.ReadFull(far, got)
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("the far side got other bytes: %v", err)
					}
					far.Close()
				}(far)
				far = nil
			}
		}
		nc.SetReadDeadline(time.Time{})
		if n, err := nc.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("read %d, %v, want the end", n, err)
		}
		nc.Close()
		if _, err := nc.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		conn.Close()
		c.Close()
		f.Close()
	})
}

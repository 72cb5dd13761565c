//go:build unix

package openssh_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Every stream, status and signal is as without ssh, on many hosts at once.
func TestRun(t *testing.T) {
	servers := start(t, 20)
	s := use(t, servers)
	results, err := shoal.Gather(s.client.Run(testContext(t), slices.Values(hosts(servers...)), shoal.Command{
		Line: "cat; echo err >&2; exit 7", Stdin: strings.NewReader("in\x00\xff\r\nput")}))
	if err == nil || len(results) != 20 {
		t.Fatalf("%d results, error %v", len(results), err)
	}
	for _, r := range results {
		e, ok := errors.AsType[*shoal.ExitError](r.Err)
		if !ok || e.Code != 7 || r.Value.Text() != "in\x00\xff\r\nput" || r.Value.ErrText() != "err\n" {
			t.Errorf("%s: %v, %q, %q", r.Host.Name, r.Err, r.Value.Stdout, r.Value.Stderr)
		}
	}
	// The same connections again: no server sees a second login.
	if _, err := shoal.Gather(s.client.Run(testContext(t), slices.Values(hosts(servers...)), shoal.Command{Line: "true"})); err != nil {
		t.Error(err)
	}
	for i, server := range servers {
		if n := strings.Count(server.Log(), "Accepted publickey"); n != 1 {
			t.Errorf("host %d: %d logins, want 1", i, n)
		}
	}
}

func TestCommands(t *testing.T) {
	servers := start(t, 1)
	s := use(t, servers, "Host compressed", "HostName 127.0.0.1", "Compression yes", "Match all")
	h := hosts(servers...)[0]
	ctx := testContext(t)
	conn, err := s.client.Conn(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	t.Run("signal", func(t *testing.T) {
		_, err := conn.Run(ctx, shoal.Command{Line: "kill -9 $$"})
		if e, ok := errors.AsType[*shoal.ExitError](err); !ok || e.Signal != "KILL" {
			t.Errorf("got %v, want signal KILL", err)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		out, err := conn.Run(ctx, shoal.Command{Line: "stty size; tty >/dev/null && echo yes", PTY: &shoal.PTY{Rows: 33, Cols: 77}})
		if err != nil || out.Text() != "33 77\r\nyes\r\n" {
			t.Errorf("%q, %v", out.Text(), err)
		}
	})
	t.Run("environment", func(t *testing.T) {
		h := h
		h.Env = []string{"SHOAL_T=a b"}
		conn, err := s.client.Conn(ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if out, err := conn.Run(ctx, shoal.Command{Line: `echo "$SHOAL_T"`}); err != nil || out.Text() != "a b\n" {
			t.Errorf("%q, %v", out.Text(), err)
		}
	})
	t.Run("sudo", func(t *testing.T) {
		if _, err := exec.LookPath("sudo"); err != nil || os.Getuid() != 0 {
			opensshtest.LeaveOut(t, "sudo, run by root, of whom it asks no password")
		}
		out, err := conn.Run(ctx, shoal.Command{Line: "id -u", Sudo: &shoal.Sudo{}})
		if err != nil || out.Text() != "0\n" {
			t.Errorf("%q, %v", out.Text(), err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		p, err := conn.Start(ctx, shoal.Command{Line: "echo on; exec sleep 1000"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(p.Stdout, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("its end was not seen: %v", err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		ch, _, err := conn.SSH().OpenChannel("nothing@example.com", nil)
		if err == nil {
			t.Fatal(ch, "opened")
		}
		if _, err := conn.Run(ctx, shoal.Command{Line: "true"}); err != nil {
			t.Error(err)
		}
	})
	t.Run("subsystem", func(t *testing.T) { sftpVersion(t, conn) })
	for name, h := range map[string]shoal.Host{"large": h, "large compressed": {Name: "compressed", Port: servers[0].Port}} {
		t.Run(name, func(t *testing.T) { large(t, s.client, h) })
	}
}

// sftpVersion asks a subsystem for its version (draft-ietf-secsh-filexfer-02 §4).
func sftpVersion(t *testing.T, conn *shoal.Conn) {
	ch, reqs, err := conn.SSH().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	go func() {
		for range reqs {
		}
	}()
	if ok, err := ch.SendRequest("subsystem", true, append([]byte{0, 0, 0, 4}, "sftp"...)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	ch.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3})
	var version [9]byte
	if _, err := io.ReadFull(ch, version[:]); err != nil || version[4] != 2 || version[8] != 3 {
		t.Errorf("%v, %v", version, err)
	}
}

// large sends 100 MiB there and back, exactly.
func large(t *testing.T, c *shoal.Client, h shoal.Host) {
	const size = 100 << 20
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, out := sha256.New(), sha256.New()
	pattern := bytes.Repeat([]byte("Shoal\x00\xff\r\n 0123456789\n"), 5000)
	var n countWriter
	_, err = conn.Run(testContext(t), shoal.Command{
		Line:  "cat",
		Stdin: io.TeeReader(io.LimitReader(&repeatReader{pattern: pattern}, size), in), Stdout: io.MultiWriter(out, &n),
	})
	if err != nil || n != size || !bytes.Equal(in.Sum(nil), out.Sum(nil)) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type countWriter int64

func (n *countWriter) Write(p []byte) (int, error) {
	*n += countWriter(len(p))
	return len(p), nil
}

type repeatReader struct {
	pattern []byte
	at      int
}

func (r *repeatReader) Read(p []byte) (int, error) {
	n := copy(p, r.pattern[r.at:])
	r.at = (r.at + n) % len(r.pattern)
	return n, nil
}

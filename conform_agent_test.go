package shoal_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// agentAt serves an SSH agent on a Unix socket, and returns its path.
func agentAt(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "agent") // short: sockets' paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	l, err := net.Listen("unix", filepath.Join(folder, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	return l.Addr().String()
}

// answers is an agent that answers every request with the bytes.
func answers(reply ...byte) func(net.Conn) {
	return func(conn net.Conn) {
		var size [4]byte
		for {
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
				return
			}
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}
}

// holding is an agent with keys, which fails or keeps silent when it should sign.
type holding struct {
	agent.Agent
	sign func() (*ssh.Signature, error)
}

func (h holding) Sign(ssh.PublicKey, []byte) (*ssh.Signature, error) { return h.sign() }

// rawKey is the key as an agent takes it.
func rawKey(t *testing.T, pem []byte) any {
	t.Helper()
	key, err := ssh.ParseRawPrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// An agent that does not serve costs one wait of five seconds, however many
// hosts want it, and keeps nobody from the other ways to log in.
func TestAgentFaults(t *testing.T) {
	conform(t, "3.2 test_agent_auth_failure", "3.2 test_agent_auth_fake_success", "3.2 test_agent_auth_exceptions",
		"3.5 test_agent_auth_failure", "3.5 test_agent_auth_fake_success")
	f := sshtest.New(t, sshtest.Config{Hosts: 5})
	_, strangerPEM := newKey(t)
	ring := agent.NewKeyring()
	for _, key := range []any{rawKey(t, strangerPEM), rawKey(t, f.ClientKeyPEM())} {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	strangers := agent.NewKeyring()
	if err := strangers.Add(agent.AddedKey{PrivateKey: rawKey(t, strangerPEM)}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		slow  bool
		says  string
	}{
		{"silent", func(conn net.Conn) { io.Copy(io.Discard, conn) }, true, "agent"},
		{"closes", func(net.Conn) {}, false, "agent"},
		{"claims 4 GiB", answers(0xff, 0xff, 0xff, 0xff, 12), false, "agent"},
		{"success for an answer", answers(0, 0, 0, 1, 6), false, "agent"},
		{"noise", answers([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...), false, "agent"},
		{"no keys", func(conn net.Conn) { agent.ServeAgent(agent.NewKeyring(), conn) }, false, "agent"},
		{"strangers' keys", func(conn net.Conn) { agent.ServeAgent(strangers, conn) }, false, "no method accepted"},
		{"refuses to sign", func(conn net.Conn) {
			agent.ServeAgent(holding{ring, func() (*ssh.Signature, error) { return nil, os.ErrPermission }}, conn)
		}, false, "agent"},
		{"never signs", func(conn net.Conn) {
			agent.ServeAgent(holding{ring, func() (*ssh.Signature, error) { io.Copy(io.Discard, conn); return nil, os.ErrPermission }}, conn)
		}, true, "agent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			socket := shoal.AgentSocket(agentAt(t, tt.serve))
			c := newClient(t, f)
			began := time.Now()
			c.Host.Auth = append([]shoal.Auth{socket}, c.Host.Auth...)
			got, err := texts(t, c, hostsOf(f), shoal.Command{Line: "echo ok"})
			if err != nil || len(got) != 5 {
				t.Errorf("with a key beside: %q, %v", got, err)
			}
			if took := time.Since(began); tt.slow && took < 5*time.Second {
				t.Errorf("took %v, less than the agent's time", took)
			}
			alone := newClient(t, f)
			alone.Host.Auth = []shoal.Auth{socket}
			_, err = alone.Conn(testContext(t), hostOf(f, 0))
			he, ok := errors.AsType[*shoal.HostError](err)
			if !ok || he.Stage != shoal.StageAuth || !slices.Contains([]shoal.Kind{shoal.KindAgent, shoal.KindAuthFailed}, he.Kind) || !strings.Contains(he.Error(), tt.says) {
				t.Errorf("alone: %v", err)
			}
		})
	}
}

// failingConn is a connection on which calls are counted, and one of them fails.
type failingConn struct {
	net.Conn
	call func() error
}

func (c failingConn) Read(p []byte) (int, error) {
	if err := c.call(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c failingConn) Write(p []byte) (int, error) {
	if err := c.call(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Each call on the agent's side of a connection fails once: the login works all
// the same, by the agent or by the key behind it, and nothing is left.
func TestEachAgentCallFails(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: rawKey(t, f.ClientKeyPEM())}); err != nil {
		t.Fatal(err)
	}
	for n := int64(1); ; n++ {
		var calls atomic.Int64
		socket := shoal.AgentSocket(agentAt(t, func(conn net.Conn) {
			agent.ServeAgent(ring, failingConn{conn, func() error {
				if calls.Add(1) == n {
					conn.Close()
					return io.ErrUnexpectedEOF
				}
				return nil
			}})
		}))
		c := newClient(t, f)
		c.Host.Auth = append([]shoal.Auth{socket}, c.Host.Auth...)
		if got, err := texts(t, c, hostsOf(f), shoal.Command{Line: "echo ok"}); err != nil || !slices.Equal(got, []string{"host0: ok"}) {
			t.Errorf("call %d: with a key beside: %q, %v", n, got, err)
		}
		failed := calls.Load() >= n
		alone := newClient(t, f)
		alone.Host.Auth = []shoal.Auth{socket}
		calls.Store(0)
		if _, err := texts(t, alone, hostsOf(f), shoal.Command{Line: "echo ok"}); err != nil {
			wantHostError(t, err, shoal.StageAuth, shoal.KindAgent)
		}
		if !failed {
			if n < 6 {
				t.Errorf("a login takes only %d calls of the agent", n-1)
			}
			return
		}
	}
}

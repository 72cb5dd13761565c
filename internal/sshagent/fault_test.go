package sshagent

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// socket serves an agent on a Unix socket and returns its path.
func socket(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "agent") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	return path
}

// fromEnv returns a client of the agent at path.
func fromEnv(t *testing.T, path string, options Options) *Client {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", path)
	c, err := FromEnv(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answering sends the same bytes for any request.
func answering(reply []byte) func(net.Conn) {
	return func(conn net.Conn) {
		request := make([]byte, 1<<16)
		for {
			if _, err := conn.Read(request); err != nil {
				return
			}
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}
}

// listReply is a list of keys with a count of its own.
func listReply(count uint32, blobs ...string) []byte {
	message := ssh.Marshal(struct {
		Count uint32 `sshtype:"12"`
	}{count})
	for _, blob := range blobs {
		message = append(message, ssh.Marshal(struct{ Blob, Comment string }{blob, "comment"})...)
	}
	return message
}

func TestListFaults(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"silent":       {silent, "no answer within 20ms"},
		"closes":       {func(net.Conn) {}, ""}, // reset or end of file
		"closes later": {func(c net.Conn) { _, _ = c.Read(make([]byte, 5)) }, "hung up"},
		"cut":          {func(c net.Conn) { _, _ = c.Read(make([]byte, 5)); _, _ = c.Write([]byte{0, 0, 0, 9, 12}) }, "hung up"},
		"4 GiB":        {answering([]byte{0xff, 0xff, 0xff, 0xff, 12}), "4294967295 bytes"},
		"256 KiB + 1":  {answering([]byte{0, 4, 0, 1, 12}), "262145 bytes"},
		"empty":        {answering([]byte{0, 0, 0, 0}), "0 bytes"},
		"SUCCESS":      {answering(frame(6)), "type 6"},
		"FAILURE":      {answering(frame(msgFailure)), "refuses"},
		"SSH2 FAILURE": {answering(frame(msgFailureSSHCom)), "refuses"},
		"a signature":  {answering(frame(14, 0, 0, 0, 0)), "type 14"},
		"noise":        {answering(frame(12, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 7)), "malformed"},
		"short":        {answering(frame(12, 0)), "malformed"},
		"many keys":    {answering(frame(listReply(1 << 31)...)), "2147483648 keys"},
		"fewer keys":   {answering(frame(listReply(2, "x")...)), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			options := Options{}
			if name == "silent" {
				options.ListBudget = 20 * time.Millisecond
			}
			c := fromEnv(t, socket(t, test.serve), options)
			_, first := c.Signers(t.Context())
			e, ok := errors.AsType[*Error](first)
			if !ok || e.Op != "list keys" || !strings.Contains(first.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", first, test.want)
			}
			if _, second := c.Signers(t.Context()); !errors.Is(second, first) {
				t.Errorf("got error %v the second time, want %v", second, first)
			}
		})
	}
}

// TestSignFaults lists the keys as it should and then goes wrong.
func TestSignFaults(t *testing.T) {
	ring := keyring(t, 1)
	keys, err := ring.List()
	if err != nil {
		t.Fatal(err)
	}
	list := frame(listReply(1, string(keys[0].Blob))...)
	signature := func(format string) []byte {
		inner := ssh.Marshal(ssh.Signature{Format: format, Blob: make([]byte, 64)})
		return ssh.Marshal(struct {
			Signature []byte `sshtype:"14"`
		}{inner})
	}
	for name, test := range map[string]struct {
		reply []byte // none: silence
		want  string
	}{
		"never":          {nil, "no answer within 20ms"},
		"closes":         {[]byte{}, "hung up"},
		"4 GiB":          {[]byte{0xff, 0xff, 0xff, 0xff}, "4294967295 bytes"},
		"SUCCESS":        {frame(6), "type 6"},
		"FAILURE":        {frame(msgFailure), "refuses"},
		"keys":           {list, "type 12"},
		"noise":          {frame(14, 0xff, 0xff, 0xff, 0xff, 1), "malformed"},
		"noise inside":   {frame(14, 0, 0, 0, 1, 7), "malformed"},
		"other format":   {frame(signature("ssh-rsa")...), `signed with "ssh-rsa" and not with ssh-ed25519`},
		"escape in it":   {frame(signature("\x1b[2J")...), `"\x1b[2J"`},
		"endless format": {frame(signature(strings.Repeat("x", 10000))...), `"` + strings.Repeat("x", 40) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			options := Options{}
			if test.reply == nil {
				options.SignBudget = 20 * time.Millisecond
			}
			c := fromEnv(t, socket(t, func(conn net.Conn) {
				for {
					var size [4]byte
					if _, err := io.ReadFull(conn, size[:]); err != nil {
						return
					}
					request := make([]byte, int(size[2])<<8+int(size[3]))
					if _, err := io.ReadFull(conn, request); err != nil {
						return
					}
					reply := list
					if request[0] != msgListRequest {
						reply = test.reply
					}
					if reply != nil && len(reply) == 0 {
						return
					}
					if _, err := conn.Write(reply); err != nil {
						return
					}
				}
			}), options)
			s := signers(t, c)[0]
			_, err := s.Sign(nil, []byte("data"))
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Op != "sign" || e.Key == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestUnusableKeys are left out of the list.
func TestUnusableKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ring := keyring(t, 1)
	if err := ring.Add(agent.AddedKey{PrivateKey: weak}); err != nil {
		t.Fatal(err)
	}
	keys, err := ring.List()
	if err != nil {
		t.Fatal(err)
	}
	one := big.NewInt(1)
	dsa := ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", new(big.Int).Lsh(one, 1023), new(big.Int).Lsh(one, 159), big.NewInt(2), big.NewInt(2)})
	if _, err := ssh.ParsePublicKey(dsa); err != nil {
		t.Fatal(err)
	}
	unknown := ssh.Marshal(struct{ Type, Key string }{"ssh-new", "x"})
	reply := listReply(5, string(dsa), string(unknown), "garbage", string(keys[1].Blob), string(keys[0].Blob))
	got := signers(t, fromEnv(t, socket(t, answering(frame(reply...))), Options{}))
	if len(got) != 1 || got[0].PublicKey().Type() != ssh.KeyAlgoED25519 {
		t.Errorf("got %d signers, want the one that is strong", len(got))
	}
}

func TestNoAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	c := fromEnv(t, path, Options{})
	if _, err := c.Signers(t.Context()); err == nil || !strings.Contains(err.Error(), "list keys: dial unix") {
		t.Errorf("got error %v", err)
	}
	if conn, err := c.Dial(t.Context()); err == nil {
		conn.Close()
		t.Error("connected to nothing")
	}
	if runtime.GOOS == "windows" {
		return // its agent has a name of its own
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	if _, err := FromEnv(Options{}); !errors.Is(err, ErrNoAgent) {
		t.Errorf("got error %v, want %v", err, ErrNoAgent)
	}
}

func FuzzReply(f *testing.F) {
	ring := keyring(f, 2)
	keys, err := ring.List()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame(listReply(2, string(keys[0].Blob), string(keys[1].Blob))...))
	f.Add(frame(msgFailure))
	f.Add(frame(ssh.Marshal(struct {
		Signature []byte `sshtype:"14"`
	}{ssh.Marshal(ssh.Signature{Format: "ssh-ed25519", Blob: []byte("x")})})...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		read := func(r request) ([]byte, error) {
			return r.roundTrip(struct {
				io.Reader
				io.Writer
			}{bytes.NewReader(wire), io.Discard})
		}
		if reply, err := read(listRequest()); err == nil {
			if list, err := parseList(reply); err == nil {
				for _, key := range list {
					_ = fmt.Sprint(usable(key), (&signer{public: key}).Algorithms())
				}
			}
		}
		if reply, err := read(signRequest(nil, nil, ssh.KeyAlgoED25519)); err == nil {
			if sig, err := parseSignature(reply, ssh.KeyAlgoED25519); err == nil && sig.Format != ssh.KeyAlgoED25519 {
				t.Errorf("accepted a signature with %q", sig.Format)
			}
		}
	})
}

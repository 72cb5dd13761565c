package sshagent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the agent of x/crypto complains there
	goleak.VerifyTestMain(m)
}

// fake is an agent in this process.
type fake struct {
	serve func(net.Conn) // one connection, until its end; nil: none is accepted
	dials atomic.Int32
	work  sync.WaitGroup // the connections being served
}

// dial connects over memory.
func (f *fake) dial(ctx context.Context) (net.Conn, error) {
	f.dials.Add(1)
	if f.serve == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	f.work.Go(func() {
		defer far.Close()
		f.serve(far)
	})
	return near, nil
}

// keyring returns an agent with n ed25519 keys.
func keyring(tb testing.TB, n int) agent.Agent {
	tb.Helper()
	ring := agent.NewKeyring()
	for range n {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			tb.Fatal(err)
		}
	}
	return ring
}

// serveRing is an agent that works. It tells of each request to sign, and waits
// for the call to return.
func serveRing(ring agent.Agent, signing func(key []byte)) func(net.Conn) {
	return func(conn net.Conn) { _ = agent.ServeAgent(observed{ring, signing}, conn) }
}

type observed struct {
	agent.Agent
	signing func(key []byte)
}

func (o observed) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	o.signing(key.Marshal())
	return o.Agent.Sign(key, data)
}

func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// signers lists the keys of an agent that works.
func signers(t *testing.T, c *Client) []ssh.Signer {
	t.Helper()
	got, err := c.Signers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// signAll has a signer sign n times at once and returns the errors.
func signAll(s ssh.Signer, n int) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			sig, err := s.Sign(nil, fmt.Append(nil, i))
			if err == nil {
				err = s.PublicKey().Verify(fmt.Append(nil, i), sig)
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errs
}

func TestSignersShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{serve: serveRing(keyring(t, 3), func([]byte) {})}
		c := New(f.dial, Options{})
		defer c.Close()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if got, err := c.Signers(t.Context()); err != nil || len(got) != 3 {
					t.Errorf("got %d signers, %v", len(got), err)
				}
			})
		}
		all.Wait()
		for _, s := range signers(t, c) {
			if err := errors.Join(signAll(s, 1)...); err != nil {
				t.Error(err)
			}
		}
		if got := f.dials.Load(); got != 1 {
			t.Errorf("connected %d times, want once for one request after the other", got)
		}
	})
}

func TestListBudget(t *testing.T) {
	drip := func(conn net.Conn) { // alive, but never done
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			return
		}
		_, _ = conn.Write([]byte{0, 0, 1, 0, msgListReply})
		for {
			time.Sleep(time.Second)
			if _, err := conn.Write([]byte{0}); err != nil {
				return
			}
		}
	}
	for name, serve := range map[string]func(net.Conn){
		"silent":          silent,
		"never reads":     func(net.Conn) { time.Sleep(time.Minute) },
		"drip":            drip,
		"does not accept": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{serve: serve}
				defer f.work.Wait()
				c := New(f.dial, Options{})
				defer c.Close()
				start := time.Now()
				var all sync.WaitGroup
				for i := range 100 {
					all.Go(func() {
						time.Sleep(time.Duration(i) * time.Second / 10) // half of them come too late
						_, err := c.Signers(t.Context())
						if e, ok := errors.AsType[*Error](err); !ok || e.Op != "list keys" || !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("got error %v", err)
						}
						if got, most := time.Since(start), max(5*time.Second, time.Duration(i)*time.Second/10); got != most {
							t.Errorf("caller %d waited until %v, want %v", i, got, most)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// TestSignersCancelled has the first caller leave; the others get the keys.
func TestSignersCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := keyring(t, 1)
		f := &fake{serve: func(conn net.Conn) {
			time.Sleep(3 * time.Second)
			_ = agent.ServeAgent(ring, conn)
		}}
		c := New(f.dial, Options{})
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Signers(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
		if got := len(signers(t, c)); got != 1 || f.dials.Load() != 1 {
			t.Errorf("got %d signers by %d connections, want 1 by 1", got, f.dials.Load())
		}
	})
}

func TestSigningBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		f := &fake{serve: serveRing(keyring(t, 1), func([]byte) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			now.Add(-1)
		})}
		c := New(f.dial, Options{})
		defer c.Close()
		start := time.Now()
		if err := errors.Join(signAll(signers(t, c)[0], 100)...); err != nil {
			t.Error(err)
		}
		if got := most.Load(); got != 32 {
			t.Errorf("%d signatures in flight, want 32", got)
		}
		if got, want := time.Since(start), 4*time.Second; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
		if got := f.dials.Load(); got > 32 {
			t.Errorf("connected %d times, want at most 32", got)
		}
	})
}

// TestNeverSigns gives up on a key once for all hosts; another key works.
func TestNeverSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := keyring(t, 2)
		keys, err := ring.List()
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		defer close(stop)
		f := &fake{serve: serveRing(ring, func(key []byte) {
			if string(key) == string(keys[0].Blob) {
				<-stop
			}
		})}
		c := New(f.dial, Options{})
		defer c.Close()
		two := signers(t, c)
		start := time.Now()
		for _, err := range signAll(two[0], 1000) {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Op != "sign" || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), ssh.FingerprintSHA256(two[0].PublicKey())) {
				t.Fatalf("got error %v", err)
			}
		}
		if got, want := time.Since(start), 5*time.Second; got != want {
			t.Errorf("1000 hosts waited %v, want %v in all", got, want)
		}
		if err := errors.Join(signAll(two[1], 100)...); err != nil {
			t.Errorf("the other key: %v", err)
		}
	})
}

// TestSlowAgent signs one after the other, as hardware does. The last of the
// queue waits longer than the budget, but never without a sign of life.
func TestSlowAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{}, 1)
		f := &fake{serve: serveRing(keyring(t, 1), func([]byte) {
			turn <- struct{}{}
			time.Sleep(4 * time.Second)
			<-turn
		})}
		c := New(f.dial, Options{})
		defer c.Close()
		start := time.Now()
		if err := errors.Join(signAll(signers(t, c)[0], 40)...); err != nil {
			t.Error(err)
		}
		if got, want := time.Since(start), 160*time.Second; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		f := &fake{serve: serveRing(keyring(t, 1), func([]byte) { <-stop })}
		c := New(f.dial, Options{Signing: 2})
		s := signers(t, c)[0]
		time.AfterFunc(time.Second, func() { c.Close() })
		start := time.Now()
		for _, err := range signAll(s, 4) { // two at work, two in the queue
			if !errors.Is(err, ErrClosed) {
				t.Errorf("got error %v, want %v", err, ErrClosed)
			}
		}
		if _, err := s.Sign(nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: got error %v, want %v", err, ErrClosed)
		}
		if _, err := c.Signers(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: got error %v, want %v", err, ErrClosed)
		}
		if got, want := time.Since(start), time.Second; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
		c.Close()
	})
}

func TestCloseWhileListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New((&fake{serve: silent}).dial, Options{})
		time.AfterFunc(time.Second, func() { c.Close() })
		if _, err := c.Signers(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got error %v, want %v", err, ErrClosed)
		}

		c = New((&fake{serve: silent}).dial, Options{})
		c.Close()
		if _, err := c.Signers(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed before: got error %v, want %v", err, ErrClosed)
		}
	})
}

// TestReconnect ends the connections while they are idle.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := keyring(t, 1)
		var mu sync.Mutex
		var conns []net.Conn
		f := &fake{serve: func(conn net.Conn) {
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			_ = agent.ServeAgent(ring, conn)
		}}
		c := New(f.dial, Options{})
		defer c.Close()
		s := signers(t, c)[0]
		for range 3 {
			mu.Lock()
			for _, conn := range conns {
				conn.Close()
			}
			mu.Unlock()
			if err := errors.Join(signAll(s, 10)...); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRefused has the agent lose a key after the list. It refuses at once, for
// this key, this time, on a connection that stays in use.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := keyring(t, 1)
		f := &fake{serve: serveRing(ring, func([]byte) {})}
		c := New(f.dial, Options{})
		defer c.Close()
		s := signers(t, c)[0]
		if err := ring.RemoveAll(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := s.Sign(nil, nil); !errors.Is(err, errRefused) {
				t.Errorf("got error %v, want %v", err, errRefused)
			}
		}
		if got := f.dials.Load(); got != 1 {
			t.Errorf("connected %d times, want once", got)
		}
	})
}

// frame is a message on the wire.
func frame(message ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

package sshtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal/sshtest"
)

// rawConn connects to a host that reads and says nothing.
func rawConn(t *testing.T, f *sshtest.Fleet) net.Conn {
	t.Helper()
	nc, err := f.Dial(t.Context(), "tcp", "host0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

func TestDialNames(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 2, InMemory: true})
	for addr, want := range map[string]string{
		"127.0.0.2:22": "127.0.0.2:22", "host1:22": "127.0.0.2:22", "host1": "127.0.0.2:22", "host0": "127.0.0.1:22",
	} {
		nc, err := f.Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if got := nc.RemoteAddr().String(); got != want {
			t.Errorf("%s: connected to %s, want %s", addr, got, want)
		}
		nc.Close()
	}
	_, err := f.Dial(t.Context(), "tcp", "host2:22")
	if dns, ok := errors.AsType[*net.DNSError](err); !ok || !dns.IsNotFound {
		t.Errorf("got %v, want a name that is not found", err)
	}
}

func TestDialErrors(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Faults: func(int) sshtest.Fault { return sshtest.Fault{Kind: sshtest.Refuse} }})
	if _, err := f.Dial(t.Context(), "tcp", "host0"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want connection refused", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Dial(ctx, "tcp", "host0"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestDeadlines(t *testing.T) {
	inBubble(t, faulty(sshtest.Fault{Kind: sshtest.TCPSilent}), func(t *testing.T, f *sshtest.Fleet) {
		nc := rawConn(t, f)
		nc.SetReadDeadline(time.Now().Add(time.Minute))
		began := time.Now()
		_, err := nc.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v, want a timeout after a minute", err, time.Since(began))
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
			t.Errorf("%v is no timeout to package net", err)
		}
		nc.SetReadDeadline(time.Time{})
		read := make(chan error, 1)
		go func() { _, err := nc.Read(make([]byte, 1)); read <- err }()
		synctest.Wait()
		nc.SetReadDeadline(time.Now().Add(-time.Second))
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v from a read under way, want a timeout", err)
		}
	})
}

// TestWriteBlocks fills a connection whose other end does not read.
func TestWriteBlocks(t *testing.T) {
	inBubble(t, faulty(sshtest.Fault{Kind: sshtest.AfterAuthFreeze}), func(t *testing.T, f *sshtest.Fleet) {
		c := login(t, f, 0)
		done := make(chan error, 1)
		go func() {
			for {
				if _, _, err := c.SendRequest("x", false, make([]byte, 30000)); err != nil {
					done <- err
					return
				}
			}
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("got %v before the connection was closed", err)
		default:
		}
		c.Close()
		<-done
	})
}

func TestCloseEndsRead(t *testing.T) {
	inBubble(t, faulty(sshtest.Fault{Kind: sshtest.TCPSilent}), func(t *testing.T, f *sshtest.Fleet) {
		nc := rawConn(t, f)
		read := make(chan error, 1)
		go func() { _, err := nc.Read(make([]byte, 1)); read <- err }()
		synctest.Wait()
		nc.Close()
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want %v", err, net.ErrClosed)
		}
		if _, err := nc.Write([]byte("x")); err == nil {
			t.Error("a write after Close succeeded")
		}
	})
}

// TestLatency checks that a delay costs time but no bandwidth, in both
// directions.
func TestLatency(t *testing.T) {
	const oneWay = 50 * time.Millisecond
	cfg := sshtest.Config{Latency: func(int) time.Duration { return oneWay }}
	inBubble(t, cfg, func(t *testing.T, f *sshtest.Fleet) {
		began := time.Now()
		took := func() time.Duration {
			d := time.Since(began)
			began = time.Now()
			return d
		}
		c := login(t, f, 0)
		// Connecting, versions, key exchange, service, none, offer, signature:
		// x/crypto needs a round trip for each but sends its version at once.
		if d := took(); d < 6*2*oneWay || d > 8*2*oneWay || d%(2*oneWay) != 0 {
			t.Errorf("the login took %v, want some 7 round trips of %v", d, 2*oneWay)
		}
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if d := took(); d != 2*oneWay {
			t.Errorf("opening a session took %v, want one round trip of %v", d, 2*oneWay)
		}
		out, err := s.Output("bytes 2000000")
		if len(out) != 2000000 || err != nil {
			t.Errorf("got %d bytes, %v, want 2000000", len(out), err)
		}
		if d := took(); d != 2*oneWay {
			t.Errorf("less than a window of output took %v, want one round trip of %v", d, 2*oneWay)
		}
	})
}

func TestLatencyOverTCP(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Latency: func(int) time.Duration { return time.Millisecond }})
	c := loginTCP(t, f, 0)
	want := bytes.Repeat([]byte{0}, 5<<20)
	s := session(t, c)
	if out, err := s.Output("bytes 5242880"); !bytes.Equal(out, want) || err != nil {
		t.Errorf("got %d bytes, %v, want %d zeros", len(out), err, len(want))
	}
	if out, _, err := run(t, c, "wc -c", string(want)); out != "5242880\n" || err != nil {
		t.Errorf("got %q, %v, want 5242880", out, err)
	}
}

func TestLatencyReset(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{
		Latency: func(int) time.Duration { return time.Millisecond },
		Faults:  func(int) sshtest.Fault { return sshtest.Fault{Kind: sshtest.TCPReset} },
	})
	nc, err := net.Dial("tcp", f.Host(0).Addr)
	if err == nil {
		defer nc.Close()
		_, err = io.ReadAll(nc)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

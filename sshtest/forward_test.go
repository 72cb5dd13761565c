package sshtest_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

func TestForwardWithinFleet(t *testing.T) {
	for _, inMemory := range []bool{true, false} {
		f := sshtest.New(t, sshtest.Config{Hosts: 3, InMemory: inMemory})
		bastion := login(t, f, 0)
		for _, hop := range []int{1, 2} {
			nc, err := bastion.Dial("tcp", f.Host(hop).Addr)
			if err != nil {
				t.Fatal(err)
			}
			cc, channels, requests, err := ssh.NewClientConn(nc, f.Host(hop).Addr, clientConfig(f, hop))
			if err != nil {
				t.Fatal(err)
			}
			c := ssh.NewClient(cc, channels, requests)
			if out, _, err := run(t, c, "hostname", ""); out != f.Host(hop).Name+"\n" || err != nil {
				t.Errorf("got %q, %v, want %q", out, err, f.Host(hop).Name)
			}
			c.Close()
		}
	}
}

// echoServer answers one connection with what it gets, in capitals of length.
func echoServer(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		data, _ := io.ReadAll(nc)
		nc.Write(append([]byte("got "), data...))
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l
}

func TestForwardRules(t *testing.T) {
	l := echoServer(t)
	shut := sshtest.New(t, sshtest.Config{InMemory: true})
	open := sshtest.New(t, sshtest.Config{InMemory: true, ForwardLoopback: true})
	for _, test := range []struct {
		name, addr string
		f          *sshtest.Fleet
		reason     ssh.RejectionReason
	}{
		{"loopback is off", l.Addr().String(), shut, ssh.Prohibited},
		{"other networks never", "192.0.2.1:80", open, ssh.Prohibited},
		{"other names never", "example.com:80", open, ssh.Prohibited},
		{"no such host of the fleet", "host9:22", shut, ssh.Prohibited},
		{"nobody listens", "127.0.0.1:1", open, ssh.ConnectionFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := login(t, test.f, 0).Dial("tcp", test.addr)
			oe, ok := errors.AsType[*ssh.OpenChannelError](err)
			if !ok || oe.Reason != test.reason {
				t.Errorf("got %v, want %v", err, test.reason)
			}
		})
	}
	nc, err := login(t, open, 0).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(nc, "ping")
	nc.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(nc); string(got) != "got ping" || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, "got ping")
	}
	nc.Close()
}

func TestRemoteForward(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, ForwardLoopback: true})
	c := login(t, f, 0)
	l, err := c.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		data, _ := io.ReadAll(nc)
		nc.Write(append([]byte("got "), data...))
		nc.Close()
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "ping")
	nc.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(nc); string(got) != "got ping" || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, "got ping")
	}
	if err := l.Close(); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is open after cancel-tcpip-forward")
	}
}

func TestRemoteForwardIsOffByDefault(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true})
	if l, err := login(t, f, 0).Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		t.Error("a client may listen")
	}
}

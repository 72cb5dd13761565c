package shoal_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// connectProxy is an HTTP proxy that wants a password.
func connectProxy(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Proxy-Authorization") != "Basic bWU6czNjcmV0" {
		http.Error(w, "who are you", http.StatusProxyAuthRequired)
		return
	}
	target, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, "no", http.StatusBadGateway)
		return
	}
	defer target.Close()
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(target, buffered)
		target.Close()
	})
	io.Copy(conn, target)
	conn.Close()
	wg.Wait()
}

// Hosts are reached through an HTTP proxy; its failures name it, and show no
// password.
func TestProxyHTTP(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	server := httptest.NewServer(http.HandlerFunc(connectProxy))
	t.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	for user, works := range map[string]bool{"me:s3cret@": true, "me:wr0ng@": false, "": false} {
		c := newClient(t, f)
		var err error
		if c.Dial, err = shoal.ProxyDial("http://" + user + addr); err != nil {
			t.Fatal(err)
		}
		for r := range c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "hostname"}) {
			if works && (r.Err != nil || r.Value.Text() != r.Host.Name+"\n") {
				t.Errorf("%q, %v", r.Value.Text(), r.Err)
			}
			if !works {
				he := wantHostError(t, r.Err, shoal.StageConnect, shoal.KindUnreachable)
				if !strings.Contains(he.Error(), addr) || !strings.Contains(he.Error(), "407") || strings.Contains(he.Error(), "wr0ng") {
					t.Errorf("%v does not name the proxy and the answer, or shows a password", he)
				}
			}
		}
		c.Close()
	}
}

// A proxy that says nothing takes no longer than the host may.
func TestProxySilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := sshtest.New(t, sshtest.Config{})
	for _, scheme := range []string{"http", "https", "socks5"} {
		c := newClient(t, f)
		if c.Dial, err = shoal.ProxyDial(scheme + "://" + l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		h := hostOf(f, 0)
		h.Timeout = 100 * time.Millisecond
		_, err := c.Conn(testContext(t), h)
		wantHostError(t, err, shoal.StageConnect, shoal.KindTimeout)
	}
}

// ssh -D is a SOCKS proxy.
func TestProxySOCKS(t *testing.T) {
	opensshtest.Need(t, "ssh")
	s := opensshtest.Start(t, opensshtest.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ssh := exec.Command("ssh", "-F", "none", "-v", "-N", "-D", addr, "-p", fmt.Sprint(s.Port), "-i", s.KeyFile, "-o", "IdentityAgent=none",
		"-o", "UserKnownHostsFile="+s.KnownHosts, "-o", "ExitOnForwardFailure=yes", s.User+"@127.0.0.1")
	said, err := ssh.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ssh.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for buf := make([]byte, 1024); !strings.Contains(log.String(), "Entering interactive session"); {
		n, err := said.Read(buf)
		if log.Write(buf[:n]); err != nil {
			t.Fatalf("ssh: %s", log.String())
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(io.Discard, said)
	}()
	t.Cleanup(func() {
		_ = ssh.Process.Kill()
		<-drained
		_ = ssh.Wait()
	})
	f := sshtest.New(t, sshtest.Config{Hosts: 5})
	c := newClient(t, f)
	if c.Dial, err = shoal.ProxyDial("socks5://" + addr); err != nil {
		t.Fatal(err)
	}
	if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
		t.Error(err)
	}
	_, err = c.Conn(testContext(t), shoal.Host{Name: "127.0.0.1:1"})
	if he := wantHostError(t, err, shoal.StageConnect, he(err).Kind); !strings.Contains(he.Error(), addr) {
		t.Errorf("%v does not name the proxy", he)
	}
}

// A proxy that cannot be meant is refused, without its password in the error.
func TestProxyURL(t *testing.T) {
	for _, u := range []string{"", "proxy:1080", "ftp://me:s3cret@h:1", "http://me:s3cret@h", "socks5://:1", "http://me:s3cret@h:x\x7f"} {
		if _, err := shoal.ProxyDial(u); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

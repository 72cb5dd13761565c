package shoal_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/kerberos"
)

// Without a KDC or a ticket the login fails, and says why; package kerberos has
// the tests with them.
func TestKerberosWithoutTicket(t *testing.T) {
	conform(t, "3.4 test_gssapi_auth")
	c, host, s := openssh(t, "GSSAPIAuthentication yes")
	missing := filepath.Join(t.TempDir(), "cache")
	c.Host.Auth = []shoal.Auth{kerberos.Auth(kerberos.Config{Cache: missing})}
	_, err := c.Conn(testContext(t), host)
	he := wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	if !errors.Is(err, shoal.ErrAuth) || !errors.Is(err, kerberos.ErrNoTicket) || !strings.Contains(he.Error(), missing) {
		t.Errorf("got %v, want ErrNoTicket and the cache", err)
	}
	c.Host.Auth = append(c.Host.Auth, shoal.KeyFile(s.KeyFile))
	conn, err := c.Conn(testContext(t), host)
	if err != nil || conn.AuthMethod() != "publickey" {
		t.Fatalf("with a key behind it: %v", err)
	}
	conn.Close()
}

// A program's own GSS-API: the function is called with the name, only where the
// server has the method, and what it returns is checked.
func TestGSSAPI(t *testing.T) {
	opensshtest.Need(t, "sshd")
	errBegin := errors.New("no luck")
	called := 0
	fails := shoal.GSSAPI("own", "id", func(_ context.Context, host string) (shoal.GSSAPIContext, error) {
		called++
		if host != "127.0.0.1" {
			t.Errorf("called for %q", host)
		}
		return shoal.GSSAPIContext{}, errBegin
	})
	empty := shoal.GSSAPI("empty", "id", func(context.Context, string) (shoal.GSSAPIContext, error) {
		return shoal.GSSAPIContext{}, nil
	})
	c, host, _ := openssh(t, "GSSAPIAuthentication yes")
	c.Host.Auth = []shoal.Auth{fails, empty}
	_, err := c.Conn(testContext(t), host)
	wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed)
	if !errors.Is(err, errBegin) || !strings.Contains(err.Error(), "own: no luck") || !strings.Contains(err.Error(), "empty: no GSS-API context") || called != 1 {
		t.Errorf("after %d calls got %v", called, err)
	}
	c, host, _ = openssh(t, "GSSAPIAuthentication no")
	c.Host.Auth = []shoal.Auth{fails}
	_, err = c.Conn(testContext(t), host)
	if wantHostError(t, err, shoal.StageAuth, shoal.KindAuthFailed); called != 1 {
		t.Errorf("called for a server without the method")
	}
	c.Host.Auth = []shoal.Auth{shoal.GSSAPI[string]("none", "id", nil)}
	_, err = c.Conn(testContext(t), host)
	wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid)
}

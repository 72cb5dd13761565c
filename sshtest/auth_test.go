package sshtest_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := sshtest.GenerateKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// answers replies to prompts in turn.
func answers(list ...string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		if len(list) < len(questions) {
			return nil, errors.New("no answers left")
		}
		reply := list[:len(questions)]
		list = list[len(questions):]
		return reply, nil
	})
}

func TestLogin(t *testing.T) {
	alice, bob := newKey(t), newKey(t)
	users := []sshtest.User{
		{Name: "alice", Keys: []ssh.PublicKey{alice.PublicKey()}},
		{Name: "bob", Keys: []ssh.PublicKey{bob.PublicKey()}, Password: "b0b", ClientKey: true},
		{Name: "otp", Interactive: [][]sshtest.Prompt{
			{{Text: "Name: ", Echo: true, Answer: "o"}, {Text: "Colour: ", Answer: "red"}},
			{{Text: "Code: ", Answer: "123"}},
		}},
		{Name: "two", Keys: []ssh.PublicKey{alice.PublicKey()}, Password: "2", Require: []string{"publickey", "password"}},
		{Name: "locked"},
	}
	f := sshtest.New(t, sshtest.Config{InMemory: true, Users: users})
	key := func(s ...ssh.Signer) ssh.AuthMethod { return ssh.PublicKeys(s...) }
	tests := []struct {
		name, user string
		auth       []ssh.AuthMethod
		ok         bool
	}{
		{"own key", "alice", []ssh.AuthMethod{key(alice)}, true},
		{"another's key", "alice", []ssh.AuthMethod{key(bob)}, false},
		{"second key", "alice", []ssh.AuthMethod{key(bob, alice)}, true},
		{"no password", "alice", []ssh.AuthMethod{ssh.Password("")}, false},
		{"fleet's key not authorised", "alice", []ssh.AuthMethod{key(f.ClientSigner())}, false},
		{"fleet's key", "bob", []ssh.AuthMethod{key(f.ClientSigner())}, true},
		{"password", "bob", []ssh.AuthMethod{ssh.Password("b0b")}, true},
		{"wrong password", "bob", []ssh.AuthMethod{ssh.Password("bob")}, false},
		{"empty password", "bob", []ssh.AuthMethod{ssh.Password("")}, false},
		{"prompts", "otp", []ssh.AuthMethod{answers("o", "red", "123")}, true},
		{"wrong answer", "otp", []ssh.AuthMethod{answers("o", "blue", "123")}, false},
		{"both", "two", []ssh.AuthMethod{key(alice), ssh.Password("2")}, true},
		{"only the first", "two", []ssh.AuthMethod{key(alice)}, false},
		{"only the second", "two", []ssh.AuthMethod{ssh.Password("2")}, false},
		{"wrong second", "two", []ssh.AuthMethod{key(alice), ssh.Password("x")}, false},
		{"nothing set", "locked", []ssh.AuthMethod{key(alice), ssh.Password(""), answers("")}, false},
		{"unknown user", "nobody", []ssh.AuthMethod{key(alice), ssh.Password("b0b"), answers("")}, false},
		{"no user", "", []ssh.AuthMethod{key(alice), ssh.Password("b0b")}, false},
		{"nothing", "alice", []ssh.AuthMethod{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cc := clientConfig(f, 0, test.auth...)
			cc.Auth, cc.User = test.auth, test.user
			c, err := handshake(t.Context(), f, 0, cc)
			if (err == nil) != test.ok {
				t.Fatalf("got %v, want success: %t", err, test.ok)
			}
			if err != nil {
				return
			}
			defer c.Close()
			if out, _, err := run(t, c, "whoami", ""); out != test.user+"\n" || err != nil {
				t.Errorf("logged in as %q (%v), want %q", out, err, test.user)
			}
		})
	}
	checkNoSecrets(t, f.Events())
}

// checkNoSecrets looks for what clients typed in TestLogin.
func checkNoSecrets(t *testing.T, events []sshtest.Event) {
	t.Helper()
	if len(events) == 0 {
		t.Error("no events")
	}
	for _, e := range events {
		for _, secret := range []string{"b0b", "red", "123"} {
			if bytes.Contains(fmt.Append(nil, e.User, e.Method, e.Key), []byte(secret)) || e.Kind == sshtest.EventAuth && e.Detail != "" && e.Detail != "partial success" {
				t.Errorf("event tells a secret: %+v", e)
			}
		}
	}
}

func TestUserPrintsNoPassword(t *testing.T) {
	u := sshtest.User{Name: "bob", Password: "s3cret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, u); bytes.Contains([]byte(got), []byte("s3cret")) {
			t.Errorf("%s prints %q", format, got)
		}
	}
}

func TestNoUsersMeansNobody(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Users: []sshtest.User{}})
	for _, user := range []string{sshtest.DefaultUser, "root", ""} {
		cc := clientConfig(f, 0, ssh.PublicKeys(f.ClientSigner()), ssh.Password(""), answers(""))
		cc.User = user
		if c, err := handshake(t.Context(), f, 0, cc); err == nil {
			c.Close()
			t.Errorf("user %q got in", user)
		}
	}
}

// TestOfferedKeyIsNotIdentity offers a key that is authorised and logs in by
// another method, as in CVE-2024-45337: the key offered must not count.
func TestOfferedKeyIsNotIdentity(t *testing.T) {
	admin, mine := newKey(t), newKey(t)
	f := sshtest.New(t, sshtest.Config{InMemory: true, Users: []sshtest.User{
		{Name: "two", Keys: []ssh.PublicKey{admin.PublicKey()}, Password: "2", Require: []string{"publickey", "password"}},
		{Name: "me", Keys: []ssh.PublicKey{mine.PublicKey(), admin.PublicKey()}},
	}})
	// An honest client cannot sign with a key it does not have.
	fake := offerOnly{admin.PublicKey(), mine}
	cc := clientConfig(f, 0, ssh.PublicKeys(fake), ssh.Password("2"))
	cc.User = "two"
	if c, err := handshake(t.Context(), f, 0, cc); err == nil {
		c.Close()
		t.Error("a key that was only offered counted as the first of two methods")
	}
	cc = clientConfig(f, 0, ssh.PublicKeys(mine))
	cc.User = "me"
	c, err := handshake(t.Context(), f, 0, cc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool { return e.Kind == sshtest.EventLogin })
	if err != nil || first.User != "me" {
		t.Errorf("got login %+v, %v, want one of %q", first, err, "me")
	}
}

// offerOnly shows one public key and signs with another.
type offerOnly struct {
	public ssh.PublicKey
	ssh.Signer
}

func (o offerOnly) PublicKey() ssh.PublicKey { return o.public }

func TestUserCertificates(t *testing.T) {
	ca, other, key := newKey(t), newKey(t), newKey(t)
	f := sshtest.New(t, sshtest.Config{InMemory: true, Users: []sshtest.User{
		{Name: "carol", CAs: []ssh.PublicKey{ca.PublicKey()}},
	}})
	tests := []struct {
		name       string
		ca         ssh.Signer
		typ        uint32
		principals []string
		ok         bool
	}{
		{"good", ca, ssh.UserCert, []string{"carol"}, true},
		{"another authority", other, ssh.UserCert, []string{"carol"}, false},
		{"another user", ca, ssh.UserCert, []string{"dave"}, false},
		{"any user", ca, ssh.UserCert, nil, false},
		{"host certificate", ca, ssh.HostCert, []string{"carol"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cert := &ssh.Certificate{
				Key: key.PublicKey(), CertType: test.typ,
				ValidPrincipals: test.principals, ValidBefore: ssh.CertTimeInfinity,
			}
			if err := cert.SignCert(rand.Reader, test.ca); err != nil {
				t.Fatal(err)
			}
			signer, err := ssh.NewCertSigner(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			cc := clientConfig(f, 0, ssh.PublicKeys(signer))
			cc.User = "carol"
			c, err := handshake(t.Context(), f, 0, cc)
			if err == nil {
				c.Close()
			}
			if (err == nil) != test.ok {
				t.Errorf("got %v, want success: %t", err, test.ok)
			}
		})
	}
}

func TestMaxAuthTries(t *testing.T) {
	for _, test := range []struct {
		limit, want int
	}{{0, 6}, {2, 2}} {
		f := sshtest.New(t, sshtest.Config{InMemory: true, MaxAuthTries: test.limit})
		var keys []ssh.Signer
		for range 10 {
			keys = append(keys, newKey(t))
		}
		if c, err := handshake(t.Context(), f, 0, clientConfig(f, 0, ssh.PublicKeys(keys...))); err == nil {
			c.Close()
			t.Fatal("unknown keys got in")
		}
		offers := slices.DeleteFunc(f.Events(), func(e sshtest.Event) bool { return e.Kind != sshtest.EventKeyOffer })
		if len(offers) != test.want {
			t.Errorf("limit %d: %d keys were looked at, want %d", test.limit, len(offers), test.want)
		}
	}
}

func TestAuthEvents(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true})
	login(t, f, 0)
	if _, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool { return e.Kind == sshtest.EventLogin }); err != nil {
		t.Fatal(err)
	}
	print := ssh.FingerprintSHA256(f.ClientSigner().PublicKey())
	want := []sshtest.Event{
		{Kind: sshtest.EventAuth, Method: "none"},
		{Kind: sshtest.EventKeyOffer, Key: print, OK: true},
		{Kind: sshtest.EventAuth, Method: "publickey", Key: print, OK: true},
		{Kind: sshtest.EventLogin, OK: true},
	}
	var got []sshtest.Event
	for _, e := range f.Events() {
		switch e.Kind {
		case sshtest.EventAuth, sshtest.EventKeyOffer, sshtest.EventLogin:
			if e.User != sshtest.DefaultUser || e.Conn != 1 || e.Time.IsZero() {
				t.Errorf("got %+v, want user, connection and time", e)
			}
			got = append(got, sshtest.Event{Kind: e.Kind, Method: e.Method, Key: e.Key, OK: e.OK})
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBadUsers(t *testing.T) {
	for _, users := range [][]sshtest.User{
		{{Name: "a"}, {Name: "a"}},
		{{Name: "a", Require: []string{"password"}}},
		{{Name: "a", Password: "x", Require: []string{"password", "hostbased"}}},
	} {
		if f, err := sshtest.Start(sshtest.Config{InMemory: true, Users: users}); err == nil {
			f.Close()
			t.Errorf("%+v was accepted", users)
		}
	}
}

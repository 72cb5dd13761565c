package kerberos_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/kerberos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret must never be seen in an error or a printed value.
const secret = "c4n4ry-horse-battery"

// realm is a KDC that knows the user who runs the test, by the password secret,
// and a real sshd whose keytab is for host/localhost. All run as that user, root
// or not.
type realm struct {
	*opensshtest.KDC
	*opensshtest.Server
	host shoal.Host
}

func newRealm(t *testing.T, extra ...string) *realm {
	t.Helper()
	return newHost(t, startKDC(t), "host/localhost", extra...)
}

// startKDC starts a KDC that knows the user.
func startKDC(t *testing.T, before ...string) *opensshtest.KDC {
	t.Helper()
	k := opensshtest.StartKDC(t, opensshtest.KDCConfig{Before: before})
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	k.Admin("addprinc -pw " + secret + " " + me.Username)
	return k
}

// newHost starts an sshd whose keytab has a new key of the service.
func newHost(t *testing.T, k *opensshtest.KDC, service string, extra ...string) *realm {
	t.Helper()
	s := opensshtest.Start(t, k.GSSAPIConfig(k.Keytab(service), extra...))
	return &realm{KDC: k, Server: s, host: shoal.Host{User: s.User, Port: s.Port, Network: "tcp4", HostKeys: known(t, s)}}
}

// known are the server's key under the name localhost.
func known(t *testing.T, s *opensshtest.Server) shoal.HostKeys {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	line := fmt.Sprintf("[localhost]:%d %s", s.Port, ssh.MarshalAuthorizedKey(s.HostKey))
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return &shoal.KnownHosts{Files: []string{path}}
}

// config is the Config with the KDC's krb5.conf.
func (r *realm) config(c kerberos.Config) kerberos.Config {
	if c.ConfigFile == "" {
		c.ConfigFile = r.ConfigFile
	}
	return c
}

// run runs a command on the host, on a connection of its own.
func (r *realm) run(t *testing.T, line string, auth ...shoal.Auth) (shoal.Result[shoal.Output], error) {
	t.Helper()
	c := &shoal.Client{Host: r.host}
	defer c.Close()
	c.Host.Auth = auth
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results, err := shoal.Gather(c.Run(ctx, shoal.Hosts("localhost"), shoal.Command{Line: line}))
	return results[0], err
}

// fails expects the login to fail, for that reason and in those words.
func (r *realm) fails(t *testing.T, c kerberos.Config, kind error, words ...string) error {
	t.Helper()
	_, err := r.run(t, "true", kerberos.Auth(r.config(c)))
	he, ok := errors.AsType[*shoal.HostError](err)
	if !ok || he.Stage != shoal.StageAuth || he.Kind != shoal.KindAuthFailed || !errors.Is(err, shoal.ErrAuth) {
		t.Fatalf("got %v, want a failed login", err)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("%v is not %q", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %#v", err, err), secret) {
		t.Errorf("%v shows the password", err)
	}
	return err
}

// The user logs in with a ticket, a key or a password, in any of their forms.
func TestLogin(t *testing.T) {
	r := newRealm(t, "AuthenticationMethods gssapi-with-mic")
	r.Admin("addprinc -randkey host/other")
	cache := r.Kinit(r.User, secret)
	folder := t.TempDir()
	r.Run("kinit", "-c", "DIR:"+folder, "-k", "-t", r.Keytab(r.User), r.User)
	service := r.Kinit(r.User, secret) // with the service's ticket in it
	r.Run("kvno", "-c", service, "host/localhost")
	for name, c := range map[string]kerberos.Config{
		"cache":           {Cache: cache},
		"FILE cache":      {Cache: "FILE:" + cache},
		"DIR cache":       {Cache: "DIR:" + folder},
		"DIR with client": {Cache: "DIR:" + folder, Principal: r.User},
		"service ticket":  {Cache: service},
		"keytab":          {Keytab: r.Keytab(r.User)},
		"keytab, client":  {Keytab: r.Keytab("host/other", r.User), Principal: r.User + "@SHOAL.TEST"},
		"password":        {Password: secret},
		"client":          {Password: secret, Principal: r.User},
		"server":          {Password: secret, ServerName: "localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.run(t, "echo in; klist 2>&1; true", kerberos.Auth(r.config(c)))
			if err != nil {
				t.Fatal(err)
			}
			if got.AuthMethod != "gssapi-with-mic" || !strings.HasPrefix(got.Value.Text(), "in\n") {
				t.Errorf("got %q by %s", got.Value.Text(), got.AuthMethod)
			}
			if strings.Contains(got.Value.Text(), "krbtgt") {
				t.Errorf("a ticket was delegated unasked: %s", got.Value.Text())
			}
		})
	}
}

// The zero Config takes what the environment of the user says, and a cache that
// kinit writes anew is seen.
func TestEnvironment(t *testing.T) {
	r := newRealm(t)
	t.Setenv("KRB5_CONFIG", r.ConfigFile)
	t.Setenv("KRB5CCNAME", "")
	auth := kerberos.Auth(kerberos.Config{})
	cache := filepath.Join(r.KDC.Dir, "cache") // default_ccache_name of krb5.conf
	_, err := r.run(t, "true", auth)
	if !errors.Is(err, kerberos.ErrNoTicket) || !strings.Contains(err.Error(), cache) || !strings.Contains(err.Error(), "kinit") {
		t.Errorf("got %v, want that there is no %s", err, cache)
	}
	rename := func(from string) {
		t.Helper()
		if err := os.Rename(from, cache); err != nil {
			t.Fatal(err)
		}
	}
	r.Admin("addprinc -pw " + secret + " other")
	rename(r.Kinit("other", secret))
	if _, err := r.run(t, "true", auth); err == nil || !strings.Contains(err.Error(), "knows other@SHOAL.TEST and does not let it log in as "+r.User) {
		t.Errorf("got %v, want that other is not let in", err)
	}
	rename(r.Kinit(r.User, secret))
	if _, err := r.run(t, "true", auth); err != nil {
		t.Errorf("with a ticket: %v", err)
	}
	for _, cache := range []string{"KCM:0", "KEYRING:persistent:0", "KEYRING:session:name"} {
		t.Setenv("KRB5CCNAME", cache)
		if _, err := r.run(t, "true", auth); !errors.Is(err, kerberos.ErrNoTicket) || !strings.Contains(err.Error(), cache+", which cannot be read") {
			t.Errorf("got %v, want what to do about %s", err, cache)
		}
	}
}

// With Delegate, the host has a forwarded ticket that is good for more; the far
// side's klist and kvno show it.
func TestDelegate(t *testing.T) {
	r := newRealm(t)
	r.Admin("addprinc -randkey host/elsewhere")
	line := fmt.Sprintf("KRB5_CONFIG=%s; export KRB5_CONFIG; klist -f && kvno host/elsewhere", r.ConfigFile)
	for name, c := range map[string]kerberos.Config{
		"cache":     {Cache: r.Kinit(r.User, secret, "-f")},
		"renewable": {Cache: r.Kinit(r.User, secret, "-f", "-r", "2d")},
		"keytab":    {Keytab: r.Keytab(r.User)},
		"password":  {Password: secret},
	} {
		t.Run(name, func(t *testing.T) {
			c.Delegate = true
			got, err := r.run(t, line, kerberos.Auth(r.config(c)))
			if err != nil {
				t.Fatalf("%v\n%s", err, got.Value.ErrText())
			}
			text := got.Value.Text()
			if !strings.Contains(text, "krbtgt/SHOAL.TEST@SHOAL.TEST") || !strings.Contains(text, "Flags: F") || !strings.Contains(text, "host/elsewhere@SHOAL.TEST: kvno =") {
				t.Errorf("the far side's tickets are\n%s", text)
			}
		})
	}
	r.fails(t, kerberos.Config{Delegate: true, Cache: r.Kinit(r.User, secret, "-F")}, kerberos.ErrNoTicket, "kinit -f")
}

// A host whose keytab has another name than the one connected to is reached with
// ServerName only; without, the KDC does not know it or the host has no key.
func TestServerName(t *testing.T) {
	k := startKDC(t)
	k.Admin("addprinc -randkey host/web.example.test")
	r := newHost(t, k, "host/web.example.test")
	r.fails(t, kerberos.Config{Password: secret}, nil, "refused the ticket of "+r.User+"@SHOAL.TEST for host/localhost")
	r.fails(t, kerberos.Config{Password: secret, ServerName: "nobody.example.test"}, kerberos.ErrUnknownPrincipal, "does not know the service host/nobody.example.test@SHOAL.TEST")
	if _, err := r.run(t, "true", kerberos.Auth(r.config(kerberos.Config{Password: secret, ServerName: "web.example.test"}))); err != nil {
		t.Error(err)
	}
}

// A host of another realm is reached by way of the two KDCs, where krb5.conf has
// its realm, and where it does not but our KDC refers us.
func TestOtherRealm(t *testing.T) {
	k := startKDC(t)
	other := opensshtest.StartKDC(t, opensshtest.KDCConfig{Realm: "OTHER.TEST"})
	for _, k := range []*opensshtest.KDC{k, other} {
		k.Admin("addprinc -pw between krbtgt/OTHER.TEST@SHOAL.TEST")
	}
	other.Admin("addprinc -randkey host/web.other.test")
	conf := strings.Replace(readFile(t, k.ConfigFile), "[realms]", "[realms]\n\tOTHER.TEST = {\n\t\tkdc = "+other.Addr+"\n\t}\n", 1)
	plain := k.Write("krb5.conf.plain", conf)
	mapped := k.Write("krb5.conf.mapped", conf+"[domain_realm]\n\t.other.test = OTHER.TEST\n")
	s := opensshtest.Start(t, opensshtest.Config{
		Extra: []string{"GSSAPIAuthentication yes", "GSSAPIStrictAcceptorCheck no"},
		Env:   []string{"KRB5_CONFIG=" + mapped, "KRB5_KTNAME=FILE:" + other.Keytab("host/web.other.test")},
	})
	r := &realm{KDC: k, Server: s, host: shoal.Host{User: s.User, Port: s.Port, Network: "tcp4", HostKeys: known(t, s)}}
	c := kerberos.Config{Password: secret, ServerName: "web.other.test", ConfigFile: mapped}
	for range 2 {
		if _, err := r.run(t, "true", kerberos.Auth(c)); err != nil {
			t.Error(err)
		}
	}
	c.ConfigFile = plain
	r.fails(t, c, kerberos.ErrUnknownPrincipal, "host/web.other.test@SHOAL.TEST", "[domain_realm]")
	// Now the KDC itself knows where the host is.
	k.Write("krb5.conf", readFile(t, mapped))
	k.Restart()
	if _, err := r.run(t, "true", kerberos.Auth(c)); err != nil {
		t.Errorf("by referral: %v", err)
	}
}

// What may go wrong has clear errors, and the password is in none.
func TestErrors(t *testing.T) {
	r := newRealm(t)
	expired := expire(t, r.Kinit(r.User, secret))
	files := 0
	conf := func(from, to string) string {
		t.Helper()
		files++
		return r.KDC.Write(fmt.Sprintf("krb5.conf.%d", files), strings.Replace(readFile(t, r.ConfigFile), from, to, 1))
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	r.Admin("addprinc -randkey host/other")
	r.Admin("addprinc -pw " + secret + " locked")
	r.Admin("modprinc -allow_tix locked")
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tt := range map[string]struct {
		config kerberos.Config
		kind   error
		words  []string
	}{
		"wrong password": {kerberos.Config{Password: "other " + secret}, kerberos.ErrCredentials, []string{"password or key of " + r.User + "@SHOAL.TEST is wrong"}},
		"unknown client": {kerberos.Config{Password: secret, Principal: "nobody"}, kerberos.ErrUnknownPrincipal, []string{"does not know nobody@SHOAL.TEST"}},
		"locked":         {kerberos.Config{Password: secret, Principal: "locked"}, kerberos.ErrCredentials, []string{"locked"}},
		"wrong realm": {kerberos.Config{Password: secret, Principal: r.User + "@WRONG.TEST"}, kerberos.ErrUnreachable,
			[]string{"KDC of WRONG.TEST", "[realms]"}},
		"host of a wrong realm": {kerberos.Config{Password: secret, ConfigFile: conf("[logging]", "[domain_realm]\nlocalhost=WRONG.TEST\n[logging]")},
			kerberos.ErrUnknownPrincipal, []string{"does not know the realm WRONG.TEST"}},
		"unreachable": {kerberos.Config{Password: secret, ConfigFile: conf("kdc = "+r.KDC.Addr, "kdc = "+nobody.Addr().String())},
			kerberos.ErrUnreachable, []string{"cannot reach the KDC of SHOAL.TEST", "refused"}},
		"no ticket":      {kerberos.Config{Cache: missing}, kerberos.ErrNoTicket, []string{missing, "kinit"}},
		"expired ticket": {kerberos.Config{Cache: expired}, kerberos.ErrNoTicket, []string{"expired at", "kinit"}},
		"others' ticket": {kerberos.Config{Cache: r.Kinit(r.User, secret), Principal: "bob"}, kerberos.ErrNoTicket, []string{"not of bob@SHOAL.TEST"}},
		"no cache":       {kerberos.Config{Cache: r.ConfigFile}, nil, []string{"not a credential cache"}},
		"no keytab":      {kerberos.Config{Keytab: missing}, os.ErrNotExist, []string{"keytab", missing}},
		"keytab of others": {kerberos.Config{Keytab: r.Keytab("host/other"), Principal: r.User}, kerberos.ErrCredentials,
			[]string{"no key of " + r.User + "@SHOAL.TEST"}},
		"bad principal":     {kerberos.Config{Password: secret, Principal: "a@b@c"}, nil, []string{`"a@b@c" is not a principal`}},
		"two of three":      {kerberos.Config{Password: secret, Keytab: "x"}, nil, []string{"more than one of Cache, Keytab and Password"}},
		"no krb5.conf":      {kerberos.Config{ConfigFile: missing}, os.ErrNotExist, []string{missing}},
		"bad krb5.conf":     {kerberos.Config{ConfigFile: conf("[realms]", "x")}, nil, []string{"krb5.conf: ", ":8: want name = value"}},
		"weak encryption":   {kerberos.Config{Password: secret, ConfigFile: conf("[realms]", "permitted_enctypes = des3-cbc-sha1 rc4\n[realms]")}, nil, []string{"none of which is supported"}},
		"only a proxy":      {kerberos.Config{Password: secret, ConfigFile: conf("kdc = "+r.KDC.Addr, "kdc = https://kdc.example.test/")}, kerberos.ErrUnreachable, []string{"proxies"}},
		"no duration":       {kerberos.Config{Password: secret, ConfigFile: conf("[realms]", "ticket_lifetime = long\n[realms]")}, nil, []string{`"long" is not a duration`}},
		"no realm":          {kerberos.Config{Password: secret, Principal: "bob", ConfigFile: conf("default_realm", "x")}, nil, []string{"bob@REALM"}},
		"keytab, wrong key": {kerberos.Config{Keytab: wrongKey(t, r)}, kerberos.ErrCredentials, []string{"is wrong"}},
	} {
		t.Run(name, func(t *testing.T) { r.fails(t, tt.config, tt.kind, tt.words...) })
	}
}

// wrongKey is a keytab from before the password was changed.
func wrongKey(t *testing.T, r *realm) string {
	t.Helper()
	r.Admin("addprinc -pw " + secret + " changed")
	path := r.Keytab("changed")
	r.Admin("cpw -pw new changed")
	return path
}

// expire rewrites a credential cache so that its tickets ended a minute ago.
func expire(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The times are four numbers behind the session key; the third is the end.
	// All of a fresh cache lie between now and tomorrow.
	now := uint32(time.Now().Unix())
	changed := 0
	for i := 0; i+4 <= len(b); i++ {
		n := uint32(b[i])<<24 | uint32(b[i+1])<<16 | uint32(b[i+2])<<8 | uint32(b[i+3])
		if n > now+3600 && n < now+86400 {
			n = now - 60
			b[i], b[i+1], b[i+2], b[i+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
			changed++
		}
	}
	if changed == 0 {
		t.Fatal("found no end of a ticket")
	}
	path = filepath.Join(t.TempDir(), "expired")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Clocks that differ: the KDC's is an hour ahead, or behind.
func TestClockSkew(t *testing.T) {
	opensshtest.Need(t, "faketime")
	for offset, words := range map[string][]string{"+1h": {"behind that of the KDC of SHOAL.TEST"}, "-1h": {"ahead of that of the KDC of SHOAL.TEST"}} {
		r := newHost(t, startKDC(t, "faketime", "-f", offset), "host/localhost")
		r.fails(t, kerberos.Config{Password: secret}, kerberos.ErrClockSkew, words...)
		r.Admin("modprinc -requires_preauth " + r.User) // now the reply tells
		r.fails(t, kerberos.Config{Password: secret}, kerberos.ErrClockSkew, words...)
	}
}

// A wrong password is sent once for all hosts, so that no account is locked.
func TestWrongPasswordOnce(t *testing.T) {
	r := newRealm(t)
	auth := kerberos.Auth(r.config(kerberos.Config{Password: "wrong"}))
	for range 3 {
		if _, err := r.run(t, "true", auth); !errors.Is(err, kerberos.ErrCredentials) {
			t.Errorf("got %v", err)
		}
	}
	if n := strings.Count(r.KDC.Log(), "PREAUTH_FAILED"); n != 1 {
		t.Errorf("the KDC was asked %d times with a wrong password", n)
	}
}

// Twenty hosts at once share the first ticket and the connections to nobody: each
// has a service of its own. All the names lead to one sshd, which has all keys.
func TestManyHosts(t *testing.T) {
	k := startKDC(t)
	var names, services []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("web%d", i))
		services = append(services, "host/"+names[i])
		k.Admin("addprinc -randkey " + services[i])
	}
	s := opensshtest.Start(t, k.GSSAPIConfig(k.Keytab(services...)))
	c := &shoal.Client{Limit: len(names), Host: shoal.Host{User: s.User, HostKeys: &shoal.KnownHosts{Mode: shoal.IgnoreHostKeys}},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr)
		}}
	defer c.Close()
	for _, delegate := range []bool{false, true} {
		c.Host.Auth = []shoal.Auth{kerberos.Auth(kerberos.Config{Password: secret, Delegate: delegate, ConfigFile: k.ConfigFile})}
		before := strings.Count(k.Log(), "AS_REQ")
		results, err := shoal.Gather(c.Run(t.Context(), shoal.Hosts(names...), shoal.Command{Line: "klist 2>&1; true"}))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.AuthMethod != "gssapi-with-mic" || strings.Contains(r.Value.Text(), "krbtgt") != delegate {
				t.Errorf("%s: by %s: %s", r.Host.Name, r.AuthMethod, r.Value.Text())
			}
		}
		if n := strings.Count(k.Log(), "AS_REQ") - before; n != 2 { // without and with preauthentication
			t.Errorf("the KDC was asked %d times for a first ticket", n)
		}
		for _, service := range services {
			if n := strings.Count(k.Log(), service+"@SHOAL.TEST"); n == 0 {
				t.Errorf("no ticket for %s was asked for", service)
			}
		}
	}
}

// Other ways to log in come in the order of Auth, and Kerberos may be one part
// of a login of two.
func TestOrder(t *testing.T) {
	r := newRealm(t)
	ticket := kerberos.Auth(r.config(kerberos.Config{Password: secret}))
	wrong := kerberos.Auth(r.config(kerberos.Config{Password: "wrong"}))
	other := kerberos.Auth(r.config(kerberos.Config{Password: secret, Principal: "other"}))
	r.Admin("addprinc -pw " + secret + " other")
	key := shoal.Key(r.Signer)
	for _, tt := range []struct {
		auth []shoal.Auth
		want string
	}{
		{[]shoal.Auth{ticket, key}, "gssapi-with-mic"},
		{[]shoal.Auth{key, ticket}, "publickey"},
		{[]shoal.Auth{wrong, key}, "publickey"},                 // no request is made
		{[]shoal.Auth{other, key}, "publickey"},                 // refused by the server
		{[]shoal.Auth{wrong, other, ticket}, "gssapi-with-mic"}, // several
	} {
		got, err := r.run(t, "true", tt.auth...)
		if err != nil || got.AuthMethod != tt.want {
			t.Errorf("%v: by %q, %v; want %s", tt.auth, got.AuthMethod, err, tt.want)
		}
	}
	r.host.Methods = []string{"publickey"}
	if got, err := r.run(t, "true", ticket, key); err != nil || got.AuthMethod != "publickey" {
		t.Errorf("by %q, %v; want publickey, the one method that is allowed", got.AuthMethod, err)
	}
	r.host.Methods = nil

	both := newHost(t, r.KDC, "host/localhost", "AuthenticationMethods gssapi-with-mic,publickey publickey,gssapi-with-mic")
	ticket = kerberos.Auth(both.config(kerberos.Config{Password: secret})) // the host has a new key
	for _, auth := range [][]shoal.Auth{{ticket, shoal.Key(both.Signer)}, {shoal.Key(both.Signer), ticket}} {
		if _, err := both.run(t, "true", auth...); err != nil {
			t.Errorf("%v: %v", auth, err)
		}
	}
	if _, err := both.run(t, "true", ticket); err == nil || !strings.Contains(err.Error(), "accepts publickey") || strings.Contains(err.Error(), "does not let it") {
		t.Errorf("got %v, want that a key is needed too", err)
	}
}

// A refusal leaves room for fewer keys: sshd counts it, and would end the
// connection.
func TestRefusalCounts(t *testing.T) {
	r := newRealm(t, "MaxAuthTries 6")
	r.Admin("addprinc -pw " + secret + " other")
	auth := []shoal.Auth{kerberos.Auth(r.config(kerberos.Config{Password: secret, Principal: "other"}))}
	for range 6 {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		auth = append(auth, shoal.Key(signer))
	}
	_, err := r.run(t, "true", auth...)
	he, ok := errors.AsType[*shoal.HostError](err)
	if !ok || he.Kind != shoal.KindTooManyKeys || !strings.Contains(err.Error(), "first 4 keys were refused") || !strings.Contains(err.Error(), "knows other@SHOAL.TEST") {
		t.Errorf("got %v, want four keys offered behind the refusal", err)
	}
	if strings.Contains(r.Server.Log(), "Too many authentication failures") {
		t.Error("the server ended the connection")
	}
}

// A server without Kerberos, or without a key, is told from one that refuses.
func TestServerRefuses(t *testing.T) {
	r := newRealm(t)
	refused := "refused the ticket of " + r.User + "@SHOAL.TEST for host/localhost"
	r.Keytab("host/localhost") // a new key, which this server does not have
	r.fails(t, kerberos.Config{Password: secret}, nil, refused, "keytab")
	s := opensshtest.Start(t, r.GSSAPIConfig(filepath.Join(t.TempDir(), "missing")))
	r.host.Port, r.host.HostKeys = s.Port, known(t, s)
	r.fails(t, kerberos.Config{Password: secret}, nil, "host/localhost", "keytab")
}

// A KDC that takes connections and says nothing is left when the caller's
// context ends.
func TestSilentKDC(t *testing.T) {
	r := newRealm(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Bool
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		asked.Store(true)
		conn.Read(make([]byte, 1))
		cancel()
		<-ctx.Done()
		conn.Read(make([]byte, 1<<16)) // until the client closes
	}()
	text := strings.Replace(readFile(t, r.ConfigFile), "kdc = "+r.KDC.Addr, "kdc = "+l.Addr().String(), 1)
	c := &shoal.Client{Host: r.host}
	defer c.Close()
	c.Host.Auth = []shoal.Auth{kerberos.Auth(kerberos.Config{Password: secret, ConfigFile: r.KDC.Write("silent.conf", text)})}
	if _, err := c.Conn(ctx, shoal.Host{Name: "localhost"}); !errors.Is(err, shoal.ErrCancelled) {
		t.Errorf("got %v, want cancelled", err)
	}
	if !asked.Load() {
		t.Error("the KDC was not asked")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// No form of a Config or an Auth shows the password; equal ones are equal.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	c := kerberos.Config{Principal: "alice", Password: secret}
	auth := kerberos.Auth(c)
	encoded, err := json.Marshal([]shoal.Auth{auth})
	if err != nil {
		t.Error(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %s", c, c, c, c, auth, auth, auth, encoded)
	if strings.Contains(text, secret) {
		t.Errorf("the password is shown in %s", text)
	}
	if !strings.Contains(text, "Kerberos as alice") {
		t.Errorf("%s does not name the way to log in", text)
	}
}

package opensshtest

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// KDCConfig says how a KDC differs from the defaults of [StartKDC].
type KDCConfig struct {
	// Realm is its realm; empty means SHOAL.TEST.
	Realm string
	// Before is what its program is started with, such as faketime(1).
	Before []string
}

// KDC is a running key distribution centre of MIT Kerberos, as the current user
// (root or not), with a database of its own. Like a [Server] it ends with the
// test, and its methods belong on the test's goroutine.
type KDC struct {
	Addr       string // "127.0.0.1:port"
	Realm      string
	ConfigFile string // a krb5.conf that leads there
	Dir        string // its folder, removed with the test's

	tb     testing.TB
	before []string
	log    log
	proc   *process
}

// StartKDC starts a KDC and returns once it listens. It knows the service
// host/localhost.
func StartKDC(tb testing.TB, cfg KDCConfig) *KDC {
	tb.Helper()
	Need(tb, "krb5kdc", "kdb5_util", "kadmin.local", "kinit")
	k := &KDC{tb: tb, Dir: tb.TempDir(), Realm: cmp.Or(cfg.Realm, "SHOAL.TEST"), before: cfg.Before}
	k.ConfigFile = filepath.Join(k.Dir, "krb5.conf")
	k.log.init()
	tb.Cleanup(k.end)
	var err error
	for range 50 {
		var port int
		port, err = freePort()
		check(tb, err)
		k.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		k.writeConfig()
		if _, err := os.Stat(filepath.Join(k.Dir, "principal")); err != nil {
			k.Run("kdb5_util", "create", "-s", "-r", k.Realm, "-P", "master")
		}
		if err = k.launch(); err == nil {
			break
		}
	}
	check(tb, err)
	k.Admin("addprinc -randkey host/localhost")
	return k
}

func (k *KDC) writeConfig() {
	k.Write("kdc.conf", fmt.Sprintf(`[kdcdefaults]
	kdc_listen = ""
	kdc_tcp_listen = %[2]s
[realms]
	%[1]s = {
		database_name = %[3]s/principal
		key_stash_file = %[3]s/stash
		acl_file = %[3]s/kadm5.acl
		max_life = 10h
		max_renewable_life = 7d
		default_principal_flags = +preauth
	}
`, k.Realm, k.Addr, k.Dir))
	k.Write("krb5.conf", fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	default_ccache_name = FILE:%[3]s/cache
	udp_preference_limit = 1
[realms]
	%[1]s = {
		kdc = %[2]s
	}
[logging]
	kdc = STDERR
`, k.Realm, k.Addr, k.Dir))
}

// Env is the environment in which the programs of Kerberos use this KDC.
func (k *KDC) Env() []string {
	return []string{"KRB5_CONFIG=" + k.ConfigFile, "KRB5_KDC_PROFILE=" + filepath.Join(k.Dir, "kdc.conf"), "KRB5CCNAME="}
}

// Run runs one of the programs of Kerberos and returns what it says.
func (k *KDC) Run(program string, args ...string) string {
	k.tb.Helper()
	return k.input("", program, args...)
}

func (k *KDC) input(text, program string, args ...string) string {
	k.tb.Helper()
	path, err := LookPath(program)
	check(k.tb, err)
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), k.Env()...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		k.tb.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// Admin gives an order to kadmin.local(8), such as "addprinc -pw secret alice".
func (k *KDC) Admin(order string) {
	k.tb.Helper()
	// Its exit status says nothing.
	if out := k.Run("kadmin.local", "-r", k.Realm, "-q", order); bytes.Contains([]byte(out), []byte("while")) {
		k.tb.Fatalf("kadmin.local: %s: %s", order, out)
	}
}

// Keytab writes the keys of principals into a new file. Those of services are
// made anew with it, those of others stay what their password makes them.
func (k *KDC) Keytab(principals ...string) string {
	k.tb.Helper()
	path := filepath.Join(k.tb.TempDir(), "keytab")
	for _, p := range principals {
		option := "-norandkey"
		if strings.Contains(p, "/") {
			option = ""
		}
		k.Admin(fmt.Sprintf("ktadd -k %s %s %s", path, option, p))
	}
	return path
}

// Kinit gets a ticket into a new cache and returns its file.
func (k *KDC) Kinit(principal, password string, args ...string) string {
	k.tb.Helper()
	path := filepath.Join(k.tb.TempDir(), "cache")
	k.input(password+"\n", "kinit", append(append([]string{"-c", path}, args...), principal)...)
	return path
}

// Write writes a file into the KDC's folder and returns its path.
func (k *KDC) Write(name, text string) string {
	k.tb.Helper()
	path := filepath.Join(k.Dir, name)
	check(k.tb, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Log is what the KDC has logged so far.
func (k *KDC) Log() string { return k.log.String() }

// Kill ends the KDC.
func (k *KDC) Kill() {
	k.tb.Helper()
	if k.proc == nil {
		return
	}
	p := k.proc
	k.proc = nil
	killChildren(p.pid)
	check(k.tb, kill(p.pid))
	for _, done := range []<-chan struct{}{p.exited, p.silent} {
		select {
		case <-done:
		case <-time.After(patience):
			k.tb.Error("krb5kdc does not end")
		}
	}
}

// Restart starts the KDC again, on the same port and with the files as they are
// now.
func (k *KDC) Restart() {
	k.tb.Helper()
	k.Kill()
	check(k.tb, k.launch())
}

func (k *KDC) end() {
	k.Kill()
	if k.tb.Failed() {
		k.tb.Logf("log of krb5kdc on %s:\n%s", k.Addr, k.Log())
	}
}

func (k *KDC) launch() error {
	k.tb.Helper()
	path, err := LookPath("krb5kdc")
	check(k.tb, err)
	words := append(append([]string{}, k.before...), path, "-n", "-r", k.Realm)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), k.Env()...)
	since := k.log.size()
	p, err := k.log.start(cmd)
	if err != nil {
		return err
	}
	k.proc = p
	never := time.NewTimer(patience)
	defer never.Stop()
	for {
		line, changed := k.log.find("commencing operation", 1, since)
		if line != "" {
			return nil
		}
		select {
		case <-changed:
		case <-p.silent:
			k.Kill()
			return fmt.Errorf("krb5kdc ended at its start: %s", k.Log())
		case <-never.C:
			return fmt.Errorf("krb5kdc is not ready: %s", k.Log())
		}
	}
}

// GSSAPIConfig is the [Config] of a server that lets users in with tickets of
// this KDC for the host in its keytab, beside the server's key.
func (k *KDC) GSSAPIConfig(keytab string, extra ...string) Config {
	return Config{
		Extra: append(extra, "GSSAPIAuthentication yes", "GSSAPIStrictAcceptorCheck no"),
		Env:   append(k.Env(), "KRB5_KTNAME=FILE:"+keytab),
	}
}

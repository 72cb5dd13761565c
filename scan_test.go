package shoal_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// scanOne scans one host.
func scanOne(t *testing.T, c *shoal.Client, h shoal.Host) shoal.Result[shoal.HostKeyScan] {
	t.Helper()
	results, _ := shoal.Gather(c.ScanHostKeys(testContext(t), seq(h)))
	return results[0]
}

// keysOfTypes makes private keys of these types.
func keysOfTypes(t *testing.T, types ...string) []ssh.Signer {
	t.Helper()
	var all []ssh.Signer
	for _, typ := range types {
		key, err := sshtest.GenerateKey(typ)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	return all
}

// The keys and their fingerprints are those that ssh-keyscan and ssh-keygen
// tell, and nobody tries to log in.
func TestScanHostKeysOpenSSH(t *testing.T) {
	opensshtest.Need(t, "ssh-keyscan", "ssh-keygen")
	s := opensshtest.Start(t, opensshtest.Config{HostKeyTypes: []string{"rsa", "ecdsa", "ed25519"}})
	c := new(shoal.Client)
	defer c.Close()
	r := scanOne(t, c, shoal.Host{Name: s.Addr})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if r.Timings.Connect <= 0 || r.Timings.Kex <= 0 || r.Timings.Auth != 0 {
		t.Errorf("took %+v", r.Timings)
	}
	log := s.Log()
	for _, word := range []string{"Accepted", "Failed", "authenticating user", "user " + s.User} {
		if strings.Contains(log, word) {
			t.Errorf("the server's log has %q", word)
		}
	}
	known := new(shoal.KnownHosts)
	var ours []string
	var types []string
	for _, key := range r.Value.Keys {
		line, err := known.Line(r.Value.Addr, key)
		if err != nil {
			t.Fatal(err)
		}
		ours = append(ours, strings.TrimSpace(line))
		types = append(types, key.Type())
	}
	if want := []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"}; !slices.Equal(types, want) {
		t.Errorf("got keys %q, want %q", types, want)
	}
	_, port, _ := strings.Cut(s.Addr, ":")
	out, err := exec.Command("ssh-keyscan", "-p", port, "127.0.0.1").Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			theirs = append(theirs, strings.TrimSpace(line))
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if !slices.Equal(ours, theirs) {
		t.Errorf("got\n%s\nssh-keyscan has\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
	keys, err := known.Compare(r.Value.Addr, r.Value.Keys...)
	if err != nil {
		t.Fatal(err)
	}
	out, err = exec.Command("ssh-keygen", "-lf", writeFile(t, "scanned", out)).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !strings.Contains(string(out), " "+k.Fingerprint()+" ") {
			t.Errorf("ssh-keygen does not tell %s %s:\n%s", k.Type(), k.Fingerprint(), out)
		}
	}
}

// One connection for each type of key and one more, through a jump host too,
// with certificates first, and no login.
func TestScanHostKeys(t *testing.T) {
	t.Parallel()
	ca := keysOfTypes(t, "ed25519")[0]
	keys := keysOfTypes(t, "ecdsa", "ed25519")
	f := sshtest.New(t, sshtest.Config{Hosts: 3, HostCA: ca, HostKeys: func(int) []ssh.Signer { return keys }})
	c := newClient(t, f)
	var via []shoal.Host
	for hop := range 2 {
		h := hostOf(f, hop+1)
		h.Via = via
		r := scanOne(t, c, h)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		var types []string
		for _, k := range r.Value.Keys {
			types = append(types, k.Type())
		}
		want := []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256}
		if !slices.Equal(types, want) || r.Value.Addr != f.Host(hop+1).Addr {
			t.Errorf("got %q of %s, want %q", types, r.Value.Addr, want)
		}
		if n := connections(f)[hop+1]; n != 5 {
			t.Errorf("%d connections, want 5", n)
		}
		via = []shoal.Host{hostOf(f, 0)}
	}
	for _, e := range f.Events() {
		if e.Host != 0 && slices.Contains([]sshtest.EventKind{sshtest.EventAuth, sshtest.EventKeyOffer, sshtest.EventLogin}, e.Kind) {
			t.Errorf("a scanned host saw %s", e.Kind)
		}
	}
	h := hostOf(f, 1)
	h.Algorithms.HostKeys = []string{ssh.KeyAlgoECDSA256}
	if r := scanOne(t, c, h); r.Err != nil || len(r.Value.Keys) != 1 {
		t.Errorf("asked for one type: got %d keys, %v", len(r.Value.Keys), r.Err)
	}
	h.Algorithms.HostKeys = []string{ssh.KeyAlgoRSASHA512}
	wantHostError(t, scanOne(t, c, h).Err, shoal.StageKex, shoal.KindNoAlgorithm)
	h = hostOf(f, 1)
	h.HostKeyAlias = "alias"
	if r := scanOne(t, c, h); r.Value.Addr != "alias:22" {
		t.Errorf("the address with an alias is %q", r.Value.Addr)
	}
}

// What goes wrong says at which stage, with the times of those before, and a
// broken host spoils nothing for the others. A host that breaks later has its
// keys until then.
func TestScanHostKeysFailures(t *testing.T) {
	t.Parallel()
	faults := []struct {
		kind  sshtest.FaultKind
		stage shoal.Stage
		want  shoal.Kind
	}{
		{sshtest.Refuse, shoal.StageConnect, shoal.KindRefused},
		{sshtest.TCPSilent, shoal.StageBanner, shoal.KindTimeout},
		{sshtest.BannerHTTP, shoal.StageBanner, shoal.KindNotSSH},
		{sshtest.KexNoMatch, shoal.StageKex, shoal.KindNoAlgorithm},
		{sshtest.KexBadSig, shoal.StageKex, shoal.KindProtocol},
	}
	f := sshtest.New(t, sshtest.Config{Hosts: len(faults) + 1, Faults: func(host int) sshtest.Fault {
		if host == 0 {
			return sshtest.Fault{}
		}
		return sshtest.Fault{Kind: faults[host-1].kind}
	}})
	c := newClient(t, f)
	c.Host.Timeout = 2 * time.Second
	results, _ := shoal.Gather(c.ScanHostKeys(testContext(t), hostsOf(f)))
	if r := results[0]; r.Err != nil || len(r.Value.Keys) != 1 {
		t.Errorf("the good host: %d keys, %v", len(r.Value.Keys), r.Err)
	}
	for i, r := range results[1:] {
		he := wantHostError(t, r.Err, faults[i].stage, faults[i].want)
		if he.Host != f.Host(i+1).Name || he.Elapsed <= 0 || he.Stage != shoal.StageConnect && r.Timings.Connect <= 0 {
			t.Errorf("%s: %v, took %v, %+v", faults[i].kind, he, he.Elapsed, r.Timings)
		}
	}

	later := sshtest.New(t, sshtest.Config{HostKeys: func(int) []ssh.Signer { return keysOfTypes(t, "ed25519", "ecdsa") }})
	ctx, cancel := context.WithCancel(testContext(t))
	var dials atomic.Int64
	c = &shoal.Client{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errors.New("cut")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	defer c.Close()
	defer cancel()
	laterHost := shoal.Host{Name: later.Host(0).Addr}
	for r := range c.ScanHostKeys(ctx, seq(laterHost)) {
		if len(r.Value.Keys) != 1 || r.Err == nil {
			t.Errorf("got %d keys and %v from a host that can be reached once", len(r.Value.Keys), r.Err)
		}
	}
	cancel()
	for r := range c.ScanHostKeys(ctx, seq(laterHost)) {
		if !errors.Is(r.Err, shoal.ErrNotRun) {
			t.Errorf("after the context's end: %v", r.Err)
		}
	}
	c.Close()
	if err := scanOne(t, c, laterHost).Err; !errors.Is(err, shoal.ErrCancelled) {
		t.Errorf("with a closed client: %v", err)
	}
}

// Every state that a key can have, of the key and of the host as a whole.
func TestCompareHostKeys(t *testing.T) {
	keys := keysOfTypes(t, "ed25519", "ecdsa", "ed25519", "ecdsa")
	ed, ec, otherEd, otherEc := keys[0].PublicKey(), keys[1].PublicKey(), keys[2].PublicKey(), keys[3].PublicKey()
	ca := keysOfTypes(t, "ed25519")[0]
	cert := &ssh.Certificate{Key: ed, CertType: ssh.HostCert, ValidPrincipals: []string{"web1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(bytes.NewReader(make([]byte, 1024)), ca); err != nil {
		t.Fatal(err)
	}
	stale := *cert
	stale.ValidBefore = 1
	if err := stale.SignCert(bytes.NewReader(make([]byte, 1024)), ca); err != nil {
		t.Fatal(err)
	}
	line := func(hosts string, key ssh.PublicKey) string {
		return hosts + " " + string(ssh.MarshalAuthorizedKey(key))
	}
	for _, tt := range []struct {
		name   string
		file   string
		keys   []ssh.PublicKey
		want   string // state@lines, in order
		refuse string // of those, what a login would refuse: x or .
	}{
		{"nothing known", "", []ssh.PublicKey{ed, ec}, "new new", "xx"},
		{"all known", line("web1", ed) + line("*", ec), []ssh.PublicKey{ed, ec}, "known@1 known@2", ".."},
		{"a further type", line("web1", ed), []ssh.PublicKey{ed, ec}, "known@1 new", ".x"},
		{"changed", line("web1", otherEd), []ssh.PublicKey{ed}, "changed@1", "x"},
		{"changed beside a known one", line("web1", otherEd) + line("web1", ec), []ssh.PublicKey{ed, ec}, "changed@1 known@2", "x."},
		{"only other types are known", line("web1", otherEc), []ssh.PublicKey{ed}, "changed@1", "x"},
		{"two known, one shown", line("web1", ed) + line("web1", otherEd), []ssh.PublicKey{ed}, "known@1 not offered@2", ".."},
		{"type no longer offered", line("web1", ed) + line("web1", ec), []ssh.PublicKey{ed}, "known@1 not offered@2", ".."},
		{"revoked", "@revoked " + line("*", ed) + line("web1", ec), []ssh.PublicKey{ed, ec}, "revoked@1 known@2", "x."},
		{"certificate", "@cert-authority " + line("*", ca.PublicKey()), []ssh.PublicKey{cert, ed, ec}, "known known new", "..x"},
		{"certificate that ended", "@cert-authority " + line("*", ca.PublicKey()), []ssh.PublicKey{&stale, ed}, "new new", "xx"},
		{"nobody's certificate", line("web1", ed), []ssh.PublicKey{cert, ed}, "known@1 known@1", ".."},
		{"another host's", line("web2", otherEd), []ssh.PublicKey{ed}, "new", "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &shoal.KnownHosts{Files: []string{writeFile(t, "known_hosts", []byte(tt.file))}}
			all, err := k.Compare("web1:22", tt.keys...)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			var refuse strings.Builder
			for _, c := range all {
				var state strings.Builder
				state.WriteString(string(c.State))
				for _, l := range c.Lines {
					state.WriteString("@" + l.Place[strings.LastIndexByte(l.Place, ':')+1:])
				}
				got = append(got, state.String())
				if c.Err != nil {
					refuse.WriteString("x")
				} else {
					refuse.WriteString(".")
				}
			}
			if strings.Join(got, " ") != tt.want || refuse.String() != tt.refuse {
				t.Errorf("got %q and %s, want %q and %s", strings.Join(got, " "), refuse.String(), tt.want, tt.refuse)
			}
			if ended := tt.name == "certificate that ended"; (all[0].CertificateErr != nil) != ended {
				t.Errorf("what is said of the certificate: %v", all[0].CertificateErr)
			}
		})
	}
}

// Keys that were reviewed are learned and replaced so that ssh-keygen finds them.
func TestLearnReplaceHostKeys(t *testing.T) {
	opensshtest.Need(t, "ssh-keygen")
	keys := keysOfTypes(t, "ed25519", "ecdsa", "ed25519")
	ed, ec, newEd := keys[0].PublicKey(), keys[1].PublicKey(), keys[2].PublicKey()
	for _, hash := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), ".ssh", "known_hosts")
		k := &shoal.KnownHosts{Files: []string{file}, Hash: hash}
		for _, want := range []int{2, 0} {
			if n, err := k.Learn("web1:2222", ed, ec); n != want || err != nil {
				t.Fatalf("learned %d keys, %v; want %d", n, err, want)
			}
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if n, err := k.Learn("web1:2222", newEd); n != 0 || err == nil {
			t.Errorf("a changed key was learned: %d, %v", n, err)
		}
		if removed, added, err := k.Replace("web1:2222", newEd); removed != 2 || added != 1 || err != nil {
			t.Errorf("replaced %d lines by %d, %v", removed, added, err)
		}
		all, err := k.Compare("web1:2222", newEd, ec)
		if err != nil || all[0].State != shoal.HostKeyKnown || all[1].State != shoal.HostKeyNew {
			t.Errorf("after the replacement: %+v, %v", all, err)
		}
		out, err := exec.Command("ssh-keygen", "-F", "[web1]:2222", "-l", "-f", file).CombinedOutput()
		if err != nil || strings.Count(string(out), "SHA256:") != 1 || !strings.Contains(string(out), ssh.FingerprintSHA256(newEd)) {
			t.Errorf("ssh-keygen finds %s, %v", out, err)
		}
		if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte("web1")) == hash {
			t.Errorf("hashed %v: %s, %v", hash, text, err)
		}
	}
}

// A host that failed has the times of the stages before.
func TestTimingsOfFailures(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3, Faults: func(host int) sshtest.Fault {
		return []sshtest.Fault{{Kind: sshtest.AuthFailAll}, {}, {Kind: sshtest.BannerHTTP}}[host]
	}})
	c := newClient(t, f)
	other := hostOf(f, 1)
	other.HostKeys = shoal.PinnedHostKeys(f.Host(0).HostKey)
	results, _ := shoal.Gather(c.Run(testContext(t), seq(hostOf(f, 0), other, hostOf(f, 2)), shoal.Command{Line: "true"}))
	for i, want := range []struct {
		stage        shoal.Stage
		kex, hostKey bool
	}{{shoal.StageAuth, true, true}, {shoal.StageHostKey, true, true}, {shoal.StageBanner, false, false}} {
		got := results[i].Timings
		if he, ok := errors.AsType[*shoal.HostError](results[i].Err); !ok || he.Stage != want.stage {
			t.Errorf("host %d: %v, want it to fail at %s", i, results[i].Err, want.stage)
		}
		if got.Connect <= 0 || (got.Kex > 0) != want.kex || (got.HostKey > 0) != want.hostKey || got.Auth != 0 || got.Start != 0 {
			t.Errorf("host %d failed at %s: took %+v", i, want.stage, got)
		}
	}
}

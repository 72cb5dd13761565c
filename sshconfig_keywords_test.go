package shoal_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// keywordSamples have for each keyword of ssh_config(5) lines that ask for
// something. Behind "|||" come those lines without the keyword, where it does not
// do to leave out its own.
var keywordSamples = map[string]string{
	"AddKeysToAgent": "yes", "AddressFamily": "inet", "BatchMode": "yes\nStrictHostKeyChecking ask", "BindAddress": "127.0.0.1",
	"BindInterface": "lo", "CanonicalDomains": "example.test\nCanonicalizeHostname yes",
	"CanonicalizeFallbackLocal":   "no\nCanonicalizeHostname yes\nCanonicalDomains none.test",
	"CanonicalizeHostname":        "yes\nCanonicalDomains example.test",
	"CanonicalizeMaxDots":         "0\nCanonicalizeHostname yes\nCanonicalDomains example.test",
	"CanonicalizePermittedCNAMEs": "*.example.test:b.web1.example.test\nCanonicalizeHostname yes\nCanonicalDomains example.test",
	"CASignatureAlgorithms":       "ssh-ed25519", "CertificateFile": "/tmp/x-cert.pub", "ChannelTimeout": "session=5m agent=1m",
	"CheckHostIP": "yes", "Ciphers": "aes256-ctr", "ClearAllForwardings": "yes", "Compression": "yes", "ConnectionAttempts": "3",
	"ConnectTimeout": "7", "ControlMaster": "auto", "ControlPath": "/tmp/cm-%C", "ControlPersist": "10m",
	"DynamicForward": "1080", "EnableEscapeCommandline": "yes", "EnableSSHKeysign": "yes", "EscapeChar": "none",
	"ExitOnForwardFailure": "yes", "FingerprintHash": "md5", "ForkAfterAuthentication": "yes",
	"ForwardAgent": "|||", "ForwardX11": "yes", "ForwardX11Timeout": "1h", "ForwardX11Trusted": "yes", "GatewayPorts": "yes",
	"GlobalKnownHostsFile": "/tmp/known", "GSSAPIAuthentication": "yes",
	"GSSAPIClientIdentity":      "me@EXAMPLE.TEST\nGSSAPIAuthentication yes",
	"GSSAPIDelegateCredentials": "yes\nGSSAPIAuthentication yes",
	"GSSAPIKexAlgorithms":       "gss-group14-sha256-", "GSSAPIKeyExchange": "yes", "GSSAPIRenewalForcesRekey": "yes",
	"GSSAPIServerIdentity": "other.example.test\nGSSAPIAuthentication yes", "GSSAPITrustDns": "yes", "HashKnownHosts": "yes",
	"Host": "nobody\nPort 5|||Port 5", "HostbasedAcceptedAlgorithms": "ssh-ed25519", "HostbasedAuthentication": "yes",
	"HostKeyAlgorithms": "ssh-ed25519", "HostKeyAlias": "cluster", "Hostname": "192.0.2.1", "IdentitiesOnly": "yes",
	"IdentityAgent": "/tmp/agent", "IdentityFile": "/tmp/id", "IgnoreUnknown": "Prot*\nProtokoll 2", "Include": "INCLUDED",
	"IPQoS": "af21 cs1", "KbdInteractiveAuthentication": "no", "KbdInteractiveDevices": "pam", "KexAlgorithms": "curve25519-sha256",
	"KnownHostsCommand": "/bin/known %H", "LocalCommand": "touch x", "LocalForward": "8080 localhost:80", "LogLevel": "DEBUG",
	"LogVerbose": "kex.c:*:1000", "MACs": "hmac-sha2-512", "Match": "host nobody\nPort 5|||Port 5",
	"NoHostAuthenticationForLocalhost": "yes", "NumberOfPasswordPrompts": "1", "ObscureKeystrokeTiming": "interval:80",
	"PasswordAuthentication": "no", "PermitLocalCommand": "yes", "PermitRemoteOpen": "any", "PKCS11Provider": "/usr/lib/p11.so",
	"Port": "2222", "PreferredAuthentications": "password", "ProxyCommand": "nc %h %p", "ProxyJump": "gate",
	"ProxyUseFdpass": "yes\nProxyCommand nc %h %p", "PubkeyAcceptedAlgorithms": "ssh-ed25519", "PubkeyAuthentication": "no",
	"RefuseConnection": "\"not any more\"", "RekeyLimit": "1G 1h", "RemoteCommand": "tmux attach", "RemoteForward": "8080 localhost:80",
	"RequestTTY": "force", "RequiredRSASize": "4096", "RevokedHostKeys": "REVOKED", "SecurityKeyProvider": "/usr/lib/sk.so",
	"SendEnv": "SHOAL_SENT", "ServerAliveCountMax": "5", "ServerAliveInterval": "30", "SessionType": "none", "SetEnv": "A=1",
	"StdinNull": "yes", "StreamLocalBindMask": "0177", "StreamLocalBindUnlink": "yes", "StrictHostKeyChecking": "accept-new",
	"SyslogFacility": "USER", "Tag": "blue\nMatch tagged blue\nPort 5", "TCPKeepAlive": "no", "Tunnel": "yes", "TunnelDevice": "any:any",
	"UpdateHostKeys": "ask", "User": "alice", "UserKnownHostsFile": "/tmp/known", "VerifyHostKeyDNS": "yes",
	"VersionAddendum": "x y", "VisualHostKey": "yes", "WarnWeakCrypto": "no", "XAuthLocation": "/usr/bin/xauth",
}

// What becomes of each keyword is what docs/ssh-config.md says, and each that
// OpenSSH knows is there.
func TestKeywords(t *testing.T) {
	t.Setenv("SHOAL_SENT", "x")
	text, err := os.ReadFile(filepath.Join("docs", "ssh-config.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z]\w+) \| ([a-z ]+) \|`).FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = m[2]
	}
	if len(documented) != len(keywordSamples) {
		t.Errorf("%d keywords are documented, %d have a sample", len(documented), len(keywordSamples))
	}
	files := map[string]string{
		"INCLUDED": writeFile(t, "included", []byte("Port 5\n")),
		"REVOKED":  writeFile(t, "revoked", nil),
		"AGENT":    writeFile(t, "agent", nil),
	}
	for keyword, sample := range keywordSamples {
		t.Run(keyword, func(t *testing.T) {
			if keyword == "ForwardAgent" {
				sample = "Host a.web1\nForwardAgent AGENT|||"
			} else {
				sample = keyword + " " + sample
			}
			for name, path := range files {
				sample = strings.ReplaceAll(sample, name, path)
			}
			with, without, ok := strings.Cut(sample, "|||")
			if !ok {
				_, without, _ = strings.Cut(sample, "\n")
			}
			got, warnings := settings(t, with)
			want, _ := settings(t, without)
			switch documented[keyword] {
			case "honoured":
				if got == want && keyword != "IgnoreUnknown" || len(warnings) > 0 {
					t.Errorf("it changes nothing, or warns: %s %q", got, warnings)
				}
			case "warned":
				if got != want || len(warnings) != 1 || !strings.Contains(warnings[0], keyword+" is passed over") {
					t.Errorf("got %s, want %s, with one warning: %q", got, want, warnings)
				}
			case "no effect":
				if got != want || len(warnings) != 0 {
					t.Errorf("got %s, want %s, without a word: %q", got, want, warnings)
				}
			case "refused":
				if !strings.Contains(got, "error: ") || !strings.Contains(got, keyword) {
					t.Errorf("got %s, want an error", got)
				}
			default:
				t.Errorf("docs/ssh-config.md says %q", documented[keyword])
			}
		})
	}
	for _, keyword := range opensshKeywords(t) {
		known := func(k string) bool { return strings.EqualFold(k, keyword) }
		found := false
		for k := range documented {
			found = found || known(k)
		}
		if !found {
			t.Errorf("%s of OpenSSH is not in docs/ssh-config.md", keyword)
		}
	}
}

// settings are what a configuration makes of a host, and its warnings, of which
// each comes once.
func settings(t *testing.T, text string) (string, []string) {
	t.Helper()
	var warnings []string
	s := &shoal.SSHConfig{
		File: writeFile(t, "config", []byte(text)), AllowCommands: true,
		Resolver: resolver(t, zone{
			"a.web1.example.test.": {addrs: []string{"192.0.2.7"}, cname: "b.web1.example.test."},
			"b.web1.example.test.": {addrs: []string{"192.0.2.7"}},
		}),
		GSSAPI: func(g shoal.GSSAPISettings) shoal.Auth { return shoal.AgentSocket(fmt.Sprintf("%+v", g)) },
		Warn:   func(err error) { warnings = append(warnings, err.Error()) },
	}
	h, err := s.Complete(shoal.Host{Name: "a.web1"})
	if _, again := s.Complete(shoal.Host{Name: "a.web1"}); fmt.Sprint(err) != fmt.Sprint(again) {
		t.Errorf("%v, and then %v", err, again)
	}
	if err != nil {
		return "error: " + err.Error(), warnings
	}
	k := h.HostKeys.(*shoal.KnownHosts)
	keys := fmt.Sprint(k.Files, k.Mode, k.Hash, k.CheckIP, k.Revoked, k.CAAlgorithms)
	pty := h.PTY != nil
	h.HostKeys, h.PTY = nil, nil
	return fmt.Sprintf("%+v keys %s pty %v", h, keys, pty), warnings
}

// opensshKeywords are those of the OpenSSH that is here: of what it prints, and of
// its manual where that is installed.
func opensshKeywords(t *testing.T) (keywords []string) {
	t.Helper()
	opensshtest.Need(t, "ssh")
	out, err := exec.Command("ssh", "-G", "-F", "none", "host").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word != "host" {
			keywords = append(keywords, word)
		}
	}
	if len(keywords) < 60 {
		t.Errorf("ssh -G has %d keywords", len(keywords))
	}
	if f, err := os.Open("/usr/share/man/man5/ssh_config.5.gz"); err == nil {
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\.It Cm ([A-Z]\w+)`).FindAllStringSubmatch(string(page), -1) {
			keywords = append(keywords, m[1])
		}
	}
	slices.Sort(keywords)
	return slices.Compact(keywords)
}

package sshconfig_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshconfig"
)

// compared are the keywords that are compared with ssh -G, which leaves some
// out where they are not set.
var compared = strings.Fields(`hostname port user identityfile certificatefile identitiesonly identityagent addressfamily
	bindaddress bindinterface connecttimeout connectionattempts serveraliveinterval serveralivecountmax proxyjump proxycommand
	userknownhostsfile globalknownhostsfile hostkeyalias stricthostkeychecking hashknownhosts checkhostip forwardagent sendenv
	setenv requesttty compression tag preferredauthentications pubkeyauthentication passwordauthentication
	kbdinteractiveauthentication gssapiauthentication gssapidelegatecredentials hostbasedauthentication numberofpasswordprompts
	batchmode controlmaster controlpath loglevel remotecommand escapechar tcpkeepalive localforward dynamicforward`)

// dump asks ssh what it makes of a configuration.
func dump(t *testing.T, home string, args ...string) map[string][]string {
	t.Helper()
	cmd := exec.Command("ssh", append([]string{"-G"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ssh -G %q: %v", args, err)
	}
	got := map[string][]string{}
	for l := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(l), " ")
		got[k] = append(got[k], v)
	}
	return got
}

// normal is a value as both write it. ssh expands ~ in some, by the password
// database.
func normal(home, key string, values []string) string {
	v := strings.ReplaceAll(strings.Join(values, " "), home+"/", "~/")
	switch v {
	case "yes":
		v = "true"
	case "no", "off":
		v = "false"
	}
	if key == "serveraliveinterval" || key == "connecttimeout" {
		v = strings.TrimSuffix(v, "s")
	}
	if key == "localforward" || key == "dynamicforward" {
		v = strings.NewReplacer("[", "", "]", "").Replace(v)
	}
	return v
}

// Each configuration means to us what it means to ssh, for each of the hosts.
func TestOpenSSH(t *testing.T) {
	opensshtest.Need(t, "ssh")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"web1", "web2.example.com", "db", "10.0.0.7"}
	for i, text := range configurations(me.Username) {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			for name, text := range included {
				path := filepath.Join(home, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(home, "config")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "HOME/", home+"/")), 0o600); err != nil {
				t.Fatal(err)
			}
			empty := filepath.Join(home, "empty")
			if err := os.WriteFile(empty, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := sshconfig.Load(sshconfig.Options{File: file, Home: home})
			if err != nil {
				t.Fatal(err)
			}
			if w := c.Warnings(); len(w) > 0 {
				t.Errorf("warnings %v", w)
			}
			for _, host := range hosts {
				want, defaults := dump(t, home, "-F", file, host), dump(t, home, "-F", empty, host)
				s, err := c.Resolve(sshconfig.Target{Host: host})
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range compared {
					got, set := s.Get(key)
					values := []string{got}
					if list := s.List(key); key == "identityfile" || key == "certificatefile" || key == "sendenv" || key == "setenv" || key == "localforward" || key == "dynamicforward" {
						values = list
					}
					if !set {
						values = defaults[key]
					}
					if (key == "proxyjump" || key == "proxycommand") && got == "none" {
						values = nil // ssh shows none of them
					}
					if g, w := normal(me.HomeDir, key, values), normal(me.HomeDir, key, want[key]); g != w && !(w == "" && g == "none") && !(g == "" && w == "none") {
						t.Errorf("%s: %s is %q, to ssh %q\n%s", host, key, g, w, text)
					}
				}
			}
		})
	}
}

// included are files that configurations include.
var included = map[string]string{
	".ssh/one.conf":      "Port 1001\nHost web*\n User included\nHost db\n User dbuser\n",
	".ssh/two.conf":      "Port 1002\nIdentityFile ~/.ssh/two\n",
	".ssh/conf.d/a.conf": "Host web1\n ConnectTimeout 11\n",
	".ssh/conf.d/b.conf": "ConnectTimeout 12\nInclude two.conf\n",
	".ssh/nested.conf":   "Host db\n Include one.conf\n",
}

func configurations(me string) []string {
	return []string{
		"",
		"# nothing but a comment\n\n   \n",
		"Port 2222\n",
		"Port=2222\n",
		"Port = 2222\n",
		"port \"2222\"\n",
		"  PORT\t2222  \r\n",
		"Port 2222 # why\n",
		"Port 2222\nPort 3333\n",
		"User alice\nUser bob\n",
		"Host web1\n Port 1\nHost *\n Port 2\n",
		"Host *\n Port 2\nHost web1\n Port 1\n",
		"Host web*\n User w\nHost db 10.*\n User d\n",
		"Host web? !web1\n User q\n",
		"Host !web1 *\n User notweb1\n",
		"Host !web1\n User never\n",
		"Host *.example.com\n User e\n",
		"Host \"web1\" db\n User quoted\n",
		"Host web1\n HostName %h.internal\n",
		"HostName %h.internal%%x\n",
		"Host web1\n HostName 192.0.2.1\n HostName 192.0.2.2\n",
		"IdentityFile ~/.ssh/a\nIdentityFile ~/.ssh/b\nHost web1\n IdentityFile ~/.ssh/c\n",
		"IdentityFile ~/.ssh/a\nIdentityFile ~/.ssh/a\n",
		"IdentityFile \"~/.ssh/with blank\"\n",
		"IdentityFile none\n",
		"IdentityFile ~/.ssh/id_%r_%h\nCertificateFile ~/.ssh/c1\nCertificateFile ~/.ssh/c2\n",
		"IdentitiesOnly yes\nIdentityAgent ~/agent\n",
		"IdentityAgent none\n",
		"AddressFamily inet6\nBindAddress 127.0.0.1\n",
		"AddressFamily INET\n",
		"ConnectTimeout 1m30s\n",
		"ConnectTimeout 1h\nServerAliveInterval 2m\nServerAliveCountMax 7\n",
		"ConnectTimeout none\n",
		"ConnectionAttempts 5\n",
		"ProxyJump gate\n",
		"ProxyJump root@gate:2222,inner\n",
		"ProxyJump none\nProxyCommand nc %h %p\n",
		"ProxyCommand nc -X 5 \"a b\" %h %p # not a comment\nProxyJump gate\n",
		"ProxyJump gate\nProxyCommand nc %h %p\n",
		"Host web1\n ProxyJump none\nHost *\n ProxyJump gate\n",
		"UserKnownHostsFile ~/.ssh/k1 ~/.ssh/k2\nUserKnownHostsFile ~/.ssh/k3\n",
		"UserKnownHostsFile \"~/.ssh/a b\" /dev/null\nGlobalKnownHostsFile /etc/k\n",
		"UserKnownHostsFile none\n",
		"HostKeyAlias cluster\nCheckHostIP yes\nHashKnownHosts yes\n",
		"StrictHostKeyChecking no\n",
		"StrictHostKeyChecking accept-new\n",
		"StrictHostKeyChecking ask\n",
		"StrictHostKeyChecking OFF\n",
		"ForwardAgent yes\n",
		"ForwardAgent /tmp/agent\n",
		"SendEnv LANG LC_*\nSendEnv FOO\n",
		"SendEnv LANG LC_* FOO\nSendEnv -LC_* -FOO\n",
		"SetEnv A=1 B=\"two words\"\nSetEnv C=3\n",
		"SetEnv A=1 A=2\n",
		"RequestTTY force\nCompression yes\nBatchMode no\n",
		"RemoteCommand echo \"a  b\" # c\n",
		"PreferredAuthentications publickey,password\nPubkeyAuthentication no\nPasswordAuthentication no\n",
		"ChallengeResponseAuthentication no\nNumberOfPasswordPrompts 1\n",
		"KbdInteractiveAuthentication no\nGSSAPIAuthentication yes\nGSSAPIDelegateCredentials yes\nHostbasedAuthentication yes\n",
		"Match all\n User all\n",
		"Match host web*\n User m\nMatch host db,10.*\n User n\n",
		"Match host \"web*,!web1\"\n User m\n",
		"Match !host web1\n User m\n",
		"HostName other\nMatch host other\n User viahostname\n",
		"HostName other\nMatch originalhost web1\n User orig\n",
		"User alice\nMatch user alice\n Port 77\nMatch user bob\n Port 78\n",
		"Match localuser " + me + "\n Port 79\n",
		"Match localuser nobody-here\n Port 79\n",
		"Match host web1 user " + me + "\n Port 82\n",
		"Match final all\n Port 83\nHost *\n User u\n",
		"Match final host real\n Port 84\nHost web1\n HostName real\n",
		"Match canonical all\n Port 85\n",
		"Match host=web1\n Port 86\n",
		"Include one.conf\nUser outer\n",
		"Host web1\n Include one.conf\nHost *\n Port 5\n",
		"Host web1\n Include two.conf\n ConnectTimeout 3\n",
		"Include conf.d/*.conf\nConnectTimeout 13\n",
		"Include nested.conf\nPort 9\n",
		"Include HOME/.ssh/two.conf missing.conf\n",
		"Include one.conf two.conf\n",
		"Include ~/.ssh/one.conf\n",
		"Host db\nInclude conf.d/a.conf\nHost *\nUser x\n",
		"ControlMaster auto\nControlPath ~/.ssh/cm\nLogLevel ERROR\n",
		"EscapeChar none\nTCPKeepAlive no\nUpdateHostKeys ask\n",
		"LocalForward 8080 localhost:80\nLocalForward 8081 localhost:81\nDynamicForward 1080\n",
		"IgnoreUnknown Foo*,bar\nFooBar yes\nBar x\nPort 2\n",
		"Protocol 2\nUsePrivilegedPort no\nPort 2\n",
		"User \"a\\\"b\"\n",
		"User 'single quoted'\n",
		"Host web1 # comment web2*\n User c\n",
		"User a#b\n",
		"Host *\n\tUser tab\n\tPort\t10\n",
		"hOsT web1\n uSeR mixed\n",
	}
}

// What -o gives and what is asked for stand above the files.
func TestAbove(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("Port 1\nUser file\nMatch user root\n ConnectTimeout 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := sshconfig.Load(sshconfig.Options{File: file, Set: []string{"Port=2", "IdentityFile ~/x"}, Home: "/home/me"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Resolve(sshconfig.Target{Host: "h", User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Files("IdentityFile")
	if s.Port() != 2 || s.User() != "root" || err != nil || !slices.Equal(files, []string{filepath.Join("/home/me", "x")}) {
		t.Errorf("port %d, user %s, %q, %v", s.Port(), s.User(), files, err)
	}
	if d, ok := s.Duration("ConnectTimeout"); !ok || d.Seconds() != 5 {
		t.Errorf("Match user does not see the user asked for: %v", d)
	}
}

// Tags choose blocks; ssh knows them from version 9.4 on.
func TestTag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	text := "Host web*\n Tag blue\nMatch tagged blue host web1\n Port 80\nMatch tagged red\n Port 81\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := sshconfig.Load(sshconfig.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	for host, port := range map[string]int{"web1": 80, "web2": 22, "db": 22} {
		if s, err := c.Resolve(sshconfig.Target{Host: host}); err != nil || s.Port() != port {
			t.Errorf("%s: port %d, %v, want %d", host, s.Port(), err, port)
		}
	}
	if got := c.Aliases(); len(got) != 0 {
		t.Errorf("aliases %q", got)
	}
}

// Mistakes name the file, the line and the keyword; unknown keywords are only
// warned about.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"\nPort x\n":                      `config:2: Port: "x" is not a port from 1 to 65535`,
		"Port 0\n":                        `config:1: Port: "0" is not a port from 1 to 65535`,
		"Port\n":                          "config:1: Port: a value is missing",
		"Port 22 23\n":                    `config:1: Port: "23" follows the value; quote a value that has blanks`,
		"BatchMode maybe\n":               `config:1: BatchMode: "maybe" is not yes or no`,
		"ConnectTimeout 1x\n":             `config:1: ConnectTimeout: "1x" is not a time such as 90 or 1m30s`,
		"User \"a\n":                      "config:1: User: no closing quote",
		"Match sometimes\n":               `config:1: Match: "sometimes" is no criterion`,
		"Match host\n":                    "config:1: Match: host: a value is missing",
		"Match all host x\n":              "config:1: Match: all stands alone, or behind final or canonical",
		"AddressFamily ipv4\n":            `config:1: AddressFamily: "ipv4" is not one of any, inet, inet6`,
		"Include HOME/config\n":           "more than 16 files within each other",
		"StrictHostKeyChecking sometimes": `"sometimes" is not one of yes, no, ask, off, accept-new`,
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "config")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "HOME", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sshconfig.Load(sshconfig.Options{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("Prot 22\nMatch exec \"touch x\"\n Port 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := sshconfig.Load(sshconfig.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if w := fmt.Sprint(c.Warnings()); !strings.Contains(w, ":1: Prot: unknown keyword") || !strings.Contains(w, ":2: Match exec: is not run") {
		t.Errorf("warnings %s", w)
	}
	if s, err := c.Resolve(sshconfig.Target{Host: "h"}); err != nil || s.Port() != 22 {
		t.Errorf("port %d, %v", s.Port(), err)
	}
}

// Nothing in a file makes it fail other than by an error.
func FuzzLoad(f *testing.F) {
	for _, text := range configurations("me") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := sshconfig.Load(sshconfig.Options{File: file, Home: "/nonexistent", LocalUser: "me"})
		if err != nil {
			return
		}
		s, err := c.Resolve(sshconfig.Target{Host: "web1"})
		if err != nil {
			return
		}
		_, _ = s.Files("IdentityFile")
		_ = s.ProxyJump()
		_ = s.Algorithms("Ciphers", []string{"a", "b"})
	})
}

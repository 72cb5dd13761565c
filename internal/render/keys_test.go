package render_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/render"
)

// scan is a scan of host keys in which every state comes. Keys go to renderers
// that want them.
func scan(r render.Renderer) error {
	hosts := append(names("web", 20), "db1", "db2", "gw1", "gw2")
	t := begin(r, "host keys", hosts...)
	print := func(n int) string { return "SHA256:" + strings.Repeat(fmt.Sprintf("%02d", n), 21) + "x" }
	key := func(host, typ string, n int, state render.KeyState, lines ...render.KeyLine) {
		t.now += time.Millisecond
		k := render.Key{Host: host, T: t.now, Type: typ, Fingerprint: print(n), Blob: "AAAA", State: state, Lines: lines}
		for i, h := range hosts {
			if h == host {
				k.Index = i
			}
		}
		if typ == "ssh-ed25519-cert-v01@openssh.com" && state == render.KeyNew {
			k.Problem = "certificate \"x\x1b[2J\" of web9, refused: expired"
		}
		if take, ok := r.(interface{ Key(render.Key) }); ok {
			take.Key(k)
		}
	}
	line := func(n int, typ string) render.KeyLine {
		return render.KeyLine{Place: fmt.Sprintf("/home/me/.ssh/known_hosts:%d", n), Type: typ, Fingerprint: print(n)}
	}
	for i, host := range hosts[:20] {
		key(host, "ssh-ed25519", i+1, render.KeyKnown, line(i+1, "ssh-ed25519"))
	}
	key("web7", "ssh-rsa", 41, render.KeyNew)
	key("web8", "ssh-rsa", 41, render.KeyNew)
	key("web9", "ssh-ed25519-cert-v01@openssh.com", 42, render.KeyNew)
	key("web10", "sk-ecdsa-sha2-nistp256@openssh.com", 43, render.KeyNotOffered, line(43, "sk-ecdsa-sha2-nistp256@openssh.com"))
	key("web11", "ssh-rsa", 44, render.KeyWeak)
	key("db1", "ssh-ed25519", 45, render.KeyChanged, line(12, "ssh-ed25519"), line(13, "ssh-ed25519"))
	key("db2", "ecdsa-sha2-nistp384", 46, render.KeyRevoked, line(14, "ssh-rsa"))
	t.exit(render.Exit{Status: render.OK}, hosts[:22]...)
	t.problem(render.Unreachable, render.Problem{Stage: "connect", Kind: "refused", Msg: "connection refused (10.0.0.1:22)"}, "gw1")
	t.problem(render.Timeout, render.Problem{Stage: "connect", Kind: "timeout", Msg: "timed out"}, "gw2")
	if j, ok := r.(*render.JSONL); ok {
		j.Stored(render.Stored{Host: "web7", File: "/home/me/.ssh/known_hosts", Added: 2, Removed: 1})
	}
	return t.done(3)
}

func TestKeysGolden(t *testing.T) {
	for name, show := range map[string]func(*render.Keys){
		"review": func(k *render.Keys) { k.Review(1200 * time.Millisecond) },
		"all":    func(k *render.Keys) { k.All = true; k.Review(1200 * time.Millisecond) },
		"quiet":  func(k *render.Keys) { k.Quiet = true; k.Review(1200 * time.Millisecond) },
		"color": func(k *render.Keys) {
			k.Screen.StdoutColor, k.Screen.StderrColor = true, true
			k.Review(1200 * time.Millisecond)
		},
		"summary": func(k *render.Keys) { k.Summary(1200 * time.Millisecond) },
	} {
		s, stdout, stderr := screen(80)
		k := &render.Keys{Screen: s}
		if err := scan(k); err != nil {
			t.Fatal(err)
		}
		show(k)
		golden(t, "keys-"+name, stdout.Bytes(), stderr.Bytes())
	}
}

// The rows before the last column fit in 80 columns.
func TestKeysWidth(t *testing.T) {
	s, stdout, _ := screen(80)
	k := &render.Keys{Screen: s}
	if err := scan(k); err != nil {
		t.Fatal(err)
	}
	k.Review(0)
	for line := range strings.Lines(stdout.String()) {
		if fields := strings.Index(line, "SHA256:"); fields >= 0 && fields+50 > 80 {
			t.Errorf("%d columns before the hosts: %q", fields+50, line)
		}
	}
}

// pings is a ping in which every stage fails once.
func pings(r render.Renderer, hosts []string) error {
	t := begin(r, "exit 0", hosts...)
	ms := func(times ...float64) []render.Stage {
		var all []render.Stage
		for i, name := range []string{"dns", "tcp", "kex", "hostkey", "auth", "start", "run"} {
			if i < len(times) && times[i] > 0 {
				all = append(all, render.Stage{Name: name, Took: time.Duration(times[i] * float64(time.Millisecond))})
			}
		}
		return all
	}
	ok := func(host string, times ...float64) {
		t.exit(render.Exit{Status: render.OK, RC: new(0), Stages: ms(times...)}, host)
	}
	failed := func(host string, status render.Status, p render.Problem, times ...float64) {
		t.exit(render.Exit{Status: status, Err: &p, Stages: ms(times...)}, host)
	}
	ok(hosts[0], 0.31, 0.52, 11.94, 0.06, 7.5, 1.1, 3.1)
	ok(hosts[1], 0.4, 1.5, 99.96, 12000, 107.5, 1.1, 300.1)
	ok(hosts[2], 0, 0.7, 10, 0.1, 6, 1, 2)
	failed(hosts[3], render.Unreachable, render.Problem{Stage: "resolve", Kind: "dns", Msg: "no such host"}, 3)
	failed(hosts[4], render.Unreachable, render.Problem{Stage: "connect", Kind: "refused", Msg: "connection refused (10.0.0.1:22)"}, 0.3, 0.4)
	failed(hosts[5], render.Timeout, render.Problem{Stage: "banner", Kind: "timeout", Msg: "timed out"}, 0.3, 0.4)
	failed(hosts[6], render.Unreachable, render.Problem{Stage: "kex", Kind: "no-common-algorithm", Msg: "nothing in common"}, 0.3, 0.4)
	failed(hosts[7], render.HostKey, render.Problem{Stage: "hostkey", Kind: "hostkey-changed", Msg: "changed"}, 0.3, 0.4, 9)
	failed(hosts[8], render.Auth, render.Problem{Stage: "auth", Kind: "auth-failed", Msg: "no method accepted"}, 0.3, 0.4, 9, 0.1)
	failed(hosts[9], render.Timeout, render.Problem{Stage: "auth", Kind: "timeout", Msg: "timed out"}, 0.3, 0.4, 9, 0.1)
	failed(hosts[10], render.Unreachable, render.Problem{Stage: "channel", Kind: "channel-refused", Msg: "the server opened no session"}, 0.3, 0.4, 9, 0.1, 5)
	failed(hosts[11], render.Unreachable, render.Problem{Stage: "exec", Kind: "exec-refused", Msg: "the server refused"}, 0.3, 0.4, 9, 0.1, 5)
	failed(hosts[12], render.Timeout, render.Problem{Stage: "run", Kind: "timeout", Msg: "timed out after 10 s"}, 0.3, 0.4, 9, 0.1, 5, 1)
	t.out(hosts[13], "This account is \x1b[2Jnot available.\n", "more\n")
	t.exit(render.Exit{Status: render.Failed, RC: new(1), Stages: ms(0.3, 0.4, 9, 0.1, 5, 1, 1)}, hosts[13])
	t.exit(render.Exit{Status: render.Signal, Signal: "KILL", Stages: ms(0.3, 0.4, 9, 0.1, 5, 1, 1)}, hosts[14])
	failed(hosts[15], render.Auth, render.Problem{Hop: "gate", Stage: "auth", Kind: "auth-failed", Msg: "no method accepted"})
	failed(hosts[16], render.Lost, render.Problem{Hop: "gate", Stage: "kex", Kind: "lost", Msg: "gone"}, 0, 0.4)
	failed(hosts[17], render.Cancelled, render.Problem{Stage: "run", Kind: "cancelled", Msg: "interrupted"})
	failed(hosts[18], render.NotRun, render.Problem{Stage: "prepare", Kind: "not-run", Msg: "interrupted"})
	return t.done(3)
}

func TestPingGolden(t *testing.T) {
	long := names("web", 19)
	long[1] = "a-name-that-is-too-long-for-a-column.example"
	long[2] = "\x1b]0;x\x07" + long[2]
	for name, tt := range map[string]struct {
		hosts []string
		quiet bool
		color bool
		width int
	}{
		"all":   {hosts: names("web", 19), width: 80},
		"quiet": {hosts: names("web", 19), quiet: true, width: 80},
		"color": {hosts: names("web", 19), color: true, width: 80},
		"long":  {hosts: long, width: 80},
		"wide":  {hosts: long, width: 200},
	} {
		s, stdout, stderr := screen(tt.width)
		s.StdoutColor, s.StderrColor = tt.color, tt.color
		if err := pings(&render.Ping{Screen: s, Hosts: tt.hosts, Quiet: tt.quiet}, tt.hosts); err != nil {
			t.Fatal(err)
		}
		golden(t, "ping-"+name, stdout.Bytes(), stderr.Bytes())
		if bytes.Contains(stdout.Bytes(), []byte("\x07")) {
			t.Errorf("%s: a name reaches the terminal as it is", name)
		}
		for line := range strings.Lines(stdout.String()) {
			if !tt.color && len([]rune(line)) > 80 && tt.width == 80 {
				t.Errorf("%s: more than 80 columns: %q", name, line)
			}
		}
	}
}

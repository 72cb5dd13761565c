package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// looseText folds what one host wrote with the same from another, so that what
// is shown is what the masks leave.
func looseText(t *testing.T, host, text, other, otherText string) string {
	t.Helper()
	s, stdout, _ := screen(80)
	r := begin(&render.Fold{Screen: s, Loose: true}, "true", host, other)
	r.out(host, text+"\n").out(other, otherText+"\n").ok(host, other)
	if err := r.done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	blocks := strings.Split(stdout.String(), "---------------\n")
	if len(blocks) != 3 {
		return fmt.Sprintf("%d blocks:\n%s", len(blocks)/2, stdout.String())
	}
	return strings.TrimSuffix(blocks[2], "\n")
}

// TestLooseMasks wants lines of two hosts to be equal but for what is masked.
func TestLooseMasks(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"web1", "web2", "<host>"},
		{"I am web1.example.com.", "I am web2.", "I am <host>."},
		{"cert-web1.pem", "cert-web2.pem", "cert-<host>"},
		{"WEB1 up", "web2 up", "<host> up"},
		{"inet 10.0.0.1/24", "inet 10.0.0.2/24", "inet <address>/24"},
		{"from 10.0.0.1:4022, ok", "from 192.168.7.255:22, ok", "from <address>, ok"},
		{"inet6 fe80::1/64 scope", "inet6 2001:db8::2/64 scope", "inet6 <address>/64 scope"},
		{"on [::1]:22", "on [fe80::1]:2222", "on <address>"},
		{"ether 52:54:00:12:34:56", "ether 52:54:00:ab:cd:ef", "ether <address>"},
		{"Fri Nov 27 22:10:34 UTC 2026", "Sat Nov 28 01:00:00 UTC 2026", "<time>"},
		{"Nov 27 22:10:34 x", "Nov  8 00:10:34 x", "<time> x"},
		{"Nov 27 22:10:34 ERROR x", "Nov 28 22:10:34 ERROR x", "<time> ERROR x"},
		{"2026-11-27T22:10:34.123Z x", "2026-11-28T22:10:34Z x", "<time> x"},
		{"since Fri 2026-11-27 22:10:34 CET; 3 days ago", "since Sat 2026-11-28 22:10:35 CET; 1h 5min ago", "since <time>; <duration> ago"},
		{"22:10:34 up", "8:01 up", "<time> up"},
		{" up 3 days,  2:10, x", " up 12 min, x", " up <duration>, x"},
		{"[   12.345678] boot", "[ 1112.000001] boot", "[<time>] boot"},
		{"took 0.38 s", "took 12.5ms", "took <duration>"},
		{"real 1m2.034s", "real 0.200s", "real <duration>"},
		{"Main PID: 123 (x)", "Main PID: 4 (x)", "Main PID: <pid> (x)"},
		{"sshd[123]: x", "sshd[4]: x", "sshd[<pid>]: x"},
	} {
		if got := looseText(t, "web1", tt.a, "web2", tt.b); got != tt.want {
			t.Errorf("%q and %q: got %s, want %q", tt.a, tt.b, got, tt.want)
		}
	}
	if got := looseText(t, "root@10.0.0.1:22", "x 10.0.0.1", "[::1]:22", "x ::1"); got != "x <address>" {
		t.Errorf("addresses as names: got %s", got)
	}
	if got := looseText(t, "a@db.example.com:22", "x db", "db7", "x db7.example.com"); got != "x <host>" {
		t.Errorf("names with user and port: got %s", got)
	}
}

// TestLooseKeeps wants what are settings and not noise to differ.
func TestLooseKeeps(t *testing.T) {
	for _, tt := range []struct{ a, b string }{
		{"vm.swappiness = 60", "vm.swappiness = 10"},
		{"timeout 30s", "timeout 60s"},
		{"6.1.0-28-amd64", "6.1.0-27-amd64"},
		{"nginx 1.2.3", "nginx 1.2.4"},
		{"web10", "web20"}, // not the names of web1 and web2
		{"limit[1]", "limit[2]"},
		{"std::a", "std::b"}, {"1:2:3", "1:2:4"},
	} {
		if got := looseText(t, "web1", tt.a, "web2", tt.b); !strings.HasPrefix(got, "2 blocks") && strings.Contains(got, "<") {
			t.Errorf("%q and %q: masked as %s", tt.a, tt.b, got)
		}
	}
}

// TestLooseLongLine wants a line of many pieces masked alike, however it came.
func TestLooseLongLine(t *testing.T) {
	long := strings.Repeat("at 10.0.0.1 ", 10_000)
	s, stdout, _ := screen(80)
	r := begin(&render.Fold{Screen: s, Loose: true}, "true", "n1", "n2")
	r.out("n1", long+"\n").out("n2", long[:5], long[5:70_000], long[70_000:]+"\n").ok("n1", "n2")
	if err := r.done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	if !strings.HasPrefix(stdout.String(), "---------------\nn[1-2] (2)\n") {
		t.Errorf("got %.100s", stdout.String())
	}
}

// drift is hosts of which a few are not as the others.
func drift(r render.Renderer) error {
	hosts := names("n", 9)
	t := begin(r, "sysctl -a", hosts...)
	var common strings.Builder
	for i := range 12 {
		common.WriteString(fmt.Sprintf("key%d = 1\n", i))
	}
	for i, h := range hosts[:5] {
		t.out(h, fmt.Sprintf("%sboot 2026-11-2%d 08:00:00 on %s\n", common.String(), i, h)).ok(h)
	}
	t.out("n6", strings.Replace(common.String(), "key5 = 1", "key5 = \x1b[31m0", 1)+"boot 2026-11-27 08:00:00 on n6\n").ok("n6")
	t.ok("n7")
	t.out("n8", common.String()+"boot 2026-11-27 08:00:00 on n8\n").rc(3, "n8")
	t.problem(render.Unreachable, render.Problem{Stage: "connect", Kind: "refused", Msg: "connection refused"}, "n9")
	return t.done(3)
}

func TestFoldDriftGolden(t *testing.T) {
	for name, f := range map[string]render.Fold{
		"loose": {Loose: true}, "loosediff": {Loose: true, Diff: true}, "diff": {Diff: true},
	} {
		for _, color := range []bool{false, true} {
			s, stdout, stderr := screen(80)
			f.Screen = s
			if s.StdoutColor, s.StderrColor = color, color; color {
				name += "color"
			}
			if err := drift(render.Tee{&f, &render.Report{Screen: s}}); err != nil {
				t.Errorf("End: %v", err)
			}
			golden(t, "drift-"+name, stdout.Bytes(), stderr.Bytes())
		}
	}
}

// TestDiffTooLarge shows whole what is too large to compare.
func TestDiffTooLarge(t *testing.T) {
	s, stdout, _ := screen(80)
	f := &render.Fold{Screen: s, Diff: true, Memory: 1 << 20, TempDir: t.TempDir()}
	r := begin(f, "true", "n1", "n2", "n3")
	r.out("n1", "x\n").out("n2", "x\n")
	text := strings.Repeat("0123456789abcde\n", 9<<16)
	r.out("n3", text).ok("n1", "n2", "n3")
	if err := r.done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	if want := "n3\n---------------\n(more than 8 MiB are not compared)\n" + text; !strings.HasSuffix(stdout.String(), want) {
		t.Errorf("got %d bytes: %.200s", stdout.Len(), stdout.String())
	}
}

func TestDiffWithoutMajority(t *testing.T) {
	s, stdout, _ := screen(80)
	r := begin(&render.Fold{Screen: s, Diff: true}, "true", "n1", "n2")
	r.out("n1", "half\n").exit(render.Exit{Status: render.Timeout}, "n1", "n2")
	if err := r.done(4); err != nil {
		t.Errorf("End: %v", err)
	}
	if want := blocks("n1: timed out; partial output|half"); stdout.String() != want {
		t.Errorf("got %s, want %s", stdout.String(), want)
	}
}

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		name string
		same render.Same
		play func(*run)
		want string
	}{
		{"equal", render.Same{}, func(r *run) { r.out("n1", "x\n").out("n2", "x").ok("n1", "n2") }, ""},
		{"silent", render.Same{}, func(r *run) { r.ok("n1", "n2") }, ""},
		{"equal failures", render.Same{}, func(r *run) { r.rc(1, "n1", "n2", "n3") }, ""},
		{"other text", render.Same{}, func(r *run) {
			r.out("n1", "x\n").out("n2", "y\n").out("n3", "y\n").ok("n1", "n2", "n3")
		}, "shoal: not the same: 2 different outputs; 2 hosts alike, others are n1\n"},
		{"other status", render.Same{}, func(r *run) { r.ok("n1", "n3").rc(1, "n2") }, "shoal: not the same: 2 different outputs; 2 hosts alike, others are n2\n"},
		{"stderr is not compared", render.Same{}, func(r *run) { r.errs("n1", "x\n").ok("n1", "n2") }, ""},
		{"stderr is", render.Same{Stderr: true}, func(r *run) { r.errs("n1", "x\n").ok("n1", "n2") }, "shoal: not the same: 2 different outputs; 1 host alike, others are n2\n"},
		{"loose", render.Same{Loose: true}, func(r *run) { r.out("n1", "n1\n").out("n2", "n2\n").ok("n1", "n2") }, ""},
		{"not reached", render.Same{}, func(r *run) { r.out("n1", "x\n").ok("n1").exit(render.Exit{Status: render.Auth}, "n2") }, ""},
	} {
		s, _, stderr := screen(80)
		tt.same.Screen = s
		r := begin(&tt.same, "true", names("n", 3)...)
		tt.play(r)
		if got := tt.same.Violated(); got != (tt.want != "") {
			t.Errorf("%s: Violated: got %v", tt.name, got)
		}
		if err := r.done(0); err != nil || stderr.String() != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, stderr.String(), err, tt.want)
		}
	}
}

func TestExpect(t *testing.T) {
	s, _, stderr := screen(80)
	e := &render.Expect{Screen: s, Match: func(out string) bool { return out == "x\ny" }, Memory: 1, TempDir: t.TempDir()}
	r := begin(e, "true", names("n", 4)...)
	r.out("n1", "x\n").errs("n1", "z").out("n2", "x\ny\n").out("n1", "y").ok("n1", "n2")
	if !e.Violated() {
		t.Error("n2 is not as expected")
	}
	err := r.ok("n3").exit(render.Exit{Status: render.Lost}, "n4").done(0)
	if want := "shoal: not as expected: n[2-3] (2)\n"; err != nil || stderr.String() != want {
		t.Errorf("got %q, %v; want %q", stderr.String(), err, want)
	}
}

func FuzzLoose(f *testing.F) {
	f.Add("web1", "Fri Nov 27 22:10:34 UTC 2026 [::1]:22 fe80::1%eth0 up 3 days, 2:10")
	f.Add("[", "::")
	f.Fuzz(func(t *testing.T, host, text string) {
		s, stdout, _ := screen(80)
		fold := &render.Fold{Screen: s, Loose: true, Diff: true}
		r := begin(fold, "true", host, "other")
		r.out(host, text).out("other", text+"x\n").ok(host, "other")
		if err := r.done(0); err != nil {
			t.Error(err)
		}
		checkSafe(t, stdout.Bytes())
	})
}

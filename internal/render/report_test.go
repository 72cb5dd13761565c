package render_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/render"
)

// failed plays a run in which each host fails with its own message, and
// returns what the report says.
func failed(t *testing.T, early int, msgs map[string]string, order ...string) string {
	t.Helper()
	s, stdout, stderr := screen(200)
	r := begin(&render.Report{Screen: s, Early: early}, "true", order...)
	for _, h := range order {
		r.problem(render.Unreachable, render.Problem{Stage: "connect", Kind: "x", Msg: msgs[h]}, h)
	}
	if err := r.done(3); err != nil {
		t.Errorf("End: %v", err)
	}
	if stdout.Len() > 0 {
		t.Errorf("on standard output: %q", stdout.String())
	}
	return stderr.String()
}

// TestAlike wants messages that differ only in what names the host told as one.
func TestAlike(t *testing.T) {
	tests := []struct {
		hosts [2]string
		msgs  [2]string
		want  string // the line for both; empty where they are not alike
	}{
		{[2]string{"a1", "a2"}, [2]string{"no", "no"}, "a[1-2] (2): connect: no"},
		{[2]string{"a1", "a2"}, [2]string{"no", "yes"}, ""},
		{
			[2]string{"a1", "a2"},
			[2]string{"dial tcp 10.0.0.1:22: refused", "dial tcp 10.0.0.2:2222: refused"},
			"a[1-2] (2): connect: dial tcp <address>: refused",
		},
		{
			[2]string{"a1", "a2"},
			[2]string{"read tcp [::1]:1->[fe80::1%lo]:22: reset", "read tcp 10.0.0.1:1->10.0.0.2:2: reset"},
			"a[1-2] (2): connect: read tcp <address>: reset",
		},
		{
			[2]string{"a1", "a2"},
			[2]string{"lookup a1.example.com on 127.0.0.53:53: no such host", "lookup a2: no such host"},
			"",
		},
		{
			[2]string{"root@a1", "me@a2"},
			[2]string{`"a1": no (a1:22)`, `"a2": no (a2:22)`},
			"me@a2,root@a1 (2): connect: \"<host>\": no (<address>)",
		},
		{
			[2]string{"a1", "a2"},
			[2]string{"offered SHA256:abc, not 3:04", "offered SHA256:def, not 3:04"},
			"a[1-2] (2): connect: offered <fingerprint>, not 3:04",
		},
	}
	for _, tt := range tests {
		msgs := map[string]string{tt.hosts[0]: tt.msgs[0], tt.hosts[1]: tt.msgs[1]}
		got := failed(t, -1, msgs, tt.hosts[:]...)
		if tt.want == "" {
			if strings.Count(got, "shoal: ") != 2 {
				t.Errorf("got %q, want two failures", got)
			}
		} else if !strings.HasPrefix(got, "shoal: "+tt.want+"\n") {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestEarly wants the first failures at once and the others at the end.
func TestEarly(t *testing.T) {
	s, _, stderr := screen(80)
	r := begin(&render.Report{Screen: s, Early: 1}, "true", names("a", 3)...)
	r.rc(1, "a1", "a2")
	if got, want := stderr.String(), "shoal: a1: exit 1\n"; got != want {
		t.Errorf("before the end: got %q, want %q", got, want)
	}
	r.rc(1, "a3")
	if err := r.done(1); err != nil {
		t.Errorf("End: %v", err)
	}
	want := "shoal: a1: exit 1\nshoal: a[2-3] (2 more): exit 1\n3 hosts: 3 failed (exit 1: a[1-3]) in 4.2 s\n"
	if got := stderr.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHintOnce(t *testing.T) {
	s, _, stderr := screen(80)
	r := begin(&render.Report{Screen: s}, "true", "a", "b", "c")
	p := render.Problem{Stage: "auth", Kind: "auth-failed", Msg: "no method accepted"}
	r.problem(render.Auth, p, "a", "b")
	p.Hint = "ask the owner of the host"
	r.problem(render.Auth, p, "c")
	got := stderr.String()
	if strings.Count(got, "hint: check the user") != 1 || strings.Count(got, "hint: ask the owner") != 1 {
		t.Errorf("got %q, want each hint once", got)
	}
}

// TestLongMessage bounds what a peer can make Shoal say.
func TestLongMessage(t *testing.T) {
	got := failed(t, 0, map[string]string{"a": strings.Repeat("é\x1b", 1<<20)}, "a")
	if len(got) > 8<<10 || !strings.Contains(got, "…\n") {
		t.Errorf("%d bytes were said", len(got))
	}
	checkSafe(t, []byte(got))
}

func TestNotes(t *testing.T) {
	s, _, stderr := screen(80)
	r := begin(&render.Report{Screen: s}, "true", "a1", "a2", "a3")
	r.exit(render.Exit{Status: render.OK, OutputOpen: true}, "a1", "a2")
	r.exit(render.Exit{Status: render.OK, Truncated: true}, "a3")
	if err := r.done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	want := "shoal: a[1-2] (2): ended, but left the output open: a process in the background may still run\n" +
		"shoal: a3: output was cut at the limit\n" +
		"3 hosts: 3 ok in 4.2 s\n"
	if got := stderr.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSummary(t *testing.T) {
	tests := []struct {
		name string
		end  render.End
		want string
	}{
		{"nothing", render.End{}, "0 hosts: nothing to do in 0.0 s\n"},
		{"one", render.End{Hosts: 1, OK: 1, Took: 40 * time.Millisecond}, "1 host: 1 ok in 0.0 s\n"},
		{"seconds", render.End{Hosts: 2, OK: 2, Took: 9940 * time.Millisecond}, "2 hosts: 2 ok in 9.9 s\n"},
		{"a minute", render.End{Hosts: 2, OK: 2, Took: 125 * time.Second}, "2 hosts: 2 ok in 2 min 5 s\n"},
		{"hours", render.End{Hosts: 2, OK: 2, Took: 127 * time.Minute}, "2 hosts: 2 ok in 2 h 7 min\n"},
		{"not run", render.End{Hosts: 3, NotRun: 3, Took: time.Second}, "3 hosts: 3 not run in 1.0 s\n"},
	}
	for _, tt := range tests {
		s, _, stderr := screen(80)
		if err := (&render.Report{Screen: s}).End(tt.end); err != nil {
			t.Errorf("End: %v", err)
		}
		if got := stderr.String(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestSummaryColor wants red for failures and nothing else.
func TestSummaryColor(t *testing.T) {
	s, _, stderr := screen(80)
	s.StderrColor = true
	r := begin(&render.Report{Screen: s, Early: -1}, "true", "a1", "a2")
	if err := r.ok("a1").rc(1, "a2").done(1); err != nil {
		t.Errorf("End: %v", err)
	}
	want := "\x1b[31mshoal: a2:\x1b[0m exit 1\n2 hosts: 1 ok, \x1b[31m1 failed\x1b[0m (exit 1: a2) in 4.2 s\n"
	if got := stderr.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

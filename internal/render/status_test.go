package render_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/render"
)

// onTerminal returns a screen of width columns whose streams are one terminal.
func onTerminal(t *testing.T, width int) (*render.Screen, *terminal) {
	m := &terminal{t: t}
	return &render.Screen{
		Stdout: m, Stderr: m, StdoutTTY: true, StderrTTY: true, Width: width,
	}, m
}

func wantScreen(t *testing.T, m *terminal, line string, rows ...string) {
	t.Helper()
	if !slices.Equal(m.rows, rows) {
		t.Errorf("rows: got %q, want %q", m.rows, rows)
	}
	if string(m.line) != line {
		t.Errorf("last line: got %q, want %q", string(m.line), line)
	}
}

var day = time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC)

// TestStatusLine plays a run and looks at the terminal after each step.
func TestStatusLine(t *testing.T) {
	s, m := onTerminal(t, 120)
	st := &render.StatusLine{Screen: s}
	r := begin(render.Tee{st, &render.Live{Screen: s}, &render.Report{Screen: s}}, "true", names("web", 4)...)
	st.Tick(day)
	wantScreen(t, m, "0/4 done")

	for i, h := range r.hosts {
		st.Begin(h, i, day.Add(time.Duration(i)*time.Second))
	}
	r.out("web1", "one\n")
	wantScreen(t, m, "0/4 done", "web1: one")
	st.Tick(day.Add(4 * time.Second))
	wantScreen(t, m, "0/4 done, 4 running | slowest web1 4 s", "web1: one")

	r.errs("web2", "no newline").ok("web1")
	wantScreen(t, m, "0/4 done, 4 running | slowest web1 4 s", "web1: one", "web2: no newline")
	st.Tick(day.Add(5 * time.Second))
	status := "1/4 done, 1 ok, 3 running | 12.0 hosts/min | about 15 s left | slowest web2 4 s"
	wantScreen(t, m, status, "web1: one", "web2: no newline")
	st.Tick(day.Add(5*time.Second + time.Millisecond)) // too early for another
	r.rc(1, "web3")
	wantScreen(t, m, status, "web1: one", "web2: no newline", "shoal: web3: exit 1")

	if got, want := st.Running(), []string{"web2", "web4"}; !slices.Equal(got, want) {
		t.Errorf("Running: got %v, want %v", got, want)
	}
	s.Hold()
	wantScreen(t, m, "", "web1: one", "web2: no newline", "shoal: web3: exit 1")
	r.out("web4", "while a prompt is shown\n")
	st.Tick(day.Add(6 * time.Second))
	wantScreen(t, m, "", "web1: one", "web2: no newline", "shoal: web3: exit 1", "web4: while a prompt is shown")
	s.Release()
	if err := r.ok("web2", "web4").done(1); err != nil {
		t.Errorf("End: %v", err)
	}
	wantScreen(t, m, "", "web1: one", "web2: no newline", "shoal: web3: exit 1",
		"web4: while a prompt is shown", "4 hosts: 3 ok, 1 failed (exit 1: web3) in 4.2 s")
}

// TestStatusLineKeepsLinesWhole mixes lines, pieces and ticks in many ways.
func TestStatusLineKeepsLinesWhole(t *testing.T) {
	s, m := onTerminal(t, 60)
	st := &render.StatusLine{Screen: s, Every: time.Nanosecond}
	r := begin(render.Tee{&render.Live{Screen: s}, st}, "true", names("h", 9)...)
	var want []string
	for i := range 500 {
		host := r.hosts[i%9]
		text := strings.Repeat("x", i*7%50)
		if i%3 == 0 {
			r.errs(host, text+"\n")
		} else {
			r.out(host, text+"\n")
		}
		want = append(want, host+": "+text)
		if i%4 == 0 {
			st.Begin(fmt.Sprintf("h%d", i), 1000+i, day)
			st.Tick(day.Add(time.Duration(i) * time.Second))
			if !strings.HasPrefix(string(m.line), "0/9 done") {
				t.Fatalf("after line %d the status line is %q", i, string(m.line))
			}
		}
	}
	if err := r.ok(r.hosts...).done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	wantScreen(t, m, "", want...)
	if m.most > 60 {
		t.Errorf("a row has %d columns", m.most)
	}
}

func TestStatusLineWidth(t *testing.T) {
	tests := []struct {
		width int
		want  string
	}{
		{200, "0 done, 1 running | 3.0 MiB of 12 MiB, 1.0 MiB/s | slowest 漢字ホスト 3 s"},
		{71, "0 done, 1 running | 3.0 MiB of 12 MiB, 1.0 MiB/s | slowest 漢字ホスト…"},
		{70, "0 done, 1 running | 3.0 MiB of 12 MiB, 1.0 MiB/s | slowest 漢字ホス…"},
		{69, "0 done, 1 running | 3.0 MiB of 12 MiB, 1.0 MiB/s | slowest 漢字ホス…"},
		{10, "0 done, …"},
		{2, "…"},
	}
	for _, tt := range tests {
		s, m := onTerminal(t, tt.width)
		st := &render.StatusLine{Screen: s}
		st.Start(render.Start{Time: day})
		st.Begin("漢字ホスト", 0, day)
		st.Bytes(3<<20, 12<<20)
		st.Tick(day.Add(3 * time.Second))
		if got := string(m.line); got != tt.want {
			t.Errorf("width %d: got %q, want %q", tt.width, got, tt.want)
		}
	}
}

// TestStatusLineOnlyOnTerminals wants not one byte of it elsewhere.
func TestStatusLineOnlyOnTerminals(t *testing.T) {
	var stdout, stderr bytes.Buffer
	s := &render.Screen{Stdout: &stdout, Stderr: &stderr, StdoutTTY: true}
	st := &render.StatusLine{Screen: s}
	r := begin(render.Tee{&render.Live{Screen: s}, st}, "true", "a")
	st.Tick(day)
	r.out("a", "text\n")
	st.Tick(day.Add(time.Hour))
	if err := r.ok("a").done(0); err != nil {
		t.Errorf("End: %v", err)
	}
	if stdout.String() != "a: text\n" || stderr.Len() > 0 {
		t.Errorf("got %q and %q", stdout.String(), stderr.String())
	}
}

// TestStatusLineElsewhere has standard output in a file: the line on standard
// error need not move for it.
func TestStatusLineElsewhere(t *testing.T) {
	var stdout, stderr bytes.Buffer
	s := &render.Screen{Stdout: &stdout, Stderr: &stderr, StderrTTY: true, Width: 80}
	st := &render.StatusLine{Screen: s}
	r := begin(render.Tee{&render.Live{Screen: s}, st}, "true", "a")
	st.Tick(day)
	before := stderr.String()
	r.out("a", "text\n")
	if stderr.String() != before {
		t.Errorf("standard error got %q", strings.TrimPrefix(stderr.String(), before))
	}
	if stdout.String() != "a: text\n" {
		t.Errorf("standard output got %q", stdout.String())
	}
}

package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// The manual page has all that help has, and man shows it without complaint.
func TestManual(t *testing.T) {
	opensshtest.Need(t, "mandoc")
	var page bytes.Buffer
	if code := run(t.Context(), []string{"man"}, nil, &page, &page); code != exitOK {
		t.Fatalf("got exit code %d: %s", code, page.String())
	}
	lint := exec.Command("mandoc", "-T", "lint", "-W", "warning")
	lint.Stdin = bytes.NewReader(page.Bytes())
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
	show := exec.Command("mandoc", "-T", "utf8", "-O", "width=1000")
	show.Stdin = &page
	shown, err := show.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := unstruck(string(shown))
	root := new(app).rootCommand()
	for _, c := range documented(root) {
		if !strings.Contains(text, c.UseLine()) {
			t.Errorf("it has not %q", c.UseLine())
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(text, strings.TrimSpace(line)) {
				t.Errorf("it has not the example %q", line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, about := flagParts(f); !f.Hidden && f.Name != "help" && !strings.Contains(text, strings.Join(strings.Fields(about), " ")) {
				t.Errorf("shoal %s: it has not --%s: %s", c.Name(), f.Name, about)
			}
		})
	}
	for _, e := range exitCodes() {
		if !strings.Contains(text, e.meaning) {
			t.Errorf("it has not exit code %s", e.code)
		}
	}
	for _, word := range []string{"NO_COLOR", "SSH_AUTH_SOCK", "XDG_STATE_HOME", "~/.ssh/known_hosts", "'web[1-20]'", "A^B"} {
		if !strings.Contains(text, word) {
			t.Errorf("it has not %q", word)
		}
	}
}

// unstruck takes out what prints characters twice, and joins blanks.
func unstruck(shown string) string {
	var out []rune
	for _, c := range shown {
		if c == '\b' && len(out) > 0 {
			out = out[:len(out)-1]
			continue
		}
		out = append(out, c)
	}
	lines := strings.Split(string(out), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

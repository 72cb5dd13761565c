package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestHostsLikeNodeset gives shoal hosts the arguments that nodeset was given, and
// compares with what it answered: see hostlist/testdata/sets.py.
func TestHostsLikeNodeset(t *testing.T) {
	text, err := os.ReadFile("../../hostlist/testdata/sets.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLUSTERSHELL_CFGDIR", "../../hostlist/testdata/groups")
	n := 0
	for _, c := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n\n$ ")[1:] {
		line, want, _ := strings.Cut(c, "\n")
		n++
		args := words(line)
		if slices.Contains(args, "-e") && !slices.Contains(args, "-S") {
			args = append([]string{"-S", " "}, args...) // nodeset's default
		}
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"hosts"}, args...), nil, &stdout, &stderr)
		wantCode := exitOK
		if want = strings.Trim(want, "\n"); want == "" || want == "0" {
			wantCode = exitNoHosts
		}
		if got := strings.TrimSuffix(stdout.String(), "\n"); got != want || code != wantCode {
			t.Errorf("%s\n got %s, code %d\nwant %s, code %d\n%s", line, got, code, want, wantCode, stderr.String())
		}
	}
	if n < 200 {
		t.Errorf("got %d cases, want 100 or more", n)
	}
}

// words takes a line apart as a shell does.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		switch {
		case i%2 == 1:
			out = append(out, part)
		default:
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

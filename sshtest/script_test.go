package sshtest

import (
	"strings"
	"testing"
)

// FuzzScript looks for lines that the parser chokes on, and for words that
// come out of quotes changed.
func FuzzScript(f *testing.F) {
	for _, line := range []string{
		"echo a; echo 'b c' && printf \"%s\\n\" $HOME || exit 1", "a >&2", "'", "\"$", "${", "${A}b$?", ";;", "&& a", "a\\", "\\\n",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		script, err := parseScript(line)
		for _, st := range script {
			if err == nil && len(st.args) == 0 {
				t.Errorf("%q has a step without a command", line)
			}
		}
		quoted := "'" + strings.ReplaceAll(line, "'", `'\''`) + "'"
		script, err = parseScript("x " + quoted)
		if err != nil || len(script) != 1 || len(script[0].args) != 2 {
			t.Fatalf("%q: got %v, %v, want two words", quoted, script, err)
		}
		if got := script[0].args[1].expand(func(string) string { return "" }); got != line {
			t.Errorf("%q: got %q, want %q", quoted, got, line)
		}
	})
}

// FuzzModes checks that terminal modes of any form are read without a panic.
func FuzzModes(f *testing.F) {
	f.Add([]byte{53, 0, 0, 0, 1, 0})
	f.Add([]byte{128, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(parseModes(b)); n > len(b)/5 {
			t.Errorf("%d modes in %d bytes", n, len(b))
		}
	})
}

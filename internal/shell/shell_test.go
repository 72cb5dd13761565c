package shell_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-ssh/shoal/internal/shell"
)

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "''"},
		{"word", "uname", "uname"},
		{"path", "/var/log/app-1.2_3@x+y,z:w%20", "/var/log/app-1.2_3@x+y,z:w%20"},
		{"number", "22", "22"},
		{"blank", "a b", "'a b'"},
		{"single quote", "it's", `'it'\''s'`},
		{"only single quotes", "''", `''\'''\'''`},
		{"double quote", `"`, `'"'`},
		{"dollar", "$(id)", "'$(id)'"},
		{"backtick", "`id`", "'`id`'"},
		{"backslash", `a\nb`, `'a\nb'`},
		{"newline", "a\nb", "'a\nb'"},
		{"comment", "#c", "'#c'"},
		{"home", "~root", "'~root'"},
		{"option", "-n", "'-n'"},
		{"assignment", "PATH=/x", "'PATH=/x'"},
		{"plus option", "+x", "'+x'"},
		{"job", "%1", "%1"}, // quotes make no difference to bash
		{"reserved", "if", "'if'"},
		{"reserved in bash", "time", "'time'"},
		{"glob", "*.go", "'*.go'"},
		{"history", "a!b", "'a!b'"},
		{"brace", "{a,b}", "'{a,b}'"},
		{"umlaut", "ä", "'ä'"},
		{"invalid UTF-8", "\xff", "'\xff'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := shell.Quote(tt.in); got != tt.want {
				t.Errorf("Quote(%q): got %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestJoin(t *testing.T) {
	for _, tt := range []struct {
		in   []string
		want string
	}{
		{nil, ""},
		{[]string{""}, "''"},
		{[]string{"sleep", "5"}, "sleep 5"},
		{[]string{"grep", "-e", "a b", ""}, "grep '-e' 'a b' ''"},
	} {
		if got := shell.Join(tt.in); got != tt.want {
			t.Errorf("Join(%q): got %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	if err := shell.Check("any \xff\n'byte"); err != nil {
		t.Errorf("Check without NUL: got %v, want nil", err)
	}
	err := shell.Check("secret\x00word")
	if !errors.Is(err, shell.ErrNUL) {
		t.Fatalf("Check with NUL: got %v, want ErrNUL", err)
	}
	if !strings.Contains(err.Error(), "byte 6") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %q, want the offset 6 and not the text", err)
	}
}

// TestRoundTrip lets each shell of this machine read random words back.
func TestRoundTrip(t *testing.T) {
	for _, sh := range shells(t) {
		t.Run(sh[0], func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				words := rapid.SliceOfN(word(), 1, 30).Draw(t, "words")
				got, err := readBack(sh, words)
				if err != nil {
					t.Fatalf("%q: %v", words, err)
				}
				if !slices.Equal(got, words) {
					t.Fatalf("got %q, want %q", got, words)
				}
			})
		})
	}
}

// TestCommandName runs programs with awkward names: quoted, a name is looked up in
// PATH and nothing else.
func TestCommandName(t *testing.T) {
	names := []string{
		"if", "then", "done", "case", "in", "while", "!", "{", "}", "time", "function", "select", "coproc",
		"A=b", "A+=b", "=ls", "-", "+x", "-x", "~", "#", "*", "a b", "'", "7", "@", "+", ",", "^", "ä", "\n",
	}
	for _, sh := range shells(t) {
		t.Run(sh[0], func(t *testing.T) {
			path := t.TempDir()
			for _, name := range names {
				program := "#!" + sh[1] + "\nprintf 'ran %s' \"$1\"\n"
				if sh[0] == "busybox" {
					program = "#!" + sh[1] + " sh\nprintf 'ran %s' \"$1\"\n"
				}
				if err := os.WriteFile(filepath.Join(path, name), []byte(program), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range names {
				cmd := exec.Command(sh[1], append(slices.Clone(sh[2:]), "-c", shell.Join([]string{name, "x y"}))...)
				cmd.Env = []string{"PATH=" + path}
				out, err := cmd.CombinedOutput()
				if string(out) != "ran x y" || err != nil {
					t.Errorf("%q: got %q, %v, want the program to run", name, out, err)
				}
			}
		})
	}
}

// word draws text in which what shells care for is frequent.
func word() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"'", `"`, `\`, "$", "`", " ", "\n", "\t", "\r", "!", "#", "~", "*", "?", "[", "]", "{", "}",
			"(", ")", "<", ">", "&", "|", ";", "=", "%", "-", "^", "$(id)", "${x}", "ä", "\xff", "\x01", "if", "a", "7"}),
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 8), func(b []byte) string { return string(b) }),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 8), func(p []string) string { return strings.Join(p, "") })
}

// readBack has the shell print its words, each ended by NUL.
func readBack(sh, words []string) ([]string, error) {
	line := `printf '%s\0' ` + shell.Join(words)
	out, err := exec.Command(sh[1], append(slices.Clone(sh[2:]), "-c", line)...).Output()
	if err != nil {
		return nil, err
	}
	all, _ := bytes.CutSuffix(out, []byte{0})
	return strings.Split(string(all), "\x00"), nil
}

// shells returns the POSIX shells to test with: for each its name, its path and
// arguments.
func shells(tb testing.TB) [][]string {
	tb.Helper()
	var found [][]string
	for _, name := range []string{"dash", "bash", "busybox"} {
		path, err := exec.LookPath(name)
		switch {
		case err == nil && name == "busybox":
			found = append(found, []string{name, path, "sh"})
		case err == nil:
			found = append(found, []string{name, path})
		case os.Getenv("SHOAL_REQUIRE_ALL") != "":
			tb.Fatalf("%s is not installed", name)
		default:
			tb.Logf("left out: %s is not installed", name)
		}
	}
	if len(found) == 0 {
		tb.Skip("left out: no POSIX shell is installed")
	}
	return found
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "$(id)", "#", "-n", "a=b", "if", "\xff\n", `\'`} {
		f.Add(s)
	}
	all := shells(f)
	f.Fuzz(func(t *testing.T, s string) {
		if shell.Check(s) != nil {
			return // no command can be given it
		}
		for _, sh := range all {
			got, err := readBack(sh, []string{s})
			if err != nil || len(got) != 1 || got[0] != s {
				t.Errorf("%s: got %q, %v, want %q", sh[0], got, err, s)
			}
		}
	})
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLastWord(t *testing.T) {
	for _, tt := range []struct {
		line string
		want word
		ok   bool
	}{
		{"", word{first: true}, true},
		{"ls", word{value: "ls", first: true}, true},
		{"ls ", word{at: 3}, true},
		{"ls  /et", word{at: 4, value: "/et"}, true},
		{"a; l", word{at: 3, value: "l", first: true}, true},
		{"a && l", word{at: 5, value: "l", first: true}, true},
		{"a|l", word{at: 2, value: "l", first: true}, true},
		{"(l", word{at: 1, value: "l", first: true}, true},
		{"a >f", word{at: 3, value: "f"}, true},
		{">f", word{at: 1, value: "f"}, true},
		{`cat 'one f`, word{at: 4, value: "one f"}, true},
		{`cat "one f`, word{at: 4, value: "one f"}, true},
		{`cat one\ f`, word{at: 4, value: "one f"}, true},
		{`cat 'a'b"c"`, word{at: 4, value: "abc"}, true},
		{`cat 'a;b' c`, word{at: 10, value: "c"}, true},
		{"cat ~/f", word{at: 4, value: "f", home: true}, true},
		{"cat '~/f", word{at: 4, value: "~/f"}, true},
		{"cat ~root/f", word{at: 4, value: "~root/f"}, false},
		{"cat $HOME/f", word{at: 4, value: "HOME/f"}, false},
		{"cat '$HOME/f", word{at: 4, value: "$HOME/f"}, true},
		{`cat "$HOME/f`, word{at: 4, value: "HOME/f"}, false},
		{"cat $A b", word{at: 7, value: "b"}, true},
		{"cat a*", word{at: 4, value: "a"}, false},
		{`cat a\`, word{at: 4, value: "a"}, false},
	} {
		if got, ok := lastWord(tt.line); got != tt.want && tt.ok || ok != tt.ok {
			t.Errorf("%q: got %+v, %v, want %+v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

// What is inserted means the name again, to a shell and to whoever completes more
// of it.
func TestEscaped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[ -~äß→]{1,12}`).Draw(t, "name")
		line := "cat " + escaped(name)
		if w, ok := lastWord(line); !ok || w.value != name || w.at != 4 || w.home {
			t.Fatalf("%q: got %+v, %v", line, w, ok)
		}
	})
	if runtime.GOOS == "windows" {
		return
	}
	for _, name := range []string{"one file", "it's", `a"b\c`, "$HOME", "`id`", "a;b&c|d", "*?[x]{a,b}", "~", "#x", "-n", "=a", "!x", "ä→"} {
		out, err := exec.Command("sh", "-c", "printf '%s' "+escaped(name)).Output()
		if string(out) != name || err != nil {
			t.Errorf("%q is %s, which a shell reads as %q, %v", name, escaped(name), out, err)
		}
	}
}

func TestExtend(t *testing.T) {
	for _, tt := range []struct {
		word    string
		names   []string
		found   string
		one     bool
		choices []string
	}{
		{"a", nil, "a", false, nil},
		{"a", []string{"abc"}, "abc", true, nil},
		{"a", []string{"abc", "abc"}, "abc", true, nil},
		{"a", []string{"abd", "abc"}, "ab", false, nil},
		{"ab", []string{"abd", "abc"}, "ab", false, []string{"abc", "abd"}},
		{"", []string{"ä", "ö"}, "", false, []string{"ä", "ö"}},
		{"ab", []string{"ab", "abc"}, "ab", false, []string{"ab", "abc"}},
	} {
		found, one, choices := extend(tt.word, tt.names)
		if found != tt.found || one != tt.one || !slices.Equal(choices, tt.choices) {
			t.Errorf("%q of %q: got %q, %v, %q", tt.word, tt.names, found, one, choices)
		}
	}
}

func TestColumns(t *testing.T) {
	names := []string{"a", "bb", "ccc", "d", "e"}
	for width, want := range map[int]string{
		3: "a\nbb\nccc\nd\ne\n", 12: "a    d\nbb   e\nccc\n", 80: "a    bb   ccc  d    e\n",
	} {
		if got := columns(names, width); got != want {
			t.Errorf("%d: got %q, want %q", width, got, want)
		}
	}
	if got := columns(make([]string, maxChoices+7), 80); !strings.HasSuffix(got, "\nand 7 more\n") {
		t.Errorf("got %q", got)
	}
}

// The file of the history does not grow for ever, and is shortened only by a session
// that has it alone.
func TestHistoryLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "shoal", "history")
	open := func() *history {
		h := &history{warn: func(err error) { t.Error(err) }}
		if err := h.open(name); err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := open()
	for i := range 2*maxHistory + 1 {
		first.Add(strings.Repeat("x", i%7+1))
	}
	for _, line := range []string{"", " not", "\tnot", "no\x1bt", "no\xfft", "last", "last"} {
		first.Add(line)
	}
	if first.Len() != maxHistory || first.At(0) != "last" || first.At(1) == "last" {
		t.Errorf("got %d lines, the last one is %q", first.Len(), first.At(0))
	}
	second := open() // beside the first one
	if n := fileLines(t, name); n != 2*maxHistory+2 {
		t.Errorf("the file has %d lines", n)
	}
	first.close()
	second.Add("later")
	second.close()
	third := open()
	defer third.close()
	if n := fileLines(t, name); n != maxHistory || third.Len() != maxHistory || third.At(0) != "later" {
		t.Errorf("the file has %d lines, of %d the last one is %q", n, third.Len(), third.At(0))
	}
}

func FuzzLastWord(f *testing.F) {
	f.Add(`cat 'a b' "c\"d`)
	f.Add(`ls ~/x; echo $A >b\ c`)
	f.Fuzz(func(t *testing.T, line string) {
		w, _ := lastWord(line)
		if w.at < 0 || w.at > len(line) || len(w.value) > len(line)-w.at {
			t.Errorf("%q: got %+v", line, w)
		}
		filesLike(w)
		commandsLike(w.value)
	})
}

// fileLines counts the lines of a file.
func fileLines(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

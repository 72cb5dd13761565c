package glob

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRules(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		dir, want     bool
	}{
		{"*.o", "a.o", false, true},
		{"*.o", "d/e/a.o", false, true},
		{"*.o", "a.c", false, false},
		{"*.o", "a.o/b", false, false}, // its caller does not come here
		{"cache/", "d/cache", true, true},
		{"cache/", "cache", false, false},
		{"/cache", "cache", false, true},
		{"/cache", "d/cache", false, false},
		{"a/b", "a/b", false, true},
		{"a/b", "x/a/b", false, false},
		{"**/a/b", "x/y/a/b", false, true},
		{"a/**", "a", true, true},
		{"a/**/b", "a/b", false, true},
		{"a/**/b", "a/x/y/b", false, true},
		{"a/**/b/**/c", "a/b/x/b/c", false, true},
		{"a/**/b", "a/x/y/c", false, false},
		{"**", "x/y", false, true},
		{".git", "x/.git", true, true},
		{"*", ".hidden", false, true},
		{`\!x`, "!x", false, true},
		{"[ab]?", "b1", false, true},
	} {
		r, err := Parse([]string{test.pattern})
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
		} else if got := r.Match(test.name, test.dir); got != test.want {
			t.Errorf("%s and %s: %v", test.pattern, test.name, got)
		}
	}
	for _, pattern := range []string{"", "/", "!a", "[a", "a/[", "a**", "**b/c"} {
		if r, err := Parse([]string{pattern}); err == nil {
			t.Errorf("%q: %v", pattern, r)
		}
	}
}

func listOf(fsys fs.FS) func(string) ([]Entry, error) {
	return func(dir string) ([]Entry, error) {
		entries, _ := fs.ReadDir(fsys, path.Clean("./"+dir))
		var list []Entry
		for _, e := range entries {
			list = append(list, Entry{e.Name(), e.IsDir()})
		}
		return list, nil
	}
}

func TestFind(t *testing.T) {
	fsys := fstest.MapFS{"a/x.log": {}, "a/b/y.log": {}, "a/b/c/z.log": {}, "a/b/c/z.txt": {}, "a/.h/w.log": {}, "top.log": {}, ".dot": {}}
	for pattern, want := range map[string]string{
		"*.log":          "top.log",
		"**/*.log":       "a/b/c/z.log a/b/y.log a/x.log top.log",
		"a/**/*.log":     "a/b/c/z.log a/b/y.log a/x.log",
		"a/**/**/c/*":    "a/b/c/z.log a/b/c/z.txt",
		"**/b/**/z.*":    "a/b/c/z.log a/b/c/z.txt",
		"**/**/*.txt":    "a/b/c/z.txt",
		"a/b/**":         "a/b/c/z.log a/b/c/z.txt a/b/y.log",
		"**/c":           "a/b/c a/b/c/c a/c c", // no pattern: the caller looks
		"*":              "a top.log",
		".*":             ".dot",
		"a/.h/*":         "a/.h/w.log",
		"none/**/*":      "",
		`a/x\.log`:       "a/x.log",
		"/a/b/[^c].log/": "/a/b/y.log",
	} {
		root := ""
		if strings.HasPrefix(pattern, "/") {
			root = "/"
		}
		got, err := Find(root, pattern, listOf(fsys))
		slices.Sort(got)
		if err != nil || strings.Join(slices.Compact(got), " ") != want {
			t.Errorf("%s: %q, %v", pattern, got, err)
		}
	}
	if _, err := Find("", "[", listOf(fsys)); !errors.Is(err, path.ErrBadPattern) {
		t.Errorf("a bad pattern: %v", err)
	}
	// A directory that leads back to itself has an end.
	loop := func(string) ([]Entry, error) { return []Entry{{"d", true}, {"f", false}}, nil }
	if got, err := Find("", "**", loop); err != nil || len(got) != MaxDepth+1 {
		t.Errorf("%d names, %v", len(got), err)
	}
	broken := errors.New("no connection")
	if _, err := Find("", "a/**/*", func(string) ([]Entry, error) { return nil, broken }); err != broken {
		t.Errorf("got %v", err)
	}
}

// A rule matches what a search by the same pattern finds, whatever the pattern is.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a/**/b", "*.log", "/x/", "**", "a**", "[", `\`, "**/**/a"} {
		f.Add(s, "a/b")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		rules, err := Parse([]string{pattern})
		if err != nil {
			return
		}
		rules.Match(name, true)
		if clean := path.Clean("/" + name)[1:]; clean == "" || !fs.ValidPath(clean) {
			return
		} else if !strings.ContainsAny(clean, `*?[\`) {
			if own, err := Parse([]string{"/" + clean}); err == nil && !own.Match(clean, false) {
				t.Errorf("%q does not match itself", clean)
			}
		}
	})
}

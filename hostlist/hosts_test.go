package hostlist_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/shoal-ssh/shoal/hostlist"
)

func TestReadHosts(t *testing.T) {
	const file = "\uFEFF# the web servers\r\n" +
		"web1\r\n" +
		"\n" +
		"  root@web[2-3]:2222  # in the other room\n" +
		"db1 postgres\n" +
		"db[2-3]:23,root@db4\tpostgres\n" +
		"[2001:db8::1]:22 bob\n" +
		"#db5\n" +
		"web1"
	want := []string{
		"web1", "root@web2:2222", "root@web3:2222", "postgres@db1", "postgres@db2:23", "postgres@db3:23", "root@db4",
		"bob@[2001:db8::1]:22", "web1",
	}
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(file), "bytes": iotest.OneByteReader(strings.NewReader(file)),
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for word, err := range hostlist.ReadHosts(r) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, word)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestReadHostsErrors(t *testing.T) {
	const file = "a\nb[\nc d e\nf -g\nh i,j\nk\x00\nl\n"
	var got []string
	for word, err := range hostlist.ReadHosts(strings.NewReader(file)) {
		e, ok := errors.AsType[*hostlist.LineError](err)
		switch {
		case err == nil:
			got = append(got, word)
		case !ok || word != "":
			t.Errorf("got %q, %v, want a LineError and no word", word, err)
		default:
			got = append(got, fmt.Sprint(e.Line))
		}
	}
	if want := []string{"a", "2", "3", "4", "5", "6", "l"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadHostsEnds(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		r    io.Reader
		line int
		is   error
	}{
		{"reader", io.MultiReader(strings.NewReader("a\nb\n"), iotest.ErrReader(broken)), 3, broken},
		{"long line", strings.NewReader("a\nb\n" + strings.Repeat("x", 2<<20)), 3, nil},
		{"limit", strings.NewReader("a\nb\nc[1-2000000]"), 3, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var words []string
			var last error
			for word, err := range hostlist.ReadHosts(tt.r) {
				if last = err; err == nil {
					words = append(words, word)
				}
			}
			e, ok := errors.AsType[*hostlist.LineError](last)
			if !ok || e.Line != tt.line || tt.is != nil && !errors.Is(last, tt.is) {
				t.Errorf("got %v, want an error in line %d", last, tt.line)
			}
			if !slices.Equal(words, []string{"a", "b"}) {
				t.Errorf("got %q, want a and b", words)
			}
		})
	}
}

func TestReadHostsLimit(t *testing.T) {
	for _, err := range (hostlist.Parser{Limit: 2}).ReadHosts(strings.NewReader("a[1-3]")) {
		if e, ok := errors.AsType[*hostlist.LimitError](err); !ok || e.Limit != 2 {
			t.Errorf("got %v, want the limit of 2", err)
		}
	}
}

// TestReadHostsStops leaves the loop: nothing more is read.
func TestReadHostsStops(t *testing.T) {
	r := io.MultiReader(strings.NewReader("a[1-5]\n"), iotest.ErrReader(errors.New("read too far")))
	for word, err := range hostlist.ReadHosts(r) {
		if err != nil {
			t.Fatal(err)
		}
		if word == "a2" {
			break
		}
	}
}

func FuzzReadHosts(f *testing.F) {
	for _, s := range []string{"a\nb c\n", "# x\r\n\r\nroot@a[1-2]:22 # y", "a b c", "\uFEFFa", "[::1] u", "a \x00", "x #\n#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		lines := strings.Count(file, "\n") + 1
		for word, err := range (hostlist.Parser{Limit: 100}).ReadHosts(strings.NewReader(file)) {
			if err != nil {
				if e, ok := errors.AsType[*hostlist.LineError](err); !ok || e.Line < 1 || e.Line > lines {
					t.Errorf("%q: got %v, want a line from 1 to %d", file, err, lines)
				}
				continue
			}
			e, err := hostlist.Parse(word)
			if err != nil || !slices.Equal(slices.Collect(e.All()), []string{word}) {
				t.Errorf("%q: got word %q, %v, want one that reads back", file, word, err)
			}
		}
	})
}

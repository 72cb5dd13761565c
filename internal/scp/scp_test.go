package scp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// said is another side that says what it has to say, whatever it hears.
type said struct {
	io.Reader
	heard strings.Builder
}

func (s *said) Write(p []byte) (int, error) { return s.heard.Write(p) }

func saying(text string) *said { return &said{Reader: strings.NewReader(text)} }

func TestParse(t *testing.T) {
	for line, want := range map[string]Record{
		"C0644 12 a b":                   {Kind: File, Mode: 0o644, Size: 12, Name: "a b"},
		"C4755 0 -rf":                    {Kind: File, Mode: 0o4755, Name: "-rf"},
		"C0000 9223372036854775807 \xff": {Kind: File, Size: 1<<63 - 1, Name: "\xff"},
		"D0755 0 d":                      {Kind: Dir, Mode: 0o755, Name: "d"},
		"E":                              {Kind: EndDir},
		"T1000000000 0 1000000001 5":     {Kind: times, HasTimes: true, Mod: time.Unix(1e9, 0), Access: time.Unix(1e9+1, 5000)},
	} {
		got, err := parse(line)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "X", "C", "C0644", "C0644 12", "C0644 12 ", "C0644 -1 a", "C0644 +1 a", "C0644 9223372036854775808 a", "C644 1 a", "C0848 1 a",
		"C99999 1 a", "C0644 1 ..", "C0644 1 .", "C0644 1 ../x", "C0644 1 /x", "C0644 1 a/b", "D0755 0 ..", "C0644 1 a\x00b", "E x", "EE",
		"C0644 1 " + strings.Repeat("x", 256), "C0644  1 a", "T1 0 2", "T1 0 2 0 3", "T1 1000000 2 0", "T-1 0 2 0", "T 0 0 0"} {
		_, err := parse(line)
		if _, ok := errors.AsType[*ProtocolError](err); !ok {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"C0644 12 a b", "D0755 0 d", "E", "T1 0 2 0", "C0644 1 ../x", "C0644 1 \n"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parse(line)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
				t.Errorf("raw bytes in %q", err)
			}
			return
		}
		if r.Kind != File && r.Kind != Dir {
			return
		}
		if r.Name == "" || r.Name == "." || r.Name == ".." || strings.ContainsAny(r.Name, "/\x00") || r.Size < 0 || r.Mode > 0o7777 {
			t.Errorf("%+v", r)
		}
		again, err := r.format()
		if strings.Contains(r.Name, "\n") {
			if err == nil {
				t.Errorf("%q can be sent", r.Name)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parse(strings.TrimSuffix(again, "\n")); err != nil || back != r {
			t.Errorf("%+v became %q and %+v, %v", r, again, back, err)
		}
	})
}

// Whatever comes, a sink ends, and holds no more than it is told it may.
func FuzzSink(f *testing.F) {
	f.Add([]byte("C0644 3 a\nabc\x00"))
	f.Add([]byte("T1 0 2 0\nD0755 0 d\nC0644 3 a\nabc\x00E\n"))
	f.Add([]byte("\x01scp: no\nE\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := NewSink(bytes.NewReader(data), io.Discard)
		depth, got := 0, 0
		for range len(data) + 1 {
			r, err := k.Next()
			if r, ok := err.(*Refusal); ok && !r.Fatal {
				continue
			}
			if err != nil {
				return
			}
			switch r.Kind {
			case Dir:
				depth++
				err = k.Enter()
			case EndDir:
				if depth--; depth < 0 {
					t.Fatal("more ends than directories")
				}
			default:
				err = k.Content(func(p []byte) error { got += len(p); return nil }, func() error { return nil })
			}
			if r, ok := err.(*Refusal); err != nil && (!ok || r.Fatal) {
				return
			}
		}
		if got > len(data) {
			t.Errorf("%d bytes of %d", got, len(data))
		}
	})
}

// Both sides understand each other.
func TestSourceToSink(t *testing.T) {
	toSink, fromSource := io.Pipe()
	toSource, fromSink := io.Pipe()
	when := time.Unix(1e9, 0)
	sent := make(chan error, 1)
	go func() {
		s := NewSource(toSource, fromSource)
		sent <- func() error {
			if err := errors.Join(s.Times(when, when), s.Dir("d", 0o755), s.File("f", 0o644, 5)); err != nil {
				return err
			}
			if _, err := s.Write([]byte("123456")); err == nil {
				return errors.New("wrote too much")
			}
			if err := s.End(); err == nil {
				return errors.New("ended too early")
			}
			if _, err := s.Write([]byte("12345")); err != nil {
				return err
			}
			if err := errors.Join(s.End(), s.EndDir()); err != nil {
				return err
			}
			if r, ok := s.Dir("no", 0o755).(*Refusal); !ok || r.Fatal || r.Text != "scp: not here" {
				return errors.New("not refused")
			}
			if r, ok := s.File("no", 0o644, 1).(*Refusal); !ok || r.Fatal {
				return errors.New("not refused")
			}
			return fromSource.Close()
		}()
	}()
	k := NewSink(toSink, fromSink)
	r, err := k.Next()
	if err != nil || r.Kind != Dir || r.Name != "d" || r.Mode != 0o755 || !r.Mod.Equal(when) || k.Enter() != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	r, err = k.Next()
	if err != nil || r.Kind != File || r.Size != 5 || r.HasTimes {
		t.Fatalf("%+v, %v", r, err)
	}
	var content []byte
	if err := k.Content(func(p []byte) error { content = append(content, p...); return nil }, func() error { return nil }); err != nil || string(content) != "12345" {
		t.Fatalf("%q, %v", content, err)
	}
	if r, err = k.Next(); err != nil || r.Kind != EndDir {
		t.Fatalf("%+v, %v", r, err)
	}
	for range 2 {
		if r, err = k.Next(); err != nil || k.Refuse("not\nhere") != nil {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if _, err = k.Next(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// What a source hears, and makes of it.
func TestSourceAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		said, want string
		fatal, bad bool // of the last
	}{
		"warning":             {"\x00\x01scp: a: Permission denied\n\x00", "scp: a: Permission denied", false, false},
		"warning, then end":   {"\x00\x01scp: a: Permission denied\n", "scp: a: Permission denied", true, false},
		"fatal":               {"\x00\x02scp: protocol error\n", "scp: protocol error", true, false},
		"at the beginning":    {"\x01scp: d: No such file or directory\n", "scp: d: No such file or directory", true, false},
		"control characters":  {"\x00\x02\x1b[31mred\r\n", `"\x1b[31mred"`, true, false},
		"no status":           {"\x00Welcome to web1\n", `scp: the server sent no status: "Welcome to web1\n"`, false, true},
		"noise before":        {"Welcome to web1\n", `scp: the server sent no status: "Welcome to web1\n"`, false, true},
		"too long":            {"\x00\x01" + strings.Repeat("x", 5000) + "\n", "a line of more than", false, true},
		"half a line":         {"\x00\x01scp: hal", "", true, false},
		"nothing":             {"", "unexpected EOF", false, false},
		"nothing after ready": {"\x00", "unexpected EOF", false, false},
	} {
		s := NewSource(saying(test.said), io.Discard)
		err := s.File("a", 0o644, 1)
		if r, ok := err.(*Refusal); ok && !r.Fatal && test.fatal {
			err = s.File("b", 0o644, 1)
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, refused := errors.AsType[*Refusal](err)
		_, bad := errors.AsType[*ProtocolError](err)
		if bad != test.bad || refused && r.Fatal != test.fatal {
			t.Errorf("%s: %T", name, err)
		}
	}
}

// What a sink hears, and does not take.
func TestSinkRefuses(t *testing.T) {
	take, keep := func([]byte) error { return nil }, func() error { return nil }
	for text, want := range map[string]string{
		"E\n":                                  "not begun",
		"D0755 0 d\nE\nE\n":                    "not begun",
		"T1 0 1 0\nE\n":                        "times of nothing",
		"T1 0 1 0\nT1 0 1 0\nC0644 0 a\n\x00":  "times of nothing",
		"C0644 3 a\nab":                        "ended after 2 of 3",
		"C0644 3 a\nabc":                       "unexpected EOF",
		"C0644 3 a\nabcd\x00":                  "no status",
		"C0644 3 a\nabc\x01scp: read error\n":  "read error",
		"D0755 0 d\n":                          "unexpected EOF",
		"T1 0 1 0\n":                           "unexpected EOF",
		"C0644 3 ../a\nabc\x00":                "no file's name",
		"C0644 3 a":                            "unexpected EOF",
		"C0644 3 " + strings.Repeat("x", 3000): "a line of more than",
		"\x02scp: broken\n":                    "broken",
		"Welcome\n":                            "no record",
	} {
		k := NewSink(saying(text), io.Discard)
		var err error
		for err == nil {
			var r Record
			if r, err = k.Next(); err != nil {
				break
			}
			switch r.Kind {
			case File:
				err = k.Content(take, keep)
			case Dir:
				err = k.Enter()
			}
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// An error of keep does not end the session; one of take does.
	s := saying("C0644 1 a\na\x00C0644 1 b\nb\x00")
	k := NewSink(s, s)
	bad := errors.New("disk full")
	if _, err := k.Next(); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*KeepError](k.Content(take, func() error { return bad })); !ok || e.Sending != nil || e.Err != bad {
		t.Errorf("got %v", e)
	}
	if r, err := k.Next(); err != nil || r.Name != "b" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := k.Content(func([]byte) error { return bad }, keep); err != bad {
		t.Errorf("got %v", err)
	}
	if want := "\x00\x00\x01scp: not kept\n\x00"; s.heard.String() != want {
		t.Errorf("heard %q, want %q", s.heard.String(), want)
	}
}

// What cannot be sent is refused before a byte of it is.
func TestSourceNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a\nb", "a\x00b", strings.Repeat("x", 256)} {
		far := saying("\x00")
		if err := NewSource(far, far).File(name, 0o644, 0); err == nil || far.heard.Len() > 0 {
			t.Errorf("%q: %v, sent %q", name, err, far.heard.String())
		}
	}
}

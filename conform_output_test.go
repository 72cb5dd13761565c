package shoal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/text/encoding"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// over is a context that has ended.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// wants reads an encoding's name; "" is none.
func wants(t *testing.T, name string) encoding.Encoding {
	t.Helper()
	if name == "" {
		return nil
	}
	e, err := shoal.Encoding(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// lineCases are outputs and their lines.
var lineCases = []struct {
	name, encoding string
	output         string
	want           []string
}{
	{"nothing", "", "", nil},
	{"lines", "", "a\nb\n", []string{"a", "b"}},
	{"no end", "", "abc", []string{"abc"}},
	{"empty lines", "", "\na\n\nb\n\n", []string{"", "a", "", "b", ""}},
	{"CRLF", "", "a\r\nb\r\n", []string{"a", "b"}},
	{"CRLF after LF", "", "abc\ndef\r\n", []string{"abc", "def"}},
	{"progress", "", "line1\nline2\nprog\rdone", []string{"line1", "line2", "prog\rdone"}},
	{"empty line and CR", "", "\nabc\r\n\r\nd", []string{"", "abc", "", "d"}},
	{"CR of several", "", "a\r\r\n\rb\r", []string{"a\r", "\rb\r"}},
	{"NUL", "", "a\x00b\nc\nd\x00", []string{"a\x00b", "c", "d\x00"}},
	{"not UTF-8", "", "a\xff\nb\xe2\x82\n", []string{"a\xff", "b\xe2\x82"}},
	{"UTF-8", "utf-8", "é€𝄞\nü\n", []string{"é€𝄞", "ü"}},
	{"latin-1", "latin-1", "\xe9\n\xfc\r\n\x85", []string{"é", "ü", "\u0085"}},
	{"UTF-16", "utf-16", "\xff\xfea\x00\n\x00\xe9\x00\r\x00\n\x00b\x00", []string{"a", "é", "b"}},
	{"UTF-16 big endian", "utf-16-be", "\x00a\x00\n\xd8\x34\xdd\x1e\x00\n", []string{"a", "𝄞"}},
	// U+0A0A and U+0D0A have the bytes of line ends.
	{"UTF-16 line end bytes", "utf-16-le", "\x0a\x0a\x0a\x0d\n\x00\x0a\x0a", []string{"\u0a0a\u0d0a", "\u0a0a"}},
	{"UTF-16 half a character", "utf-16-le", "a\x00\n\x00b", []string{"a", "\ufffd"}},
	{"UTF-32", "utf-32-le", "a\x00\x00\x00\n\x00\x00\x00b\x00\x00\x00", []string{"a", "b"}},
	{"Shift JIS", "shift_jis", "\x83\x65\x83\x58\n\x83\x67", []string{"テス", "ト"}},
	{"GB 18030", "gb18030", "\x81\x30\x81\x30\n\xd6\xd0", []string{"\u0080", "中"}},
	{"ISO-2022-JP", "iso2022_jp", "\x1b$B%F\x1b(B\n\x1b$B%9\x1b(B\n", []string{"テ", "ス"}},
	{"not ASCII", "ascii", "a\xe9\nb\n", []string{"a\ufffd", "b"}},
}

// caseHandler writes the output of the case that the command names, in one
// piece, or with the command's "byte by byte" in single bytes, each of which a
// byte of stdin asks for.
func caseHandler(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
	name, single := strings.CutSuffix(s.Command, " byte by byte")
	for _, tt := range lineCases {
		if tt.name != name {
			continue
		}
		if !single {
			io.WriteString(s.Stdout, tt.output)
			return sshtest.ExitStatus{}
		}
		for i := range len(tt.output) {
			if _, err := s.Stdin.Read(make([]byte, 1)); err != nil {
				return sshtest.ExitStatus{Code: 1}
			}
			io.WriteString(s.Stdout, tt.output[i:i+1])
		}
		return sshtest.ExitStatus{}
	}
	return sshtest.ExitStatus{Code: 127}
}

// Lines are the same on every way to them, whatever bytes they end in.
func TestConformLines(t *testing.T) {
	conform(t, "3.7 CR/LF/NUL mixes", "3.6 test_write", "3.6 test_non_cur_write")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Handler: caseHandler})
	c := newClient(t, f)
	conn := connect(t, c, hostOf(f, 0))
	for _, tt := range lineCases {
		cmd := shoal.Command{Line: tt.name, Encoding: wants(t, tt.encoding)}
		p := start(t, conn, cmd)
		if got := linesOf(t, p.Stdout); !slices.Equal(got, tt.want) {
			t.Errorf("%s: Stream.Lines: got %q, want %q", tt.name, got, tt.want)
		}
		if got := linesOf(t, p.Stdout); got != nil {
			t.Errorf("%s: Stream.Lines once more: got %q, want nothing", tt.name, got)
		}
		out, err := conn.Run(testContext(t), cmd)
		if got := slices.Collect(out.Lines()); !slices.Equal(got, tt.want) || err != nil {
			t.Errorf("%s: Output.Lines: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if string(out.Stdout) != tt.output {
			t.Errorf("%s: Output.Stdout: got %q, want %q", tt.name, out.Stdout, tt.output)
		}
		var got []string
		for line, err := range c.Lines(testContext(t), hostsOf(f), cmd) {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			got = append(got, line.Text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: Client.Lines: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A reader that is interrupted after each byte, in the middle of lines and of
// characters, loses nothing, and never waits beyond its context.
func TestConformLinesInterrupted(t *testing.T) {
	conform(t, "3.7 resume after break", "3.6 test_multi_write_read", "3.2 test_client_read_timeout", "3.5 test_client_read_timeout")
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Handler: caseHandler})
		conn := connect(t, c, hostOf(f, 0))
		for _, tt := range lineCases {
			p := start(t, conn, shoal.Command{Line: tt.name + " byte by byte", Encoding: wants(t, tt.encoding)})
			var got []string
			read := func() {
				for line, err := range p.Stdout.Lines(over()) {
					if err != nil && err != context.Canceled {
						t.Errorf("%s: %v", tt.name, err)
					} else if err == nil {
						got = append(got, line)
					}
				}
			}
			for range len(tt.output) {
				p.Stdin.Write([]byte{0})
				synctest.Wait()
				read()
			}
			wantExit(t, p.Wait(testContext(t)), 0)
			read()
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			}
		}
	})
}

// Loops over the lines may be left at any line and another begun.
func TestConformLinesResumed(t *testing.T) {
	conform(t, "3.7 resume after break", "3.6 test_concurrent_rw")
	t.Parallel()
	conn := fleetConn(t, sshtest.Config{})
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprint(i+1))
	}
	p := start(t, conn, shoal.Command{Line: "seq 1000; stderr done"})
	var got []string
	for len(got) < 500 {
		for line, err := range p.Stdout.Lines(testContext(t)) {
			if got = append(got, line); err != nil || len(got)%7 == 0 {
				break
			}
		}
	}
	if rest := linesOf(t, p.Stdout); !slices.Equal(append(got, rest...), want) {
		t.Errorf("got %d and %d lines, want 1000", len(got), len(rest))
	}
	// Bytes and lines by turns.
	p = start(t, conn, shoal.Command{Line: "printf 'ab\\ncd\\nef'"})
	first, rest := make([]byte, 1), ""
	if _, err := io.ReadFull(p.Stdout, first); err != nil {
		t.Fatal(err)
	}
	line := nextLine(t, p.Stdout)
	b, err := io.ReadAll(p.Stdout)
	if rest = string(b); string(first) != "a" || line != "b" || rest != "cd\nef" || err != nil {
		t.Errorf("got %q, %q, %q, %v", first, line, rest, err)
	}
	// Several readers share the lines, and each line is whole.
	p = start(t, conn, shoal.Command{Line: "seq 1000"})
	parts := make([][]string, 4)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() { parts[i] = linesOf(t, p.Stdout) })
	}
	wg.Wait()
	got = slices.Concat(parts...)
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("four readers got %d lines, want each of 1000 once", len(got))
	}
}

// allocated is how many bytes f makes the program allocate, in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Long lines come in pieces, and neither they nor reading after the end cost
// more than in proportion to their length.
func TestConformLongLines(t *testing.T) { // not parallel: it counts memory
	conform(t, "3.7 memory bounds")
	conn := fleetConn(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		var n, line int
		fmt.Sscan(s.Command, &n, &line)
		text := bytes.Repeat([]byte("x"), line)
		for range n {
			s.Stdout.Write(append(text, "\r\n"...))
		}
		return sshtest.ExitStatus{}
	}})
	for _, tt := range []struct{ lines, length int }{
		{1, shoal.MaxLine - 1}, {1, shoal.MaxLine}, {1, shoal.MaxLine + 1}, {1, 4 << 20}, {3, shoal.MaxLine + 100}, {8000, 500},
	} {
		p := start(t, conn, shoal.Command{Line: fmt.Sprint(tt.lines, " ", tt.length)})
		wantExit(t, p.Wait(testContext(t)), 0)
		var pieces, lines, n int
		bytes := allocated(func() {
			for piece, err := range p.Stdout.Lines(testContext(t)) {
				if err != nil && err != shoal.ErrLineContinues {
					t.Fatal(err)
				}
				if pieces++; err == nil {
					lines++
				}
				n += len(piece)
				if len(piece) > shoal.MaxLine || strings.Trim(piece, "x") != "" {
					t.Errorf("%v: got a piece of %d bytes: %.20q", tt, len(piece), piece)
				}
			}
		})
		want := tt.lines * max(1, (tt.length+shoal.MaxLine-1)/shoal.MaxLine)
		if pieces != want || lines != tt.lines || n != tt.lines*tt.length {
			t.Errorf("%v: got %d pieces, %d lines, %d bytes; want %d pieces", tt, pieces, lines, n, want)
		}
		if limit := 12 * uint64(n); bytes > limit {
			t.Errorf("%v: reading took %d bytes of memory in all, want at most %d", tt, bytes, limit)
		}
	}
}

// blob is n bytes without any order.
func blob(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// Bytes come as they are, on both outputs, live, kept and written.
func TestConformBinary(t *testing.T) {
	conform(t, "3.7 binary output")
	t.Parallel()
	data := blob(3<<20 + 77)
	sum := sha256.Sum256(data)
	conn := fleetConn(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		s.Stdout.Write(data)
		s.Stderr.Write(data)
		return sshtest.ExitStatus{}
	}})
	check := func(what string, got []byte) {
		t.Helper()
		if sha256.Sum256(got) != sum {
			t.Errorf("%s: got other bytes (%d of %d)", what, len(got), len(data))
		}
	}
	out, err := conn.Run(testContext(t), shoal.Command{Line: "x"})
	if err != nil || out.OutBytes != int64(len(data)) || out.ErrBytes != int64(len(data)) {
		t.Errorf("got %d and %d bytes, %v; want %d", out.OutBytes, out.ErrBytes, err, len(data))
	}
	check("Run, stdout", out.Stdout)
	check("Run, stderr", out.Stderr)
	p := start(t, conn, shoal.Command{Line: "x"})
	for name, s := range map[string]*shoal.Stream{"stdout": p.Stdout, "stderr": p.Stderr} {
		got, err := io.ReadAll(s)
		if err != nil {
			t.Error(err)
		}
		check("Start, "+name, got)
	}
	var stdout, stderr bytes.Buffer
	if _, err := conn.Run(testContext(t), shoal.Command{Line: "x", Stdout: &stdout, Stderr: &stderr}); err != nil {
		t.Error(err)
	}
	check("writer, stdout", stdout.Bytes())
	check("writer, stderr", stderr.Bytes())
}

// One output may be read wholly before the other is looked at, in either order,
// however much of it there is, and what waits is not in memory.
func TestConformOneOutputFirst(t *testing.T) { // not parallel: it measures memory
	conform(t, "3.7 memory bounds")
	const size = 8 << 20
	conn := fleetConn(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		chunk := make([]byte, 1<<20)
		for range size / len(chunk) {
			s.Stderr.Write(chunk)
			s.Stdout.Write(chunk)
		}
		return sshtest.ExitStatus{}
	}})
	for _, stderrFirst := range []bool{false, true} {
		p := start(t, conn, shoal.Command{Line: "x"})
		before := heap()
		wantExit(t, p.Wait(testContext(t)), 0)
		if got := heap() - before; got > size/2 {
			t.Errorf("unread output of %d bytes takes %d bytes of memory", 2*size, got)
		}
		order := []*shoal.Stream{p.Stdout, p.Stderr}
		if stderrFirst {
			slices.Reverse(order)
		}
		for _, s := range order {
			if n, err := io.Copy(io.Discard, s); n != size || err != nil {
				t.Errorf("got %d bytes, %v; want %d", n, err, size)
			}
		}
	}
}

// heap is what the program holds on to.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// heapWatch notes the most memory held while it is written to.
type heapWatch struct{ written, next, peak int64 }

func (w *heapWatch) Write(p []byte) (int, error) {
	if w.written += int64(len(p)); w.written >= w.next {
		w.next += 32 << 20
		w.peak = max(w.peak, heap())
	}
	return len(p), nil
}

// Any amount of output goes through in little memory.
func TestConformMemory(t *testing.T) { // not parallel: it measures memory
	conform(t, "3.7 memory bounds")
	const size = 128 << 20
	conn := fleetConn(t, sshtest.Config{})
	before := heap()
	var w heapWatch
	out, err := conn.Run(testContext(t), shoal.Command{Line: fmt.Sprint("bytes ", size), Stdout: &w})
	if err != nil || out.OutBytes != size || w.written != size {
		t.Fatalf("got %d bytes, %v; want %d", w.written, err, size)
	}
	if got := w.peak - before; got > 16<<20 {
		t.Errorf("%d bytes of output took %d bytes of memory", size, got)
	}
}

// failingWriter fails once it has taken n bytes.
type failingWriter struct{ n int }

var errFull = errors.New("no space left")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// A writer that fails ends the command, and the error says why.
func TestConformWriterFails(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	conn := connect(t, newClient(t, f), hostOf(f, 0))
	for _, cmd := range []shoal.Command{{Stdout: &failingWriter{1 << 10}}, {Stderr: &failingWriter{1 << 10}}} {
		if cmd.Line = "yes"; cmd.Stderr != nil {
			cmd.Line = "yes >&2"
		}
		_, err := conn.Run(testContext(t), cmd)
		if he := wantKind(t, err, shoal.KindLocalIO); !errors.Is(err, errFull) || he.MayRun {
			t.Errorf("got %v, want the writer's error and the command's end seen", he)
		}
	}
	_, err := conn.Run(testContext(t), shoal.Command{Line: "cat", Stdin: io.MultiReader(strings.NewReader("x"), errReader{})})
	if wantKind(t, err, shoal.KindLocalIO); !errors.Is(err, errFull) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errFull }

// One writer may take both outputs, as in os/exec, and is never written to by
// two goroutines at once.
func TestConformSharedWriter(t *testing.T) {
	t.Parallel()
	conn := fleetConn(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		var wg sync.WaitGroup
		for _, w := range []io.Writer{s.Stdout, s.Stderr} {
			wg.Go(func() {
				for range 1000 {
					io.WriteString(w, "0123456789\n")
				}
			})
		}
		wg.Wait()
		return sshtest.ExitStatus{}
	}})
	var both bytes.Buffer // not safe for concurrent use
	if _, err := conn.Run(testContext(t), shoal.Command{Line: "x", Stdout: &both, Stderr: &both}); err != nil {
		t.Fatal(err)
	}
	if got := both.Len(); got != 22000 {
		t.Errorf("got %d bytes, want 22000", got)
	}
}

// gate is a writer that blocks until it is opened.
type gate struct{ open chan struct{} }

func (g gate) Write(p []byte) (int, error) { <-g.open; return len(p), nil }

// A writer that blocks holds the command back, and does not keep the end of the
// context from ending it.
func TestConformWriterBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		written := make(chan int64, 9)
		f, c := memoryFleet(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			n, _ := io.Copy(s.Stdout, bytes.NewReader(make([]byte, 16<<20)))
			written <- n
			return sshtest.ExitStatus{}
		}})
		conn := connect(t, c, hostOf(f, 0))
		g := gate{make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := conn.Run(ctx, shoal.Command{Line: "x", Stdout: g})
			ended <- err
		}()
		synctest.Wait()
		select {
		case n := <-written:
			t.Errorf("the host wrote %d bytes that nobody took", n)
		default:
		}
		cancel()
		wantKind(t, <-ended, shoal.KindCancelled)
		close(g.open)
	})
}

// Output beyond the bound ends the command; what is within is kept, to the byte.
func TestConformMaxOutput(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	c := newClient(t, f)
	conn := connect(t, c, hostOf(f, 0))
	for _, tt := range []struct {
		line     string
		max      int64
		out, err int
		over     bool
	}{
		{"bytes 1000", 1000, 1000, 0, false},
		{"bytes 1001", 1000, 1000, 0, true},
		{"yes", 100_000, 100_000, 0, true},
		{"yes >&2", 10, 0, 10, true},
		{"bytes 1000; bytes 1000 >&2", 1000, 1000, 1000, false},
		{"bytes 100000", -1, 100_000, 0, false},
	} {
		cmd := shoal.Command{Line: tt.line, MaxOutput: tt.max}
		wantLimit := func(err error) {
			t.Helper()
			if tt.over {
				wantKind(t, err, shoal.KindOutputLimit)
			} else if err != nil {
				t.Errorf("%s: %v", tt.line, err)
			}
		}
		out, err := conn.Run(testContext(t), cmd)
		wantLimit(err)
		if len(out.Stdout) != tt.out || len(out.Stderr) != tt.err {
			t.Errorf("%s: got %d and %d bytes, want %d and %d", tt.line, len(out.Stdout), len(out.Stderr), tt.out, tt.err)
		}
		p := start(t, conn, cmd)
		n, err := io.Copy(io.Discard, p.Stdout)
		wantLimit(err)
		m, err := io.Copy(io.Discard, p.Stderr)
		wantLimit(err)
		if n != int64(tt.out) || m != int64(tt.err) {
			t.Errorf("%s: read %d and %d bytes, want %d and %d", tt.line, n, m, tt.out, tt.err)
		}
	}
}

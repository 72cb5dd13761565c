package lines

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// pieces feeds the input in chunks of these sizes, the last of them again and
// again, and returns what came out: the end of a line as "\n", so that pieces
// that continue have none. What came out must be what went in.
func pieces(t *testing.T, input []byte, sizes ...int) []string {
	t.Helper()
	var s Splitter
	var got []string
	var whole strings.Builder
	in := input
	emit := func(text, end string, continued bool) {
		whole.WriteString(text + end)
		if !continued {
			text += "\n"
		}
		got = append(got, text)
	}
	for i := 0; len(input) > 0; i++ {
		n := min(max(sizes[min(i, len(sizes)-1)], 1), len(input))
		s.Add(bytes.Clone(input[:n]), emit)
		input = input[n:]
	}
	s.Flush(emit)
	if whole.String() != string(in) {
		t.Errorf("with their ends: got %.200q, want %.200q", whole.String(), in)
	}
	return got
}

func TestSplitter(t *testing.T) {
	long := strings.Repeat("x", MaxPiece)
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"one line", "a\n", []string{"a\n"}},
		{"no end", "abc", []string{"abc\n"}},
		{"empty lines", "\na\n\nb\n\n", []string{"\n", "a\n", "\n", "b\n", "\n"}},
		{"CRLF", "a\r\nb\r\n", []string{"a\n", "b\n"}},
		{"CRLF after LF", "abc\ndef\r\n", []string{"abc\n", "def\n"}},
		{"CR alone", "line1\nline2\nprog\rdone", []string{"line1\n", "line2\n", "prog\rdone\n"}},
		{"one CR of several", "a\r\r\n\r\n\r", []string{"a\r\n", "\n", "\r\n"}},
		{"NUL", "a\x00b\nc\x00\n", []string{"a\x00b\n", "c\x00\n"}},
		{"longest piece", long + "\n", []string{long + "\n"}},
		{"longest piece and CRLF", long + "\r\nb", []string{long + "\n", "b\n"}},
		{"one byte more", long + "y\nb\n", []string{long, "y\n", "b\n"}},
		{"longest piece and CR", long + "\r", []string{long, "\r\n"}},
		{"pieces without end", long + long + "y", []string{long, long, "y\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			small := max(len(tt.in)/1000, 1)
			for _, sizes := range [][]int{{1 << 30}, {small}, {7 * small}, {MaxPiece, small}, {MaxPiece + 1, small}} {
				if got := pieces(t, []byte(tt.in), sizes...); !slices.Equal(got, tt.want) {
					t.Errorf("in chunks of %v: got %.100q, want %.100q", sizes, got, tt.want)
				}
			}
		})
	}
}

// However the input comes in chunks, the pieces are the same, none is too long,
// and together they are the input.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("a\r\nb\n\nc"), uint32(0), uint16(1), uint16(3))
	f.Add([]byte("\r\r\n\n\x00"), uint32(MaxPiece), uint16(MaxPiece-1), uint16(1))
	f.Add([]byte("\r"), uint32(MaxPiece), uint16(999), uint16(100))
	f.Add([]byte("y\r\n"), uint32(2*MaxPiece-1), uint16(2), uint16(50000))
	f.Fuzz(func(t *testing.T, input []byte, pad uint32, first, other uint16) {
		input = slices.Concat(bytes.Repeat([]byte("x"), int(pad%(2*MaxPiece+3))), input)
		want := pieces(t, input, len(input))
		got := pieces(t, input, int(first), max(int(other), len(input)/1000))
		if !slices.Equal(got, want) {
			t.Fatalf("in chunks of %d and %d: got %.200q, in one %.200q", first, other, got, want)
		}
		for _, p := range got {
			if text := strings.TrimSuffix(p, "\n"); len(text) > MaxPiece || strings.Contains(text, "\n") {
				t.Errorf("piece of %d bytes: %.100q", len(p), p)
			}
		}
		plain := strings.ReplaceAll(string(input), "\r\n", "\n")
		if len(plain) > 0 && !strings.HasSuffix(plain, "\n") {
			plain += "\n"
		}
		if text := strings.Join(got, ""); text != plain {
			t.Errorf("got %.200q, want %.200q", text, plain)
		}
	})
}

// A long line costs time in proportion to its length.
func BenchmarkLongLine(b *testing.B) {
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for _, size := range []int{1 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				var s Splitter
				n := 0
				emit := func(text, _ string, _ bool) { n += len(text) }
				for range size / len(chunk) {
					s.Add(chunk, emit)
				}
				if s.Flush(emit); n != size {
					b.Fatalf("got %d bytes, want %d", n, size)
				}
			}
		})
	}
}

package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// random returns bytes in which nothing repeats.
func random(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(p)
	return p
}

// Readers of all paces, early and late, each get all of the source.
func TestLogReaders(t *testing.T) {
	for _, size := range []int{0, 1, logMemory - 1, logMemory, logMemory + 100<<10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := tempFolder(t)
			want := random(size)
			l := NewLog(bytes.NewReader(want))
			var wg sync.WaitGroup
			read := func(room int) {
				r := l.Reader()
				wg.Go(func() {
					defer r.Close()
					got, err := io.ReadAll(struct{ io.Reader }{io.LimitReader(r, int64(room))})
					rest, err2 := io.ReadAll(r)
					if got = append(got, rest...); !bytes.Equal(got, want) || err != nil || err2 != nil {
						t.Errorf("got %d bytes, %v, %v; want %d", len(got), err, err2, size)
					}
				})
			}
			for i := range 4 {
				read(i * size / 4)
			}
			wg.Wait()
			read(1) // after the end
			wg.Wait()
			if size > logMemory {
				checkPrivate(t, l.file.f, dir)
			}
			l.Close()
			if got := files(t, dir); got != nil || l.file.f != nil || l.mem != nil {
				t.Errorf("something is left: %q", got)
			}
		})
	}
}

// A reader that does not read holds nobody back, also not the source.
func TestLogSlowReader(t *testing.T) {
	want := random(2 * logMemory)
	l := NewLog(bytes.NewReader(want))
	defer l.Close()
	slow, fast := l.Reader(), l.Reader()
	for _, r := range []*Reader{fast, slow} {
		if got, err := io.ReadAll(r); !bytes.Equal(got, want) || err != nil {
			t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
		}
		r.Close()
	}
}

// What was read before the source failed comes first, then its error, to all.
func TestLogSourceFails(t *testing.T) {
	broken := errors.New("broken")
	l := NewLog(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken)))
	defer l.Close()
	for range 2 {
		r := l.Reader()
		if got, err := io.ReadAll(r); string(got) != "some" || err != broken {
			t.Errorf("got %q, %v; want the source's error", got, err)
		}
		r.Close()
	}
}

func TestLogNoFile(t *testing.T) {
	setTempFolder(t, filepath.Join(t.TempDir(), "missing"))
	l := NewLog(bytes.NewReader(random(logMemory + 1)))
	defer l.Close()
	r := l.Reader()
	defer r.Close()
	if _, err := io.ReadAll(r); err == nil || err == io.EOF {
		t.Errorf("got %v, want an error", err)
	}
}

// Closing a reader ends its Read, and leaves the others alone.
func TestLogReaderClose(t *testing.T) {
	src, w := io.Pipe()
	l := NewLog(src)
	defer l.Close()
	r, other := l.Reader(), l.Reader()
	failed := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		failed <- err
	}()
	r.Close()
	if err := <-failed; err == nil {
		t.Error("got nil, want an error")
	}
	w.Write([]byte("x"))
	w.Close()
	if got, err := io.ReadAll(other); string(got) != "x" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	other.Close()
	other.Close()
}

// A log that nobody uses any more stops reading its source and keeps nothing.
func TestLogUnused(t *testing.T) {
	src, w := io.Pipe()
	l := NewLog(src)
	r := l.Reader()
	go w.Write([]byte("x"))
	if n, err := r.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	l.Close()
	go w.Write([]byte("y"))
	if n, err := r.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("after the owner's end: got %d, %v", n, err)
	}
	r.Close()
	w.Write([]byte("z")) // taken by the read under way, which is the last
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mem != nil || l.file.f != nil {
		t.Error("something is left")
	}
}

package spool

import (
	"bytes"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// The queue does what a slice of bytes does, whatever is written and read in
// whatever order, with little of it in memory.
func TestQueueModel(t *testing.T) { rapid.Check(t, checkModel) }

func FuzzQueueModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkModel)) }

func checkModel(t *rapid.T) {
	var q Queue
	defer q.Close()
	var model []byte
	size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, queueMemory+100))
	next := byte(0)
	t.Repeat(map[string]func(*rapid.T){
		"write": func(t *rapid.T) {
			p := bytes.Repeat([]byte{next}, size.Draw(t, "bytes"))
			next++
			if n, err := q.Write(p); n != len(p) || err != nil {
				t.Fatalf("write: got %d, %v; want %d", n, err, len(p))
			}
			model = append(model, p...)
		},
		"read": func(t *rapid.T) {
			p := make([]byte, size.Draw(t, "room"))
			n, err := q.Read(p)
			if err != nil || n == 0 && len(p) > 0 && len(model) > 0 {
				t.Fatalf("read: got %d, %v of %d bytes", n, err, len(model))
			}
			if !bytes.Equal(p[:n], model[:n]) {
				t.Fatalf("read %d bytes that were not the next ones written", n)
			}
			model = model[n:]
		},
		"close": func(*rapid.T) {
			q.Close()
			model = nil
		},
		"": func(t *rapid.T) {
			if got := q.Len(); got != int64(len(model)) {
				t.Fatalf("got %d bytes, want %d", got, len(model))
			}
			if got := len(q.mem); got > queueMemory {
				t.Fatalf("%d bytes in memory, want at most %d", got, queueMemory)
			}
		},
	})
}

func TestQueueFile(t *testing.T) {
	dir := tempFolder(t)
	var q Queue
	small, large := make([]byte, queueMemory), make([]byte, 1<<20)
	q.Write(small)
	if q.file.f != nil {
		t.Error("a temporary file for what fits in memory")
	}
	q.Write(large)
	checkPrivate(t, q.file.f, dir)
	for q.Len() > 0 {
		if _, err := q.Read(large); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := q.file.f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("got %v bytes, %v in the temporary file after reading it all, want none", info.Size(), err)
	}
	q.Close()
	if got := files(t, dir); got != nil || q.file.f != nil {
		t.Errorf("temporary file left: %q", got)
	}
}

// Where there is no room the error says so, and nothing of the write is kept.
func TestQueueNoFile(t *testing.T) {
	setTempFolder(t, filepath.Join(t.TempDir(), "missing"))
	var q Queue
	if n, err := q.Write(make([]byte, queueMemory+1)); n != 0 || err == nil {
		t.Errorf("got %d, %v; want an error", n, err)
	}
	if got := q.Len(); got != 0 {
		t.Errorf("got %d bytes, want none", got)
	}
	if n, err := q.Write([]byte("small")); n != 5 || err != nil {
		t.Errorf("got %d, %v; want what fits in memory", n, err)
	}
}

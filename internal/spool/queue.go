// Package spool keeps bytes in bounded memory: what does not fit goes to a
// temporary file that only the user can read and that is gone with its last
// use.
package spool

import (
	"fmt"
	"os"
	"runtime"
)

// queueMemory is how much a Queue keeps in memory.
const queueMemory = 64 << 10

// Queue is a first-in first-out buffer of any length. What has been read is
// freed. The zero value is ready. It is not safe for concurrent use.
type Queue struct {
	mem  []byte // before everything in the file
	next int    // read up to here
	file tempFile
	from int64 // unread part of the file
	to   int64
}

// Len is the number of unread bytes.
func (q *Queue) Len() int64 { return int64(len(q.mem)-q.next) + q.to - q.from }

// Write appends all of p, or none of it where the temporary file fails.
func (q *Queue) Write(p []byte) (int, error) {
	if q.to == q.from && len(q.mem)-q.next+len(p) <= queueMemory {
		if q.next > 0 {
			q.mem = append(q.mem[:0], q.mem[q.next:]...)
			q.next = 0
		}
		q.mem = append(q.mem, p...)
		return len(p), nil
	}
	if err := q.file.writeAt(p, q.to); err != nil {
		return 0, err
	}
	q.to += int64(len(p))
	return len(p), nil
}

// Read moves up to len(p) bytes into p; 0 means that there are none.
func (q *Queue) Read(p []byte) (int, error) {
	if q.next < len(q.mem) {
		n := copy(p, q.mem[q.next:])
		if q.next += n; q.next == len(q.mem) {
			q.mem, q.next = nil, 0
		}
		return n, nil
	}
	if q.from == q.to {
		return 0, nil
	}
	n, err := q.file.readAt(p[:min(int64(len(p)), q.to-q.from)], q.from)
	if q.from += int64(n); q.from == q.to {
		q.from, q.to = 0, 0
		q.file.truncate()
	}
	return n, err
}

// Close frees everything.
func (q *Queue) Close() {
	q.mem, q.next, q.from, q.to = nil, 0, 0, 0
	q.file.close()
}

// tempFile is made at the first write.
type tempFile struct{ f *os.File }

func (t *tempFile) writeAt(p []byte, off int64) error {
	if t.f == nil {
		f, err := os.CreateTemp("", "shoal-")
		if err != nil {
			return fmt.Errorf("temporary file for output: %w", err)
		}
		t.f = f
		if runtime.GOOS != "windows" {
			os.Remove(f.Name()) // it lives on until it is closed
		}
	}
	if _, err := t.f.WriteAt(p, off); err != nil {
		return fmt.Errorf("temporary file for output: %w", err)
	}
	return nil
}

func (t *tempFile) readAt(p []byte, off int64) (int, error) {
	n, err := t.f.ReadAt(p, off)
	if n > 0 || err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("temporary file for output: %w", err)
}

// truncate frees the space; the file may be used on.
func (t *tempFile) truncate() {
	if t.f != nil {
		t.f.Truncate(0)
	}
}

func (t *tempFile) close() {
	if t.f == nil {
		return
	}
	t.f.Close()
	if runtime.GOOS == "windows" {
		os.Remove(t.f.Name())
	}
	t.f = nil
}

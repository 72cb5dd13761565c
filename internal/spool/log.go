package spool

import (
	"errors"
	"io"
	"sync"
)

// logMemory is how much a Log keeps in memory.
const logMemory = 1 << 20

// Log lets any number of readers read all of one source, each at its own pace:
// a slow one does not hold the others. Safe for concurrent use.
type Log struct {
	source io.Reader

	mu      sync.Mutex
	more    sync.Cond
	started bool
	mem     []byte
	file    tempFile
	size    int64
	err     error // of the source, at its end
	readers int
	closed  bool
}

// NewLog returns a log of the source, which is read from when the first reader
// reads, up to its end or until the log has neither owner nor readers. A
// source that blocks for ever keeps one goroutine.
func NewLog(source io.Reader) *Log {
	l := &Log{source: source}
	l.more.L = &l.mu
	return l
}

// Reader returns a new reader at the beginning of the source.
func (l *Log) Reader() *Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers++
	return &Reader{log: l}
}

// Close ends the owner's part; readers go on.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.free()
	return nil
}

func (l *Log) free() {
	if l.closed && l.readers == 0 {
		l.mem = nil
		l.file.close()
		if l.err == nil {
			l.err = io.ErrClosedPipe
		}
	}
}

// pump reads the source to its end.
func (l *Log) pump() {
	buf := make([]byte, 32<<10)
	for {
		n, err := l.source.Read(buf)
		l.mu.Lock()
		if l.err == nil && n > 0 {
			l.err = l.store(buf[:n])
		}
		if l.err == nil {
			l.err = err
		}
		done := l.err != nil
		l.more.Broadcast()
		l.mu.Unlock()
		if done {
			return
		}
	}
}

func (l *Log) store(p []byte) error {
	room := min(len(p), max(0, logMemory-len(l.mem)))
	l.mem = append(l.mem, p[:room]...)
	if rest := p[room:]; len(rest) > 0 {
		if err := l.file.writeAt(rest, l.size+int64(room)-logMemory); err != nil {
			return err
		}
	}
	l.size += int64(len(p))
	return nil
}

// Reader reads a Log from its beginning. One goroutine may read while another
// closes it.
type Reader struct {
	log    *Log
	off    int64
	closed bool
}

var errReaderClosed = errors.New("reader closed")

// Read blocks until there is something to read, the source ends or the reader
// is closed.
func (r *Reader) Read(p []byte) (int, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		l.started = true
		go l.pump()
	}
	for r.off == l.size && l.err == nil && !r.closed {
		l.more.Wait()
	}
	switch {
	case r.closed:
		return 0, errReaderClosed
	case r.off == l.size:
		return 0, l.err
	}
	if r.off < int64(len(l.mem)) {
		n := copy(p, l.mem[r.off:])
		r.off += int64(n)
		return n, nil
	}
	p = p[:min(int64(len(p)), l.size-r.off)]
	n, err := l.file.readAt(p, r.off-logMemory)
	r.off += int64(n)
	return n, err
}

// Close ends a read under way.
func (r *Reader) Close() error {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.closed {
		r.closed = true
		l.readers--
		l.free()
		l.more.Broadcast()
	}
	return nil
}

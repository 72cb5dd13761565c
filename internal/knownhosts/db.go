package knownhosts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// maxFile bounds a file: about a million lines.
	maxFile = 256 << 20
	// maxWarnings bounds what is kept about malformed lines.
	maxWarnings = 100
)

// DB is the known host keys of some files. It is safe for concurrent use once
// its exported fields are set. The zero value knows no key and learns into
// memory only.
type DB struct {
	// Now tells the time for the validity of certificates and for comments;
	// nil means time.Now.
	Now func() time.Time
	// Hash makes Learn write host names hashed, as HashKnownHosts does.
	Hash bool
	// Comment is written behind each key that Learn adds, followed by the
	// time; empty means no comment at all.
	Comment string
	// CAAlgorithms are the signature algorithms that certificates may be
	// signed with; nil means all that are not too weak.
	CAAlgorithms []string

	learning sync.Mutex   // held by Learn, taken before mu
	hurry    bool         // do not wait for the lock again; guarded by learning
	mu       sync.RWMutex // guards what follows
	files    []*file
	index    *index   // nil in the zero DB until something is learned
	unsaved  []*entry // known in memory only
	warnings []error
	dropped  int // warnings beyond maxWarnings
}

// file is how far a file was read.
type file struct {
	path  string
	info  fs.FileInfo // nil when there is no such file
	size  int64       // bytes read
	lines int         // lines read
	open  bool        // the last line has no line end
}

// LineError is a malformed line that was skipped, as OpenSSH does.
type LineError struct {
	File string
	Line int // counted from 1
	Err  error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: line skipped: %v", printable(e.File), e.Line, e.Err)
}

func (e *LineError) Unwrap() error { return e.Err }

// Open reads known_hosts files. The first is the one that [DB.Learn] adds to;
// the others are only read. A file that does not exist is empty; one that
// cannot be read, or is no regular file, is an error. Malformed lines are
// skipped and kept for [DB.Warnings].
func Open(files ...string) (*DB, error) {
	db := new(DB)
	for _, path := range files {
		db.files = append(db.files, &file{path: path})
	}
	if err := db.reload(); err != nil {
		return nil, err
	}
	return db, nil
}

// Warnings returns a [*LineError] for each malformed line met so far, at most
// a hundred, and then an error that counts the rest.
func (db *DB) Warnings() []error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	list := slices.Clone(db.warnings)
	if db.dropped > 0 {
		list = append(list, fmt.Errorf("known_hosts: %d more malformed lines skipped", db.dropped))
	}
	return list
}

// reload reads all files anew.
func (db *DB) reload() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	index, warnings, dropped := db.index, db.warnings, db.dropped
	db.index, db.warnings, db.dropped = newIndex(), nil, 0
	for _, f := range db.files {
		data, err := f.read()
		if err != nil {
			db.index, db.warnings, db.dropped = index, warnings, dropped
			return err
		}
		db.load(f, data)
	}
	for _, e := range db.unsaved {
		db.index.add(e)
	}
	return nil
}

// load adds the lines of data, which is what follows in f.
func (db *DB) load(f *file, data []byte) {
	for line := range bytes.Lines(data) {
		f.lines++
		f.size += int64(len(line))
		f.open = !bytes.HasSuffix(line, []byte("\n"))
		e, err := parseLine(bytes.TrimSuffix(line, []byte("\n")))
		switch {
		case err != nil && len(db.warnings) < maxWarnings:
			db.warnings = append(db.warnings, &LineError{f.path, f.lines, err})
		case err != nil:
			db.dropped++
		case e != nil:
			e.File, e.Line = f.path, f.lines
			db.index.add(e)
		}
	}
}

// read returns all of a file, and nothing when it does not exist.
func (f *file) read() ([]byte, error) {
	f.forget()
	if f.path == os.DevNull {
		return nil, nil
	}
	// Opening a FIFO would wait for a writer.
	if info, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("known hosts: %s is not a regular file", printable(f.path))
	}
	r, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	defer r.Close()
	return f.readFrom(r)
}

// forget makes the file one that was not read yet.
func (f *file) forget() { f.info, f.size, f.lines, f.open = nil, 0, 0, false }

// readFrom returns what follows in r, the opened file, after what was read of
// it before.
func (f *file) readFrom(r *os.File) ([]byte, error) {
	info, err := r.Stat()
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("known hosts: %s is larger than %d bytes", printable(f.path), maxFile)
	}
	data, err := io.ReadAll(io.NewSectionReader(r, f.size, info.Size()-f.size))
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	f.info = info
	return data, nil
}

// view returns the index for looking up; the caller holds mu.
func (db *DB) view() *index {
	if db.index == nil {
		return new(index)
	}
	return db.index
}

func (db *DB) now() time.Time {
	if db.Now == nil {
		return time.Now()
	}
	return db.Now()
}

// Lookup returns the lines that match addr, in the order of the files: known
// keys, certificate authorities and revoked keys. For a port other than 22
// those are the lines for [host]:port, without those for the bare host.
func (db *DB) Lookup(addr string) []KnownKey {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return keysOf(db.view().all(parseAddr(addr).name, Known, Authority, Revoked))
}

func keysOf(lines []*entry) []KnownKey {
	keys := make([]KnownKey, len(lines))
	for i, e := range lines {
		keys[i] = e.KnownKey
	}
	return keys
}

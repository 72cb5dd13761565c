package knownhosts

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/filelock"
)

const (
	lockWait  = 10 * time.Second      // for other processes to finish with the file
	lockPause = 20 * time.Millisecond // the longest pause between two tries
)

// NotSavedError says that keys could not be written, for instance because the
// file is read-only. They are known to the [DB] for as long as it lives all
// the same, so that a run may go on with a warning.
type NotSavedError struct {
	Addr string
	File string
	Err  error
}

func (e *NotSavedError) Error() string {
	return fmt.Sprintf("host key for %s not saved in %s: %v", parseAddr(e.Addr), printable(e.File), e.Err)
}

func (e *NotSavedError) Unwrap() error { return e.Err }

// Learn makes keys the known keys of addr: it appends a line for each to the
// first file and makes them visible to later Checks of this DB. Of a
// certificate it learns the plain key. A missing file is made with mode 0600,
// its folder with 0700.
//
// The file is locked and what other processes added to it is read first: keys
// that are known by then are not added again, and if the host turns out to be
// known by other keys only, or one of the keys to be revoked, nothing is
// written and the error is that of [DB.Check]. When one of the keys is known
// the others are added beside it; the caller answers for their being of the
// same host.
//
// A [*NotSavedError] means that the keys are known to this DB only. Without a
// file, or if it is [os.DevNull], they are always.
func (db *DB) Learn(addr string, keys ...ssh.PublicKey) error {
	_, err := db.Add(addr, keys...)
	return err
}

// Add is [DB.Learn], and says how many keys were added.
func (db *DB) Add(addr string, keys ...ssh.PublicKey) (added int, err error) {
	n := parseAddr(addr)
	if err := n.check(); err != nil {
		return 0, err
	}
	db.learning.Lock()
	defer db.learning.Unlock()
	if db.forgets() {
		missing, err := db.missing(n, keys)
		if err == nil {
			db.remember(n, missing, &file{})
		}
		return len(missing), err
	}
	f := db.files[0]
	w, saveErr := openLocked(f.path, db.patience())
	db.hurry = errors.Is(saveErr, errLocked)
	if saveErr == nil {
		defer w.Close()
		saveErr = db.catchUp(w)
	}
	missing, err := db.missing(n, keys)
	if err != nil || len(missing) == 0 {
		return 0, err
	}
	if saveErr == nil {
		saveErr = db.append(w, n, missing)
	}
	if saveErr != nil {
		db.remember(n, missing, &file{})
		return 0, &NotSavedError{addr, f.path, saveErr}
	}
	return len(missing), nil
}

// forgets reports whether there is no file to learn into.
func (db *DB) forgets() bool { return len(db.files) == 0 || db.files[0].path == os.DevNull }

// File returns the file that keys are learned into; empty where there is none.
func (db *DB) File() string {
	if db.forgets() {
		return ""
	}
	return db.files[0].path
}

// missing returns the plain keys that are to be added, or why none may be.
func (db *DB) missing(n hostName, keys []ssh.PublicKey) ([]ssh.PublicKey, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	var missing []ssh.PublicKey
	var changed error
	known := false
	for _, key := range keys {
		if key = plainKey(key); key == nil {
			return nil, fmt.Errorf("host key for %s: no key to learn", n)
		}
		if slices.ContainsFunc(missing, func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) }) {
			continue
		}
		err := db.check(n, key)
		if _, ok := errors.AsType[*ChangedError](err); ok {
			changed = err
			missing = append(missing, key)
		} else if _, ok := errors.AsType[*UnknownError](err); ok {
			missing = append(missing, key)
		} else if err != nil {
			return nil, err
		} else {
			known = true
		}
	}
	if changed != nil && !known {
		return nil, changed
	}
	return missing, nil
}

// catchUp reads what was added to the file since it was read, or everything
// when it is not the same any more.
func (db *DB) catchUp(r *os.File) error {
	f := db.files[0]
	info, err := r.Stat()
	if err != nil {
		return err
	}
	switch grown := info.Size() - f.size; {
	case f.info == nil && grown == 0:
		return nil
	case f.info == nil:
		return db.reload()
	case grown == 0 && os.SameFile(f.info, info) && info.ModTime().Equal(f.info.ModTime()):
		return nil
	case grown <= 0 || !os.SameFile(f.info, info) || f.open || !endsLine(r, f.size):
		return db.reload()
	}
	data, err := f.readFrom(r)
	if err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.load(f, data)
	return nil
}

// endsLine reports whether the byte before offset ends a line.
func endsLine(r *os.File, offset int64) bool {
	var last [1]byte
	if offset == 0 {
		return true
	}
	_, err := r.ReadAt(last[:], offset-1)
	return err == nil && last[0] == '\n'
}

// append writes lines for keys with one write, so that a reader that takes no
// lock sees whole lines too.
func (db *DB) append(w *os.File, n hostName, keys []ssh.PublicKey) error {
	f := db.files[0]
	var text strings.Builder
	if f.open {
		text.WriteByte('\n')
	}
	for _, key := range keys {
		text.WriteString(db.line(n, key))
	}
	if written, err := w.WriteString(text.String()); err != nil {
		if info, statErr := w.Stat(); statErr == nil && written > 0 && info.Size() == f.size+int64(written) {
			err = errors.Join(err, w.Truncate(f.size)) // no half lines
		}
		return err
	}
	db.remember(n, keys, f)
	f.size += int64(text.Len())
	f.lines += len(keys)
	f.open = false
	info, err := w.Stat()
	if err != nil || info.Size() != f.size {
		// A program that takes no lock, such as ssh, added a line before ours:
		// read the file anew when the next key is learned.
		f.forget()
		return nil
	}
	f.info = info
	return nil
}

// Line returns the line that [DB.Learn] writes for a key.
func (db *DB) Line(addr string, key ssh.PublicKey) (string, error) {
	n := parseAddr(addr)
	if err := n.check(); err != nil {
		return "", err
	}
	return db.line(n, plainKey(key)), nil
}

// line returns the line to write for a key.
func (db *DB) line(n hostName, key ssh.PublicKey) string {
	hosts := n.name
	if db.Hash {
		hosts = hashName(n.name)
	}
	fields := []string{hosts, key.Type(), base64.StdEncoding.EncodeToString(key.Marshal())}
	if db.Comment != "" {
		fields = append(fields, strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, db.Comment), db.now().UTC().Format(time.RFC3339))
	}
	return strings.Join(fields, " ") + "\n"
}

// remember adds keys to the index, as the lines that follow in f. They are
// indexed by name even if the file has them hashed.
func (db *DB) remember(n hostName, keys []ssh.PublicKey, f *file) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.index == nil {
		db.index = newIndex()
	}
	for i, key := range keys {
		e := &entry{KnownKey: KnownKey{File: f.path, Hosts: n.name, Key: key}, blob: string(key.Marshal())}
		if f.path != "" {
			e.Line = f.lines + i + 1
		}
		db.index.add(e)
		if e.File == "" {
			db.unsaved = append(db.unsaved, e)
		}
	}
}

// errLocked says that waiting for the lock was in vain.
var errLocked = errors.New("another program keeps it locked")

// patience returns how long to wait for the lock: once it was in vain, not at
// all, or a fleet of unknown hosts would wait one after the other.
func (db *DB) patience() time.Duration {
	if db.hurry {
		return 0
	}
	return lockWait
}

// openLocked opens a file for appending and locks it against other processes.
func openLocked(path string, wait time.Duration) (*os.File, error) {
	if err := checkPlace(path); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(wait); ; {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lockUntil(f, deadline); err != nil {
			f.Close()
			return nil, err
		}
		// ssh-keygen -R puts another file in its place.
		locked, err1 := f.Stat()
		there, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(locked, there) {
			return f, nil
		}
		f.Close()
		if time.Now().After(deadline) {
			return nil, errors.New("the file is being replaced again and again")
		}
	}
}

// checkPlace makes the folder if there is none and refuses what is no file of
// our own: a FIFO, say, or a link that another user may have planted.
func checkPlace(path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		place, err := os.Stat(folder)
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && place.Mode().Perm()&0o022 != 0 {
			return errors.New("it is a link in a folder that others may write to")
		}
		if info, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	return nil
}

// lockUntil locks f for this process alone. Where the file system has no locks
// it goes on without: lines are appended whole anyway.
func lockUntil(f *os.File, deadline time.Time) error {
	for pause := time.Millisecond; ; pause = min(2*pause, lockPause) {
		locked, err := filelock.Try(f)
		switch {
		case locked || errors.Is(err, errors.ErrUnsupported):
			return nil
		case err != nil:
			return err
		case time.Now().After(deadline):
			return errLocked
		}
		time.Sleep(pause)
	}
}

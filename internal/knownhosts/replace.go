package knownhosts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Replace makes keys the only known keys of addr, for a host whose keys have
// changed for a good reason: lines of the first file that know it by other keys
// are taken out, or only its name where they name other hosts too, and keys that
// are not known are added. Of a certificate it takes the plain key. It returns
// how many lines were removed or changed, and how many added.
//
// As with ssh-keygen -R the file as it was is kept beside it, with ".old" behind
// the name, and the new one takes its place at once, with the same mode; it is
// locked meanwhile as [DB.Learn] locks it. Nothing is changed where that would
// not be enough: where a key is revoked or too weak, a line with a pattern
// matches the host, or one of another file.
func (db *DB) Replace(addr string, keys ...ssh.PublicKey) (removed, added int, err error) {
	n := parseAddr(addr)
	if err := n.check(); err != nil {
		return 0, 0, err
	}
	if len(keys) == 0 {
		return 0, 0, fmt.Errorf("host key for %s: no keys to know it by", n)
	}
	db.learning.Lock()
	defer db.learning.Unlock()
	if db.forgets() {
		return 0, 0, fmt.Errorf("host key for %s: there is no file to change", n)
	}
	w, err := openLocked(db.files[0].path, lockWait)
	if err != nil {
		return 0, 0, &NotSavedError{addr, db.files[0].path, err}
	}
	defer w.Close()
	if err := db.reload(); err != nil {
		return 0, 0, err
	}
	text, err := io.ReadAll(io.NewSectionReader(w, 0, maxFile))
	if err != nil {
		return 0, 0, &NotSavedError{addr, db.files[0].path, err}
	}
	text, removed, added, err = db.replaced(text, n, plainKeys(keys))
	if err != nil || removed+added == 0 {
		return 0, 0, err
	}
	if err := putInPlace(w, text); err != nil {
		return 0, 0, &NotSavedError{addr, db.files[0].path, err}
	}
	return removed, added, db.reload()
}

func plainKeys(keys []ssh.PublicKey) []ssh.PublicKey {
	var plain []ssh.PublicKey
	for _, key := range keys {
		if key = plainKey(key); !containsKey(plain, key) {
			plain = append(plain, key)
		}
	}
	return plain
}

func containsKey(keys []ssh.PublicKey, key ssh.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) })
}

// replaced returns the text of the first file with n known by keys alone.
func (db *DB) replaced(text []byte, n hostName, keys []ssh.PublicKey) (_ []byte, removed, added int, err error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	for _, key := range keys {
		_, isRevoked := errors.AsType[*RevokedError](db.check(n, key))
		_, isWeak := errors.AsType[*WeakKeyError](db.check(n, key))
		if isRevoked || isWeak {
			return nil, 0, 0, db.check(n, key)
		}
	}
	drop := make(map[int]*entry) // by line
	for _, e := range db.view().all(n.name, Known) {
		switch {
		case containsKey(keys, e.Key):
			continue
		case e.File != db.files[0].path:
			return nil, 0, 0, fmt.Errorf("host key for %s: the known one is in another file: change %s", n, e.Place())
		case e.hash == nil && matchList(n.name, strings.Join(otherNames(e.Hosts, n.name), ",")):
			return nil, 0, 0, fmt.Errorf("host key for %s: the known one is that of a pattern, %s: change %s", n, printable(e.Hosts), e.Place())
		}
		drop[e.Line] = e
	}
	var out []byte
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if e := drop[number]; e != nil {
			line = withoutName(line, e, n.name)
		}
		out = append(out, line...)
	}
	for _, key := range keys {
		if db.view().find(n.name, keyID{Known, string(key.Marshal())}) != nil {
			continue
		}
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, db.line(n, key)...)
		added++
	}
	return out, len(drop), added, nil
}

// withoutName is a line without one of its names, and nothing where it has no
// other.
func withoutName(line []byte, e *entry, name string) []byte {
	if e.hash != nil {
		return nil
	}
	start := len(line) - len(bytes.TrimLeft(line, " \t\r"))
	hosts, rest := cutField(string(line[start:]))
	left := otherNames(hosts, name)
	if !slices.ContainsFunc(left, func(h string) bool { return h != "" && h[0] != '!' }) {
		return nil
	}
	return []byte(strings.Join(left, ",") + " " + rest)
}

// otherNames are those of a line besides name.
func otherNames(hosts, name string) []string {
	return slices.DeleteFunc(strings.Split(hosts, ","), func(h string) bool { return lower(h) == name })
}

// putInPlace puts a new file with this text in the place of the open and locked
// one, of which it keeps the old text.
func putInPlace(w *os.File, text []byte) error {
	path, err := filepath.EvalSymlinks(w.Name())
	if err != nil {
		return err
	}
	info, err := w.Stat()
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // where it is not in place by then
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Chmod(info.Mode().Perm()), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Remove(path + ".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(path, path+".old"); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		w.Close() // an open file cannot be replaced there
	}
	return os.Rename(temp.Name(), path)
}

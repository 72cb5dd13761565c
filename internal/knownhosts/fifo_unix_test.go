//go:build unix

package knownhosts

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFIFO must not wait for somebody to open the other end.
func TestFIFO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Open: got %v", err)
	}
	if _, ok := errors.AsType[*NotSavedError](db.Learn("web1:22", pub("ed1"))); !ok {
		t.Error("Learn wrote to a FIFO")
	}
}

package filelock_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-ssh/shoal/internal/filelock"
)

// A file is held alone or shared, until it is closed.
func TestTry(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	want := func(what string, lock func(*os.File) (bool, error), f *os.File, want bool) {
		t.Helper()
		if got, err := lock(f); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	first, second := open(), open()
	want("free", filelock.Try, first, true)
	want("held alone", filelock.Try, open(), false)
	want("held alone", filelock.TryShared, open(), false)
	first.Close()
	want("closed", filelock.TryShared, second, true)
	want("shared", filelock.TryShared, open(), true)
	want("shared", filelock.Try, open(), false)
}

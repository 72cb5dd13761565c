package spool

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tempFolder makes the test's folder the one for temporary files. It does not
// go with t.Parallel.
func tempFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	setTempFolder(t, dir)
	return dir
}

func setTempFolder(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // unix, windows
		t.Setenv(name, dir)
	}
}

// files are the names in a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// checkPrivate fails unless the file is for its user's eyes only and, where the
// system allows, has no name.
func checkPrivate(t *testing.T, f *os.File, dir string) {
	t.Helper()
	if f == nil {
		t.Fatal("no temporary file")
	}
	if runtime.GOOS == "windows" {
		return // neither modes nor files without name
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("temporary file has mode %v, want 0600", got)
	}
	if got := files(t, dir); got != nil {
		t.Errorf("temporary file has a name: %q", got)
	}
}

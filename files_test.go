package shoal_test

import (
	"os"
	"path/filepath"
	"testing"
)

// writeFile writes a file that only the test's user can read.
func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

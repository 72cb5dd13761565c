//go:build !unix

package inventory

import (
	"io/fs"
	"path/filepath"
	"strings"
)

// isProgram reports whether a file may be run.
func isProgram(name string, _ fs.FileInfo) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".exe", ".bat", ".cmd":
		return true
	}
	return false
}

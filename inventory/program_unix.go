//go:build unix

package inventory

import "io/fs"

// isProgram reports whether a file may be run.
func isProgram(_ string, info fs.FileInfo) bool { return info.Mode().Perm()&0o111 != 0 }

//go:build !unix

package runs

import "io/fs"

// isMine reports whether the file belongs to the user, where that is known: not
// on Windows, where a profile's files are the user's by inherited access.
func isMine(fs.FileInfo) (mine, known bool) { return false, false }

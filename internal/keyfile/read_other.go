//go:build !unix

package keyfile

import "io/fs"

const nonblock = 0

// exposed knows nothing of access control lists.
func exposed(fs.FileInfo) bool { return false }

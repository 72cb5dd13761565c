//go:build !unix

package shoal

import "io/fs"

// ownFile is true where files are kept apart by the folders of users.
func ownFile(fs.FileInfo) bool { return true }

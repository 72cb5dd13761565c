//go:build unix

package shoal

import (
	"io/fs"
	"os"
	"syscall"
)

// ownFile reports whether a local file belongs to the user.
func ownFile(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

//go:build unix

package runs

import (
	"io/fs"
	"os"
	"syscall"
)

// isMine reports whether the file belongs to the user.
func isMine(info fs.FileInfo) (mine, known bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid(), ok
}

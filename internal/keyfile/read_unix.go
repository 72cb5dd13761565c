//go:build unix

package keyfile

import (
	"io/fs"
	"os"
	"syscall"
)

const nonblock = syscall.O_NONBLOCK

// exposed reports whether a file of the user is open to others. As in OpenSSH,
// files of other users are their business: what root can read of them, or what
// a group shares on purpose, is not refused.
func exposed(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0
}

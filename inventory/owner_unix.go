//go:build unix

package inventory

import (
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file with commands that others may have written.
func checkOwner(name string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return &UnsafeFileError{File: name, Reason: "it belongs to another user"}
	}
	if info.Mode().Perm()&0o002 != 0 {
		return &UnsafeFileError{File: name, Reason: "everybody may write to it; chmod o-w it"}
	}
	return nil
}

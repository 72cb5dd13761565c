//go:build unix

package sshconfig

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file that others may have written, as OpenSSH does.
func checkOwner(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Getuid() {
		return errors.New("the file belongs to another user")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return errors.New("others may write to the file; chmod go-w it")
	}
	return nil
}

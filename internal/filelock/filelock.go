// Package filelock locks files between processes. Locks are advisory on Unix;
// on Windows they cover a byte far behind the end, so that they keep nobody from
// reading or writing.
//
// A lock belongs to the open file: closing it unlocks, and so does the end of
// the process, however it ends.
package filelock

import "os"

// Try locks f for this open file alone, unless somebody has a lock on it. The
// error is [errors.ErrUnsupported] where the file system has no locks.
func Try(f *os.File) (bool, error) { return try(f, true) }

// TryShared locks f along with others that share it, unless somebody has it
// alone. The errors are those of [Try].
func TryShared(f *os.File) (bool, error) { return try(f, false) }

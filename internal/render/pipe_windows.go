package render

import (
	"errors"

	"golang.org/x/sys/windows"
)

// platformBrokenPipe knows the two errors of writing to a pipe whose reader is
// gone or going.
func platformBrokenPipe(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}

//go:build !windows && (!unix || aix || solaris)

package filelock

import (
	"errors"
	"os"
)

func try(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

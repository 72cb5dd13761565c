//go:build !windows && (!unix || aix || solaris)

package knownhosts

import (
	"errors"
	"os"
)

func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

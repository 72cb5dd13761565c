package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultDir returns the folder of the journal: shoal/runs in $XDG_STATE_HOME,
// or where that is not set, in ~/.local/state, on macOS in ~/Library/Application
// Support, and on Windows in %LocalAppData%. As the XDG Base Directory
// Specification has it, a relative $XDG_STATE_HOME does not count.
func DefaultDir() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		var err error
		if state, err = stateDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(state, "shoal", "runs"), nil
}

func stateDir() (string, error) {
	switch runtime.GOOS {
	case "windows":
		return os.UserCacheDir() // %LocalAppData%
	case "darwin", "ios":
		return os.UserConfigDir() // ~/Library/Application Support
	}
	home, err := os.UserHomeDir()
	if err == nil && home == "" {
		err = errors.New("there is no home folder")
	}
	return filepath.Join(home, ".local", "state"), err
}

// open opens the folder to read; it is an [fs.ErrNotExist] where nothing was ever
// kept.
func (j *Journal) open() (*os.Root, error) {
	dir, err := j.dir()
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// make opens the folder to write; where it is missing, it is made, for the user
// alone. A folder of somebody else is refused, for that user could read on what
// the run has to say.
func (j *Journal) make() (*os.Root, error) {
	dir, err := j.dir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := private(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// private sees to it that others cannot look into the folder.
func private(root *os.Root) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	mine, known := isMine(info)
	switch {
	case !known:
		return nil // access is not by modes there
	case mine && info.Mode().Perm()&0o077 != 0:
		return root.Chmod(".", 0o700)
	case !mine && (os.Geteuid() != 0 || info.Mode().Perm()&0o022 != 0):
		return fmt.Errorf("%s: the folder belongs to somebody else", root.Name())
	}
	return nil
}

func (j *Journal) dir() (string, error) {
	if j.Dir != "" {
		return j.Dir, nil
	}
	return DefaultDir()
}

// openFile opens a file of the journal to read: a regular one, and no link.
func openFile(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: errors.New("changed meanwhile")}, err, f.Close())
	}
	return f, nil
}

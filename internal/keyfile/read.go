package keyfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// audience says who may read a file.
type audience bool

const (
	private audience = false
	public  audience = true
)

// read returns the text of a file. It does not wait for anything: opening a
// FIFO without a writer would, so it is opened without and then refused.
func read(path string, who audience) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if who == private && exposed(info) {
		return nil, fmt.Errorf("others may access it (mode %04o): chmod 600 it", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes, so no key", MaxSize)
	}
	return text, nil
}

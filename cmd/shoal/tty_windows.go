package main

import (
	"errors"
	"os"
)

// openTerminal opens the console, whatever the standard streams are.
func openTerminal() (in, out *os.File, err error) {
	if in, err = os.OpenFile("CONIN$", os.O_RDWR, 0); err != nil {
		return nil, nil, err
	}
	if out, err = os.OpenFile("CONOUT$", os.O_RDWR, 0); err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return in, out, nil
}

func closeTerminal(in, out *os.File) error { return errors.Join(in.Close(), out.Close()) }

//go:build !linux

package sshtest

import (
	"errors"
)

// manyAddresses is false where only 127.0.0.1 is ready for use.
const manyAddresses = false

func (f *Fleet) listenLoopback() error {
	return errors.New("sshtest: not reached: hosts are told apart by port on this system")
}

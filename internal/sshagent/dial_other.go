//go:build !windows

package sshagent

import (
	"context"
	"net"
)

// dialer returns how to reach the agent that SSH_AUTH_SOCK names.
func dialer(path string) (func(context.Context) (net.Conn, error), error) {
	if path == "" {
		return nil, ErrNoAgent
	}
	return dialUnix(path), nil
}

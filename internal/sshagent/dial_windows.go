package sshagent

import (
	"context"
	"net"
	"strings"

	"github.com/Microsoft/go-winio"
)

// servicePipe is where the agent service of OpenSSH for Windows listens.
const servicePipe = `\\.\pipe\openssh-ssh-agent`

// dialer returns how to reach the agent that SSH_AUTH_SOCK names.
func dialer(path string) (func(context.Context) (net.Conn, error), error) {
	if path == "" {
		path = servicePipe
	}
	pipe := strings.ReplaceAll(path, "/", `\`)
	if !strings.HasPrefix(strings.ToLower(pipe), `\\.\pipe\`) {
		return dialUnix(path), nil
	}
	return func(ctx context.Context) (net.Conn, error) { return winio.DialPipeContext(ctx, pipe) }, nil
}

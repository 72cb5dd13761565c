package inventory

import (
	"context"

	"github.com/shoal-ssh/shoal/sshconfig"
)

// SSHAliases is a source whose hosts are the names of Host lines in ssh_config(5)
// that are no patterns. It has no groups. load is called when they are wanted.
type SSHAliases struct {
	Load func() (*sshconfig.Config, error)
}

// Group returns an [*UnknownGroupError].
func (s SSHAliases) Group(_ context.Context, name string) ([]string, error) {
	return nil, &UnknownGroupError{Name: name}
}

// All returns the names, in their order.
func (s SSHAliases) All(context.Context) ([]string, error) {
	config, err := s.Load()
	if err != nil {
		return nil, err
	}
	return config.Aliases(), nil
}

// Names returns none.
func (s SSHAliases) Names(context.Context) ([]string, error) { return nil, nil }

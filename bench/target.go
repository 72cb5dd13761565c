package main

import (
	"context"
	"iter"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
)

// target is the fleet as a contender's process sees it.
type target struct {
	ctx     context.Context
	task    *task
	addrs   []string
	hostKey ssh.PublicKey
	key     ssh.Signer
}

func newTarget(ctx context.Context, t *task) (*target, error) {
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(t.Info.HostKey))
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey([]byte(t.Info.ClientKey))
	if err != nil {
		return nil, err
	}
	return &target{ctx: ctx, task: t, addrs: t.Info.Addrs, hostKey: hostKey, key: key}, nil
}

func (t *target) file(name string) string { return filepath.Join(t.task.Dir, name) }

// client returns a Shoal client with nothing set but who logs in where.
func (t *target) client() *shoal.Client {
	return &shoal.Client{Host: shoal.Host{
		User:     t.task.Info.User,
		Auth:     []shoal.Auth{shoal.Key(t.key)},
		HostKeys: shoal.PinnedHostKeys(t.hostKey),
	}}
}

// hosts are the addresses as Shoal's hosts.
func hosts(addrs []string) iter.Seq[shoal.Host] { return shoal.Names(slices.Values(addrs)) }

// config is x/crypto's configuration with the algorithms that Shoal offers,
// as far as both sides take them.
func (t *target) config() *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config: ssh.Config{
			KeyExchanges: []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519},
			Ciphers:      []string{ssh.CipherAES128GCM},
		},
		User:              t.task.Info.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(t.key)},
		HostKeyAlgorithms: []string{t.hostKey.Type()},
		HostKeyCallback:   ssh.FixedHostKey(t.hostKey),
	}
}

package sshtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Config describes a fleet. The zero value is one host on loopback with a
// fresh ed25519 host key and one user, [DefaultUser], whom only the fleet's own
// generated key lets in ([Fleet.ClientSigner]).
//
// The functions are called from many goroutines and must be safe for that.
type Config struct {
	// Hosts is the number of hosts; 0 means 1.
	Hosts int
	// Name gives a host's name, which `hostname` prints; nil means host0,
	// host1 and so on.
	Name func(host int) string

	// InMemory starts no listener: the hosts are reached by [Fleet.Dial] only.
	// Use it in a testing/synctest bubble. Addresses then have port 22.
	InMemory bool
	// Port is the TCP port; 0 means one that is free. With ManyPorts it must
	// be 0.
	Port int
	// ManyPorts gives all hosts the address 127.0.0.1 and each its own port.
	// That is always so where the system has no other loopback addresses ready,
	// as on macOS and Windows.
	ManyPorts bool

	// HostKeys gives a host's private keys, at most one of a type; nil means
	// a new ed25519 key for each host. It is called once for each host.
	HostKeys func(host int) []ssh.Signer
	// SharedHostKey gives all hosts one new ed25519 key, where HostKeys is nil.
	SharedHostKey bool
	// HostCA, if set, signs a host certificate for each host key, valid for the
	// host's name and address; it is offered along with the plain key.
	HostCA ssh.Signer

	// Users may log in. Nil means [DefaultUser] with the fleet's generated
	// key; an empty slice that is not nil lets nobody in.
	Users []User
	// MaxAuthTries is the number of failed attempts after which a connection
	// is closed; 0 means 6 and negative none but x/crypto's own limit of 128.
	MaxAuthTries int
	// LoginGrace is the time a client has to log in; 0 means 2 minutes and
	// negative no limit.
	LoginGrace time.Duration
	// MaxSessions is the number of sessions open at once on one connection;
	// 0 means 10, as sshd, and negative no limit.
	MaxSessions int
	// MaxStartups drops connections at random before they are greeted, as
	// sshd does; the zero value drops none.
	MaxStartups Startups
	// Seed seeds the random choices of MaxStartups.
	Seed uint64

	// Version is the identification string; "" means "SSH-2.0-sshtest".
	Version string
	// Banner is shown to clients before they log in; "" means none.
	Banner string
	// Algorithms restricts the key exchanges, ciphers and MACs and sets the
	// re-key threshold; empty fields mean those of [ssh.SupportedAlgorithms].
	Algorithms ssh.Config

	// Handler runs commands and shells; nil means [Builtin], or [Shell] of
	// Config.Shell where that is set.
	Handler Handler
	// Shell is the path of a real shell, such as /bin/sh, that runs commands
	// with the rights of this process. "" means none.
	Shell string
	// AcceptEnv lists patterns, as of [path.Match], of environment variables
	// that clients may set; nil means all, an empty slice none.
	AcceptEnv []string
	// Subsystems are handlers by subsystem name.
	Subsystems map[string]Handler
	// SFTP gives the folder that a host serves by SFTP: clients see it as "/"
	// and cannot leave it. "/" stands for the whole file system. Nil, or "",
	// means no SFTP.
	SFTP func(host int) string
	// ForwardLoopback lets clients open connections (direct-tcpip) to anything
	// on loopback and to Unix sockets, and listen on loopback (tcpip-forward)
	// and on Unix sockets. Otherwise they reach the hosts of this fleet only.
	ForwardLoopback bool
	// Forward, if set, makes the connections that clients open through hosts,
	// whatever they go to: network is "tcp" or "unix". An
	// [*ssh.OpenChannelError] is what the client gets.
	Forward func(ctx context.Context, network, addr string) (net.Conn, error)

	// Latency gives the time that bytes need to a host, and the same back: a
	// round trip takes twice as long. Bandwidth is not limited. Nil means none.
	Latency func(host int) time.Duration
	// Faults gives the fault that a host plays; nil means none.
	Faults func(host int) Fault

	// EventLimit is the number of events kept; 0 means 100,000, negative turns
	// events off.
	EventLimit int
}

var errNoEvents = errors.New("sshtest: events are off (Config.EventLimit is negative)")

// check says what is wrong with a configuration.
func (c *Config) check() error {
	switch {
	case c.Hosts < 0 || c.Hosts > maxHosts:
		return fmt.Errorf("sshtest: %d hosts: want 0 to %d", c.Hosts, maxHosts)
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("sshtest: port %d out of range", c.Port)
	case c.ManyPorts && c.Port != 0:
		return errors.New("sshtest: Port and ManyPorts exclude each other")
	case c.ManyPorts && c.InMemory:
		return errors.New("sshtest: ManyPorts and InMemory exclude each other")
	}
	for _, u := range c.Users {
		if err := u.check(); err != nil {
			return err
		}
	}
	return nil
}

// complete fills in the defaults.
func (c *Config) complete() {
	if c.Hosts == 0 {
		c.Hosts = 1
	}
	if c.Name == nil {
		c.Name = func(host int) string { return fmt.Sprintf("host%d", host) }
	}
	if c.Users == nil {
		c.Users = []User{{Name: DefaultUser, ClientKey: true}}
	}
	c.Users = slices.Clone(c.Users)
	if c.LoginGrace == 0 {
		c.LoginGrace = 2 * time.Minute
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 10
	}
	if c.Version == "" {
		c.Version = "SSH-2.0-sshtest"
	}
	if c.Handler == nil {
		c.Handler = Builtin
		if c.Shell != "" {
			c.Handler = Shell(c.Shell)
		}
	}
	completeAlgorithms(&c.Algorithms)
}

// completeAlgorithms leaves out what x/crypto offers only for old peers.
func completeAlgorithms(c *ssh.Config) {
	safe := ssh.SupportedAlgorithms()
	if c.KeyExchanges == nil {
		c.KeyExchanges = safe.KeyExchanges
	}
	if c.Ciphers == nil {
		c.Ciphers = safe.Ciphers
	}
	if c.MACs == nil {
		c.MACs = safe.MACs
	}
}

package shoal

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// Conn is a host that is connected and logged in to. It comes from
// [Client.Conn] or as the argument of [Each]'s function. Any number of
// commands may run over it at once. Safe for concurrent use.
type Conn struct {
	peer  *peer
	host  Host
	close sync.Once
	gone  atomic.Bool // closed
	files idleFiles
}

// Host returns the host with all its settings.
func (c *Conn) Host() Host { return c.host }

// SSH returns the connection itself, for what Shoal has no method for. It is
// nil where the connection is lost. Closing it ends it for everybody.
func (c *Conn) SSH() ssh.Conn {
	if l := c.peer.any(); l != nil {
		return l.ssh
	}
	return nil
}

// AuthMethod names the method that the server accepted: "publickey",
// "password", "keyboard-interactive", or "none" where it asked for nothing; empty
// where a [Transport] logged in.
func (c *Conn) AuthMethod() string {
	if l := c.peer.any(); l != nil {
		return l.auth
	}
	return ""
}

// Alive reports, without touching the network, whether the connection was not
// seen to end.
func (c *Conn) Alive() bool { return c.peer.alive() }

// Close gives the connection back to the client, which keeps it for the next
// call or closes it. Commands still running over it go on, new ones cannot be
// started. It always returns nil, and may be called again. The SFTP session that
// copies over it share ends.
func (c *Conn) Close() error {
	c.close.Do(func() {
		c.gone.Store(true)
		if f := c.files.take(); f != nil {
			f.end()
		}
		c.peer.release()
	})
	return nil
}

// Run runs the command and returns when it has ended, with its output also
// where the error is not nil: an [*ExitError] or a [*HostError].
func (c *Conn) Run(ctx context.Context, cmd Command) (Output, error) {
	out := new(collector)
	p, err := c.start(ctx, ctx, cmd, out)
	if err != nil {
		return Output{Command: cmd.Line, Code: -1}, err
	}
	p.watch()
	return out.output(p), p.err
}

// Start starts the command and returns as soon as the server has accepted it.
// The end of ctx ends the command.
func (c *Conn) Start(ctx context.Context, cmd Command) (*Proc, error) {
	return c.startProc(ctx, ctx, cmd)
}

// startProc is start for a caller that gets the Proc.
func (c *Conn) startProc(ctx, life context.Context, cmd Command) (*Proc, error) {
	p, err := c.start(ctx, life, cmd, nil)
	if err != nil {
		return nil, err
	}
	go p.watch() // until the command ends
	return p, nil
}

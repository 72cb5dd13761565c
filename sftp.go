package shoal

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/sftp"
)

// fileSession is an SFTP session in a session channel of its own.
type fileSession struct {
	*sftp.Client
	session *session
	close   sync.Once
}

// idleFiles holds the SFTP session that a Conn keeps from one copy to the next.
type idleFiles struct {
	mu      sync.Mutex
	session *fileSession // used by nobody; may be nil
}

// take returns the session, which is the caller's then, or nil.
func (i *idleFiles) take() *fileSession {
	i.mu.Lock()
	defer i.mu.Unlock()
	f := i.session
	i.session = nil
	return f
}

// keepFiles keeps a session that is whole, unless there is another or the Conn is
// closed.
func (c *Conn) keepFiles(f *fileSession) bool {
	c.files.mu.Lock()
	defer c.files.mu.Unlock()
	if f.Client == nil || f.Err() != nil || c.gone.Load() || c.files.session != nil {
		return false
	}
	c.files.session = f
	return true
}

// openSFTP returns the session of a copy before, or asks for the subsystem (RFC 4254
// §6.5) and begins one.
func (c *Conn) openSFTP(ctx context.Context) (*fileSession, error) {
	if c.gone.Load() {
		return nil, &HostError{Host: c.host.Name, Stage: StagePrepare, Kind: KindCancelled, Err: errConnClosed}
	}
	if f := c.files.take(); f != nil {
		if f.Err() == nil {
			return f, nil
		}
		f.end(c)
	}
	s, err := c.peer.session(ctx)
	if err != nil {
		err.(*HostError).Host = c.host.Name
		return nil, err
	}
	c.peer.keep()
	f := &fileSession{session: s}
	l := s.link
	l.mu.Lock()
	l.task(func() { io.Copy(io.Discard, s.channel.Stderr()) })
	l.task(func() {
		for r := range s.requests {
			r.Reply(false, nil)
		}
	})
	l.mu.Unlock()
	leave := func() {
		s.channel.Close()
		s.leave()
		c.peer.release()
	}
	ok, err := await(ctx, l, c.host.Timeout, func() (bool, error) {
		return s.channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	})
	if err == nil && !ok {
		leave()
		return nil, &HostError{Host: c.host.Name, Stage: StageTransfer, Kind: KindExecRefused,
			Err: errors.New("the server has no SFTP subsystem"), Hint: "copy by SCP instead"}
	}
	if err == nil {
		starting, cancel := context.WithTimeoutCause(ctx, sessionBudget(c.host.Timeout), errBudget)
		f.Client, err = sftp.New(starting, s.channel)
		cancel()
	}
	if err != nil {
		leave()
		return nil, c.copyError(ctx, f, err)
	}
	l.mu.Lock()
	l.task(func() { <-f.Done() })
	l.mu.Unlock()
	return f, nil
}

// sessionBudget is the time of [Host.Timeout] for one step.
func sessionBudget(total time.Duration) time.Duration {
	switch {
	case total < 0:
		return 365 * 24 * time.Hour
	case total == 0:
		return channelBudget
	}
	return total
}

// leaveBudget bounds the waiting for the end of a session.
const leaveBudget = 2 * time.Second

// done keeps the session for the next copy, or ends it, as after a cancellation.
func (f *fileSession) done(ctx context.Context, c *Conn) {
	if ctx.Err() != nil || !c.keepFiles(f) {
		f.end(c)
	}
}

// end closes the session and gives its place back.
func (f *fileSession) end(c *Conn) {
	f.close.Do(func() {
		f.Close()
		t := time.NewTimer(leaveBudget)
		defer t.Stop()
		select {
		case <-f.Done():
		case <-t.C:
			f.session.link.drain()
		}
		f.session.leave()
		c.peer.release()
	})
}

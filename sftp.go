package shoal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/sftp"
)

// remoteFiles is what copying needs of a host, but for the content by SCP.
type remoteFiles interface {
	Stat(ctx context.Context, name string) (sftp.Attributes, error)
	Lstat(ctx context.Context, name string) (sftp.Attributes, error)
	SetStat(ctx context.Context, name string, a sftp.Attributes) error
	ReadDir(ctx context.Context, name string) iter.Seq2[sftp.Entry, error]
	ReadLink(ctx context.Context, name string) (string, error)
	RealPath(ctx context.Context, name string) (string, error)
	Mkdir(ctx context.Context, name string, a sftp.Attributes) error
	Symlink(ctx context.Context, target, link string) error
	Remove(ctx context.Context, name string) error
	Rmdir(ctx context.Context, name string) error
	Rename(ctx context.Context, from, to string) error
	PosixRename(ctx context.Context, from, to string) error
	Has(extension string) bool
	Open(ctx context.Context, name string, mode uint32, a sftp.Attributes) (*sftp.File, error)
	Err() error
}

// fileSession is what carries the copies of one host.
type fileSession struct {
	remoteFiles
	session *session // nil where there is none yet
	close   func()
}

// openFiles begins an SFTP session, or SCP where that was asked for.
func (t *transfer) openFiles(ctx context.Context) (*fileSession, error) {
	if t.SCP {
		return t.conn.openSCP(ctx)
	}
	return t.conn.openSFTP(ctx)
}

// end closes the session and gives its place back.
func (f *fileSession) end() { f.close() }

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
	if _, isSFTP := f.remoteFiles.(*sftp.Client); !isSFTP || f.Err() != nil || c.gone.Load() || c.files.session != nil {
		return false
	}
	c.files.session = f
	return true
}

// openSFTP returns the session of a copy before, or asks for the subsystem (RFC 4254
// §6.5) and begins one.
func (c *Conn) openSFTP(ctx context.Context) (*fileSession, error) {
	if f := c.files.take(); f != nil {
		if f.Err() == nil && !c.gone.Load() {
			return f, nil
		}
		f.end()
	}
	s, leave, err := c.channel(ctx, "subsystem", "sftp", io.Discard, nil)
	if he, ok := errors.AsType[*HostError](err); ok && he.Kind == KindExecRefused {
		he.Err, he.Hint = errors.New("the server has no SFTP subsystem"), "copy by SCP: Copy.SCP, or --scp"
	}
	if err != nil {
		return nil, err
	}
	f := &fileSession{session: s}
	starting, cancel := context.WithTimeoutCause(ctx, sessionBudget(c.host.Timeout), errBudget)
	client, err := sftp.New(starting, s.channel)
	cancel()
	if err != nil {
		leave()
		return nil, c.copyError(ctx, f, err)
	}
	f.remoteFiles = client
	s.link.run(func() { <-client.Done() })
	f.close = sync.OnceFunc(func() {
		client.Close()
		s.awaitEnd(client.Done())
		leave()
	})
	return f, nil
}

// channel opens a session channel and makes the one request for what runs in it.
// Its standard error goes to stderr; at its end exit is told its exit status, or -1.
func (c *Conn) channel(ctx context.Context, request, what string, stderr io.Writer, exit func(status int)) (*session, func(), error) {
	if c.gone.Load() {
		return nil, nil, &HostError{Host: c.host.Name, Stage: StagePrepare, Kind: KindCancelled, Err: errConnClosed}
	}
	s, err := c.peer.session(ctx)
	if err != nil {
		err.(*HostError).Host = c.host.Name
		return nil, nil, err
	}
	c.peer.keep()
	l := s.link
	said := make(chan struct{})
	l.run(func() {
		defer close(said)
		io.Copy(stderr, s.channel.Stderr())
	})
	l.run(func() {
		status := -1
		for r := range s.requests {
			var is struct{ Status uint32 }
			if r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &is) == nil {
				status = int(is.Status)
			}
			r.Reply(false, nil)
		}
		if exit != nil {
			<-said
			exit(status)
		}
	})
	leave := func() {
		s.channel.Close()
		s.leave()
		c.peer.release()
	}
	ok, err := await(ctx, l, c.host.Timeout, func() (bool, error) {
		return s.channel.SendRequest(request, true, ssh.Marshal(struct{ Name string }{what}))
	})
	switch {
	case err != nil:
		err = c.copyError(ctx, &fileSession{session: s}, err)
	case !ok:
		err = &HostError{Host: c.host.Name, Stage: StageTransfer, Kind: KindExecRefused, Err: fmt.Errorf("the server refused %q", request)}
	default:
		return s, leave, nil
	}
	leave()
	return nil, nil, err
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
		f.end()
	}
}

// awaitEnd waits for a session's end; a connection on which it does not come is
// given up.
func (s *session) awaitEnd(done <-chan struct{}) {
	t := time.NewTimer(leaveBudget)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		s.link.drain()
	}
}

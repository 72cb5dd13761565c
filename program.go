package shoal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/shoal-ssh/shoal/internal/scp"
	"github.com/shoal-ssh/shoal/internal/sftp"
)

// program is a command whose input and output are a protocol, in a session of its
// own. Reading and writing end with a context, and where nothing moves.
type program struct {
	files   *scpFiles
	session *session
	leave   func()

	chunks chan []byte // of its output; closed at the end
	free   chan []byte
	held   []byte // the chunk at work
	rest   []byte // of it
	writes chan []byte
	wrote  chan error
	stop   chan struct{} // closed by end

	said   firstWords // its standard error
	over   chan struct{}
	status int // its exit status, -1 without one; for after over
}

// start starts a command.
func (f *scpFiles) start(ctx context.Context, line string) (*program, error) {
	const buffers = 4
	p := &program{files: f, chunks: make(chan []byte, buffers), free: make(chan []byte, buffers),
		writes: make(chan []byte), wrote: make(chan error, 1), stop: make(chan struct{}), over: make(chan struct{})}
	for range buffers {
		p.free <- make([]byte, largeBuffer)
	}
	var err error
	p.session, p.leave, err = f.conn.channel(ctx, "exec", line, &p.said, func(status int) {
		p.status = status
		close(p.over)
	})
	if err != nil {
		return nil, err
	}
	p.session.link.run(p.pump)
	p.session.link.run(p.feed)
	return p, nil
}

// pump reads the output, as far ahead as there are buffers.
func (p *program) pump() {
	defer close(p.chunks)
	for {
		select {
		case buf := <-p.free:
			n, err := p.session.channel.Read(buf)
			if n > 0 {
				p.chunks <- buf[:n] // has room for all buffers
			}
			if err != nil {
				return
			}
		case <-p.stop:
			io.Copy(io.Discard, p.session.channel)
			return
		}
	}
}

// feed writes the input.
func (p *program) feed() {
	for {
		select {
		case b := <-p.writes:
			_, err := p.session.channel.Write(b)
			p.wrote <- err
		case <-p.stop:
			return
		}
	}
}

// errCut is the end of a connection.
var errCut = errors.New("the connection broke")

// errSCPSilent is the end of a wait.
var errSCPSilent = fmt.Errorf("the host's scp does not answer (nothing for %v): %w", scpPatience, sftp.ErrSilent)

// ended is the error of an end of output or input.
func (p *program) ended() error {
	if !p.session.link.alive() {
		p.files.lost.Store(true)
		return errCut
	}
	return io.EOF
}

// read returns some output, which is good until the next read.
func (p *program) read(ctx context.Context) ([]byte, error) {
	if p.held != nil {
		p.free <- p.held[:cap(p.held)]
		p.held = nil
	}
	silent := time.NewTimer(scpPatience)
	defer silent.Stop()
	select {
	case chunk, ok := <-p.chunks:
		if !ok {
			return nil, p.ended()
		}
		p.held = chunk
		return chunk, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-silent.C:
		return nil, errSCPSilent
	}
}

// programIO is a program's output and input for as long as a context lasts. A
// write that failed may still be under way: what was to be written belongs to it.
type programIO struct {
	ctx context.Context
	p   *program
}

func (s programIO) Read(b []byte) (int, error) {
	for len(s.p.rest) == 0 {
		var err error
		if s.p.rest, err = s.p.read(s.ctx); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.p.rest)
	s.p.rest = s.p.rest[n:]
	return n, nil
}

func (s programIO) Write(b []byte) (n int, err error) {
	silent := time.NewTimer(scpPatience)
	defer silent.Stop()
	for len(b) > 0 {
		piece := b[:min(len(b), largeBuffer)]
		select {
		case s.p.writes <- piece: // taken at once, or the one before failed
		case <-s.ctx.Done():
			return n, context.Cause(s.ctx)
		case <-silent.C:
			return n, errSCPSilent
		}
		select {
		case err := <-s.p.wrote:
			if err != nil {
				if err = s.p.ended(); err == io.EOF {
					err = io.ErrClosedPipe
				}
				return n, err
			}
		case <-s.ctx.Done():
			return n, context.Cause(s.ctx)
		case <-silent.C:
			return n, errSCPSilent
		}
		n, b = n+len(piece), b[len(piece):]
		silent.Reset(scpPatience)
	}
	return n, nil
}

// end ends the program by the end of its input, which keeps it from working on
// with what it has, and gives its place back.
func (p *program) end() {
	p.session.link.run(func() { p.session.channel.CloseWrite() })
	p.awaitExit()
	p.abort()
}

// abort ends the program at once.
func (p *program) abort() {
	close(p.stop)
	p.session.channel.Close()
	p.session.awaitEnd(p.over)
	p.leave()
}

// exitBudget is how long a program may take to see that its input ended.
const exitBudget = time.Second

func (p *program) awaitExit() bool {
	t := time.NewTimer(exitBudget)
	defer t.Stop()
	select {
	case <-p.over:
		return true
	case <-t.C:
	case <-p.session.link.dead:
	}
	return false
}

// explain says more of an error that is the program's early end: what it said
// besides, or that the connection ended it.
func (p *program) explain(err error) error {
	_, short := err.(*scp.ShortError)
	if !short && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if p.awaitExit() && p.status < 0 && p.session.link.alive() { // it did not end by itself
		select {
		case <-p.session.link.dead:
		case <-time.After(exitBudget):
		}
	}
	if !p.session.link.alive() {
		return p.ended()
	}
	if short {
		return err
	}
	return &remoteError{&saidError{"the host's scp ended early", p.said.text()}}
}

// saidError is an error with what a program wrote to its standard error.
type saidError struct{ what, said string }

func (e *saidError) Error() string {
	if e.said == "" {
		return e.what
	}
	return e.what + ": " + printable(e.said)
}

// firstWords keeps the beginning of what is written.
type firstWords struct {
	mu sync.Mutex
	b  []byte
}

func (w *firstWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p[:min(len(p), 1024-len(w.b))]...)
	return len(p), nil
}

func (w *firstWords) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.b))
}

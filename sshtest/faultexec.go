package sshtest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// playRequest plays the faults of the answer to exec, shell or subsystem. It
// reports whether the request has been dealt with.
func (s *Session) playRequest(req request) bool {
	switch s.conn.fault.Kind {
	case ExecSilent:
	case ExecRefused:
		req.reply(false)
	case ExecUnimplemented:
		s.conn.raw.unimplemented()
	default:
		return false
	}
	return true
}

// play is run for a host with a fault: it runs handler, or what the fault puts
// in its place, and ends the session.
func (s *Session) play(ctx context.Context, handler Handler) {
	switch s.conn.fault.Kind {
	case ExecHang, ExecSlow, StdinNeverRead, ExecInfinite, ExecNoNewline, ExecExtFlood:
		s.end(s.playOutput(ctx, handler))
	case ExecResetMid, ExecCloseMid, ExecFreezeMid, ExecTruncatedPacket, BadMAC,
		ExecDisconnectMid, RekeySilent, RekeyDataFlood, RekeyNewHostKey:
		s.playCut(ctx, handler)
	case ExecDataAfterEOF, ExecDataAfterClose, ExecWindowOverrun, ExecHugePacket, ExecDataLenLie:
		s.conn.raw.playEnd(ctx, s, handler)
	default:
		s.playEnd(ctx, handler)
	}
}

// playOutput plays the faults of what a command reads and writes.
func (s *Session) playOutput(ctx context.Context, handler Handler) ExitStatus {
	fault := s.conn.fault
	switch fault.Kind {
	case ExecHang:
		<-ctx.Done()
		return ExitStatus{}
	case ExecSlow:
		s.Stdout = &slowWriter{ctx: ctx, w: s.Stdout}
	case StdinNeverRead:
		s.Stdin = blockedReader{ctx}
	case ExecInfinite:
		fill(s.Stdout, []byte("all work and no play\n"), 1<<62)
		return ExitStatus{}
	case ExecNoNewline:
		fill(s.Stdout, []byte("x"), fault.count(64<<20))
		return ExitStatus{}
	case ExecExtFlood:
		// x/crypto's channel has this method, though its interface has not.
		if ch, ok := s.ch.(interface {
			Extended(code uint32) io.ReadWriter
		}); ok {
			fill(ch.Extended(2), []byte("x"), fault.count(64<<20))
		}
	}
	return handler(ctx, s)
}

// A slowWriter writes a byte a second.
type slowWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *slowWriter) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := w.w.Write(p[i : i+1]); err != nil {
			return i, err
		}
		if err := pause(w.ctx, time.Second); err != nil {
			return i + 1, err
		}
	}
	return len(p), nil
}

// A blockedReader has nothing to read, ever.
type blockedReader struct{ ctx context.Context }

func (r blockedReader) Read([]byte) (int, error) {
	<-r.ctx.Done()
	return 0, io.EOF
}

// playEnd plays the faults of how a session ends.
func (s *Session) playEnd(ctx context.Context, handler Handler) {
	kind := s.conn.fault.Kind
	if kind == ExecStatusFirst {
		s.statusFirst(ctx, handler)
		return
	}
	status := handler(ctx, s)
	switch kind {
	case ExecEOFNoStatus:
		s.closeWrite()
		s.ch.Close()
	case ExecCloseNoEOF:
		s.ch.Close()
	case ExecStatusReset:
		s.SendExit(ExitStatus{})
		s.conn.flush()
		s.conn.wire.reset()
	case ExecStatusFreeze:
		s.SendExit(ExitStatus{})
		s.conn.flush()
		s.conn.wire.freeze()
	case ExecStatusNoEOF:
		s.SendExit(status)
		<-ctx.Done()
	case ExecStatusNoClose:
		s.SendExit(status)
		s.closeWrite()
		<-ctx.Done()
	case ExecStatusShort:
		s.odd("exit-status", []byte{0, 0, 0})
	case ExecSignal:
		s.end(ExitStatus{Signal: ssh.SIGTERM})
	case ExecSignalUnknown:
		s.end(ExitStatus{Signal: "BOOM\x1b[31m@example.com", CoreDumped: true, Message: "gone\r\n\x1b]0;owned\a[host2] OK"})
	case ExecSignalMalformed:
		s.odd("exit-signal", []byte("\x00\x00\x00\xffTERM"))
	default:
		s.end(status)
	}
}

// odd ends the session with a request of any form instead of an exit status.
func (s *Session) odd(request string, payload []byte) {
	s.ch.SendRequest(request, false, payload)
	s.closeWrite()
	s.ch.Close()
}

// statusFirst keeps the output back until the exit status is out.
func (s *Session) statusFirst(ctx context.Context, handler Handler) {
	stdout, stderr := s.Stdout, s.Stderr
	var out, errOut buffer
	s.Stdout, s.Stderr = &out, &errOut
	s.SendExit(handler(ctx, s))
	out.copyTo(stdout)
	errOut.copyTo(stderr)
	s.end(ExitStatus{})
}

// A buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) copyTo(w io.Writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.WriteTo(w)
}

// playCut plays the faults that end the connection in the middle of stdout.
func (s *Session) playCut(ctx context.Context, handler Handler) {
	cut := &cutWriter{w: s.Stdout, left: s.conn.fault.count(64 << 10)}
	cut.then = sync.OnceFunc(func() { s.cut() })
	s.Stdout = cut
	handler(ctx, s)
	cut.then()
	<-ctx.Done()
}

// cut does to the connection what the fault is about.
func (s *Session) cut() {
	w := s.conn.wire
	s.conn.flush()
	switch s.conn.fault.Kind {
	case ExecResetMid:
		w.reset()
	case ExecCloseMid:
		w.Close()
	case ExecFreezeMid:
		w.freeze()
	case ExecTruncatedPacket:
		w.setFilter(func(p []byte) ([]byte, int32) { return p[:len(p)/2], wireSilent })
		s.out.Write([]byte(strings.Repeat("truncated\n", 100)))
		w.Close()
	case BadMAC:
		w.setFilter(func(p []byte) ([]byte, int32) {
			p[len(p)-1] ^= 1
			return p, wireSilent
		})
		s.out.Write([]byte(strings.Repeat("corrupted\n", 100)))
	default:
		s.conn.raw.cut(s)
	}
}

// A cutWriter passes a number of bytes on and then calls then.
type cutWriter struct {
	mu   sync.Mutex
	w    io.Writer
	left int64
	then func()
}

func (c *cutWriter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.w.Write(p)
	}
	n, err := c.w.Write(p[:c.left])
	c.left = 0
	c.then()
	if err == nil {
		err = io.ErrClosedPipe
	}
	return n, err
}

// flush waits until the client has dealt with all that was sent, which its
// answer to a keepalive tells; a client that does not answer is not waited for
// longer than a second.
func (c *conn) flush() {
	answered := make(chan struct{})
	c.wg.Go(func() {
		defer close(answered)
		if c.raw != nil {
			c.raw.ping()
			return
		}
		c.ssh.SendRequest("keepalive@openssh.com", true, nil)
	})
	timeout := time.NewTimer(time.Second)
	defer timeout.Stop()
	select {
	case <-answered:
	case <-timeout.C:
	case <-c.wire.gone:
	}
}

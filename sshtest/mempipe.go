package sshtest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// pipeBuffer bounds the bytes in one direction of a connection without
	// delay, about what a kernel gives a loopback socket.
	pipeBuffer = 256 << 10
	// lineBuffer bounds the bytes under way on a delayed line. It is far above
	// SSH's channel windows, so that delay alone limits the throughput.
	lineBuffer = 16 << 20
)

// A line carries bytes one way: what is written can be read once the delay has
// passed, whatever was written in between, so the delay costs no bandwidth.
type line struct {
	mu    sync.Mutex
	cond  *sync.Cond
	delay time.Duration
	limit int

	buf     []byte   // arrived and under way, in order
	arrived int      // bytes of buf that may be read
	transit []parcel // the rest of buf
	timer   *time.Timer

	ended    error // what the reader gets after the last byte
	endDue   time.Time
	gone     error // the reader has left: what the writer gets
	readEnd  deadline
	writeEnd deadline
}

// A parcel is a run of bytes that arrives at one moment.
type parcel struct {
	size int
	due  time.Time
}

func newLine(delay time.Duration) *line {
	l := &line{delay: max(delay, 0), limit: pipeBuffer}
	if l.delay > 0 {
		l.limit = lineBuffer
	}
	l.cond = sync.NewCond(&l.mu)
	l.readEnd.line, l.writeEnd.line = l, l
	return l
}

// wake lets everyone who waits look again; the lock must not be held.
func (l *line) wake() {
	l.mu.Lock()
	l.cond.Broadcast()
	l.mu.Unlock()
}

func (l *line) read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.gone != nil {
			return 0, net.ErrClosed
		}
		if l.readEnd.passed {
			return 0, os.ErrDeadlineExceeded
		}
		l.arrive()
		if l.arrived > 0 || len(p) == 0 {
			return l.take(p), nil
		}
		if l.ended != nil && len(l.buf) == 0 && !time.Now().Before(l.endDue) {
			return 0, l.ended
		}
		l.cond.Wait()
	}
}

// arrive counts what is due by now and sees to it that the reader is woken for
// what is due next.
func (l *line) arrive() {
	if l.delay == 0 {
		return
	}
	now := time.Now()
	for len(l.transit) > 0 && !l.transit[0].due.After(now) {
		l.arrived += l.transit[0].size
		l.transit = l.transit[1:]
	}
	switch {
	case l.arrived > 0:
	case len(l.transit) > 0:
		l.alarm(l.transit[0].due.Sub(now))
	case l.ended != nil && l.endDue.After(now):
		l.alarm(l.endDue.Sub(now))
	}
}

func (l *line) alarm(d time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(d, l.wake)
		return
	}
	l.timer.Reset(d)
}

func (l *line) take(p []byte) int {
	n := copy(p, l.buf[:l.arrived])
	l.arrived -= n
	if n == len(l.buf) {
		l.buf = l.buf[:0]
		if cap(l.buf) > pipeBuffer {
			l.buf = nil
		}
	} else {
		l.buf = l.buf[n:]
	}
	l.cond.Broadcast()
	return n
}

func (l *line) write(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.ended != nil:
			return n, net.ErrClosed
		case l.gone != nil:
			return n, l.gone
		case l.writeEnd.passed:
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return n, nil
		}
		room := min(l.limit-len(l.buf), len(p))
		if room == 0 {
			l.cond.Wait()
			continue
		}
		l.put(p[:room])
		n += room
		p = p[room:]
	}
}

func (l *line) put(p []byte) {
	l.buf = append(l.buf, p...)
	if l.delay == 0 {
		l.arrived = len(l.buf)
	} else {
		l.transit = append(l.transit, parcel{len(p), time.Now().Add(l.delay)})
	}
	l.cond.Broadcast()
}

// end says that nothing more is written; the reader gets err after the rest.
func (l *line) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended, l.endDue = err, time.Now().Add(l.delay)
	}
	l.cond.Broadcast()
}

// leave says that nothing more is read; the writer gets err.
func (l *line) leave(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone == nil {
		l.gone = err
		l.buf, l.transit, l.arrived = nil, nil, 0
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.readEnd.set(time.Time{})
	l.cond.Broadcast()
}

// A deadline belongs to one side of a line and is guarded by the line's lock.
type deadline struct {
	line   *line
	timer  *time.Timer
	round  int // tells a timer that fired late that it was replaced
	passed bool
}

func (d *deadline) set(t time.Time) {
	d.round++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		return
	}
	round := d.round
	d.timer = time.AfterFunc(wait, func() {
		d.line.mu.Lock()
		defer d.line.mu.Unlock()
		if d.round == round {
			d.passed = true
			d.line.cond.Broadcast()
		}
	})
}

// A pipeConn is one end of a connection in memory. Unlike [net.Pipe] it is
// buffered, as both sides of SSH write first (RFC 4253 §4.2).
type pipeConn struct {
	in, out       *line
	local, remote net.Addr
	once          sync.Once
}

// newPipe returns the two ends of a connection in memory whose bytes need
// delay to get from one end to the other.
func newPipe(client, server net.Addr, delay time.Duration) (c, s *pipeConn) {
	up, down := newLine(delay), newLine(delay)
	c = &pipeConn{in: down, out: up, local: client, remote: server}
	s = &pipeConn{in: up, out: down, local: server, remote: client}
	return c, s
}

func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// wrap makes errors look like those of package net; io.EOF stays bare.
func (c *pipeConn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// CloseWrite ends what the peer reads, like a FIN.
func (c *pipeConn) CloseWrite() error {
	c.out.end(io.EOF)
	return nil
}

func (c *pipeConn) close(read, write error) {
	c.once.Do(func() {
		c.out.end(read)
		c.in.leave(write)
	})
}

func (c *pipeConn) Close() error {
	c.close(io.EOF, syscall.EPIPE)
	return nil
}

// reset ends the connection as an RST does: the peer's next call fails.
func (c *pipeConn) reset() { c.close(syscall.ECONNRESET, syscall.ECONNRESET) }

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.readEnd.set(t)
	c.in.cond.Broadcast()
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.writeEnd.set(t)
	c.out.cond.Broadcast()
	return nil
}

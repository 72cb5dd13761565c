package shoal

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// forwardConn is a forwarded connection: a channel as a whole [net.Conn].
type forwardConn struct {
	channel       ssh.Channel
	link          *link
	host          string // as results call it
	local, remote net.Addr

	in, out half
	rest    []byte // of in.buf, not yet read
	readErr error  // what follows after it
	sendErr error  // of a write that failed

	ended   chan struct{} // closed when the far side sends nothing more
	endErr  error         // why: io.EOF is its regular end
	closed  chan struct{}
	close   sync.Once
	over    atomic.Int32 // counts: the channel's end, and Close
	release func()       // its place in the link
}

// half is one direction. Only a channel's end stops a call of x/crypto, so each
// is made in a goroutine of its own; one whose caller has left, at a deadline,
// is what the next caller waits for first.
type half struct {
	turn     sync.Mutex // of the callers
	buf      []byte
	busy     bool
	done     chan result // of the call under way
	deadline deadline
}

type result struct {
	n   int
	err error
}

// forwardBuffer is that of each direction, a packet as OpenSSH has it.
const forwardBuffer = 32 << 10

// newForwardConn takes the channel over, and the place that release gives back.
func newForwardConn(l *link, host string, ch ssh.Channel, requests <-chan *ssh.Request, local, remote net.Addr, release func()) *forwardConn {
	c := &forwardConn{
		channel: ch, link: l, host: host, local: local, remote: remote,
		ended: make(chan struct{}), closed: make(chan struct{}), release: sync.OnceFunc(release),
	}
	c.in.done, c.out.done = make(chan result, 1), make(chan result, 1)
	go func() { // until the channel closes; no task, as the last release closes the link
		ssh.DiscardRequests(requests)
		c.leave()
	}()
	l.run(func() {
		var none [1]byte
		for err := error(nil); err == nil; { // ends the moment the data does, read or not
			_, err = ch.Stderr().Read(none[:])
		}
		c.endErr = c.end()
		close(c.ended)
	})
	return c
}

// endTime is how long after a channel's end the connection's may be noted.
const endTime = 5 * time.Millisecond

// end tells the regular end of what the far side sends from the connection's,
// which x/crypto shows alike. Where reading failed, that was noted before; where
// x/crypto itself ends the connection, as on a DISCONNECT, it is right after.
func (c *forwardConn) end() error {
	if c.link.alive() {
		select {
		case <-time.After(endTime):
			return io.EOF
		case <-c.link.dead:
			if c.link.wire.lost.Load() != nil { // after this
				return io.EOF
			}
		}
	}
	return c.lost()
}

func (c *forwardConn) lost() error {
	he := &HostError{Host: c.host, Stage: StageForward, Kind: KindLost, Err: c.link.reason(errConnClosed)}
	return he.at()
}

// leave gives the place back once the channel has ended on both sides: sshd
// answers a close when what came before has reached the target.
func (c *forwardConn) leave() {
	if c.over.Add(1) == 2 {
		c.release()
	}
}

// closeBudget bounds how long the server's answer to a close is awaited.
const closeBudget = 2 * time.Second

// Close ends both directions. What was written before arrives.
func (c *forwardConn) Close() error {
	c.close.Do(func() {
		close(c.closed)
		c.in.deadline.set(time.Time{})
		c.out.deadline.set(time.Time{})
		c.link.run(func() { c.channel.Close() }) // may wait for the network
		time.AfterFunc(closeBudget, c.release)
		c.leave()
	})
	return nil
}

// begin makes a call in the half.
func (c *forwardConn) begin(h *half, call func() (int, error)) {
	if h.buf == nil {
		h.buf = make([]byte, forwardBuffer)
	}
	h.busy = true
	c.link.run(func() {
		n, err := call()
		h.done <- result{n, err}
	})
}

// wait waits for the half's call; the error is that of who waits.
func (c *forwardConn) wait(h *half) (result, error) {
	select {
	case r := <-h.done:
		h.busy = false
		return r, nil
	case <-c.closed:
		return result{}, net.ErrClosed
	case <-h.deadline.passed():
		return result{}, os.ErrDeadlineExceeded
	}
}

// ready is the error of a call that comes too late.
func (c *forwardConn) ready(h *half) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	case <-h.deadline.passed():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

func (c *forwardConn) wrap(op string, err error) error {
	return &net.OpError{Op: op, Net: c.remote.Network(), Source: c.local, Addr: c.remote, Err: err}
}

func (c *forwardConn) Read(p []byte) (int, error) {
	c.in.turn.Lock()
	defer c.in.turn.Unlock()
	if err := c.ready(&c.in); err != nil {
		return 0, c.wrap("read", err)
	}
	for len(p) > 0 && len(c.rest) == 0 && c.readErr == nil {
		if !c.in.busy {
			c.begin(&c.in, func() (int, error) { return c.channel.Read(c.in.buf) })
		}
		r, err := c.wait(&c.in)
		if err != nil {
			return 0, c.wrap("read", err)
		}
		c.rest, c.readErr = c.in.buf[:r.n], r.err
		if r.err == io.EOF {
			<-c.ended
			c.readErr = c.endErr
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, c.readErr
}

// Write counts what is under way at a deadline as written: that is not to be
// sent again.
func (c *forwardConn) Write(p []byte) (n int, err error) {
	c.out.turn.Lock()
	defer c.out.turn.Unlock()
	for {
		if err := c.flush(); err != nil || len(p) == 0 {
			return n, err
		}
		if c.out.buf == nil {
			c.out.buf = make([]byte, forwardBuffer)
		}
		k := copy(c.out.buf, p)
		n, p = n+k, p[k:]
		c.begin(&c.out, func() (int, error) { return c.channel.Write(c.out.buf[:k]) })
		if len(p) == 0 {
			return n, c.flush()
		}
	}
}

// flush waits for the write under way. c.out.turn is held.
func (c *forwardConn) flush() error {
	if err := c.ready(&c.out); err != nil {
		return c.wrap("write", err)
	}
	if c.out.busy {
		r, err := c.wait(&c.out)
		if err != nil {
			return c.wrap("write", err)
		}
		c.sendErr = r.err
	}
	switch {
	case c.sendErr == nil:
		return nil
	case !c.link.alive():
		return c.lost()
	case c.sendErr == io.EOF: // the far side closed
		return c.wrap("write", syscall.EPIPE)
	}
	return c.wrap("write", c.sendErr)
}

// CloseWrite tells the far side that nothing more comes; it may go on sending.
func (c *forwardConn) CloseWrite() error {
	c.out.turn.Lock()
	defer c.out.turn.Unlock()
	if err := c.flush(); err != nil {
		return err
	}
	c.begin(&c.out, func() (int, error) { return 0, c.channel.CloseWrite() })
	if err := c.flush(); err != nil {
		return err
	}
	c.sendErr = syscall.EPIPE
	return nil
}

func (c *forwardConn) LocalAddr() net.Addr  { return c.local }
func (c *forwardConn) RemoteAddr() net.Addr { return c.remote }

func (c *forwardConn) SetDeadline(t time.Time) error {
	c.in.deadline.set(t)
	c.out.deadline.set(t)
	return nil
}

func (c *forwardConn) SetReadDeadline(t time.Time) error {
	c.in.deadline.set(t)
	return nil
}

func (c *forwardConn) SetWriteDeadline(t time.Time) error {
	c.out.deadline.set(t)
	return nil
}

// deadline is a moment that may be set anew while others wait for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	round int           // tells a timer that fires late that it was replaced
	over  chan struct{} // closed when the moment has come
}

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over == nil {
		d.over = make(chan struct{})
	}
	return d.over
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.round++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.over:
		d.over = nil
	default:
	}
	if d.over == nil {
		d.over = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		close(d.over)
		return
	}
	round := d.round
	d.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.round == round {
			close(d.over)
		}
	})
}

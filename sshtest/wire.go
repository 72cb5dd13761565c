package sshtest

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The states of a wire.
const (
	wireOpen   int32 = iota
	wireSilent       // what the client sends is read and dropped, nothing is sent
	wireFrozen       // nothing is read either, as of a stopped process
)

// A wire is the server's end of a connection, below SSH. It saves system
// calls and is where faults of the network are played.
type wire struct {
	net.Conn
	ahead []byte // read before it was wanted; used by the one reader only
	state atomic.Int32
	gone  chan struct{} // closed by Close
	once  sync.Once

	mu     sync.Mutex
	corked bool
	held   []byte
	filter func(p []byte) (send []byte, then int32) // sees what is sent, if set
}

// newWire puts the host's delay between a connection and its server.
func (f *Fleet) newWire(h *host, nc net.Conn) *wire {
	if d := f.latency(h); d > 0 {
		if _, ok := nc.(*pipeConn); !ok {
			nc = f.delay(nc, d)
		}
	}
	return &wire{Conn: nc, gone: make(chan struct{})}
}

// Read reads ahead at the start, as x/crypto asks for the version line byte by
// byte.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		w.ahead = w.ahead[n:]
		return n, nil
	}
	buf := p
	if len(p) == 1 {
		buf = make([]byte, 256)
	}
	for {
		n, err := w.Conn.Read(buf)
		if w.state.Load() == wireFrozen {
			<-w.gone
			return 0, net.ErrClosed
		}
		if w.state.Load() == wireSilent {
			if err == nil {
				continue
			}
			w.Close() // tells those who wait for the client to leave
		}
		got := min(n, len(p))
		if len(p) == 1 {
			copy(p, buf[:got])
			w.ahead = buf[got:n]
		}
		return got, err
	}
}

func (w *wire) Write(p []byte) (int, error) {
	n := len(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Load() != wireOpen {
		return len(p), nil
	}
	if w.corked && len(p) <= corkMax {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	if w.corked {
		p, w.held, w.corked = append(w.held, p...), nil, false
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return n, nil
}

func (w *wire) send(p []byte) error {
	then := wireOpen
	if w.filter != nil {
		p, then = w.filter(p)
	}
	if then != wireOpen {
		w.state.Store(then) // before the client can answer
	}
	_, err := w.Conn.Write(p)
	return err
}

// corkMax is the longest write that cork holds back. The messages of a key
// exchange are longer: holding them back while the session waits for its end
// would be a deadlock.
const corkMax = 512

// cork holds back small writes until uncork sends them at once, as sshd does
// with the packets of one turn of its loop.
func (w *wire) cork() {
	w.mu.Lock()
	w.corked = true
	w.mu.Unlock()
}

func (w *wire) uncork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	if len(w.held) > 0 && w.state.Load() == wireOpen {
		w.send(w.held) // the error shows at the next read
	}
	w.held = nil
}

// setFilter makes filter see what is sent from now on.
func (w *wire) setFilter(filter func(p []byte) (send []byte, then int32)) {
	w.mu.Lock()
	w.filter = filter
	w.mu.Unlock()
}

// silence drops whatever is read and written from now on.
func (w *wire) silence() { w.state.Store(wireSilent) }

// freeze stops reading and writing until the fleet closes.
func (w *wire) freeze() { w.state.Store(wireFrozen) }

func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.gone)
		w.Conn.Close()
	})
	return nil
}

// reset closes the connection with an RST.
func (w *wire) reset() {
	w.once.Do(func() {
		close(w.gone)
		resetConn(w.Conn)
	})
}

func resetConn(nc net.Conn) {
	switch c := nc.(type) {
	case *net.TCPConn:
		c.SetLinger(0)
		c.Close()
	case *pipeConn:
		c.reset()
	default:
		c.Close()
	}
}

// drain reads until the client has gone, for faults that never speak SSH.
func (w *wire) drain() { io.Copy(io.Discard, w.Conn) }

// delay returns the server's end of nc moved further away.
func (f *Fleet) delay(nc net.Conn, d time.Duration) net.Conn {
	near, far := newPipe(nc.LocalAddr(), nc.RemoteAddr(), d)
	f.wg.Go(func() { // client to server
		_, err := io.Copy(far, nc)
		if err == nil {
			err = io.EOF
		}
		far.out.end(err)
	})
	f.wg.Go(func() { // server to client
		_, err := io.Copy(nc, far)
		if errors.Is(err, syscall.ECONNRESET) {
			resetConn(nc)
		}
		nc.Close()
		far.Close()
	})
	return near
}

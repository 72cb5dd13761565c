package shoal

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the net.Conn under a connection. It watches what x/crypto/ssh does
// not show: what the server said before and as its identification, when it
// last gave a sign of life, and whether reading failed.
type wire struct {
	net.Conn
	began time.Time
	// identified is called once, when the server's identification is complete.
	identified func()
	// wrote is called before each write with its number, from 1.
	wrote func(n int64)

	lastRead  atomic.Int64          // since began
	read      atomic.Int64          // bytes
	writes    atomic.Int64          // calls of Write
	loggedIn  atomic.Bool           // until then a server may say little
	rekeyed   atomic.Bool           // keys were exchanged anew
	broken    atomic.Bool           // a failed read was reported, or the connection closed
	lost      atomic.Pointer[error] // why reading or writing failed, before we closed
	settle    atomic.Pointer[settler]
	closeOnce sync.Once
	closeErr  error

	// Used by the one reader before identification, then by nobody.
	hello   []byte // first bytes of what came
	line    []byte // the line under way
	buf     []byte // read and not yet handed on
	done    bool
	problem atomic.Pointer[problem]
}

// problem is what is wrong with what a server sends.
type problem struct {
	kind Kind
	err  error
}

// settler is waited for before a failed read is reported.
type settler struct{ wait func() }

const (
	maxHello = 1024    // bytes kept of what comes before the identification
	maxLine  = 255     // RFC 4253 §4.2
	maxLogin = 1 << 20 // bytes read before the login has succeeded
)

var errFlood = fmt.Errorf("the server sent over %d MiB before the login was done", maxLogin>>20)

func newWire(c net.Conn, identified func()) *wire {
	return &wire{Conn: c, began: time.Now(), identified: identified}
}

func (w *wire) Read(p []byte) (int, error) {
	if w.done && len(w.buf) == 0 {
		return w.count(p)
	}
	if len(w.buf) == 0 {
		var chunk [512]byte
		n, err := w.count(chunk[:])
		if n == 0 {
			return 0, err
		}
		w.buf = append(w.buf, chunk[:n]...)
		if err := w.inspect(chunk[:n]); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf)
	if w.buf = w.buf[n:]; len(w.buf) == 0 {
		w.buf = nil
	}
	return n, nil
}

func (w *wire) count(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.lastRead.Store(int64(time.Since(w.began)))
		if w.read.Add(int64(n)) > maxLogin && !w.loggedIn.Load() {
			w.problem.CompareAndSwap(nil, &problem{KindProtocol, errFlood})
			return 0, errFlood
		}
	}
	if err != nil && !w.broken.Load() {
		if s := w.settle.Load(); s != nil {
			s.wait()
		}
		w.lost.CompareAndSwap(nil, &err)
		w.broken.Store(true)
	}
	return n, err
}

// inspect looks at the bytes up to the end of the identification. x/crypto
// accepts SSH-1.5 and control characters there; OpenSSH and we do not.
func (w *wire) inspect(p []byte) error {
	if room := maxHello - len(w.hello); room > 0 && !w.done {
		w.hello = append(w.hello, p[:min(room, len(p))]...)
	}
	for _, b := range p {
		if w.done {
			return nil
		}
		if b != '\n' {
			if len(w.line) <= maxLine {
				w.line = append(w.line, b)
			}
			continue
		}
		line := strings.TrimSuffix(string(w.line), "\r")
		w.line = w.line[:0]
		if !strings.HasPrefix(line, "SSH-") {
			continue
		}
		w.done, w.line = true, nil
		if err := checkIdentification(line); err != nil {
			w.problem.Store(&problem{KindNotSSH, err})
			return err
		}
		w.identified()
	}
	return nil
}

func checkIdentification(line string) error {
	if !strings.HasPrefix(line, "SSH-2.0-") && !strings.HasPrefix(line, "SSH-1.99-") {
		return fmt.Errorf("the server speaks another protocol version: %q", clip(line, 80))
	}
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return fmt.Errorf("control characters in the server's identification %q", clip(line, 80))
		}
	}
	return nil
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// firstLine returns the first line the server sent, if any.
func (w *wire) firstLine() string {
	l, _, _ := bytes.Cut(w.hello, []byte("\n"))
	return strings.TrimSuffix(string(l), "\r")
}

func (w *wire) Write(p []byte) (int, error) {
	if n := w.writes.Add(1); w.wrote != nil {
		w.wrote(n)
	}
	n, err := w.Conn.Write(p)
	if err != nil && !w.broken.Load() {
		w.lost.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close may be called from anywhere any number of times.
func (w *wire) Close() error {
	w.closeOnce.Do(func() {
		w.broken.Store(true)
		w.closeErr = w.Conn.Close()
	})
	return w.closeErr
}

// quiet is the time since the last byte came.
func (w *wire) quiet() time.Duration {
	return time.Since(w.began) - time.Duration(w.lastRead.Load())
}

//go:build unix

package openssh

import (
	"context"
	"net"
	"sync"
	"time"
)

// join connects to a ControlMaster that runs, or returns nil.
func join(ctx context.Context, path string) net.Conn {
	if path == "" || path == "none" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil // none, or one that is gone: we run our own
	}
	return &joined{Conn: conn}
}

// joined is a connection to a ControlMaster of somebody else's, which must not
// suffer from our leaving: OpenSSH's (seen with 9.2) ends itself where a client
// leaves while the opening of a channel is not answered yet. So Close waits for
// the answers.
type joined struct {
	net.Conn

	reading sync.Mutex // held while reading, by the one reader or Close
	head    []byte     // of the packet that comes
	rest    int        // of its bytes that come after the head

	mu      sync.Mutex
	opening int // channels without an answer
	closing bool

	close sync.Once
}

const (
	// Message numbers of RFC 4254 §9.
	msgChannelOpen             = 90
	msgChannelOpenConfirmation = 91
	msgChannelOpenFailure      = 92
	// headLen is the length of a packet, its padding's, which is zero, and the
	// message number.
	headLen = 4 + 1 + 1
	// answerTime is how long answers are waited for.
	answerTime = 10 * time.Second
)

// Write takes whole packets, as x/crypto/ssh writes them.
func (j *joined) Write(p []byte) (int, error) {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return 0, net.ErrClosed
	}
	if len(p) >= headLen && p[4] == 0 && p[5] == msgChannelOpen {
		j.opening++
	}
	j.mu.Unlock()
	return j.Conn.Write(p)
}

func (j *joined) Read(p []byte) (int, error) {
	if !j.reading.TryLock() { // by Close
		return 0, net.ErrClosed
	}
	defer j.reading.Unlock()
	if j.isClosing() {
		return 0, net.ErrClosed
	}
	n, err := j.Conn.Read(p)
	j.watch(p[:n])
	if j.isClosing() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (j *joined) isClosing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closing
}

// watch counts the answers in what was read.
func (j *joined) watch(p []byte) {
	for len(p) > 0 {
		if j.rest > 0 {
			n := min(j.rest, len(p))
			j.rest, p = j.rest-n, p[n:]
			continue
		}
		n := min(headLen-len(j.head), len(p))
		j.head, p = append(j.head, p[:n]...), p[n:]
		if len(j.head) < headLen {
			return
		}
		length := int(j.head[0])<<24 | int(j.head[1])<<16 | int(j.head[2])<<8 | int(j.head[3])
		if j.head[4] == 0 && (j.head[5] == msgChannelOpenConfirmation || j.head[5] == msgChannelOpenFailure) {
			j.mu.Lock()
			j.opening--
			j.mu.Unlock()
		}
		j.head, j.rest = j.head[:0], max(length-2, 0)
	}
}

// Close waits for what is on its way.
func (j *joined) Close() error {
	var err error
	j.close.Do(func() {
		j.mu.Lock()
		j.closing = true
		j.mu.Unlock()
		j.SetReadDeadline(time.Now()) // who reads, stops
		j.reading.Lock()
		defer j.reading.Unlock()
		j.SetReadDeadline(time.Now().Add(answerTime))
		buf := make([]byte, 32<<10)
		for j.unanswered() {
			n, err := j.Conn.Read(buf)
			j.watch(buf[:n])
			if err != nil {
				break
			}
		}
		err = j.Conn.Close()
	})
	return err
}

func (j *joined) unanswered() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.opening > 0
}

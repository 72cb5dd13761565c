package opensshtest

import (
	"io"
	"strings"
	"sync"
)

// log is the growing log of a server, over all its runs.
type log struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced whenever text grows
}

func (l *log) init() { l.changed = make(chan struct{}) }

// readFrom adds what comes from r, until its end. Carriage returns, which sshd
// writes for terminals in raw mode, are left out.
func (l *log) readFrom(r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		l.add(buf[:n])
		if err != nil {
			return
		}
	}
}

func (l *log) add(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range p {
		if c != '\r' {
			l.text = append(l.text, c)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *log) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// find returns the nth complete line with text in it after position since, or
// "", and a channel that is closed when the log grows beyond what was searched.
func (l *log) find(text string, n, since int) (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(l.text[since:])) {
		if !strings.HasSuffix(line, "\n") || !strings.Contains(line, text) {
			continue
		}
		if n--; n == 0 {
			return strings.TrimSuffix(line, "\n"), l.changed
		}
	}
	return "", l.changed
}

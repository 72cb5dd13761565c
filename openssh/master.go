//go:build unix

package openssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/shoal-ssh/shoal"
)

const (
	// waitDelay is how long the messages of a process that has ended are
	// waited for: a ProxyCommand may hold them open.
	waitDelay = 2 * time.Second
	// endTime is how long ssh has to end by itself.
	endTime = time.Second
	// maxSocket is the shortest system's limit for the path of a socket, less
	// what ssh puts behind it until it listens: a dot and 16 characters.
	maxSocket = 103 - 17
)

// master is an ssh that runs as ControlMaster for us, and the connection to it.
type master struct {
	net.Conn
	cmd    *exec.Cmd
	dir    string
	said   *tail
	exited chan struct{}
	exit   error // set before exited is closed

	close sync.Once
}

// start runs ssh and returns when it is logged in.
func (t *Transport) start(ctx context.Context, h shoal.Host, args []string, wait *budget, fail context.CancelCauseFunc) (*master, error) {
	dir, err := privateDir()
	if err != nil {
		return nil, &shoal.HostError{Stage: shoal.StagePrepare, Kind: shoal.KindLocalIO, Err: err}
	}
	socket := filepath.Join(dir, "s")
	m := &master{dir: dir, said: new(tail), exited: make(chan struct{})}
	m.cmd = exec.Command(t.path(), slices.Concat(masterArgs(socket), args, []string{"--", h.Addr})...)
	m.cmd.Stderr, m.cmd.WaitDelay = m.said, waitDelay
	if t.Ask != nil || !t.Terminal {
		m.cmd.SysProcAttr = apart()
	}
	if t.Ask != nil {
		a, err := startAsking(ctx, t.Ask, h, dir, wait, fail)
		if err != nil {
			os.RemoveAll(dir)
			return nil, &shoal.HostError{Stage: shoal.StagePrepare, Kind: shoal.KindLocalIO, Err: err}
		}
		defer a.stop()
		m.cmd.Env = append(os.Environ(), a.env()...)
	}
	if err := t.starter.start(m.cmd); err != nil {
		os.RemoveAll(dir)
		return nil, t.notStarted(err)
	}
	go func() { // until ssh ends, which end waits for
		m.exit = m.cmd.Wait()
		t.starter.done()
		close(m.exited)
	}()
	if err := m.login(ctx, h, socket); err != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

// privateDir makes a folder for a socket, whose path has a limit.
func privateDir() (string, error) {
	dir, err := os.MkdirTemp("", "shoal-ssh-")
	if err != nil || len(dir)+len("/s") <= maxSocket {
		return dir, err
	}
	os.Remove(dir)
	return os.MkdirTemp("/tmp", "shoal-ssh-")
}

// login waits until ssh listens, which it does when it is logged in.
func (m *master) login(ctx context.Context, h shoal.Host, socket string) error {
	for pause := time.Millisecond; ; pause = min(pause*3/2, 20*time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			m.Conn = conn
			return nil
		}
		select {
		case <-m.exited:
			if ctx.Err() != nil {
				return ended(ctx)
			}
			return failure(h, m.said.String(), orExit(m.exit))
		case <-ctx.Done():
			return ended(ctx)
		case <-time.After(pause):
		}
	}
}

var errExit = errors.New("exit status 0")

func orExit(err error) error {
	if err == nil {
		return errExit
	}
	return err
}

// Read reads from ssh. Where ssh has ended it says why.
func (m *master) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		err = m.reason()
	}
	return n, err
}

func (m *master) reason() error {
	select {
	case <-m.exited:
	case <-time.After(endTime):
		return errors.New("ssh closed the connection")
	}
	if lines := messages(m.said.String()); len(lines) > 0 {
		return &Error{Messages: lines[len(lines)-1:]}
	}
	return fmt.Errorf("ssh ended: %w", orExit(m.exit))
}

// Close ends ssh and returns when it is gone.
func (m *master) Close() error {
	m.end()
	return nil
}

func (m *master) end() {
	m.close.Do(func() {
		if m.Conn != nil {
			m.Conn.Close()
		}
		m.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-m.exited:
		case <-time.After(endTime):
			m.cmd.Process.Kill()
			<-m.exited
		}
		os.RemoveAll(m.dir)
	})
}

// apart starts a process without terminal, so that it can neither ask there nor
// get signals from there.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// tail keeps the last bytes written to it. Safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - maxTail; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

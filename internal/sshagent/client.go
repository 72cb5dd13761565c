// Package sshagent uses the SSH agent of the user for a whole run.
//
// An agent is one process, often one with a person or a piece of hardware behind
// it, while a run has thousands of hosts. So a [Client] is shared by all of
// them: it lists the keys once, keeps few signatures in flight, and gives up on
// an agent, or a key, that does not answer, once for all hosts.
//
// The protocol is draft-ietf-sshm-ssh-agent, of which a client needs two
// requests. They are made here and not by the client of x/crypto/ssh/agent,
// because that one has no way to bound the time of a request, accepts replies of
// 16 MiB, and leaves a goroutine behind when an agent talks unasked.
package sshagent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ErrNoAgent says that the environment names no agent.
var ErrNoAgent = errors.New("no ssh agent: SSH_AUTH_SOCK is not set")

// ErrClosed says that the client was closed.
var ErrClosed = errors.New("ssh agent: client closed")

// Options are the limits of a [Client]. The zero value has the defaults.
type Options struct {
	ListBudget time.Duration // for connecting and listing the keys; 0 means 5 s
	SignBudget time.Duration // for a sign of life while signing, see [Client.Signers]; 0 means 5 s
	// TouchBudget is SignBudget for keys on security keys, which want to be
	// touched; 0 means 30 s.
	TouchBudget time.Duration
	Signing     int // signatures in flight at most; 0 means 32
}

// Error is a request to the agent that failed.
type Error struct {
	Op  string        // "list keys" or "sign"
	Key ssh.PublicKey // what was to sign; nil for a list
	Err error         // is [os.ErrDeadlineExceeded] when the budget was used up
}

// Error implements error. It names the key by its fingerprint.
func (e *Error) Error() string {
	if e.Key == nil {
		return fmt.Sprintf("ssh agent: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("ssh agent: %s with %s %s: %v", e.Op, e.Key.Type(), ssh.FingerprintSHA256(e.Key), e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Client is the agent as all hosts of a run share it. It is made by [New] or
// [FromEnv], is safe for concurrent use, and is to be closed.
type Client struct {
	dial    func(context.Context) (net.Conn, error)
	options Options
	slots   chan struct{} // one element for each signature in flight

	// life ends with Close and takes along what would outlast its callers. It
	// is kept because the methods that need it, those of ssh.Signer, get none.
	life context.Context
	end  context.CancelFunc

	once    sync.Once
	work    sync.WaitGroup // the listing
	listed  chan struct{}  // closed once signers and listErr are final
	signers []ssh.Signer
	listErr error

	mu     sync.Mutex
	closed bool
	idle   []net.Conn
	busy   map[net.Conn]string // with the key that each waits for, "" for the list
	stuck  map[string]error    // keys that did not answer, by their wire form
}

// New returns a client of the agent that dial connects to. It connects only when
// it has to, and again when a connection broke; dial must heed its context.
func New(dial func(context.Context) (net.Conn, error), options Options) *Client {
	options.ListBudget = cmp.Or(options.ListBudget, 5*time.Second)
	options.SignBudget = cmp.Or(options.SignBudget, 5*time.Second)
	options.TouchBudget = cmp.Or(options.TouchBudget, 30*time.Second)
	options.Signing = cmp.Or(options.Signing, 32)
	c := &Client{
		dial:    dial,
		options: options,
		slots:   make(chan struct{}, options.Signing),
		listed:  make(chan struct{}),
		busy:    make(map[net.Conn]string),
		stuck:   make(map[string]error),
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// FromEnv returns a client of the user's agent: the socket that SSH_AUTH_SOCK
// names. On Windows it may name a pipe, and empty means the pipe of OpenSSH's
// agent service; elsewhere empty is [ErrNoAgent]. Nothing in the name is
// expanded. Whether an agent is there shows when it is used.
func FromEnv(options Options) (*Client, error) {
	return At(os.Getenv("SSH_AUTH_SOCK"), options)
}

// At is [FromEnv] for an agent at another socket or pipe.
func At(socket string, options Options) (*Client, error) {
	dial, err := dialer(socket)
	if err != nil {
		return nil, err
	}
	return New(dial, options), nil
}

func dialUnix(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// Dial makes a connection of its own to the agent, for forwarding it.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) { return c.dial(ctx) }

// Signers returns a signer for each key of the agent, in its order;
// certificates are keys of their own. The agent is asked once, by the first
// call; the answer or the error is that of all calls. It has ListBudget to
// answer, no matter what becomes of the first caller.
//
// Left out are keys of unknown types, DSA keys and RSA keys shorter than 2048
// bits. RSA keys sign with SHA-2 only.
//
// The signers implement [ssh.MultiAlgorithmSigner] and are safe for concurrent
// use, until Close. At most Signing of all their signatures are in flight, the
// others wait for their turn. A signature fails when for SignBudget the agent
// gave none with that key, to nobody: an agent that works through a queue, one
// key at a time, is slow but alive. After that the key fails for everybody at
// once. Their errors are of type [*Error], or [ErrClosed].
func (c *Client) Signers(ctx context.Context) ([]ssh.Signer, error) {
	c.once.Do(c.startList)
	select {
	case <-c.listed:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.life.Err() != nil {
		return nil, ErrClosed
	}
	return slices.Clone(c.signers), c.listErr
}

// startList lists the keys apart from the caller. Close waits for it.
func (c *Client) startList() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		close(c.listed)
		return
	}
	c.work.Go(func() {
		defer close(c.listed)
		c.signers, c.listErr = c.list()
	})
}

func (c *Client) list() ([]ssh.Signer, error) {
	reply, err := c.exchange("", listRequest(), c.options.ListBudget)
	if err != nil {
		return nil, &Error{Op: "list keys", Err: err}
	}
	keys, err := parseList(reply)
	if err != nil {
		return nil, &Error{Op: "list keys", Err: err}
	}
	var signers []ssh.Signer
	for _, key := range keys {
		if usable(key) {
			signers = append(signers, &signer{client: c, public: key, blob: key.Marshal()})
		}
	}
	return signers, nil
}

// Close ends the connections to the agent and all requests on them. Signers got
// before fail from now on. Closing again does nothing. The error is always nil.
func (c *Client) Close() error {
	c.end()
	c.mu.Lock()
	c.closed = true
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
	for conn := range c.busy {
		conn.Close()
	}
	c.mu.Unlock()
	c.work.Wait()
	return nil
}

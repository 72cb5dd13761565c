package shoal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// Defaults of [Client].
const (
	DefaultLimit      = 100
	DefaultHandshakes = 100
	DefaultPerAddress = 8
	DefaultMaxIdle    = 1000
)

// Client runs commands on hosts. It keeps connections and uses them again,
// for all its methods; [Client.Close] ends them. The zero value is ready.
//
// Safe for concurrent use; the fields must not be changed, nor the Client
// copied, after first use.
type Client struct {
	// Host is where every host starts from: its fields stand in for those a
	// host leaves zero. Name and Addr are not used.
	Host Host
	// Complete has the last word on each host before it is connected to; nil
	// leaves hosts as they are.
	Complete func(Host) (Host, error)
	// Limit is the number of hosts at work at once in one call; 0 means 100. It
	// alone may be changed after first use, while no call is under way. The
	// system's limit of open files (ulimit -n) may make them fewer: a host at
	// work has room for two.
	// Commands handed out by [Client.Start] do not count once they have begun.
	Limit int
	// Handshakes bounds the key exchanges under way at once, which cost CPU
	// where waiting costs none; 0 means 100.
	Handshakes int
	// PerAddress bounds the connections being made to one address at once,
	// so that a server's MaxStartups is not met; 0 means 8.
	PerAddress int
	// MaxIdle is the number of connections kept open while nothing uses
	// them; 0 means 1000, negative means none.
	MaxIdle int
	// Dial makes the network connections, but not those through jump hosts or
	// a [Host.ProxyCommand];
	// nil means TCP, to all addresses of a name as in RFC 8305. It gets the
	// name unresolved, as "host:port".
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Transport makes the connections in another way, such as by the user's own
	// ssh; nil means Shoal's own. What it takes of a Host is for it to say;
	// PerAddress and Handshakes bound the attempts with it too.
	Transport Transport
	// Resolver looks up names where Dial is nil; nil means
	// [net.DefaultResolver].
	Resolver *net.Resolver
	// Log gets the stages with their times at [slog.LevelDebug], lines of
	// hosts at [LevelLine] and warnings; nil means none. Never a secret.
	Log *slog.Logger

	init         sync.Once
	limit        limits
	cache        pool
	keys         keyCache
	known        KnownHosts
	self         func() (string, error) // the current user's name
	agents       agents
	agentWarning sync.Once
	auth         []Auth    // of hosts that name none
	small, large sync.Pool // of *[]byte, for output
}

// LevelLine is the level of [Client.Log] at which lines of hosts are logged,
// with the attributes host, stream ("stdout" or "stderr") and line.
const LevelLine = slog.LevelDebug + 2

func (c *Client) setup() {
	c.init.Do(func() {
		c.limit = newLimits(orDefault(c.Handshakes, DefaultHandshakes), orDefault(c.PerAddress, DefaultPerAddress))
		c.cache.init(orDefault(c.MaxIdle, DefaultMaxIdle))
		c.self = sync.OnceValues(func() (string, error) { return Host{}.login() })
		c.auth = DefaultAuth()
		if c.Log == nil {
			c.Log = slog.New(slog.DiscardHandler)
		}
	})
}

func orDefault(n, d int) int {
	if n == 0 {
		return d
	}
	return n
}

// complete gives a host all its settings.
func (c *Client) complete(h Host) (Host, error) {
	c.setup()
	if !c.Host.ForwardAgent.invalid() {
		return h, errors.New("Client.Host has a ForwardAgent: an agent is forwarded to hosts one by one, each with its own")
	}
	h, err := c.settle(h.or(c.Host))
	if err == nil && len(h.Via) > 0 {
		h.Via, err = c.chain(h, 0)
	}
	return h, err
}

// final is complete for a host that is connected to; the error is a [*HostError].
func (c *Client) final(h Host) (Host, error) {
	full, err := c.complete(h)
	if err == nil {
		_, _, err = full.address()
	}
	if err != nil {
		he := &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindInvalid, Err: err}
		return h, he.at()
	}
	return full, nil
}

// settle is complete without the jump hosts.
func (c *Client) settle(h Host) (Host, error) {
	if c.Complete != nil {
		var err error
		if h, err = c.Complete(h); err != nil {
			return h, err
		}
	}
	if c.Transport != nil {
		return h, c.checkCarried(h)
	}
	if h.User == "" {
		var err error
		if h.User, err = c.self(); err != nil {
			return h, err
		}
	}
	if h.Auth == nil {
		h.Auth = c.auth
	}
	if i := slices.IndexFunc(h.Auth, Auth.invalid); i >= 0 {
		return h, fmt.Errorf("number %d of Auth is a zero Auth", i+1)
	}
	if h.HostKeys == nil {
		h.HostKeys = &c.known
	}
	if h.BindAddress != "" && net.ParseIP(h.BindAddress) == nil {
		return h, fmt.Errorf("bind address %q is not an IP address", h.BindAddress)
	}
	if h.proxyCommand() != "" {
		if _, err := h.proxyArgs(); err != nil {
			return h, err
		}
	}
	if err := h.Algorithms.check(); err != nil {
		return h, err
	}
	if err := checkEnv(h.Env); err != nil {
		return h, err
	}
	if err := h.ForwardAgent.checkAgent(); err != nil {
		return h, err
	}
	if h.Network == "" {
		h.Network = "tcp"
	}
	if c.Dial == nil && !slices.Contains([]string{"tcp", "tcp4", "tcp6"}, h.Network) {
		return h, fmt.Errorf("network %q is not tcp, tcp4 or tcp6", h.Network)
	}
	return h, nil
}

// Conn connects to one host and logs in, or hands out a connection that the
// client keeps. Closing the Conn gives it back. The error is a [*HostError].
func (c *Client) Conn(ctx context.Context, h Host) (*Conn, error) {
	conn, _, err := c.connect(ctx, h)
	return conn, err
}

// connect is Conn with what it took.
func (c *Client) connect(ctx context.Context, h Host) (*Conn, Timings, error) {
	began := time.Now()
	full, err := c.final(h)
	if err != nil {
		return nil, Timings{}, err
	}
	if err := c.findAgent(ctx, full); err != nil {
		return nil, Timings{}, err
	}
	p, err := c.cache.acquire(c, full)
	if err != nil {
		return nil, Timings{}, &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindCancelled, Err: err}
	}
	t, err := p.connect(ctx)
	if err != nil {
		p.release()
		if he, ok := errors.AsType[*HostError](err); ok {
			own := *he // shared by all who waited for this connection
			own.Host, own.Elapsed = full.Name, time.Since(began)
			return nil, own.timings, &own
		}
		return nil, t, err
	}
	return &Conn{peer: p, host: full}, t, nil
}

// Close ends all connections, and with them whatever still runs over them, and
// waits until they are gone. Later calls fail. It always returns nil.
func (c *Client) Close() error {
	c.setup()
	c.cache.close()
	c.agents.close()
	return nil
}

// Run runs the command on every host and yields each host's outcome as it
// comes: exactly one Result a host. Its Err is nil, an [*ExitError] or a
// [*HostError], and its Value holds the output in all three cases. Leaving the
// loop, and the end of the context, end the commands still running.
//
// hosts is ranged over in a goroutine of its own, as slots fall free; where the
// command has a For function, wholly before anything is run.
func (c *Client) Run(ctx context.Context, hosts iter.Seq[Host], cmd Command) iter.Seq[Result[Output]] {
	return func(yield func(Result[Output]) bool) {
		hosts, cmd, done := cmd.prepare(hosts)
		defer done()
		for r := range each(ctx, c, hosts, func(ctx context.Context, conn *Conn, _ int) (Output, error) {
			return conn.Run(ctx, cmd)
		}) {
			if !yield(r) {
				return
			}
		}
	}
}

// Start starts the command on every host and yields a handle on each as soon
// as the server has accepted it. The commands go on after the loop, until they
// end, their [Proc] is closed or ctx ends; no more than Limit are being
// started at once, any number may run.
func (c *Client) Start(ctx context.Context, hosts iter.Seq[Host], cmd Command) iter.Seq[Result[*Proc]] {
	return func(yield func(Result[*Proc]) bool) {
		hosts, cmd, done := cmd.prepare(hosts)
		defer done()
		life := ctx // not the loop's
		for r := range each(ctx, c, hosts, func(loop context.Context, conn *Conn, _ int) (*Proc, error) {
			return conn.startProc(loop, life, cmd)
		}) {
			if !yield(r) {
				return
			}
		}
	}
}

package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/knownhosts"
)

// Budgets of the stages where [Host.Timeout] is zero.
const (
	connectBudget = 10 * time.Second // resolve and TCP
	kexBudget     = 15 * time.Second
	authBudget    = 30 * time.Second
)

// Timings says how long the stages of a connection and a command took that were
// come to; of one that failed it may say nothing. Those of a connection that was
// there before are zero.
type Timings struct {
	Resolve time.Duration // name to addresses
	Connect time.Duration // TCP, or through the jump host
	Kex     time.Duration // identification and key exchange
	HostKey time.Duration // is the key the known one; with what a person is asked
	Auth    time.Duration // with a [Transport] all up to here
	Start   time.Duration // session channel and start of the command
	Run     time.Duration // from the start of the command to its end
}

// maxBusy is how often a server that closed before identifying itself is asked.
const maxBusy = 10

// dial makes a connection to the host, in as many attempts as [Retry] allows.
// alone is for a Transport.
func (c *Client) dial(ctx context.Context, h Host, alone bool) (*link, error) {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		l, err := c.attempt(ctx, h, alone)
		if err == nil {
			l.attempts = attempt
			c.Log.LogAttrs(ctx, LevelStage, "connected", append(l.timings.attrs(), hostAttr(h), attemptAttr(attempt))...)
			return l, nil
		}
		err.Host, err.Attempt, err.Elapsed = h.Name, attempt, time.Since(began)
		ours := err.Hop == "" || c.Transport != nil // else the jump host has its own Retry
		if !ours || !again(h.Retry, err, attempt) || ctx.Err() != nil {
			return nil, err
		}
		c.Log.LogAttrs(ctx, LevelStage, "attempt failed", hostAttr(h), attemptAttr(attempt), errorAttr(err))
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(rand.N(h.Retry.pause(attempt)) + time.Millisecond):
		}
	}
}

// again decides whether a failed attempt is repeated. A login that has begun is
// not: servers count those.
func again(r Retry, err *HostError, attempt int) bool {
	if r.Attempts < 0 || err.Stage == StageAuth {
		return false
	}
	if errors.Is(err.Err, errProxySilent) {
		return attempt < max(maxSilent, r.Attempts)
	}
	switch err.Kind {
	case KindThrottled, KindLocalIO:
		return attempt < max(maxBusy, r.Attempts)
	case KindDNS:
		if d, ok := errors.AsType[*net.DNSError](err.Err); ok && d.IsTemporary && attempt == 1 {
			return true
		}
		return attempt < r.Attempts
	case KindRefused, KindUnreachable, KindTimeout, KindLost:
		return attempt < r.Attempts
	}
	return false
}

// handshake is one attempt to connect and log in.
type handshake struct {
	client  *Client
	host    Host
	addr    string // as named
	budget  *budget
	wire    *wire
	login   *login
	jump    *jump    // nil without jump host
	carrier *Carrier // nil without Transport

	timings    Timings
	identified atomic.Bool
	keyWrites  atomic.Int64 // writes before the host key was accepted, plus one
	keyErr     error        // of the host key check
	key        ssh.PublicKey
	leave      func() // the place among the handshakes
}

func (c *Client) attempt(ctx context.Context, h Host, alone bool) (_ *link, he *HostError) {
	host, port, err := h.address()
	if err != nil {
		return nil, &HostError{Stage: StagePrepare, Kind: KindInvalid, Err: err}
	}
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	place := addr
	if len(h.Via) > 0 {
		place += " via " + poolKey(h.Via[len(h.Via)-1])
		if c.Transport != nil { // there each host has its own connection to the first
			place = poolKey(h.Via[0])
		}
	}
	leave, err := c.limit.address.take(ctx, place)
	if err != nil {
		return nil, &HostError{Stage: StageConnect, Kind: endKind(err), Err: err}
	}
	defer leave()
	if c.Transport != nil {
		return (&handshake{client: c, host: h, addr: addr}).carry(ctx, alone)
	}
	hctx, budget, stop := withBudget(ctx, h.Timeout)
	defer stop()
	hs := &handshake{client: c, host: h, addr: addr, budget: budget}
	defer func() {
		if he != nil {
			he.timings = hs.timings
		}
	}()
	budget.stage(connectBudget)
	if len(h.Via) > 0 {
		conn, he := hs.connectVia(hctx, host, port)
		if he != nil {
			return nil, he
		}
		hs.jump.peer.keep() // until it is known whether it was the jump host that failed
		defer hs.jump.peer.release()
		return hs.shake(hctx, conn)
	}
	conn, stage, err := hs.connect(hctx, host, port)
	if err != nil {
		return nil, &HostError{Stage: stage, Kind: connectKind(hctx, stage, err), Err: causeOf(hctx, err), Hint: proxyHint(err)}
	}
	return hs.shake(hctx, conn)
}

// connect resolves the name and connects to one of its addresses.
func (hs *handshake) connect(ctx context.Context, host string, port int) (net.Conn, Stage, error) {
	began := time.Now()
	if hs.host.proxyCommand() != "" {
		conn, err := connectCommand(ctx, hs.host)
		hs.timings.Connect = time.Since(began)
		return conn, StageConnect, err
	}
	if dial := hs.client.Dial; dial != nil {
		conn, err := dial(ctx, hs.host.Network, hs.addr)
		hs.timings.Connect = time.Since(began)
		return conn, StageConnect, err
	}
	ips, err := hs.client.lookup(ctx, hs.host.Network, host)
	hs.timings.Resolve = time.Since(began)
	if err != nil {
		return nil, StageResolve, err
	}
	began = time.Now()
	dialer := new(net.Dialer)
	if bind := hs.host.BindAddress; bind != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(bind)}
	}
	conn, err := dialFirst(ctx, dialer, hs.host.Network, ips, uint16(port))
	hs.timings.Connect = time.Since(began)
	return conn, StageConnect, err
}

func (c *Client) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		if network == "tcp4" && !ip.Unmap().Is4() || network == "tcp6" && !ip.Is6() {
			return nil, &net.DNSError{Err: "the address is not of network " + network, Name: host, IsNotFound: true}
		}
		return []netip.Addr{ip}, nil
	}
	if err := take(ctx, c.limit.lookups); err != nil {
		return nil, err
	}
	defer func() { <-c.limit.lookups }()
	ips, err := cmp.Or(c.Resolver, net.DefaultResolver).LookupNetIP(ctx, strings.Replace(network, "tcp", "ip", 1), host)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no address of network " + network, Name: host, IsNotFound: true}
	}
	return ips, nil
}

// nextAddress is RFC 8305's delay between connection attempts.
const nextAddress = 250 * time.Millisecond

// dialFirst connects to the first address that answers. The next is tried when
// one failed or did not answer for a while; families alternate (RFC 8305 §4, §5).
func dialFirst(ctx context.Context, dialer *net.Dialer, network string, ips []netip.Addr, port uint16) (net.Conn, error) {
	type answer struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	var wg sync.WaitGroup
	defer wg.Wait()
	ips = alternate(ips)
	var errs []error
	for started := 0; ; {
		var wait <-chan time.Time
		if started < len(ips) {
			ip := netip.AddrPortFrom(ips[started].Unmap(), port)
			started++
			wg.Go(func() {
				conn, err := dialer.DialContext(ctx, network, ip.String())
				select {
				case answers <- answer{conn, err}:
				case <-ctx.Done():
					if conn != nil {
						conn.Close()
					}
				}
			})
			wait = time.After(nextAddress)
		}
		select {
		case <-wait:
		case a := <-answers:
			if a.err == nil {
				cancel()
				return a.conn, nil
			}
			if errs = append(errs, a.err); len(errs) == len(ips) {
				return nil, errors.Join(errs...)
			}
		case <-ctx.Done():
			return nil, errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
}

// alternate puts the addresses of the first one's family and the others in turn.
func alternate(ips []netip.Addr) []netip.Addr {
	if len(ips) < 3 {
		return ips
	}
	var first, second, mixed []netip.Addr
	for _, ip := range ips {
		if ip.Is4() == ips[0].Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	for len(first) > 0 || len(second) > 0 {
		if len(first) > 0 {
			mixed, first = append(mixed, first[0]), first[1:]
		}
		if len(second) > 0 {
			mixed, second = append(mixed, second[0]), second[1:]
		}
	}
	return mixed
}

// algorithms are RELIABILITY's: no SHA-1, no CBC, the cheap and strong first.
var algorithms = ssh.Config{
	KeyExchanges: []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
		ssh.KeyExchangeDH14SHA256, ssh.KeyExchangeDH16SHA512,
	},
	Ciphers: []string{
		ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305,
		ssh.CipherAES128CTR, ssh.CipherAES192CTR, ssh.CipherAES256CTR,
	},
	MACs: []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512},
}

// identification is what we call ourselves (RFC 4253 §4.2).
const identification = "SSH-2.0-Shoal"

// shake does the key exchange and the login over the connection.
func (hs *handshake) shake(ctx context.Context, conn net.Conn) (*link, *HostError) {
	began := time.Now()
	hs.budget.stage(kexBudget)
	hs.leave = func() {}
	defer func() { hs.leave() }()
	hs.wire = newWire(conn, func() { hs.enter(ctx) })
	hs.wire.wrote = hs.wrote
	hs.login = newLogin(ctx, hs)
	stop := context.AfterFunc(ctx, func() { hs.wire.Close() })
	config := &ssh.ClientConfig{
		Config:            hs.host.Algorithms.config(),
		User:              hs.host.User,
		ClientVersion:     identification,
		AuthCallback:      hs.login.next,
		HostKeyAlgorithms: hs.hostKeyAlgorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if hs.key == nil {
				hs.timings.Kex = time.Since(began)
				defer func() { hs.timings.HostKey = time.Since(began) - hs.timings.Kex }()
			}
			defer hs.leave() // what is left is waiting
			return hs.checkKey(ctx, key)
		},
	}
	sc, channels, requests, err := ssh.NewClientConn(hs.wire, hs.addr, config)
	if err != nil {
		stop()
		he := hs.failure(ctx, err)
		hs.wire.Close()
		return nil, he
	}
	hs.wire.loggedIn.Store(true)
	hs.timings.Auth = time.Since(began) - hs.timings.Kex - hs.timings.HostKey
	l := newLink(hs, sc, channels, requests)
	if !stop() {
		l.close()
		return nil, hs.failure(ctx, context.Cause(ctx))
	}
	return l, nil
}

// hostKeyAlgorithms are those to offer; x/crypto's default order is not OpenSSH's.
func (hs *handshake) hostKeyAlgorithms() []string {
	known := hs.host.HostKeys.Algorithms(hs.keyAddr())
	if len(known) == 0 {
		known = new(knownhosts.DB).Algorithms(hs.keyAddr())
	}
	return hs.host.Algorithms.hostKeys(known)
}

// keyAddr is the address under which the host's key is known.
func (hs *handshake) keyAddr() string {
	if alias := hs.host.HostKeyAlias; alias != "" {
		if name, port, err := net.SplitHostPort(alias); err == nil && strings.HasPrefix(alias, "[") {
			return net.JoinHostPort(name, port)
		}
		return net.JoinHostPort(alias, "22") // which known_hosts leaves out
	}
	return hs.addr
}

// stalled is the time after which a handshake that goes on counts as waiting
// and no longer as work: silent servers must not keep others out.
const stalled = time.Second

// enter takes a place among the handshakes, once the server has shown that it
// is there. It is called by the goroutine that reads.
func (hs *handshake) enter(ctx context.Context) {
	hs.identified.Store(true)
	hs.budget.pause()
	defer hs.budget.resume()
	places := hs.client.limit.handshakes
	if take(ctx, places) != nil {
		return // the context's end closes the connection
	}
	leave := sync.OnceFunc(func() { <-places })
	t := time.AfterFunc(stalled, leave)
	hs.leave = func() { t.Stop(); leave() }
}

var errOtherKey = errors.New("the server changed its host key in a later key exchange")

// checkKey is called in the first key exchange and in every later one, in
// which the key must be the same.
func (hs *handshake) checkKey(ctx context.Context, key ssh.PublicKey) error {
	if hs.key != nil {
		if string(hs.key.Marshal()) != string(key.Marshal()) {
			return errOtherKey
		}
		hs.wire.rekeyed.Store(true)
		return nil
	}
	hs.budget.pause() // a person may be asked
	err := hs.host.HostKeys.Check(ctx, hs.keyAddr(), key)
	if k, ok := hs.host.HostKeys.(*KnownHosts); ok && k.CheckIP && err == nil {
		err = hs.checkIP(k, key)
	}
	hs.budget.resume()
	if errors.Is(err, errNoSecrets) {
		hs.login.noSecrets = true
		err = nil
	}
	if err != nil {
		hs.keyErr = err
		return err
	}
	hs.key = key
	hs.keyWrites.Store(hs.wire.writes.Load() + 1)
	return nil
}

// checkIP is [KnownHosts.CheckIP], for a host that has a name and was connected
// to by itself.
func (hs *handshake) checkIP(k *KnownHosts, key ssh.PublicKey) error {
	remote, ok := hs.wire.RemoteAddr().(*net.TCPAddr)
	if !ok || len(hs.host.Via) > 0 || hs.host.HostKeyAlias != "" || hs.client.Dial != nil {
		return nil
	}
	host, port, err := net.SplitHostPort(hs.addr)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return k.checkIP(net.JoinHostPort(remote.AddrPort().Addr().Unmap().String(), port), key)
}

// stage is how far a failed handshake came. After the host key was accepted
// we write NEWKEYS; the next write, the first of the login, follows the
// server's NEWKEYS.
func (hs *handshake) stage() Stage {
	w := hs.keyWrites.Load()
	switch {
	case !hs.identified.Load():
		return StageBanner
	case hs.keyErr != nil:
		return StageHostKey
	case w == 0 || hs.wire.writes.Load() <= w:
		return StageKex
	}
	return StageAuth
}

// wrote gives the login its time when it begins.
func (hs *handshake) wrote(n int64) {
	if w := hs.keyWrites.Load(); w != 0 && n == w+1 {
		hs.budget.stage(authBudget)
	}
}

func (hs *handshake) failure(ctx context.Context, err error) *HostError {
	he := &HostError{Stage: hs.stage(), Kind: KindLost, Err: trimSSH(err)}
	if ctx.Err() != nil {
		he.Kind, he.Err = endKind(context.Cause(ctx)), causeOf(ctx, err)
		if he.Stage != StageBanner || len(hs.wire.hello) == 0 {
			return he
		}
	}
	switch he.Stage {
	case StageBanner:
		hs.bannerFailure(he)
	case StageHostKey:
		he.Kind, he.Err = hostKeyKind(hs.keyErr), hs.keyErr
	case StageKex:
		if _, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok {
			he.Kind = KindNoAlgorithm
		} else if hs.wire.lost.Load() == nil {
			he.Kind = KindProtocol
		}
	case StageAuth:
		hs.authFailure(he, err)
	}
	if j := hs.jump; j != nil && !j.link.alive() && ctx.Err() == nil {
		he.Hop, he.Kind, he.Err = j.peer.host.Name, KindLost, j.link.reason(err)
	}
	return he
}

func (hs *handshake) bannerFailure(he *HostError) {
	first := hs.wire.firstLine()
	p := hs.wire.problem.Load()
	switch {
	case p != nil:
		he.Kind, he.Err = p.kind, p.err
	case strings.HasPrefix(first, "Not allowed at this time"), strings.HasPrefix(first, "Exceeded MaxStartups"):
		he.Kind, he.Err = KindThrottled, fmt.Errorf("the server is busy: %q", clip(first, 80))
	case he.Kind == KindTimeout || he.Kind == KindCancelled:
		he.Err = fmt.Errorf("%w; instead of an SSH identification came %q", he.Err, clip(first, 80))
	case len(hs.wire.hello) > 0:
		he.Kind, he.Err = KindNotSSH, fmt.Errorf("not an SSH server: it says %q", clip(first, 80))
	default:
		he.Kind, he.Err = KindThrottled, errors.New("the server closed the connection before identifying itself (MaxStartups, or not allowed)")
	}
}

func (hs *handshake) authFailure(he *HostError, err error) {
	if ae, ok := errors.AsType[*authError](err); ok {
		he.Kind, he.Err = ae.kind, ae
		return
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "Too many authentication failures"):
		he.Kind = KindTooManyKeys
	case strings.Contains(text, "ssh: disconnect"):
		he.Kind = KindAuthFailed
	case hs.wire.lost.Load() == nil:
		he.Kind = KindProtocol
	}
}

// trimSSH takes off what x/crypto puts in front.
func trimSSH(err error) error {
	for _, prefix := range []string{"ssh: handshake failed: ", "ssh: error reading control message: "} {
		if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), prefix) {
			err = inner
		}
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the server closed the connection")
	}
	return err
}

// endKind tells a deadline from a cancellation.
func endKind(cause error) Kind {
	if errors.Is(cause, errBudget) || errors.Is(cause, context.DeadlineExceeded) {
		return KindTimeout
	}
	return KindCancelled
}

// causeOf prefers the reason why the context ended to what broke because of it.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		return cause
	}
	return err
}

func connectKind(ctx context.Context, stage Stage, err error) Kind {
	switch {
	case ctx.Err() != nil:
		return endKind(context.Cause(ctx))
	case stage == StageResolve, isDNS(err):
		return KindDNS
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "refused"):
		return KindRefused
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAGAIN):
		return KindLocalIO
	case isStart(err):
		return KindInvalid
	case isTimeout(err):
		return KindTimeout
	case errors.Is(err, syscall.ECONNRESET):
		return KindThrottled
	}
	return KindUnreachable
}

func isStart(err error) bool {
	_, ok := errors.AsType[*startError](err)
	return ok
}

func isDNS(err error) bool {
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

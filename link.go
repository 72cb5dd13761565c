package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// link is one SSH connection over one network connection. Above it the code
// sees only [ssh.Conn] and [ssh.Channel].
type link struct {
	ssh      ssh.Conn
	wire     *wire
	jump     *jump // through which it goes; nil without jump host
	timings  Timings
	auth     string        // the method that was accepted
	noSecret bool          // the host's key is not to be trusted
	key      ssh.PublicKey // of the host; nil where there is a carrier
	attempts int

	dead  chan struct{} // closed when the connection is over
	err   error         // why; set before dead is closed, as is kind
	kind  Kind
	cause atomic.Pointer[error]

	mu           sync.Mutex
	idle         sync.Cond // no tasks
	tasks        int       // goroutines that end when the connection does
	open         int       // sessions
	forwards     int       // connections to hosts behind it
	fullForwards int       // as many as the server allows, 0 while unknown
	listeners    []*forwardListener
	agent        *agentForward // nil while nobody asked for it
	opened       int           // channels ever
	left         chan struct{} // closed when the last session leaves; nil while nobody waits
	full         int           // sessions the server allows, 0 while unknown, -1 for none
	drained      bool          // no new sessions; closes with the last one
	watch        *time.Timer
	interval     time.Duration
	missed       int           // times without an answer
	maxMissed    int           // after one more the connection is lost
	asks         atomic.Int64  // requests for a sign of life
	asked        time.Duration // when the last request was made, as wire.lastRead
	asking       bool          // it has no answer yet

	carrier  *Carrier                 // nil where Shoal made the connection
	channels map[ssh.Channel]struct{} // of its sessions, where there is a carrier
}

func newLink(hs *handshake, sc ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) *link {
	l := &link{ssh: sc, wire: hs.wire, jump: hs.jump, timings: hs.timings, auth: hs.login.last, noSecret: hs.login.noSecrets, key: hs.key, dead: make(chan struct{})}
	l.idle.L = &l.mu
	if l.carrier = hs.carrier; l.carrier != nil {
		l.full, l.channels = l.carrier.MaxSessions, map[ssh.Channel]struct{}{}
	}
	hs.wire.settle.Store(&settler{l.settle})
	go l.serve(hs, channels, requests)
	l.keepAlive(hs.host.KeepAlive, hs.host.KeepAliveMax)
	return l
}

// serve answers what the server opens and asks, which is no where nobody asked
// for it, and notes the connection's end. It is the link's owner: close waits for it.
func (l *link) serve(hs *handshake, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	warned := false
	for channels != nil || requests != nil {
		select {
		case ch, ok := <-channels:
			if !ok {
				channels = nil
				continue
			}
			if l.incoming(ch) {
				continue
			}
			if !warned {
				warned = true
				hs.client.Log.Warn("the server opened a channel nobody asked for; refused",
					hostAttr(hs.host), "type", printable(ch.ChannelType()))
			}
			ch.Reject(ssh.Prohibited, "not asked for")
		case r, ok := <-requests:
			if !ok {
				requests = nil
				continue
			}
			r.Reply(false, nil) // an answer is an answer: OpenSSH's keepalive takes it
		}
	}
	l.err = trimSSH(l.ssh.Wait())
	l.kind = endedAs(l.err)
	if l.carrier != nil && l.wire.lost.Load() != nil {
		l.kind = KindLost // the words may be ssh's
	}
	if cause := l.cause.Load(); cause != nil {
		l.kind, l.err = KindLost, *cause
	} else if l.jump != nil && !l.jump.link.alive() {
		l.kind, l.err = KindLost, &hopError{l.jump.peer.host.Name, l.jump.link.reason(l.err)}
	}
	l.wire.Close()
	l.stopWatch()
	close(l.dead)
}

// endedAs tells a connection that broke from one that x/crypto/ssh ended because
// of what the server sent.
func endedAs(err error) Kind {
	text := err.Error()
	switch {
	case errors.Is(err, errOtherKey):
		return KindHostKeyChanged
	case strings.HasPrefix(text, "ssh: ") && !strings.HasPrefix(text, "ssh: disconnect") && text != "ssh: MAC failure":
		return KindProtocol
	}
	return KindLost
}

// end is as what and why the connection ended, which says more than err, what
// broke because of it.
func (l *link) end(err error) (Kind, error) {
	if cause := l.cause.Load(); cause != nil {
		return KindLost, *cause // ending it may take a moment
	}
	select {
	case <-l.dead:
		return l.kind, l.err
	case <-time.After(time.Second): // the end is noted at once, or there is none
		return KindLost, err
	}
}

// reason is the end's error alone.
func (l *link) reason(err error) error {
	_, err = l.end(err)
	return err
}

// fail ends the connection for a reason.
func (l *link) fail(cause error) {
	l.cause.CompareAndSwap(nil, &cause)
	l.wire.Close()
}

var errConnClosed = errors.New("the connection was closed")

// endless is how long close waits for calls that should have ended with the
// connection. x/crypto's OpenChannel never does where it began while x/crypto
// was ending the connection: a goroutine is then lost, but nobody waits for it.
const endless = time.Second

// close ends the connection and waits for its goroutines.
func (l *link) close() {
	l.fail(errConnClosed)
	<-l.dead
	l.mu.Lock()
	defer l.mu.Unlock()
	late := false
	if l.tasks > 0 {
		defer time.AfterFunc(endless, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			late = true
			l.idle.Broadcast()
		}).Stop()
	}
	for l.tasks > 0 && !late {
		l.idle.Wait()
	}
}

// run is task for who does not hold l.mu.
func (l *link) run(call func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task(call)
}

// task runs a call in a goroutine that close waits for. l.mu is held.
func (l *link) task(call func()) {
	l.tasks++
	go func() {
		call()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.tasks--; l.tasks == 0 {
			l.idle.Broadcast()
		}
	}()
}

// verifiedKey is the host's key, also of a certificate, or nil where it is not to be
// trusted.
func (l *link) verifiedKey() ssh.PublicKey {
	if l.noSecret {
		return nil
	}
	if c, ok := l.key.(*ssh.Certificate); ok {
		return c.Key
	}
	return l.key
}

func (l *link) alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return !l.wire.broken.Load()
	}
}

const (
	defaultKeepAlive    = 15 * time.Second
	defaultKeepAliveMax = 3
)

// keepAlive asks for a sign of life whenever there was none for the interval.
// Any byte is one.
func (l *link) keepAlive(interval time.Duration, maxMissed int) {
	if interval < 0 {
		return
	}
	if interval == 0 {
		interval = defaultKeepAlive
	}
	if maxMissed <= 0 {
		maxMissed = defaultKeepAliveMax
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interval, l.maxMissed = interval, maxMissed
	l.watch = time.AfterFunc(interval, l.check)
}

func (l *link) stopWatch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interval = -1
	if l.watch != nil {
		l.watch.Stop()
	}
}

func (l *link) check() {
	l.mu.Lock()
	if l.interval < 0 {
		l.mu.Unlock()
		return
	}
	quiet := l.wire.quiet()
	if quiet < l.interval {
		l.missed = 0
		l.watch.Reset(l.interval - quiet)
		l.mu.Unlock()
		return
	}
	if int64(l.asked) <= l.wire.lastRead.Load() {
		l.missed = 0 // it was answered, as long ago as the timer was late
	}
	l.missed++
	missed := l.missed
	lost := missed > l.maxMissed
	if !lost {
		l.watch.Reset(l.interval)
	}
	if missed == 1 && !l.asking && !l.ask() {
		l.missed, lost = 0, false
	}
	l.mu.Unlock()
	if lost {
		l.fail(fmt.Errorf("no sign of life for %v", quiet.Round(time.Millisecond)))
	}
}

// ask asks for a sign of life, or reports that it cannot. l.mu is held.
func (l *link) ask() bool {
	if l.carrier != nil && len(l.channels) == 0 {
		return false
	}
	l.asking, l.asked = true, time.Since(l.wire.began)
	l.task(func() {
		l.signOfLife()
		l.mu.Lock()
		l.asking = false
		l.mu.Unlock()
	})
	return true
}

// signOfLife waits for an answer of the server, whatever it is.
func (l *link) signOfLife() error {
	if l.carrier != nil {
		return l.askInSession()
	}
	l.asks.Add(1)
	_, _, err := l.ssh.SendRequest("keepalive@openssh.com", true, nil)
	return err
}

// probe asks for a sign of life, whose coming closes the channel.
func (l *link) probe() <-chan struct{} {
	answered := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task(func() {
		if l.signOfLife() == nil {
			close(answered)
		}
	})
	return answered
}

// written is the number of writes on the wire but for the keepalive's.
func (l *link) written() int64 { return l.wire.writes.Load() - l.asks.Load() }

// reserve takes a place for a session, unless the server's limit is reached.
func (l *link) reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drained || l.full != 0 && l.open >= l.full || !l.alive() {
		return false
	}
	l.open++
	l.opened++
	return true
}

// leave gives the place back.
func (l *link) leave() {
	l.mu.Lock()
	l.open--
	if l.open == 0 && l.left != nil {
		close(l.left)
		l.left = nil
	}
	last := l.drained && l.open+l.forwards == 0
	l.mu.Unlock()
	if last {
		l.fail(errConnClosed)
	}
}

// settleTime is how long a failed read is kept from x/crypto.
const settleTime = 50 * time.Millisecond

// settle lets what came before a failed read be dealt with first: a server that
// ends the connection right behind a session's regular end is then told from
// one that broke off. It returns at once where there is nothing.
func (l *link) settle() {
	l.mu.Lock()
	if l.open == 0 {
		forwards := l.forwards > 0
		l.mu.Unlock()
		if forwards {
			time.Sleep(endTime)
		}
		return
	}
	if l.left == nil {
		l.left = make(chan struct{})
	}
	left := l.left
	l.mu.Unlock()
	select {
	case <-left:
	case <-time.After(settleTime):
	}
}

// drain lets no new session in: the server did not answer on this connection.
func (l *link) drain() {
	l.mu.Lock()
	l.drained = true
	last := l.open+l.forwards == 0
	l.mu.Unlock()
	if last {
		l.fail(errConnClosed)
	}
}

// refused notes that the server allows no session beside the others that are
// open. It reports whether there are any: else it is no limit.
func (l *link) refused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	others := l.open - 1
	if others <= 0 {
		if l.carrier == nil || !l.carrier.Shared {
			return false
		}
		others = -1 // the others' sessions are too many
	}
	if l.full == 0 || others < l.full {
		l.full = others
	}
	return true
}

// channelBudget bounds opening a session, and starting a command in it.
const channelBudget = 10 * time.Second

// await runs a call that only the connection's end can stop, within a budget.
// Where that runs out the call is left to itself until the connection ends,
// which is with its last session.
func await[T any](ctx context.Context, l *link, total time.Duration, call func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	l.run(func() {
		v, err := call()
		done <- answer{v, err}
	})
	var expired <-chan time.Time // a timer: a context would cost more than the rest
	if total >= 0 {
		t := time.NewTimer(cmp.Or(total, channelBudget))
		defer t.Stop()
		expired = t.C
	}
	var zero T
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		l.drain()
		return zero, context.Cause(ctx)
	case <-expired:
		l.drain()
		return zero, errBudget
	}
}

type session struct {
	link     *link
	channel  ssh.Channel
	requests <-chan *ssh.Request
}

// session opens a session channel (RFC 4254 §6.1) in a place reserved before.
func (l *link) session(ctx context.Context, total time.Duration) (*session, error) {
	return await(ctx, l, total, func() (*session, error) {
		ch, reqs, err := l.ssh.OpenChannel("session", nil)
		if err != nil {
			return nil, err
		}
		if l.channels != nil {
			l.mu.Lock()
			l.channels[ch] = struct{}{}
			l.mu.Unlock()
		}
		return &session{link: l, channel: ch, requests: reqs}, nil
	})
}

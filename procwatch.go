package shoal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// Grace times of a command's end.
const (
	openGrace  = 5 * time.Second // of outputs, after the status and the last byte
	closeGrace = 2 * time.Second // of the session, after status and outputs
)

// watch follows the command to its end. It is the Proc's owner: when it
// returns, the Proc is done.
func (p *Proc) watch() {
	w := watcher{p: p, requests: p.session.requests, outputs: p.outputs, life: p.life.Done(), closing: p.closing}
	w.timer = time.NewTimer(time.Hour)
	defer w.timer.Stop()
	for (w.requests != nil || w.outputs != nil) && !w.over {
		w.step()
	}
	select {
	case he := <-p.failures: // noticed together with the end
		w.note(he)
	default:
	}
	p.err = w.outcome()
	p.code, p.signal = -1, ""
	if e := w.exit; e != nil {
		p.code, p.signal = e.Code, e.Signal
	}
	p.outputOpen = w.outputOpen
	p.ran = time.Since(p.began)
	p.session.channel.Close()
	if w.requests != nil || w.outputs != nil {
		p.session.link.drain() // not answered: it ends with its other sessions
	}
	p.session.leave()
	p.seal()
	p.conn.peer.release()
	p.end()
}

// watcher is the state of watch.
type watcher struct {
	p        *Proc
	requests <-chan *ssh.Request
	outputs  <-chan struct{}
	alive    <-chan struct{} // the server's sign of life; nil while not asked
	life     <-chan struct{}
	closing  <-chan struct{}
	timer    *time.Timer

	exit       *ExitError // how it ended; nil while it did not say
	malformed  error
	outputOpen bool
	silent     bool // no sign of life after the status
	over       bool

	stopped *HostError // why it is being ended from our side
	rung    int        // of the ladder
}

func (w *watcher) step() {
	select {
	case r, ok := <-w.requests:
		if !ok {
			w.requests = nil
			return
		}
		w.request(r)
	case <-w.outputs:
		w.outputs = nil
	case <-w.life:
		w.life = nil
		cause := context.Cause(w.p.life)
		w.stop(&HostError{Kind: endKind(cause), Err: cause})
		return
	case <-w.closing:
		w.closing = nil
		w.stop(&HostError{Kind: KindCancelled, Err: errors.New("closed by the caller")})
		return
	case he := <-w.p.failures:
		w.stop(he)
		return
	case <-w.alive:
		w.outputOpen, w.over = true, true
		return
	case <-w.timer.C:
		w.expired()
		return
	}
	w.arm()
}

// request takes exit-status and exit-signal (RFC 4254 §6.10).
func (w *watcher) request(r *ssh.Request) {
	if r.WantReply {
		defer r.Reply(false, nil)
	}
	if w.exit != nil || w.malformed != nil {
		return
	}
	switch r.Type {
	case "exit-status":
		if len(r.Payload) != 4 {
			w.malformed = fmt.Errorf("exit status of %d bytes instead of 4", len(r.Payload))
			return
		}
		var msg struct{ Status uint32 }
		w.malformed = ssh.Unmarshal(r.Payload, &msg)
		w.exit = &ExitError{Code: int(msg.Status)}
	case "exit-signal":
		var msg struct {
			Name     string
			Core     bool
			Message  string
			Language string
		}
		if err := ssh.Unmarshal(r.Payload, &msg); err != nil {
			w.malformed = errors.New("malformed exit signal")
			w.exit = &ExitError{Code: -1, Signal: unknownSignal}
			return
		}
		w.exit = &ExitError{Code: -1, Signal: signalName(msg.Name), CoreDumped: msg.Core, Message: printable(msg.Message)}
	}
}

const unknownSignal = "unknown"

// signalName is the name where RFC 4254 §6.10 has it; others are the server's
// free text.
func signalName(s string) string {
	switch s {
	case "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2":
		return s
	}
	return unknownSignal
}

// arm sets the timer to the next grace time; while the command is being ended
// the ladder has the timer.
func (w *watcher) arm() {
	switch {
	case w.stopped != nil, w.exit == nil:
	case w.outputs == nil:
		w.timer.Reset(closeGrace)
	default:
		w.timer.Reset(openGrace)
	}
}

func (w *watcher) expired() {
	if w.stopped != nil {
		w.climb()
		return
	}
	if w.exit == nil {
		return
	}
	quiet := time.Since(w.p.began) - time.Duration(w.p.lastByte.Load())
	if w.outputs != nil && quiet < openGrace {
		w.timer.Reset(openGrace - quiet)
		return
	}
	switch {
	case w.outputs == nil:
		w.over = true
	case w.alive == nil: // a program in the background, or a dead server?
		w.alive = w.p.session.link.probe()
		w.timer.Reset(openGrace)
	default:
		w.silent, w.over = true, true
	}
}

// stop begins to end the command.
func (w *watcher) stop(why *HostError) {
	if w.note(why) {
		w.climb()
	}
}

// note keeps the first reason to end the command, and reports whether it is.
func (w *watcher) note(why *HostError) bool {
	if w.stopped != nil {
		return false
	}
	why.Host, why.Stage = w.p.conn.host.Name, StageRun
	w.stopped, w.alive = why, nil
	return true
}

// Times of the ladder by which a command is ended.
const (
	defaultKillAfter = time.Second
	signalTime       = 250 * time.Millisecond // until the signal is sent another way
	killTime         = 500 * time.Millisecond // from KILL to closing
)

// climb takes the next rung: ask by signal, ask another way, kill, close the
// session, give up. A terminal's command also gets the hang-up that closing
// its session means.
func (w *watcher) climb() {
	p, killAfter := w.p, w.p.cmd.KillAfter
	if killAfter == 0 {
		killAfter = defaultKillAfter
	}
	if killAfter < 0 && w.rung < rungClose {
		w.rung = rungClose
	}
	rung := w.rung
	w.rung++
	switch rung {
	case rungTerm:
		p.signalGroup(ssh.SIGTERM)
		w.timer.Reset(min(signalTime, killAfter))
	case rungTermOther:
		p.killBeside("TERM")
		w.timer.Reset(max(killAfter-signalTime, 0))
	case rungKill:
		p.signalGroup(ssh.SIGKILL)
		p.killBeside("KILL")
		w.timer.Reset(killTime)
	case rungClose:
		l := p.session.link
		l.mu.Lock()
		l.task(func() { p.session.channel.Close() }) // may block on a dead peer
		l.mu.Unlock()
		w.timer.Reset(killTime)
	default:
		w.over = true
	}
}

const (
	rungTerm = iota
	rungTermOther
	rungKill
	rungClose
)

// signalGroup asks the server to signal the command's process group. Nothing
// says whether it did; a dead peer may hold the request back.
func (p *Proc) signalGroup(sig ssh.Signal) {
	l := p.session.link
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task(func() { p.Signal(sig) })
}

// killBeside signals the command by another command in a second session of the
// same connection: sshd refuses signals for root's commands. The command is
// found as the one other child of the server's process for this connection,
// which is why nothing is done where other sessions are open or may be, nor where that
// process is none that serves one connection: others may have more children.
//
// It may have ended meanwhile and the next command have begun, which must not be hit
// in its place: that one has a larger number than the command that looks for it. So
// may the one that is looked for, where the system gives numbers out at random or has
// begun from the start again. It is let be then, and its session closed.
func (p *Proc) killBeside(sig string) {
	l := p.session.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != 1 || l.carrier != nil && l.carrier.Shared {
		return
	}
	script := `case $(ps -o comm= -p "$PPID") in *sshd*|*dropbear*) ps -A -o pid= -o ppid= | while read p q; do if [ "$q" = "$PPID" ] && [ "$p" -lt "$$" ]; then kill -` +
		sig + ` -"$p" 2>/dev/null || kill -` + sig + ` "$p"; fi; done;; esac`
	l.task(func() {
		ch, reqs, err := l.ssh.OpenChannel("session", nil)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.task(func() { ssh.DiscardRequests(reqs) })
		l.mu.Unlock()
		ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"exec sh -c " + quoted(script)}))
		ch.Close()
	})
}

// outcome says how the command ended; nil is status 0 and all output.
func (w *watcher) outcome() error {
	he := &HostError{Host: w.p.conn.host.Name, Stage: StageRun, Elapsed: time.Since(w.p.began)}
	l := w.p.session.link
	switch {
	case w.stopped != nil:
		he = w.stopped
		he.Elapsed, he.MayRun = time.Since(w.p.began), w.exit == nil
	case w.malformed != nil && w.exit == nil:
		he.Kind, he.Err = KindProtocol, w.malformed
	case w.silent:
		he.Kind = KindLost
		he.Err = fmt.Errorf("no sign of life after the command said %v: output may be missing", w.exit)
	case !w.over && !w.whole():
		he.MayRun = w.exit == nil
		he.Kind, he.Err = l.end(errors.New("the connection broke"))
		he.at()
		if w.exit != nil {
			he.Err = fmt.Errorf("%w after the command said %v: output may be missing", he.Err, w.exit)
		}
	case w.exit == nil:
		he.Kind, he.Err = KindNoExitStatus, errors.New("the command ended without an exit status")
	case w.exit.Code != 0:
		return w.exit
	default:
		return nil
	}
	return he
}

// settled is how long the end of a connection may take to be noted.
const settled = 2 * time.Millisecond

// whole reports whether the session ended regularly and not with its
// connection; x/crypto shows both alike. A failed read is reported late enough
// to come after a regular end. What remains is a connection that x/crypto
// itself ends, for a bad packet or at the server's word; where it did not
// write its answer to the session's end for certain, it is given a moment.
func (w *watcher) whole() bool {
	p, l := w.p, w.p.session.link
	if l.wire.broken.Load() {
		return false
	}
	if p.answered() {
		return true
	}
	select {
	case <-l.dead:
		return false
	case <-time.After(settled):
		return !l.wire.broken.Load()
	}
}

// answered reports whether the link wrote more than this session accounts for
// by itself: the answer to the session's end.
func (p *Proc) answered() bool {
	const small = 64 << 10 // no window was given back (RFC 4254 §5.2)
	l := p.session.link
	l.mu.Lock()
	alone := l.opened == p.opened && !p.uncounted.Load() && !l.wire.rekeyed.Load()
	l.mu.Unlock()
	return alone && p.outBytes.Load()+p.errBytes.Load() < small && l.written()-p.base > p.own.Load()
}

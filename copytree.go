package shoal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/sftp"
	"github.com/shoal-ssh/shoal/internal/shell"
)

// tree is what the hosts of one Put share for [Copy.Tree].
type tree struct {
	mu      sync.Mutex
	changed chan struct{}        // closed and made anew when any of this changes
	files   map[string]*treeFile // by the source's name
	hosts   map[*peer]*relayHost // those that have a file
	relayed int                  // files passed on
	failed  int                  // attempts to pass on that failed

	active int       // uploads and relays under way
	rate   float64   // bytes a second of the last upload from here
	moved  int64     // bytes of all files, from wherever
	since  time.Time // when slow looked last, or when something began after a pause
	then   int64     // what was moved then
}

// treeFile is one file of the source.
type treeFile struct {
	sum     []byte // its SHA-256, once a host has it
	have    []holder
	uploads int // under way from here
	relays  int // under way between hosts
}

// holder is a host that has the file, under its name there.
type holder struct {
	*relayHost
	name string
}

// relayHost is a host that passes files on.
type relayHost struct {
	peer   *peer
	host   Host
	busy   int
	failed int // in a row
}

// What ends the passing on of files.
const (
	relayPatience = 30 * time.Second // to begin, and then with less than tree.least
	relayPoll     = 500 * time.Millisecond
	hostFailures  = 2 // in a row: the host passes nothing more on
	treeFailures  = 4 // and more than passed: nobody does

	// Where less than this moves in a treeWindow, or less than half of what went up
	// from here, a file that is waited for goes up once more.
	slowRate   = 64 << 10
	treeWindow = 10 * time.Second
)

func newTree() *tree {
	return &tree{files: map[string]*treeFile{}, hosts: map[*peer]*relayHost{}, changed: make(chan struct{})}
}

// change changes the state and wakes those who wait for that.
func (t *tree) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *tree) file(name string) *treeFile {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[name]
	if f == nil {
		f = new(treeFile)
		t.files[name] = f
	}
	return f
}

// off reports whether passing on is given up. t.mu is held.
func (t *tree) off() bool { return t.failed >= treeFailures && t.failed > t.relayed }

// turn returns a host to have the file from, or nil where it is to come from here.
// It waits while a host will have a place, or the file moves at a good speed.
func (t *transfer) turn(ctx context.Context, f *treeFile, mayRelay bool) (*holder, error) {
	tr := t.tree
	tick := time.NewTimer(treeWindow)
	defer tick.Stop()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for {
		wait := f.uploads > 0
		if mayRelay && !tr.off() {
			wait = wait || f.relays > 0
			for i := range f.have {
				h := &f.have[i]
				if h.peer.key == t.conn.peer.key || h.failed >= hostFailures {
					continue
				}
				if h.busy < t.Tree {
					h.busy++
					f.relays++
					tr.begin()
					return h, nil
				}
				wait = true
			}
		}
		if tr.off() || !wait || tr.slow(t.Limit) {
			f.uploads++
			tr.begin()
			return nil, nil
		}
		changed := tr.changed
		tr.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-tick.C:
			tick.Reset(treeWindow)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		tr.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// begin notes that something more is under way. t.mu is held.
func (t *tree) begin() {
	if t.active == 0 {
		t.since, t.then = time.Now(), t.moved
	}
	t.active++
}

// slow reports, once in a treeWindow, whether files moved slowly in it. t.mu
// is held.
func (t *tree) slow(limit int64) bool {
	took := time.Since(t.since)
	if took < treeWindow {
		return false
	}
	rate := float64(t.moved-t.then) / took.Seconds()
	t.since, t.then = time.Now(), t.moved
	least := max(t.rate/2, slowRate)
	if limit > 0 {
		least = min(least, float64(limit)/2)
	}
	return rate < least
}

// least is how many bytes a second a host must pass on, so that it does not keep
// another waiting that could get them sooner from here.
func (t *tree) least() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return min(t.rate/2, slowRate)
}

// move notes bytes that went.
func (t *tree) move(n int64) {
	t.mu.Lock()
	t.moved += n
	t.mu.Unlock()
}

var (
	errNoKey  = errors.New("copying with Tree needs the host's key, which a Transport does not tell")
	errNoSums = errors.New("the host computes no SHA-256 sums")
)

// checkTree refuses what Tree cannot go with.
func (cp *Copy) checkTree() error {
	switch {
	case cp.Tree == 0:
		return nil
	case cp.Tree < 0:
		return errors.New("a Tree of fewer than 0 hosts")
	case cp.landed != nil:
		return errors.New("copying with Tree is for Put")
	case cp.SCP:
		return errors.New("copying with Tree needs SFTP, and SCP is set")
	case cp.Resume:
		return errors.New("copying with Tree and with Resume exclude each other: what a host passes on begins at the beginning")
	case cp.Reader != nil:
		return errors.New("copying with Tree needs files, and not a Reader")
	}
	return nil
}

// byTree reports whether a file goes by the tree.
func (t *transfer) byTree(it *item) bool { return t.tree != nil && it.info.Size() >= largeFile }

// putByTree has another host pass the file on, or uploads it.
func (t *transfer) putByTree(ctx context.Context, it *item, name string, isNew bool, old sftp.Attributes) error {
	tr, f := t.tree, t.tree.file(it.name)
	key := t.session.session.link.verifiedKey()
	h, err := t.turn(ctx, f, key != nil && !t.sumless.Load())
	if err != nil {
		return err
	}
	if h != nil {
		refused, err := t.relay(ctx, h, f, it, name, isNew, old, key)
		tr.change(func() {
			h.busy--
			f.relays--
			tr.active--
			switch {
			case refused != nil:
				tr.failed++
				if !errors.Is(refused, errNoSums) { // which is not that host's doing
					h.failed++
				}
			case err == nil:
				h.failed = 0
				tr.relayed++
				t.holds(f, name)
			}
		})
		if refused == nil {
			return err
		}
		t.notRelayed(ctx, h, it, refused)
		if _, err = t.turn(ctx, f, false); err != nil {
			return err
		}
	}
	began := time.Now()
	sum, n, err := t.upload(ctx, it, name, isNew, old, func(n int) { tr.move(int64(n)) })
	tr.change(func() {
		f.uploads--
		tr.active--
		if err == nil {
			if f.sum == nil {
				f.sum = sum
			}
			tr.rate = float64(n) / max(time.Since(began).Seconds(), 1e-3)
			t.holds(f, name)
		}
	})
	return err
}

// holds notes that the host has the file.
func (t *transfer) holds(f *treeFile, name string) {
	p := t.conn.peer
	h := t.tree.hosts[p]
	if h == nil {
		h = &relayHost{peer: p, host: t.conn.host}
		t.tree.hosts[p] = h
	}
	f.have = append(f.have, holder{h, name})
}

// notRelayed counts and tells that a host did not pass a file on.
func (t *transfer) notRelayed(ctx context.Context, h *holder, it *item, err error) {
	t.count(func(c *Copied) { c.NotRelayed++ })
	t.conn.peer.client.Log.LogAttrs(ctx, LevelStage, "not passed on; copied from here",
		hostAttr(t.conn.host), slog.String("from", h.host.Name), slog.String("file", showName(it.name)), errorAttr(err))
}

// relay has a host that has the file send it to this one, and gives it its name.
// refused is why the other host could not; then nothing is left of it.
func (t *transfer) relay(ctx context.Context, h *holder, f *treeFile, it *item, name string, isNew bool, old sftp.Attributes, key ssh.PublicKey) (refused, err error) {
	u, err := t.openUpload(ctx, it, name)
	if err != nil {
		return nil, err
	}
	t.report.update(func(s *Progress) { s.Path = it.name })
	size := it.info.Size()
	seen, err := t.await(ctx, h, size, u, key)
	if err == nil && !bytes.Equal(t.computedSum(ctx, u.name, size, true), f.sum) {
		err = errSum
		if t.sumless.Load() {
			err = errNoSums
		}
	}
	if err != nil {
		t.closeFile(ctx, u.file)
		t.report.update(func(s *Progress) { s.Bytes -= seen })
		switch {
		case ctx.Err() != nil:
			return nil, t.clean(ctx, u.name, context.Cause(ctx))
		case t.session.Err() != nil:
			return nil, t.clean(ctx, u.name, t.session.Err())
		}
		return t.clean(ctx, u.name, err), nil
	}
	if err = (&content{source: t.source, it: it}).check(); err == io.EOF {
		err = nil
	}
	if err != nil {
		t.closeFile(ctx, u.file)
	} else {
		_, err = t.finish(ctx, it, u, old, size)
	}
	if err == nil {
		err = t.rename(ctx, u.name, name, isNew)
	}
	if err != nil {
		return nil, t.clean(ctx, u.name, err)
	}
	t.count(func(c *Copied) { c.Files++; c.Bytes += size; c.Relayed += size })
	t.report.update(func(s *Progress) { s.Files++; s.Bytes += size - seen })
	return nil, nil
}

// await runs what sends the file, and watches it come. It returns how much was
// seen to come.
func (t *transfer) await(ctx context.Context, h *holder, size int64, u *upload, key ssh.PublicKey) (int64, error) {
	script, err := relayScript(t.conn.host, key, h.name, u.name)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- h.run(ctx, script) }()
	tick := time.NewTicker(relayPoll)
	defer tick.Stop()
	var seen, marked int64 // now, and at the mark
	mark := time.Now()
	for {
		select {
		case err := <-done:
			if err == nil {
				t.tree.move(size - seen)
			}
			return seen, err
		case <-tick.C:
		}
		if ctx.Err() != nil {
			continue // done comes soon
		}
		a, err := u.file.Stat(ctx)
		now := int64(a.Size)
		switch {
		case err != nil:
			cancel(err)
		case now > size:
			cancel(&remoteError{fmt.Errorf("%d bytes came of a file of %d", now, size)})
		case now > seen:
			t.tree.move(now - seen)
			t.report.update(func(s *Progress) { s.Bytes += now - seen })
			if seen == 0 {
				mark = time.Now()
			}
			seen = now
		}
		if time.Since(mark) >= relayPatience {
			if float64(seen-marked) < t.tree.least()*relayPatience.Seconds() {
				cancel(&remoteError{fmt.Errorf("only %d bytes came in %v", seen-marked, relayPatience)})
			}
			mark, marked = time.Now(), seen
		}
	}
}

// run runs a script by the host's sh.
func (h *relayHost) run(ctx context.Context, script string) error {
	p, err := h.peer.client.cache.acquire(h.peer.client, h.host)
	if err != nil {
		return err
	}
	defer p.release()
	if _, err := p.connect(ctx); err != nil {
		return err
	}
	out, err := (&Conn{peer: p, host: h.host.forOwn()}).Run(ctx, Command{Line: "sh", Stdin: strings.NewReader(script), MaxOutput: 64 << 10})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*ExitError](err); ok {
		return &remoteError{&saidError{e.Error(), strings.TrimSpace(out.ErrText())}}
	}
	return err
}

// forOwn is the host for commands of ours: without what is meant for the user's.
func (h Host) forOwn() Host {
	h.line, h.Env, h.PTY, h.ForwardAgent = nil, nil, nil, Auth{}
	return h
}

// relayReceiver is run by the receiving host, whatever its login shell. The name
// comes ahead of the content. It must be there already, so that nothing is written
// where commands see other files than SFTP does.
const relayReceiver = `sh -c 'IFS= read -r n && n=$(printf %b. "$n") && n=${n%.} && ` +
	`if [ -f "$n" ] && [ ! -L "$n" ]; then exec cat >"$n"; fi; echo "commands see other files than SFTP" >&2; exit 1'`

// relayAlias is what the receiving host is called in the known_hosts file for it.
const relayAlias = "shoal-relay"

// relayScript has sh send a file to another host by ssh. That may not ask anything,
// must meet the host key that we met, and forwards nothing.
func relayScript(to Host, key ssh.PublicKey, from, name string) (string, error) {
	addr, port, err := to.address()
	if err != nil {
		return "", err
	}
	command := []string{"ssh", "-T", "-a", "-x", "-S", "none"}
	for _, option := range []string{
		"BatchMode=yes", "StrictHostKeyChecking=yes", "HostKeyAlias=" + relayAlias, "CheckHostIP=no",
		"GlobalKnownHostsFile=/dev/null", "HostKeyAlgorithms=" + strings.Join(keyAlgorithms(key.Type()), ","),
		"ClearAllForwardings=yes", "ControlMaster=no", "PermitLocalCommand=no", "LogLevel=ERROR",
		"ConnectTimeout=10", "ConnectionAttempts=1", "ServerAliveInterval=10", "ServerAliveCountMax=2",
	} {
		command = append(command, "-o", option)
	}
	known := relayAlias + " " + string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
	return `umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/shoal-XXXXXXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
trap 'exit 1' HUP INT TERM
printf '%s\n' ` + shell.Quote(known) + ` >"$d/known_hosts" || exit 1
exec 3<` + shell.Quote(from) + ` || exit 1
{ printf '%s\n' ` + shell.Quote(octal(name)) + `; cat <&3; } | ` + shell.Join(command) + ` -o UserKnownHostsFile="\"$d/known_hosts\"" ` +
		shell.Join([]string{"-p", strconv.Itoa(port), "-l", to.User, "--", addr, relayReceiver}) + ` >/dev/null
exit $?
`, nil
}

// octal writes a name for printf's %b.
func octal(name string) string {
	var b strings.Builder
	for i := range len(name) {
		fmt.Fprintf(&b, `\0%03o`, name[i])
	}
	return b.String()
}

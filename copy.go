package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/shoal-ssh/shoal/internal/glob"
	"github.com/shoal-ssh/shoal/internal/scp"
	"github.com/shoal-ssh/shoal/internal/sftp"
	"github.com/shoal-ssh/shoal/internal/spool"
)

// Copy says what to copy, where to and how. Only From and To, or For, are
// needed. A Copy is a plain value that may be used any number of times, except
// for its Reader and Writer.
//
// A file is written under a temporary name beside its own (.NAME.shoal-RANDOM),
// its size is compared with the source's, it is written to the disk where the
// server can (fsync@openssh.com), and then takes its name in one step
// (posix-rename@openssh.com): that holds the old file or the new one, never a
// part. What could not be finished is removed.
//
// Names are those of cp -r: see docs/copy.md. Names and patterns are never seen
// by a remote shell.
type Copy struct {
	// From is the file or directory to copy: a local one with Put, a remote
	// one with Get. The characters *, ?, [ and ] make a pattern, as of
	// [path.Match] for each part between slashes, a backslash takes their
	// meaning away. Remote names without a slash at the beginning start in the
	// login folder, as does "~/".
	From string
	// To is where to. A directory that exists, and a name that ends with a
	// slash, take the source under its own name; anything else becomes its
	// name. Missing folders above it are made. Empty means the login folder
	// with Put, the current one with Get.
	//
	// With [Client.Get] "_" and the host's name are added to the name of each
	// file or directory that To or From names: see Separator.
	To string
	// For gives From and To for each host in place of those. It is called for
	// every host before anything is copied, and an error for one host keeps
	// all from it. With it [Client.Get] adds no host to the names.
	For func(Host) (from, to string, err error)
	// Separator stands between a name and the host in the names of
	// [Client.Get]; empty means "_".
	Separator string
	// Recursive copies directories with all that is in them; without it a
	// directory is an error.
	Recursive bool
	// Preserve gives copies the permissions and times of their sources,
	// setuid bits included. Without it a file that is replaced keeps its
	// permissions, and a new one has its source's without the right to write
	// for others and without setuid bits.
	Preserve bool
	// Links says what becomes of symbolic links in a directory; those that From
	// names are followed.
	Links Links
	// Verify compares SHA-256 sums before a file gets its name. That of a remote
	// file over 256 KiB is computed by the host, with what it has: sha256sum,
	// shasum, sha256, openssl or busybox. Where none of them gives the sum that
	// is looked for, the file is read back, which takes as long as the copy.
	Verify bool
	// Resume goes on with what an earlier copy with Resume left of files over
	// 256 KiB. They are written under .NAME.shoal-part, which stays where the
	// copy fails. It is gone on with if it is the source's beginning by its
	// SHA-256 sum, and else begun anew; the sum of the whole is compared in the
	// end. Files that are there already, by size and SHA-256, are left out. Two
	// copies to one name must not run at the same time. With Get it needs a
	// host that computes sums, else files begin anew.
	Resume bool
	// Tree has hosts that have a file pass it on, with Put to several hosts, so that
	// all together cost one upload: it is how many hosts one of them may send to at
	// once; 0 means none. A host sends by its own ssh, with keys of its own that let
	// it in there as the same user: no agent and no secret is lent to it. It may only
	// meet the host key that was met here, and what came is compared by its SHA-256
	// sum, which the receiving host computes. Where that fails the file comes from
	// here, as all files under 256 KiB do. Limit counts only what comes from here.
	Tree int
	// SCP copies by SCP instead of SFTP, for servers that have only that. It needs
	// scp and a POSIX shell on the host: see docs/copy.md for what differs.
	SCP bool
	// Unchanged leaves out files that seem to be there already.
	Unchanged Unchanged
	// Exclude leaves out what is in a directory and matches one of these patterns,
	// which are those of gitignore(5) without "!": "*.o" and "cache/" match at any
	// depth, and the latter directories only; "/build" and "a/b" match from the
	// copied directory; "**" is any number of directories. Delete keeps what is
	// excluded.
	Exclude []string
	// Delete removes from the directories that Put copies into what their source
	// has not, after all is copied, so that they become equal. What stands in
	// the way is removed before: a file where a directory is to be, links to
	// directories also. Nothing is deleted on a host where something could not
	// be copied, and an empty source is an error; so is the login folder as
	// the target. From must name a directory: "site/." to make To equal to it.
	Delete bool
	// DryRun has Put change nothing: [Copied] then says what would be done, with
	// its Changes.
	DryRun bool
	// NoSync does not wait for disks: faster for many small files, and a host
	// that crashes soon after may have lost them.
	NoSync bool
	// Force removes a file before the new one takes its name, where a server
	// cannot replace it in one step. Without it that is an error.
	Force bool
	// Limit bounds the bytes a second of all hosts together; 0 means no bound.
	Limit int64
	// Progress is called now and then, at most ten times a second for a host,
	// and at each host's end; never by two goroutines at once. It should
	// return soon.
	Progress func(Progress)
	// FS is where Put's From is looked up; nil means the local files.
	FS fs.FS
	// Reader is the content of the one file that Put makes, named To; From is
	// then not used. It is read once for all hosts.
	Reader io.Reader
	// Writer takes the content of the one file that Get reads, in order; To is
	// then not used. It is for one host. What it got may be cut short where
	// the error is not nil.
	Writer io.Writer

	shared   bool          // several hosts
	source   *source       // of Put
	limiter  *rate.Limiter // of Limit
	reporter *reporter     // of Progress
	landed   *landings     // names taken by Get
	stream   *spool.Log    // Reader
	tree     *tree         // of Tree, for several hosts
	rules    glob.Rules    // of Exclude
	rulesErr error
}

// Links says what becomes of symbolic links.
type Links int

// What becomes of links.
const (
	KeepLinks   Links = iota // copied as links; with Get those that lead out of the directory are errors
	FollowLinks              // copied as what they point to; loops are errors
	SkipLinks                // left out
)

// Unchanged says which files need no copy.
type Unchanged int

// Files that need no copy.
const (
	CopyAll     Unchanged = iota // all are copied
	SkipSameAge                  // left out where size and modification time, in seconds, are the same: use it with Preserve
	SkipSameSum                  // left out where size and SHA-256 are the same
)

// Copied says what a copy did on one host; it counts what was done also where
// there was an error.
type Copied struct {
	Files   int   // copied whole, links included
	Dirs    int   // made
	Skipped int   // unchanged, or links that were left out
	Bytes   int64 // of the files copied
	Kept    int64 // part of Bytes, which Resume found there
	Relayed int64 // part of Bytes, which came from other hosts: see Tree
	Deleted int   // files and directories: see Delete
	Failed  int   // files, directories and links that could not be copied or deleted

	NotRelayed int // files that another host could not pass on, and that came from here

	Changes []Change // of DryRun, by name
}

// Progress says how far the copy of one host is.
type Progress struct {
	Host  Host
	Path  string        // the file at work: the source's name
	Bytes int64         // done
	Size  int64         // in all, as far as is known
	Files int           // done
	Total int           // in all, as far as is known
	Took  time.Duration // since the beginning
	Done  bool          // nothing more comes for the host
}

// Rate returns the bytes a second.
func (p Progress) Rate() float64 { return float64(p.Bytes) / max(p.Took.Seconds(), 1e-3) }

// Left estimates the time until the end; negative where nothing can be said.
func (p Progress) Left() time.Duration {
	if p.Bytes == 0 || p.Size < p.Bytes {
		return -1
	}
	return time.Duration(float64(p.Took) * float64(p.Size-p.Bytes) / float64(p.Bytes))
}

// Put copies local files to every host and yields each host's outcome as it
// comes: exactly one Result a host. The source is read once for the hosts that
// keep pace with each other; a slow one reads for itself. A file that cannot be
// copied does not keep the others from it. Each error is a [*HostError] with
// [StageTransfer] if it came from copying; [errors.Is] finds [fs.ErrNotExist],
// [fs.ErrPermission] and the like. Leaving the loop, and the end of the context,
// end the copies and remove what is unfinished.
func (c *Client) Put(ctx context.Context, hosts iter.Seq[Host], cp Copy) iter.Seq[Result[Copied]] {
	return c.copy(ctx, hosts, cp, (*Conn).put)
}

// Get copies remote files of every host and yields as [Client.Put] does. Two
// hosts never write the same name.
func (c *Client) Get(ctx context.Context, hosts iter.Seq[Host], cp Copy) iter.Seq[Result[Copied]] {
	if cp.For == nil && cp.Writer == nil {
		cp.landed = &landings{separator: cmp.Or(cp.Separator, "_")}
	} else {
		cp.landed = &landings{}
	}
	return c.copy(ctx, hosts, cp, (*Conn).get)
}

func (c *Client) copy(ctx context.Context, hosts iter.Seq[Host], cp Copy, do func(*Conn, context.Context, Copy) (Copied, error)) iter.Seq[Result[Copied]] {
	return func(yield func(Result[Copied]) bool) {
		cp := cp
		cp.shared = true
		if cp.landed != nil {
			cp.landed = &landings{separator: cp.landed.separator}
		}
		done := cp.begin()
		defer done()
		hosts := prepareFor(hosts, cp.For)
		for r := range each(ctx, c, hosts, func(ctx context.Context, conn *Conn, _ int) (Copied, error) {
			return do(conn, ctx, cp)
		}) {
			if !yield(r) {
				return
			}
		}
	}
}

// Put copies local files to the host: see [Client.Put].
func (c *Conn) Put(ctx context.Context, cp Copy) (Copied, error) {
	defer cp.begin()()
	return c.put(ctx, cp)
}

// Get copies files of the host: see [Client.Get]. No host is added to names.
func (c *Conn) Get(ctx context.Context, cp Copy) (Copied, error) {
	defer cp.begin()()
	if cp.landed == nil {
		cp.landed = &landings{}
	}
	return c.get(ctx, cp)
}

// begin readies what the hosts share.
func (cp *Copy) begin() (done func()) {
	cp.rules, cp.rulesErr = glob.Parse(cp.Exclude)
	cp.source = newSource(cp.FS, cp.shared)
	cp.reporter = &reporter{report: cp.Progress}
	if cp.Limit > 0 {
		cp.limiter = rate.NewLimiter(rate.Limit(cp.Limit), max(int(min(cp.Limit/10, 1<<30)), pieceSize))
	}
	if cp.Reader != nil {
		cp.stream = spool.NewLog(cp.Reader)
	}
	if cp.Tree > 0 && cp.shared {
		cp.tree = newTree()
	}
	source, stream := cp.source, cp.stream
	return func() {
		source.close()
		if stream != nil {
			stream.Close()
		}
	}
}

// prepareFor makes every host's names before anything is done.
func prepareFor(hosts iter.Seq[Host], names func(Host) (string, string, error)) iter.Seq[Host] {
	if names == nil {
		return hosts
	}
	list := slices.Collect(hosts)
	made := make([]madeLine, len(list))
	var bad error
	for i, h := range list {
		made[i].line, made[i].to, made[i].err = names(h)
		if err := made[i].err; err != nil && bad == nil {
			bad = fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	return func(yield func(Host) bool) {
		for i, h := range list {
			h.line = &made[i]
			if h.line.err == nil && bad != nil {
				h.line.err = &notRunError{bad}
			}
			if !yield(h) {
				return
			}
		}
	}
}

// names are the host's From and To.
func (cp *Copy) names(h Host) (from, to string, err error) {
	switch {
	case h.line != nil:
		from, to, err = h.line.line, h.line.to, h.line.err
	case cp.For != nil:
		from, to, err = cp.For(h)
	default:
		from, to = cp.From, cp.To
	}
	if err != nil {
		return "", "", lineError(h, err)
	}
	if strings.ContainsRune(from+to, 0) {
		err = errors.New("a name cannot contain a NUL")
	}
	if cp.Limit < 0 || cp.Links < KeepLinks || cp.Links > SkipLinks || cp.Unchanged < CopyAll || cp.Unchanged > SkipSameSum {
		err = errors.New("a value of Limit, Links or Unchanged that means nothing")
	}
	if cerr := cp.checkSync(); cerr != nil {
		err = cerr
	}
	if cp.Resume && cp.SCP {
		err = errors.New("copying with Resume needs SFTP: SCP sends files from their beginning")
	}
	if terr := cp.checkTree(); terr != nil {
		err = terr
	}
	if cp.Resume && (cp.Reader != nil || cp.Writer != nil) {
		err = errors.New("copying with Resume needs files, and neither a Reader nor a Writer")
	}
	if err != nil {
		err = &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindInvalid, Err: err}
	}
	return from, to, err
}

// transfer is the copy of one host.
type transfer struct {
	*Copy
	conn    *Conn
	session *fileSession

	mu     sync.Mutex
	copied Copied
	errs   []error
	report *hostReport

	withheld bool // Delete, because something failed

	sumless atomic.Bool // the host has nothing that computes sums
}

// How much is under way at once, for one host.
const (
	filesAtOnce = 64
	largeAtOnce = 4
	largeFile   = 256 << 10
	maxErrors   = 100 // kept of one host
	maxDepth    = 64  // of directories
	maxEntries  = 1 << 20
)

// failed notes what could not be copied.
func (t *transfer) failed(name string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.copied.Failed++
	if len(t.errs) < maxErrors {
		t.errs = append(t.errs, &nameError{name, err})
	}
}

func (t *transfer) count(f func(*Copied)) {
	t.mu.Lock()
	f(&t.copied)
	t.mu.Unlock()
}

// result is the outcome; err is what ended the whole.
func (t *transfer) result(ctx context.Context, err error) (Copied, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.end()
	if err == nil && len(t.errs) > 0 {
		err = &copyErrors{t.errs, t.copied.Failed - len(t.errs)}
		if len(t.errs) == 1 {
			err = t.errs[0]
		}
	}
	sortChanges(t.copied.Changes)
	if err == nil {
		return t.copied, nil
	}
	if t.withheld {
		err = fmt.Errorf("%w; nothing was deleted because of that", err)
	}
	return t.copied, t.conn.copyError(ctx, t.session, err)
}

// nameError is an error with the file it is about.
type nameError struct {
	name string
	err  error
}

func (e *nameError) Error() string {
	text := e.err.Error()
	if pe, ok := e.err.(*fs.PathError); ok {
		text = pe.Op + ": " + pe.Err.Error()
	}
	return showName(e.name) + ": " + text
}

func (e *nameError) Unwrap() error { return e.err }

// showName is a file's name in one safe line.
func showName(name string) string {
	if name == "" || printable(name) != name || strings.ContainsAny(name, " \"'") {
		return strconv.Quote(name)
	}
	return name
}

// copyErrors are the failures of several files.
type copyErrors struct {
	errs []error
	more int
}

func (e *copyErrors) Error() string {
	return fmt.Sprintf("%v (and %d more)", e.errs[0], len(e.errs)+e.more-1)
}

func (e *copyErrors) Unwrap() []error { return e.errs }

// Errors of copying.
var (
	errIsDir    = errors.New("is a directory, and the copy is not recursive (-r)")
	errSpecial  = errors.New("is neither a file, a directory nor a link")
	errChanged  = errors.New("changed while it was copied")
	errSum      = errors.New("the SHA-256 sum of the copy differs from the source's")
	errNoMatch  = fmt.Errorf("nothing has a name like that: %w", fs.ErrNotExist)
	errDepth    = fmt.Errorf("more than %d directories deep", maxDepth)
	errEntries  = fmt.Errorf("more than %d files", maxEntries)
	errLinkLoop = errors.New("a link that leads back to a directory above it")
	errLinkOut  = errors.New("a link that leads out of the directory")
)

// copyError makes an error of copying the host's.
func (c *Conn) copyError(ctx context.Context, s *fileSession, err error) error {
	if he, ok := errors.AsType[*HostError](err); ok {
		return he
	}
	he := &HostError{Host: c.host.Name, Stage: StageTransfer, Kind: KindLocalIO, Err: err}
	_, status := errors.AsType[*sftp.Status](err)
	_, protocol := errors.AsType[*sftp.ProtocolError](err)
	if _, isSCP := errors.AsType[*scp.ProtocolError](err); isSCP {
		protocol = true
	}
	size, isSize := errors.AsType[*sftp.SizeError](err)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		he.Kind = endKind(context.Cause(ctx))
	case errors.Is(err, errBudget), errors.Is(err, sftp.ErrSilent):
		he.Kind = KindTimeout
	case protocol:
		he.Kind = KindProtocol
	case isSize && size.Got < size.Want:
		he.Kind = KindTruncated
	case isSize, errors.Is(err, errChanged):
		he.Kind = KindChanged
	case errors.Is(err, errSum):
		he.Kind = KindTruncated
	case status, isRemote(err):
		he.Kind = KindRemoteIO
	case s != nil && (s.remoteFiles == nil || s.Err() != nil && errors.Is(err, s.Err())):
		he.Kind = KindLost
		if s.session != nil && !s.session.link.alive() {
			he.Err = s.session.link.reason(err)
		}
	}
	return he.at()
}

// remoteError is a finding about a remote file.
type remoteError struct{ err error }

func (e *remoteError) Error() string { return e.err.Error() }
func (e *remoteError) Unwrap() error { return e.err }

func isRemote(err error) bool {
	_, ok := errors.AsType[*remoteError](err)
	return ok
}

// reporter calls Progress for one host after the other.
type reporter struct {
	mu     sync.Mutex
	report func(Progress)
}

// hostReport is one host's part.
type hostReport struct {
	*reporter
	state Progress
	began time.Time
	last  time.Time
}

const reportEvery = 100 * time.Millisecond

func (r *reporter) host(h Host) *hostReport {
	now := time.Now()
	return &hostReport{reporter: r, state: Progress{Host: h}, began: now, last: now}
}

// update changes the state, and tells it unless that was done just before.
func (h *hostReport) update(change func(*Progress)) {
	if h.report == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.state)
	if now := time.Now(); now.Sub(h.last) >= reportEvery && !h.state.Done {
		h.last = now
		h.state.Took = now.Sub(h.began)
		h.report(h.state)
	}
}

func (h *hostReport) end() {
	if h.report == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Done, h.state.Took = true, time.Since(h.began)
	h.report(h.state)
}

// throttle waits until n more bytes may go.
func (cp *Copy) throttle(ctx context.Context, n int) error {
	if cp.limiter == nil {
		return nil
	}
	for n > 0 {
		part := min(n, cp.limiter.Burst())
		if err := cp.limiter.WaitN(ctx, part); err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		n -= part
	}
	return nil
}

// parallel does work for each of n, at most limit at once, until ctx ends.
func parallel(ctx context.Context, limit, n int, work func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, limit)
	for i := range n {
		if take(ctx, slots) != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			work(i)
		})
	}
	wg.Wait()
}

// fileMode is the mode of a copy.
func (cp *Copy) fileMode(from fs.FileMode, old fs.FileMode, replaces bool) fs.FileMode {
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	switch {
	case cp.Preserve:
		return from & (fs.ModePerm | special)
	case replaces:
		return old & fs.ModePerm
	}
	return from & 0o755
}

// dirMode is the mode of a directory that is made.
func dirMode(from fs.FileMode) fs.FileMode { return from&0o755 | 0o700 }

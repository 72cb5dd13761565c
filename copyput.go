package shoal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-ssh/shoal/internal/glob"
	"github.com/shoal-ssh/shoal/internal/sftp"
)

func (c *Conn) put(ctx context.Context, cp Copy) (Copied, error) {
	t := &transfer{Copy: &cp, conn: c, report: cp.reporter.host(c.host)}
	err := t.putAll(ctx)
	if t.session != nil {
		defer t.session.done(ctx, c)
	}
	return t.result(ctx, err)
}

func (t *transfer) putAll(ctx context.Context) error {
	from, to, err := t.names(t.conn.host)
	if err != nil {
		return err
	}
	var p *plan
	if t.stream != nil {
		if to == "" || strings.HasSuffix(to, "/") {
			return &HostError{Host: t.conn.host.Name, Stage: StagePrepare, Kind: KindInvalid, Err: errNoTo}
		}
		p = &plan{roots: 1, files: 1, items: []item{{name: path.Base(to), rel: path.Base(to), top: path.Base(to), info: streamInfo{to}}}}
	} else if p, err = t.source.plan(ctx, t.Copy, from); err != nil {
		return err
	}
	if t.Tree > 0 && t.conn.peer.client.Transport != nil {
		return &HostError{Host: t.conn.host.Name, Stage: StagePrepare, Kind: KindInvalid, Err: errNoKey}
	}
	if t.session, err = t.openFiles(ctx); err != nil {
		return err
	}
	base, rename, err := t.target(ctx, p, to)
	if err != nil {
		return err
	}
	t.report.update(func(s *Progress) { s.Size, s.Total = p.bytes, p.files })
	name := func(it *item) string {
		rel := it.rel
		if rename != "" {
			rel = rename + strings.TrimPrefix(rel, it.top)
			if it.top == "" {
				rel = glob.Join(rename, it.rel)
			}
		}
		return glob.Join(base, rel)
	}
	if t.Delete {
		if err := t.mayDelete(ctx, p, name); err != nil {
			return err
		}
	}
	t.putItems(ctx, p, name, rename != "")
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// target finds the directory to copy into and the name of what is copied there,
// which is empty where things keep their own.
func (t *transfer) target(ctx context.Context, p *plan, to string) (dir, name string, err error) {
	to = home(to)
	a, err := t.session.Stat(ctx, orDot(to))
	switch {
	case err == nil && a.Mode().IsDir():
		return to, "", nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", "", &nameError{to, err}
	case err == nil && (p.roots > 1 || strings.HasSuffix(to, "/") || p.items[0].info.IsDir()):
		return "", "", &nameError{to, &remoteError{errors.New("is not a directory")}}
	case p.roots > 1 || strings.HasSuffix(to, "/"):
		return to, "", t.mkdirAll(ctx, strings.TrimRight(to, "/"))
	}
	dir, name = path.Split(to)
	return dir, name, t.mkdirAll(ctx, strings.TrimRight(dir, "/"))
}

// home takes the login folder off a name, which is where names start anyway.
func home(name string) string {
	if name == "~" {
		return ""
	}
	return strings.TrimPrefix(name, "~/")
}

func orDot(name string) string {
	if name == "" {
		return "."
	}
	return name
}

func (t *transfer) mkdirAll(ctx context.Context, dir string) error {
	if dir == "" {
		return nil
	}
	a, err := t.session.Stat(ctx, dir)
	if err == nil {
		if a.Mode().IsDir() {
			return nil
		}
		return &nameError{dir, &remoteError{errors.New("is not a directory")}}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return &nameError{dir, err}
	}
	if i := strings.LastIndexByte(dir, '/'); i > 0 {
		if err := t.mkdirAll(ctx, strings.TrimRight(dir[:i], "/")); err != nil {
			return err
		}
	}
	_, err = t.mkdir(ctx, dir, 0o755)
	return err
}

// mkdir makes a directory, unless it is there.
func (t *transfer) mkdir(ctx context.Context, dir string, mode fs.FileMode) (made bool, err error) {
	if t.DryRun {
		now, err := t.session.Stat(ctx, dir)
		if err == nil && !now.Mode().IsDir() && !t.Delete {
			return false, &nameError{dir, &remoteError{errors.New("is not a directory")}}
		}
		if err == nil && now.Mode().IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		t.change(Add, dir, true, func(c *Copied) { c.Dirs++ })
		return true, nil
	}
	var a sftp.Attributes
	a.SetMode(mode)
	if err = t.session.Mkdir(ctx, dir, a); err == nil {
		t.count(func(c *Copied) { c.Dirs++ })
		return true, nil
	}
	if now, serr := t.session.Stat(ctx, dir); serr == nil && now.Mode().IsDir() {
		return false, nil
	}
	return false, &nameError{dir, err}
}

// putItems makes the directories, a level at a time, then the files, then what
// directories are to be like.
func (t *transfer) putItems(ctx context.Context, p *plan, name func(*item) string, renamed bool) {
	var levels [][]*item
	var rest, links []*item
	for i := range p.items {
		it := &p.items[i]
		depth := strings.Count(name(it), "/")
		switch {
		case it.info == nil || it.err != nil && !it.info.IsDir():
			t.failed(it.name, it.err)
		case it.info.IsDir():
			if it.err != nil {
				t.failed(it.name, it.err)
			}
			if it.rel == "" && !renamed {
				continue
			}
			for len(levels) <= depth {
				levels = append(levels, nil)
			}
			levels[depth] = append(levels[depth], it)
		case it.info.Mode()&fs.ModeSymlink != 0:
			links = append(links, it)
		default:
			rest = append(rest, it)
		}
	}
	var made sync.Map // new directories, in which no name is taken
	for _, level := range levels {
		parallel(ctx, filesAtOnce, len(level), func(i int) {
			_, inNew := made.Load(parent(name(level[i])))
			isNew, err := t.makeDir(ctx, name(level[i]), dirMode(level[i].info.Mode()), inNew)
			if err != nil {
				t.failed(level[i].name, err)
			} else if isNew {
				made.Store(name(level[i]), true)
			}
		})
	}
	atOnce := filesAtOnce
	if t.SCP { // one after the other, a directory at a time
		atOnce = 1
		slices.SortStableFunc(rest, func(a, b *item) int { return cmp.Compare(path.Dir(a.rel), path.Dir(b.rel)) })
	}
	large := make(chan struct{}, largeAtOnce)
	parallel(ctx, atOnce, len(rest), func(i int) {
		it := rest[i]
		if it.info.Size() > largeFile {
			if take(ctx, large) != nil {
				return
			}
			defer func() { <-large }()
		}
		_, isNew := made.Load(parent(name(it)))
		if err := t.putFile(ctx, it, name(it), isNew); err != nil {
			t.failed(it.name, err)
		}
	})
	parallel(ctx, filesAtOnce, len(links), func(i int) {
		it := links[i]
		if t.Links == SkipLinks {
			t.count(func(c *Copied) { c.Skipped++ })
		} else if err := t.putLink(ctx, it, name(it)); err != nil {
			t.failed(it.name, err)
		}
	})
	if t.Delete && ctx.Err() == nil {
		if t.withheld = t.copied.Failed > 0; !t.withheld {
			t.prune(ctx, p, name)
		}
	}
	if !t.Preserve || t.DryRun {
		return
	}
	for i := len(levels) - 1; i >= 0; i-- {
		parallel(ctx, filesAtOnce, len(levels[i]), func(j int) {
			it := levels[i][j]
			var a sftp.Attributes
			a.SetMode(t.fileMode(it.info.Mode(), 0, false))
			a.SetTimes(it.info.ModTime(), it.info.ModTime())
			if err := t.session.SetStat(ctx, name(it), a); err != nil {
				t.failed(it.name, err)
			}
		})
	}
}

// temporary is a name beside another that nobody else has.
func temporary(name string) string {
	dir, base := path.Split(name)
	return dir + "." + base[:min(len(base), 200)] + ".shoal-" + rand.Text()[:12]
}

// cleanBudget bounds the removal of what is unfinished.
const cleanBudget = 5 * time.Second

// clean removes a temporary file, also after ctx's end, and adds to err where
// that fails.
func (t *transfer) clean(ctx context.Context, tmp string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanBudget)
	defer cancel()
	if rerr := t.session.Remove(ctx, tmp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		return fmt.Errorf("%w (the unfinished %s was left)", err, showName(tmp))
	}
	return err
}

func (t *transfer) putLink(ctx context.Context, it *item, name string) error {
	old, err := t.session.Lstat(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	isNew := err != nil
	if !isNew && t.Unchanged != CopyAll && old.Mode()&fs.ModeSymlink != 0 {
		if link, err := t.session.ReadLink(ctx, name); err == nil && link == it.link {
			t.count(func(c *Copied) { c.Skipped++ })
			return nil
		}
	}
	if !isNew && old.Mode().IsDir() {
		if err := t.replaceDir(ctx, it, name, old); err != nil {
			return err
		}
		isNew = true
	}
	linked := func(c *Copied) { c.Files++ }
	if !t.change(addOr(isNew), name, false, linked) {
		return nil
	}
	tmp := temporary(name)
	if err := t.session.Symlink(ctx, it.link, tmp); err != nil {
		return err
	}
	if err := t.rename(ctx, tmp, name, isNew); err != nil {
		return t.clean(ctx, tmp, err)
	}
	t.count(linked)
	return nil
}

// addOr is Add, or Replace.
func addOr(isNew bool) Action {
	if isNew {
		return Add
	}
	return Replace
}

// replaceDir removes a directory where something else is to be, with Delete.
func (t *transfer) replaceDir(ctx context.Context, it *item, name string, old sftp.Attributes) error {
	if !t.Delete {
		return &remoteError{errors.New("is a directory")}
	}
	err := t.remove(ctx, name, belowTop(it.rel, it.top), old, 0)
	if err == errExcluded {
		err = &remoteError{err}
	}
	return err
}

// rename gives a finished file its name.
func (t *transfer) rename(ctx context.Context, tmp, name string, isNew bool) error {
	if t.session.Has("posix-rename@openssh.com") {
		return t.session.PosixRename(ctx, tmp, name)
	}
	err := t.session.Rename(ctx, tmp, name)
	if err == nil || isNew {
		return err
	}
	if _, serr := t.session.Lstat(ctx, name); serr != nil {
		return err
	}
	if !t.Force {
		return &remoteError{errors.New("exists, and the server cannot replace it in one step; set Force to remove it first")}
	}
	if err := t.session.Remove(ctx, name); err != nil {
		return err
	}
	return t.session.Rename(ctx, tmp, name)
}

func (t *transfer) putFile(ctx context.Context, it *item, name string, isNew bool) error {
	var old sftp.Attributes
	if !isNew {
		var err error
		old, err = t.session.Lstat(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			isNew = true
		case err != nil:
			return err
		case old.Mode().IsDir():
			if err := t.replaceDir(ctx, it, name, old); err != nil {
				return err
			}
			old, isNew = sftp.Attributes{}, true
		}
		if same, err := t.unchanged(ctx, it, name, old); err != nil || same {
			if same {
				err = t.settle(ctx, it, name, old)
			}
			return err
		}
	}
	if !t.change(addOr(isNew), name, false, func(c *Copied) { c.Files++; c.Bytes += max(it.info.Size(), 0) }) {
		return nil
	}
	if t.SCP {
		return t.putFileSCP(ctx, it, name, isNew, old)
	}
	if t.byTree(it) {
		return t.putByTree(ctx, it, name, isNew, old)
	}
	_, _, err := t.upload(ctx, it, name, isNew, old, nil)
	return err
}

// upload copies a file from here. The sum is that of what was sent, if one was made.
func (t *transfer) upload(ctx context.Context, it *item, name string, isNew bool, old sftp.Attributes, sent func(n int)) (sum []byte, n int64, err error) {
	u, err := t.openUpload(ctx, it, name)
	if err != nil {
		return nil, 0, err
	}
	n, err = t.putContent(ctx, it, u, old, sent)
	if err == nil {
		err = t.rename(ctx, u.name, name, isNew)
	}
	if err != nil {
		return nil, n, t.abandon(ctx, it, u, err)
	}
	t.count(func(c *Copied) { c.Files++; c.Bytes += n; c.Kept += u.kept })
	t.report.update(func(s *Progress) { s.Files++ })
	if u.sum != nil {
		sum = u.sum.Sum(nil)
	}
	return sum, n, nil
}

// putContent writes the rest of a file, checks the whole and closes it. Where sent
// is not nil it is told how much the host took.
func (t *transfer) putContent(ctx context.Context, it *item, u *upload, old sftp.Attributes, sent func(n int)) (int64, error) {
	f, sum := u.file, u.sum
	next, done := t.piecesFrom(it, u.kept)
	defer done()
	t.report.update(func(s *Progress) { s.Path = it.name })
	n, err := f.Write(ctx, u.kept, func(ctx context.Context) ([]byte, func(), error) {
		p, release, err := next(ctx)
		if err == nil && sum != nil {
			sum.Write(p)
		}
		if err == nil {
			err = t.throttle(ctx, len(p))
		}
		return p, release, err
	}, func(n int) {
		t.report.update(func(s *Progress) { s.Bytes += int64(n) })
		if sent != nil {
			sent(n)
		}
	})
	if err != nil {
		t.closeFile(ctx, f)
		return n, err
	}
	n += u.kept
	now, err := t.finish(ctx, it, u, old, n)
	if err != nil {
		return n, err
	}
	if sum != nil && (t.Verify || t.resumes(it.info.Size())) {
		if same, err := t.hasSum(ctx, u.name, n, true, sum.Sum(nil)); err != nil || !same {
			return n, cmp.Or(err, errSum)
		}
	}
	return n, t.still(ctx, it, u, now)
}

// finish gives a file of n bytes its mode and times, and closes it.
func (t *transfer) finish(ctx context.Context, it *item, u *upload, old sftp.Attributes, n int64) (sftp.Attributes, error) {
	var set sftp.Attributes
	set.SetMode(t.fileMode(it.info.Mode(), old.Mode(), old.Flags&sftp.HasPermissions != 0 && old.Mode().IsRegular()))
	if t.Preserve && !it.info.ModTime().IsZero() {
		set.SetTimes(it.info.ModTime(), it.info.ModTime())
	}
	now, err := u.file.Finish(ctx, set, !t.NoSync)
	if err == nil && now.Flags&sftp.HasSize != 0 && int64(now.Size) != n {
		err = &remoteError{fmt.Errorf("the server has %d bytes of the %d it took", now.Size, n)}
	}
	return now, err
}

// pieces reads an item for this host.
func (t *transfer) pieces(it *item) (sftp.Next, func()) { return t.piecesFrom(it, 0) }

// piecesFrom reads an item from an offset on, where its pieces meet. What comes
// from a Reader is read from its beginning.
func (t *transfer) piecesFrom(it *item, offset int64) (sftp.Next, func()) {
	if t.stream == nil {
		c := &content{source: t.source, it: it, offset: offset}
		if !t.source.shared {
			c.free = make(chan []byte, 4)
		}
		return c.next, c.close
	}
	r := t.stream.Reader()
	return func(ctx context.Context) ([]byte, func(), error) {
		stop := context.AfterFunc(ctx, func() { r.Close() })
		defer stop()
		buf := make([]byte, 64<<10)
		n, err := r.Read(buf)
		if n > 0 {
			return buf[:n], nil, nil
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, err
	}, func() { r.Close() }
}

// unchanged reports whether a file needs no copy.
func (t *transfer) unchanged(ctx context.Context, it *item, name string, old sftp.Attributes) (bool, error) {
	by := t.unchangedBy(it.info.Size())
	if by == CopyAll || !old.Mode().IsRegular() || int64(old.Size) != it.info.Size() {
		return false, nil
	}
	if by == SkipSameAge {
		same := old.Flags&sftp.HasTimes != 0 && old.ModTime().Unix() == it.info.ModTime().Unix()
		// The server's times are whole seconds: a file that was just written may
		// have been written again in the second in which it was copied.
		if !same || time.Since(it.info.ModTime()) > 2*time.Second {
			return same, nil
		}
	}
	r := t.reader(ctx, it)
	defer r.done()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return false, err
	}
	return t.hasSum(ctx, name, it.info.Size(), true, sum.Sum(nil))
}

// pieceReader reads an item as an [io.Reader].
type pieceReader struct {
	ctx  context.Context
	next sftp.Next
	done func()

	rest    []byte
	release func()
}

func (t *transfer) reader(ctx context.Context, it *item) *pieceReader {
	next, done := t.pieces(it)
	return &pieceReader{ctx: ctx, next: next, done: done}
}

func (r *pieceReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.release != nil {
			r.release()
			r.release = nil
		}
		var err error
		if r.rest, r.release, err = r.next(r.ctx); err != nil {
			r.rest = nil
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// inOrder gives pieces to a writer in the order of their offsets. What comes
// too early is held: no more than was asked for at once.
type inOrder struct {
	w    io.Writer
	next int64
	held map[int64][]byte
}

func (o *inOrder) sink(offset int64, p []byte) error {
	if offset != o.next {
		if o.held == nil {
			o.held = map[int64][]byte{}
		}
		o.held[offset] = bytes.Clone(p)
		return nil
	}
	for {
		if _, err := o.w.Write(p); err != nil {
			return err
		}
		o.next += int64(len(p))
		var ok bool
		if p, ok = o.held[o.next]; !ok {
			return nil
		}
		delete(o.held, o.next)
	}
}

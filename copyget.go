package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-ssh/shoal/internal/glob"
	"github.com/shoal-ssh/shoal/internal/sftp"
)

// unknownSize is how much is read of a file that says it has no bytes, as those
// of /proc do.
const unknownSize = 64 << 20

func (c *Conn) get(ctx context.Context, cp Copy) (Copied, error) {
	t := &transfer{Copy: &cp, conn: c, report: cp.reporter.host(c.host)}
	err := t.getAll(ctx)
	if t.session != nil {
		defer t.session.done(ctx, c)
	}
	return t.result(ctx, err)
}

// remoteItem is something to fetch.
type remoteItem struct {
	name string // of the source
	rel  string // of the copy, below its landing
	at   sftp.Attributes
	link string
}

func (t *transfer) getAll(ctx context.Context) error {
	from, to, err := t.names(t.conn.host)
	if err == nil && (t.Delete || t.DryRun) {
		err = &HostError{Host: t.conn.host.Name, Stage: StagePrepare, Kind: KindInvalid, Err: errors.New("copying with Delete or DryRun is for Put alone")}
	}
	if err != nil {
		return err
	}
	if t.session, err = t.openFiles(ctx); err != nil {
		return err
	}
	names, found, err := t.glob(ctx, from)
	if err != nil {
		return err
	}
	if t.Writer != nil {
		if len(names) != 1 {
			return &nameError{from, &remoteError{errors.New("means several files, and there is one Writer")}}
		}
		return t.getStream(ctx, names[0])
	}
	w := &remoteWalk{transfer: t}
	intoDir := to == "" || os.IsPathSeparator(to[len(to)-1]) || len(names) > 1
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		intoDir = true
	}
	for _, name := range names {
		if err := t.getTop(ctx, w, name, to, found, intoDir); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			t.failed(name, err)
		}
	}
	return nil
}

// getTop fetches one of the things that From means.
func (t *transfer) getTop(ctx context.Context, w *remoteWalk, name, to string, found, intoDir bool) error {
	a, err := t.session.Stat(ctx, orDot(name))
	if err != nil {
		return err
	}
	if found && t.rules.Match(path.Base("/"+name), a.Mode().IsDir()) {
		return nil
	}
	if a.Mode().IsDir() && !t.Recursive {
		return &remoteError{errIsDir}
	}
	dir, base := to, path.Base("/"+name)
	if !intoDir {
		dir, base = filepath.Split(filepath.Clean(to))
	}
	if base == "/" || base == "." || base == ".." {
		base = "" // the folder's content
	}
	if base, err = t.landed.name(dir, base, t.conn.host.Name); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if base == "" {
		base = "."
	}
	w.items, w.top = nil, base
	if err := w.walk(ctx, remoteItem{name: name, rel: base, at: a}, nil); err != nil {
		return err
	}
	t.land(ctx, root, base, w.items)
	return ctx.Err()
}

// landings keeps two hosts from writing the same name.
type landings struct {
	separator string // before the host's name; empty: no host is added
	mu        sync.Mutex
	taken     map[string]string
}

func (l *landings) name(dir, base, host string) (string, error) {
	if l.separator != "" {
		base += l.separator + strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' || r == 0 || r == ':' && filepath.Separator == '\\' {
				return '_'
			}
			return r
		}, host)
	}
	key := strings.ToLower(filepath.Join(dir, base))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken = map[string]string{}
	}
	if _, ok := l.taken[key]; ok {
		return "", &nameError{filepath.Join(dir, base), fmt.Errorf("is what another copy of this run is called: %w", fs.ErrExist)}
	}
	l.taken[key] = host
	return base, nil
}

// glob finds the remote names that a pattern means, by listing directories; found
// is false for what is none.
func (t *transfer) glob(ctx context.Context, from string) (names []string, found bool, err error) {
	from = home(from)
	if !glob.IsPattern(from) {
		return []string{from}, false, nil
	}
	if _, err := t.session.Lstat(ctx, from); err == nil {
		return []string{from}, false, nil // that is its name
	}
	root := ""
	if strings.HasPrefix(from, "/") {
		root = "/"
	}
	matches, err := glob.Find(root, from, func(dir string) ([]glob.Entry, error) {
		var list []glob.Entry
		for e, err := range t.session.ReadDir(ctx, orDot(dir)) {
			if err != nil {
				if ctx.Err() != nil || t.session.Err() != nil {
					return nil, err
				}
				break // no directory, or one that cannot be read: nothing in it is meant
			}
			if len(list) >= maxEntries {
				return nil, &remoteError{errEntries}
			}
			if sftp.CheckName(e.Name) == nil {
				list = append(list, glob.Entry{Name: e.Name, Dir: e.Mode().IsDir()})
			}
		}
		return list, nil
	})
	switch {
	case errors.Is(err, glob.ErrMany):
		return nil, true, &remoteError{err}
	case err != nil && ctx.Err() == nil && t.session.Err() == nil && !isRemote(err):
		return nil, true, &HostError{Host: t.conn.host.Name, Stage: StagePrepare, Kind: KindInvalid, Err: err}
	case err != nil:
		return nil, true, err
	}
	var there []string
	for _, name := range matches {
		if _, err := t.session.Lstat(ctx, name); err == nil {
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return nil, true, &nameError{from, &remoteError{errNoMatch}}
	}
	return there, true, nil
}

// remoteWalk finds what is in a remote directory.
type remoteWalk struct {
	*transfer
	items []remoteItem
	top   string
	count int
}

// walk adds an item and what is in it. Only what ends the whole is an error.
func (w *remoteWalk) walk(ctx context.Context, it remoteItem, above []string) error {
	if w.count++; w.count > maxEntries {
		return &remoteError{errEntries}
	}
	mode := it.at.Mode()
	excluded := func() bool { return len(above) > 0 && w.rules.Match(belowTop(it.rel, w.top), mode.IsDir()) }
	if excluded() {
		return nil
	}
	if mode&fs.ModeSymlink != 0 {
		switch w.Links {
		case FollowLinks:
			a, err := w.session.Stat(ctx, it.name)
			if err != nil {
				w.failed(it.name, err)
				return ctx.Err()
			}
			it.at = a
			if mode = a.Mode(); excluded() {
				return nil
			}
		case KeepLinks:
			var err error
			if it.link, err = w.session.ReadLink(ctx, it.name); err != nil {
				w.failed(it.name, err)
				return ctx.Err()
			}
		}
	}
	switch {
	case mode.IsDir():
	case mode.IsRegular(), mode&fs.ModeSymlink != 0:
		w.items = append(w.items, it)
		return nil
	default:
		w.failed(it.name, &remoteError{errSpecial})
		return nil
	}
	if len(above) >= maxDepth {
		w.failed(it.name, &remoteError{errDepth})
		return nil
	}
	if w.Links == FollowLinks {
		real, err := w.session.RealPath(ctx, orDot(it.name))
		if err == nil {
			if slices.Contains(above, real) {
				w.failed(it.name, &remoteError{errLinkLoop})
				return nil
			}
		}
		above = append(above[:len(above):len(above)], real)
	} else {
		above = append(above[:len(above):len(above)], it.name)
	}
	w.items = append(w.items, it)
	var sub []remoteItem
	for e, err := range w.session.ReadDir(ctx, orDot(it.name)) {
		if err != nil {
			w.failed(it.name, err)
			break
		}
		name := glob.Join(it.name, e.Name)
		if err := sftp.CheckName(e.Name); err != nil {
			w.failed(it.name, &remoteError{err})
			continue
		}
		if filepath.Separator == '\\' && !filepath.IsLocal(e.Name) {
			w.failed(name, &remoteError{errors.New("is no name for a file here")})
			continue
		}
		if w.count+len(sub) > maxEntries {
			return &remoteError{errEntries}
		}
		sub = append(sub, remoteItem{name: name, rel: path.Join(it.rel, e.Name), at: e.Attributes})
	}
	for _, s := range sub {
		if err := w.walk(ctx, s, above); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// land writes items below a folder: directories, then files, then links, so
// that nothing is written through a link that came along.
func (t *transfer) land(ctx context.Context, root *os.Root, top string, items []remoteItem) {
	var files, links, dirs []*remoteItem
	size := int64(0)
	for i := range items {
		it := &items[i]
		switch mode := it.at.Mode(); {
		case mode.IsDir():
			dirs = append(dirs, it)
			if err := t.landDir(root, it); err != nil {
				t.failed(it.name, err)
			}
		case mode.IsRegular():
			files = append(files, it)
			size += int64(it.at.Size)
		default:
			links = append(links, it)
		}
	}
	t.report.update(func(s *Progress) { s.Size += size; s.Total += len(files) })
	if t.SCP {
		t.receive(ctx, root, files)
		files = nil
	}
	large := make(chan struct{}, largeAtOnce)
	parallel(ctx, filesAtOnce, len(files), func(i int) {
		it := files[i]
		if it.at.Size > largeFile {
			if take(ctx, large) != nil {
				return
			}
			defer func() { <-large }()
		}
		if err := t.landFile(ctx, root, it); err != nil {
			t.failed(it.name, err)
		}
	})
	if ctx.Err() != nil {
		return
	}
	for _, it := range links {
		if t.Links == SkipLinks {
			t.count(func(c *Copied) { c.Skipped++ })
		} else if err := t.landLink(root, top, it); err != nil {
			t.failed(it.name, err)
		} else {
			t.count(func(c *Copied) { c.Files++ })
		}
	}
	for i := len(dirs) - 1; i >= 0 && t.Preserve; i-- {
		it := dirs[i]
		err := root.Chmod(it.rel, t.fileMode(it.at.Mode(), 0, false))
		if err == nil && it.at.Flags&sftp.HasTimes != 0 {
			err = root.Chtimes(it.rel, it.at.ModTime(), it.at.ModTime())
		}
		if err != nil {
			t.failed(it.name, err)
		}
	}
}

var errNotDir = errors.New("is not a directory here")

func (t *transfer) landDir(root *os.Root, it *remoteItem) error {
	if it.rel == "." {
		return nil
	}
	err := root.Mkdir(it.rel, dirMode(it.at.Mode()))
	if err == nil {
		t.count(func(c *Copied) { c.Dirs++ })
		return nil
	}
	if info, serr := root.Lstat(it.rel); serr == nil {
		if info.IsDir() {
			return nil
		}
		return errNotDir // a link is not followed
	}
	return err
}

func (t *transfer) landLink(root *os.Root, top string, it *remoteItem) error {
	below := path.Dir(strings.TrimPrefix(it.rel, top+"/"))
	if path.IsAbs(it.link) || !filepath.IsLocal(filepath.FromSlash(path.Join(below, it.link))) {
		return &remoteError{errLinkOut}
	}
	tmp := temporary(it.rel)
	if err := root.Symlink(it.link, tmp); err != nil {
		return err
	}
	if err := root.Rename(tmp, it.rel); err != nil {
		root.Remove(tmp)
		return err
	}
	return nil
}

func (t *transfer) landFile(ctx context.Context, root *os.Root, it *remoteItem) error {
	old, err := root.Lstat(it.rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case old.IsDir():
		return &fs.PathError{Op: "open", Path: it.rel, Err: errors.New("is a directory")}
	}
	replaces := err == nil && old.Mode().IsRegular()
	if by := t.unchangedBy(int64(it.at.Size)); replaces && by != CopyAll && old.Size() == int64(it.at.Size) {
		same := old.ModTime().Unix() == it.at.ModTime().Unix()
		if by == SkipSameSum {
			if same, err = t.sameSum(ctx, root, it.rel, it.name, old.Size()); err != nil {
				return err
			}
		}
		if same {
			t.count(func(c *Copied) { c.Skipped++ })
			t.report.update(func(s *Progress) { s.Files++; s.Bytes += old.Size() })
			return nil
		}
	}
	f, err := t.session.Open(ctx, it.name, sftp.Read, sftp.Attributes{})
	if err != nil {
		return err
	}
	defer t.closeFile(ctx, f)
	out, tmp, kept, err := t.openLanding(ctx, root, it)
	if err != nil {
		return err
	}
	var oldMode fs.FileMode
	if replaces {
		oldMode = old.Mode()
	}
	var made fs.FileInfo
	n, err := t.landContent(ctx, f, it, out, kept, func(a sftp.Attributes) error {
		return out.Chmod(t.fileMode(a.Mode(), oldMode, replaces))
	})
	if err == nil {
		made, err = out.Stat()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil && t.Preserve && it.at.Flags&sftp.HasTimes != 0 {
		err = root.Chtimes(tmp, it.at.ModTime(), it.at.ModTime())
	}
	if err == nil && (t.Verify || kept > 0) {
		var same bool
		if same, err = t.sameSum(ctx, root, tmp, it.name, n); err == nil && !same {
			err = errSum
		}
	}
	if err == nil && t.resumes(n) {
		if now, serr := root.Lstat(tmp); serr != nil || !os.SameFile(now, made) {
			err = cmp.Or(serr, errOther)
		}
	}
	if err == nil {
		err = root.Rename(tmp, it.rel)
	}
	if err != nil && t.resumes(int64(it.at.Size)) && !errors.Is(err, errSum) {
		return err // the part stays
	}
	if err != nil {
		if rerr := root.Remove(tmp); rerr != nil {
			err = fmt.Errorf("%w (the unfinished %s was left)", err, showName(tmp))
		}
		return err
	}
	t.count(func(c *Copied) { c.Files++; c.Bytes += n; c.Kept += kept })
	t.report.update(func(s *Progress) { s.Files++ })
	return nil
}

// landContent reads a file whole and makes sure that it did not change.
func (t *transfer) landContent(ctx context.Context, f *sftp.File, it *remoteItem, out *os.File, kept int64, finish func(sftp.Attributes) error) (int64, error) {
	n, a, err := t.fetch(ctx, f, it.name, kept, func(offset int64, p []byte) error {
		_, err := out.WriteAt(p, offset)
		return err
	})
	if err != nil {
		return n, err
	}
	if err := finish(a); err != nil {
		return n, err
	}
	if !t.NoSync {
		if err := out.Sync(); err != nil {
			return n, err
		}
	}
	info, err := out.Stat()
	if err == nil && info.Size() != n {
		err = fmt.Errorf("the copy has %d bytes, and %d were read", info.Size(), n)
	}
	return n, err
}

// fetch reads a file's content, but for what is kept at its beginning, to the size
// that it says.
func (t *transfer) fetch(ctx context.Context, f *sftp.File, name string, kept int64, sink func(int64, []byte) error) (int64, sftp.Attributes, error) {
	a, err := f.Stat(ctx)
	if err != nil {
		return 0, a, err
	}
	size := int64(a.Size)
	switch {
	case a.Flags&sftp.HasPermissions != 0 && !a.Mode().IsRegular():
		return 0, a, &remoteError{errSpecial}
	case size < 0:
		return 0, a, &remoteError{fmt.Errorf("says that it has %d bytes", a.Size)}
	case size == 0:
		size = -unknownSize
	}
	t.report.update(func(s *Progress) { s.Path = name; s.Bytes += kept })
	n, err := f.Read(ctx, kept, size, func(offset int64, p []byte) error {
		if err := t.throttle(ctx, len(p)); err != nil {
			return err
		}
		if err := sink(offset, p); err != nil {
			return err
		}
		t.report.update(func(s *Progress) { s.Bytes += int64(len(p)) })
		return nil
	})
	if err != nil {
		return n, a, err
	}
	if now, err := f.Stat(ctx); err != nil || now.Size != a.Size || now.Flags&sftp.HasTimes != 0 && now.Mod != a.Mod {
		if err == nil {
			err = &remoteError{errChanged}
		}
		return n, a, err
	}
	return n, a, nil
}

// getStream fetches a file into the Writer.
func (t *transfer) getStream(ctx context.Context, name string) error {
	if t.SCP {
		return t.getStreamSCP(ctx, name)
	}
	f, err := t.session.Open(ctx, name, sftp.Read, sftp.Attributes{})
	if err != nil {
		return &nameError{name, err}
	}
	defer t.closeFile(ctx, f)
	in := &inOrder{w: t.Writer}
	n, _, err := t.fetch(ctx, f, name, 0, in.sink)
	if err != nil {
		return &nameError{name, err}
	}
	t.count(func(c *Copied) { c.Files++; c.Bytes += n })
	return nil
}

package shoal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/shoal-ssh/shoal/internal/glob"
	"github.com/shoal-ssh/shoal/internal/sftp"
)

// Change is something that a copy with [Copy.DryRun] would do.
type Change struct {
	Action Action
	Name   string // the remote one; with a slash at the end for a directory
}

// Action is what becomes of a remote name.
type Action byte

// What becomes of remote names.
const (
	Add     Action = '+' // nothing has the name
	Replace Action = '~' // by another content, link, mode or time
	Delete  Action = '-' // see [Copy.Delete]
)

// String is the action's sign and the name in one safe line.
func (c Change) String() string { return string(c.Action) + " " + showName(c.Name) }

// change notes what is done, or would be. It reports whether it is to be done.
func (t *transfer) change(action Action, name string, dir bool, count func(*Copied)) bool {
	if dir {
		name += "/"
	}
	t.count(func(c *Copied) {
		if t.DryRun {
			count(c)
			c.Changes = append(c.Changes, Change{action, name})
		}
	})
	return !t.DryRun
}

// Errors of Delete.
var (
	errEmptySource = errors.New("has nothing in it to copy; with Delete the target would be emptied")
	errWholeHost   = errors.New("is the login folder or all of the host, in which Delete removes nothing")
	errExcluded    = errors.New("is a directory with excluded files in it")
)

// mayDelete refuses what is more likely a mistake than meant.
func (t *transfer) mayDelete(ctx context.Context, p *plan, name func(*item) string) error {
	for i := range p.items {
		it := &p.items[i]
		if it.rel != it.top || it.info == nil || !it.info.IsDir() {
			continue
		}
		if it.err == nil && (i == len(p.items)-1 || p.items[i+1].top != it.top) {
			return &HostError{Host: t.conn.host.Name, Stage: StageTransfer, Kind: KindInvalid, Err: &nameError{it.name, errEmptySource}}
		}
		real, err := t.session.RealPath(ctx, orDot(name(it)))
		if err == nil && real != "/" {
			var login string
			if login, err = t.session.RealPath(ctx, "."); err == nil && login != real {
				continue
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = &HostError{Host: t.conn.host.Name, Stage: StageTransfer, Kind: KindInvalid, Err: &nameError{orDot(name(it)), errWholeHost}}
		}
		return err
	}
	return nil
}

// makeDir makes a directory. With Delete it takes the place of what is none, also of
// a link to one: so nothing is written, and nothing deleted, through a link. inNew
// says that it is in a directory that was, or would be, just made.
func (t *transfer) makeDir(ctx context.Context, name string, mode fs.FileMode, inNew bool) (made bool, err error) {
	if t.Delete && !inNew {
		a, err := t.session.Lstat(ctx, name)
		if err == nil && a.Mode().IsDir() {
			return false, nil
		}
		if err == nil {
			err = t.remove(ctx, name, "", a, 0)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		inNew = true
	}
	if inNew && !t.change(Add, name, true, func(c *Copied) { c.Dirs++ }) {
		return true, nil
	}
	return t.mkdir(ctx, name, mode)
}

// parent is the directory of a remote name, as the name has it.
func parent(name string) string {
	return strings.TrimSuffix(name[:strings.LastIndexByte("/"+name, '/')], "/")
}

// prune removes what is in the copied directories and not in the source.
func (t *transfer) prune(ctx context.Context, p *plan, name func(*item) string) {
	type dir struct{ name, rel, top string }
	var level []dir
	for i := range p.items {
		if it := &p.items[i]; it.rel == it.top && it.info.IsDir() {
			level = append(level, dir{name(it), "", it.top})
		}
	}
	for len(level) > 0 {
		var mu sync.Mutex
		var next []dir
		parallel(ctx, filesAtOnce, len(level), func(i int) {
			d := level[i]
			entries, err := t.list(ctx, d.name)
			if t.DryRun && errors.Is(err, fs.ErrNotExist) {
				return // it would be made
			}
			if err != nil {
				t.failed(d.name, err)
			}
			parallel(ctx, filesAtOnce, len(entries), func(i int) {
				e := &entries[i]
				name, rel := glob.Join(d.name, e.Name), glob.Join(d.rel, e.Name)
				isDir, known := p.kept[glob.Join(d.top, rel)]
				switch {
				case t.rules.Match(rel, e.Mode().IsDir()):
				case known && isDir && e.Mode().IsDir():
					mu.Lock()
					next = append(next, dir{name, rel, d.top})
					mu.Unlock()
				case known:
				default:
					if err := t.remove(ctx, name, rel, e.Attributes, 0); err != nil && err != errExcluded {
						t.failed(name, err)
					}
				}
			})
		})
		level = next
	}
}

// list returns what is in a remote directory, unless a name there leads elsewhere.
func (t *transfer) list(ctx context.Context, dir string) ([]sftp.Entry, error) {
	var entries []sftp.Entry
	for e, err := range t.session.ReadDir(ctx, orDot(dir)) {
		if err == nil {
			err = sftp.CheckName(e.Name)
		}
		if err == nil && len(entries) >= maxEntries {
			err = errEntries
		}
		if err == nil && e.Flags&sftp.HasPermissions == 0 {
			e.Attributes, err = t.session.Lstat(ctx, glob.Join(dir, e.Name))
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// remove removes a file, or a directory with all in it that is not excluded; the
// error is errExcluded where something is. rel is its name below the copied directory.
func (t *transfer) remove(ctx context.Context, name, rel string, a sftp.Attributes, depth int) error {
	deleted := func(c *Copied) { c.Deleted++ }
	if !a.Mode().IsDir() {
		if t.change(Delete, name, false, deleted) {
			if err := t.session.Remove(ctx, name); err != nil {
				return err
			}
			t.count(deleted)
		}
		return nil
	}
	if depth >= maxDepth {
		return &remoteError{errDepth}
	}
	entries, err := t.list(ctx, name)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	parallel(ctx, filesAtOnce, len(entries), func(i int) {
		e := &entries[i]
		below := glob.Join(rel, e.Name)
		rerr := error(errExcluded)
		if !t.rules.Match(below, e.Mode().IsDir()) {
			rerr = t.remove(ctx, glob.Join(name, e.Name), below, e.Attributes, depth+1)
		}
		mu.Lock()
		defer mu.Unlock()
		if err == nil || err == errExcluded && rerr != nil {
			err = rerr
		}
	})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && t.change(Delete, name, true, deleted) {
		if err = t.session.Rmdir(ctx, name); err == nil {
			t.count(deleted)
		}
	}
	return err
}

// settle gives a file that needs no copy the mode and time of its source, and
// counts it as copied where they were others.
func (t *transfer) settle(ctx context.Context, it *item, name string, old sftp.Attributes) error {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	var set sftp.Attributes
	if mode := t.fileMode(it.info.Mode(), 0, false); t.Preserve && old.Mode()&bits != mode {
		set.SetMode(mode)
	}
	if t.Preserve && old.ModTime().Unix() != it.info.ModTime().Unix() {
		set.SetTimes(it.info.ModTime(), it.info.ModTime())
	}
	done := func(c *Copied) { c.Skipped++ }
	if set.Flags != 0 {
		done = func(c *Copied) { c.Files++ }
		if t.change(Replace, name, false, done) {
			if err := t.session.SetStat(ctx, name, set); err != nil {
				return err
			}
			t.count(done)
		}
	} else {
		t.count(done)
	}
	t.report.update(func(s *Progress) { s.Files++; s.Bytes += it.info.Size() })
	return nil
}

// sortChanges puts changes in the order of their names.
func sortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int {
		if a.Name == b.Name {
			return int(b.Action) - int(a.Action)
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// belowTop is an item's name below the copied directory.
func belowTop(rel, top string) string {
	if top == "" || top == "." {
		return rel
	}
	return strings.TrimPrefix(rel, top+"/")
}

// checkSync is what Delete and DryRun need.
func (cp *Copy) checkSync() error {
	if cp.Delete && (cp.Reader != nil || !cp.Recursive) {
		return errors.New("copying with Delete needs Recursive and a directory")
	}
	if cp.rulesErr != nil {
		return fmt.Errorf("in Exclude: %w", cp.rulesErr)
	}
	return nil
}

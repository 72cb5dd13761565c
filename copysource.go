package shoal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-ssh/shoal/internal/glob"
)

// pieceSize is what is read at once: what OpenSSH takes in one request.
const pieceSize = 255 << 10

// sharedPieces is how many pieces are kept for hosts that come later.
const sharedPieces = 64

// item is one thing to copy.
type item struct {
	name string // of the source
	rel  string // of the copy, below its target, with slashes
	top  string // its target's own name: rel's first part
	info fs.FileInfo
	link string // what a link points to
	err  error
}

// plan is what From means.
type plan struct {
	once  sync.Once
	items []item // directories before what is in them
	roots int
	bytes int64
	files int
	kept  map[string]bool // rel of all items, and whether it is a directory: for Delete
	err   error
}

// source reads what Put copies, for all hosts.
type source struct {
	fsys   fs.FS // nil: the local files
	shared bool

	mu     sync.Mutex
	plans  map[string]*plan
	pieces map[pieceKey]*piece
	order  []pieceKey
}

type pieceKey struct {
	name  string
	index int64
}

// piece is a part of a file, read once.
type piece struct {
	ready chan struct{}
	data  []byte
	err   error
}

func newSource(fsys fs.FS, shared bool) *source {
	return &source{fsys: fsys, shared: shared, plans: map[string]*plan{}, pieces: map[pieceKey]*piece{}}
}

func (s *source) close() {
	s.mu.Lock()
	s.pieces, s.order = map[pieceKey]*piece{}, nil
	s.mu.Unlock()
}

func (s *source) open(name string) (fs.File, error) {
	if s.fsys != nil {
		return s.fsys.Open(path.Clean(name))
	}
	return os.Open(name)
}

func (s *source) stat(name string) (fs.FileInfo, error) {
	if s.fsys != nil {
		return fs.Stat(s.fsys, path.Clean(name))
	}
	return os.Stat(name)
}

func (s *source) readDir(name string) ([]fs.DirEntry, error) {
	if s.fsys != nil {
		return fs.ReadDir(s.fsys, path.Clean(name))
	}
	return os.ReadDir(name)
}

func (s *source) join(dir, name string) string {
	if s.fsys != nil {
		return path.Join(dir, name)
	}
	return filepath.Join(dir, name)
}

// plan finds what from means, once for all hosts.
func (s *source) plan(ctx context.Context, cp *Copy, from string) (*plan, error) {
	s.mu.Lock()
	p := s.plans[from]
	if p == nil {
		p = new(plan)
		s.plans[from] = p
	}
	s.mu.Unlock()
	p.once.Do(func() { p.err = s.find(ctx, cp, from, p) })
	return p, p.err
}

func (s *source) find(ctx context.Context, cp *Copy, from string, p *plan) error {
	if from == "" {
		return &fs.PathError{Op: "open", Path: from, Err: fs.ErrNotExist}
	}
	names := []string{from}
	found := false
	if _, err := s.stat(from); err != nil && glob.IsPattern(from) {
		if names, err = s.glob(ctx, from); err != nil {
			return err
		}
		found = true
	}
	tops := map[string]string{}
	for _, name := range names {
		info, err := s.stat(name)
		if err != nil {
			return err
		}
		base := path.Base(strings.TrimRight(filepath.ToSlash(name), "/")) // "dir/." is what is in dir
		if base == "." || base == ".." || base == "/" {
			base = ""
		}
		if found && cp.rules.Match(base, info.IsDir()) {
			continue
		}
		if info.IsDir() && !cp.Recursive {
			return &nameError{name, errIsDir}
		}
		if cp.Delete && !info.IsDir() {
			return &nameError{name, errors.New("is no directory, and Delete is set")}
		}
		if other, ok := tops[base]; ok {
			return &nameError{name, fmt.Errorf("would have the same name as %s: %w", showName(other), fs.ErrExist)}
		}
		tops[base] = name
		if err := s.walk(ctx, cp, p, item{name: name, rel: base, top: base, info: info}, nil); err != nil {
			return err
		}
	}
	if p.roots = len(tops); p.roots == 0 {
		return &nameError{from, errNoMatch}
	}
	if cp.Delete {
		p.kept = make(map[string]bool, len(p.items))
		for i := range p.items {
			it := &p.items[i]
			p.kept[it.rel] = it.info != nil && it.info.IsDir()
		}
	}
	return nil
}

// glob finds what a pattern means.
func (s *source) glob(ctx context.Context, pattern string) ([]string, error) {
	root, rest := "", pattern
	if s.fsys == nil {
		root = filepath.VolumeName(pattern)
		rest = filepath.ToSlash(pattern[len(root):])
		if strings.HasPrefix(rest, "/") {
			root += "/"
		}
	}
	names, err := glob.Find(root, rest, func(dir string) ([]glob.Entry, error) {
		var list []glob.Entry
		entries, _ := s.readDir(orDot(dir)) // what cannot be read has nothing in it that is meant
		for _, e := range entries {
			list = append(list, glob.Entry{Name: e.Name(), Dir: e.IsDir()})
		}
		return list, context.Cause(ctx)
	})
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := s.lstat(name)
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(names) == 0 {
		return nil, &nameError{pattern, errNoMatch}
	}
	return names, nil
}

func (s *source) lstat(name string) (fs.FileInfo, error) {
	if s.fsys != nil {
		return fs.Lstat(s.fsys, path.Clean(name))
	}
	return os.Lstat(name)
}

// walk adds an item and what is in it. Only the context's end is an error.
func (s *source) walk(ctx context.Context, cp *Copy, p *plan, it item, above []fs.FileInfo) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if it.err == nil && it.info.Mode()&fs.ModeSymlink != 0 {
		switch cp.Links {
		case FollowLinks:
			if it.info, it.err = s.stat(it.name); it.err == nil && it.info.IsDir() && slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, it.info) }) {
				it.err = errLinkLoop
			}
		case KeepLinks:
			if s.fsys != nil {
				it.link, it.err = fs.ReadLink(s.fsys, it.name)
			} else {
				it.link, it.err = os.Readlink(it.name)
			}
		}
	}
	if len(above) > 0 && cp.rules.Match(belowTop(it.rel, it.top), it.info != nil && it.info.IsDir()) {
		return nil
	}
	if it.err == nil && it.info.Mode()&^fs.ModeSymlink&fs.ModeType&^fs.ModeDir != 0 {
		it.err = errSpecial
	}
	if it.err == nil && len(above) > maxDepth {
		it.err = errDepth
	}
	p.items = append(p.items, it)
	if it.err != nil || it.info.Mode().IsRegular() {
		if it.err == nil {
			p.files++
			p.bytes += it.info.Size()
		}
		return nil
	}
	if !it.info.IsDir() {
		return nil
	}
	entries, err := s.readDir(it.name)
	if err != nil {
		p.items[len(p.items)-1].err = err
		return nil
	}
	above = append(above[:len(above):len(above)], it.info)
	for _, e := range entries {
		sub := item{name: s.join(it.name, e.Name()), rel: glob.Join(it.rel, e.Name()), top: it.top}
		sub.info, sub.err = e.Info()
		if err := s.walk(ctx, cp, p, sub, above); err != nil {
			return err
		}
	}
	return nil
}

// content is one host's reading of one file.
type content struct {
	source *source
	it     *item
	file   fs.File
	offset int64
	free   chan []byte // buffers that were let go of; nil where others may use them too
}

func (c *content) close() {
	if c.file != nil {
		c.file.Close()
	}
}

// next returns the next piece, as one that other hosts have read where there is
// one. At the end it makes sure that the file is what it was.
func (c *content) next(ctx context.Context) ([]byte, func(), error) {
	size := c.it.info.Size()
	n := min(size-c.offset, pieceSize)
	if n <= 0 {
		return nil, nil, c.check()
	}
	key := pieceKey{c.it.name, c.offset / pieceSize}
	c.offset += n
	s := c.source
	if !s.shared {
		p, err := c.read(key.index*pieceSize, int(n))
		return p, func() {
			select {
			case c.free <- p:
			default:
			}
		}, err
	}
	s.mu.Lock()
	p := s.pieces[key]
	mine := p == nil
	if mine {
		p = &piece{ready: make(chan struct{})}
		s.pieces[key] = p
		if s.order = append(s.order, key); len(s.order) > sharedPieces {
			delete(s.pieces, s.order[0])
			s.order = s.order[1:]
		}
	}
	s.mu.Unlock()
	if mine {
		p.data, p.err = c.read(key.index*pieceSize, int(n))
		close(p.ready)
	}
	select {
	case <-p.ready:
		return p.data, nil, p.err
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

func (c *content) read(offset int64, n int) ([]byte, error) {
	if c.file == nil {
		f, err := c.source.open(c.it.name)
		if err != nil {
			return nil, err
		}
		c.file = f
	}
	buf := c.buffer(n)
	var err error
	if r, ok := c.file.(io.ReaderAt); ok {
		_, err = r.ReadAt(buf, offset)
	} else if r, ok := c.file.(io.Seeker); ok {
		if _, err = r.Seek(offset, io.SeekStart); err == nil {
			_, err = io.ReadFull(c.file, buf)
		}
	} else {
		if offset > 0 && c.source.shared {
			c.file.Close() // the pieces before may have come from others
			if c.file, err = c.source.open(c.it.name); err != nil {
				return nil, err
			}
			if _, err = io.CopyN(io.Discard, c.file, offset); err != nil {
				return nil, err
			}
		}
		_, err = io.ReadFull(c.file, buf)
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errChanged
	}
	return buf, err
}

// buffer is a free one, or new.
func (c *content) buffer(n int) []byte {
	select {
	case buf := <-c.free:
		if n <= cap(buf) {
			return buf[:n]
		}
	default:
	}
	return make([]byte, n)
}

// check returns io.EOF for a file that did not change.
func (c *content) check() error {
	info, err := c.source.stat(c.it.name)
	if err != nil {
		return err
	}
	was := c.it.info
	same := info.Size() == was.Size() && info.ModTime().Equal(was.ModTime())
	if same && c.source.fsys == nil {
		same = os.SameFile(was, info)
	}
	if !same {
		return errChanged
	}
	return io.EOF
}

// streamInfo describes what comes from a reader.
type streamInfo struct{ name string }

func (i streamInfo) Name() string       { return i.name }
func (i streamInfo) Size() int64        { return -1 }
func (i streamInfo) Mode() fs.FileMode  { return 0o644 }
func (i streamInfo) ModTime() time.Time { return time.Time{} }
func (i streamInfo) IsDir() bool        { return false }
func (i streamInfo) Sys() any           { return nil }

var errNoTo = errors.New("no name to copy to: set To")

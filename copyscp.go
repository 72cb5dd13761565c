package shoal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/shoal-ssh/shoal/internal/scp"
	"github.com/shoal-ssh/shoal/internal/sftp"
	"github.com/shoal-ssh/shoal/internal/shell"
)

// drop ends the scp -t that is there.
func (f *scpFiles) drop() {
	if f.target != nil {
		f.target.end()
		f.target, f.source = nil, nil
	}
}

// into returns a source for files in a directory.
func (f *scpFiles) into(ctx context.Context, dir string) (*scp.Source, error) {
	if f.target != nil && f.dir == dir {
		return f.source, nil
	}
	f.drop()
	var err error
	if f.target, err = f.start(ctx, "scp -p -d -t "+shell.Quote(plainName(dir))); err != nil {
		return nil, err
	}
	stream := programIO{ctx, f.target}
	f.source, f.dir = scp.NewSource(stream, stream), dir
	return f.source, nil
}

// putFileSCP is the part of putFile that writes. A file is sent under its temporary
// name, beside its own.
func (t *transfer) putFileSCP(ctx context.Context, it *item, name string, isNew bool, old sftp.Attributes) error {
	f := t.session.remoteFiles.(*scpFiles)
	if err := take(ctx, f.carry); err != nil {
		return err
	}
	defer func() { <-f.carry }()
	dir, base := path.Split(name)
	base = strings.ReplaceAll(temporary(base), "\n", "_") // which a record cannot have
	n, err := t.sendSCP(ctx, f, it, dir, base, old)
	if err == nil {
		err = t.rename(ctx, dir+base, name, isNew)
	}
	if err != nil {
		return t.clean(ctx, dir+base, err)
	}
	t.count(func(c *Copied) { c.Files++; c.Bytes += n })
	t.report.update(func(s *Progress) { s.Files++ })
	return nil
}

// sendSCP sends a file and checks what came of it.
func (t *transfer) sendSCP(ctx context.Context, f *scpFiles, it *item, dir, base string, old sftp.Attributes) (int64, error) {
	size, err := t.sizeSCP(ctx, it)
	if err != nil {
		return 0, err
	}
	source, err := f.into(ctx, dir)
	if err != nil {
		return 0, err
	}
	t.report.update(func(s *Progress) { s.Path = it.name })
	var a sftp.Attributes
	a.SetMode(t.fileMode(it.info.Mode(), old.Mode(), old.Flags&sftp.HasPermissions != 0 && old.Mode().IsRegular()))
	if t.Preserve && !it.info.ModTime().IsZero() {
		err = source.Times(it.info.ModTime(), it.info.ModTime())
	}
	if err == nil {
		err = source.File(base, a.Permissions, size)
	}
	if r, ok := err.(*scp.Refusal); ok && !r.Fatal {
		return 0, scpError(err)
	}
	var sum hash.Hash
	if t.Verify {
		sum = sha256.New()
	}
	if err == nil {
		err = t.sendContent(ctx, source, it, sum)
	}
	if err != nil { // what is not whole must not seem so to the other side
		err = f.target.explain(err)
		f.drop()
		return 0, scpError(err)
	}
	now, err := f.Lstat(ctx, dir+base)
	if err == nil && int64(now.Size) != size {
		err = &remoteError{fmt.Errorf("the server has %d bytes of the %d it took", now.Size, size)}
	}
	if err != nil || sum == nil {
		return size, err
	}
	got, err := f.sum(ctx, dir+base)
	if err == nil && !bytes.Equal(got, sum.Sum(nil)) {
		err = errSum
	}
	return size, err
}

// sizeSCP is an item's size, which SCP says first. What comes from a Reader is
// read to its end for that, and kept.
func (t *transfer) sizeSCP(ctx context.Context, it *item) (int64, error) {
	if t.stream == nil {
		return it.info.Size(), nil
	}
	r := t.stream.Reader()
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	size, err := io.Copy(io.Discard, r)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return size, err
}

func (t *transfer) sendContent(ctx context.Context, source *scp.Source, it *item, sum hash.Hash) error {
	next, done := t.pieces(it)
	defer done()
	for {
		p, release, err := next(ctx)
		if err == io.EOF {
			return source.End()
		}
		if err == nil {
			err = t.throttle(ctx, len(p))
		}
		if err != nil {
			return err
		}
		if sum != nil {
			sum.Write(p)
		}
		if _, err := source.Write(p); err != nil {
			return err // the piece may still be on its way: it is not released
		}
		if release != nil {
			release()
		}
		t.report.update(func(s *Progress) { s.Bytes += int64(len(p)) })
	}
}

// How many files one scp -f is asked for, and how long its command line may be.
const (
	filesPerSCP = 1000
	maxSCPLine  = 64 << 10
)

// receive fetches files below a folder.
func (t *transfer) receive(ctx context.Context, root *os.Root, files []*remoteItem) {
	var wanted []*remoteItem
	for _, it := range files {
		have, err := t.have(ctx, root, it)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.failed(it.name, err)
		} else if !have {
			wanted = append(wanted, it)
		}
	}
	for len(wanted) > 0 && ctx.Err() == nil {
		n := t.receiveSome(ctx, wanted, func(it *remoteItem, r scp.Record) (io.WriteCloser, func() error, error) {
			l, err := t.newLanding(ctx, root, it, r)
			return l, l.keep, err
		})
		wanted = wanted[n:]
	}
}

// have reports whether a file is there already and needs no copy.
func (t *transfer) have(ctx context.Context, root *os.Root, it *remoteItem) (bool, error) {
	old, err := root.Lstat(it.rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case old.IsDir():
		return false, &fs.PathError{Op: "open", Path: it.rel, Err: errors.New("is a directory")}
	case t.Unchanged == CopyAll || !old.Mode().IsRegular() || old.Size() != int64(it.at.Size):
		return false, nil
	}
	same := old.ModTime().Unix() == it.at.ModTime().Unix()
	if t.Unchanged == SkipSameSum {
		if same, err = t.sameSum(ctx, root, it.rel, it.name, old.Size()); err != nil {
			return false, err
		}
	}
	if same {
		t.count(func(c *Copied) { c.Skipped++ })
		t.report.update(func(s *Progress) { s.Files++; s.Bytes += old.Size() })
	}
	return same, nil
}

// opener gives where a file's content goes, and what is done when all of it came.
type opener func(*remoteItem, scp.Record) (to io.WriteCloser, keep func() error, err error)

// receiveSome asks one scp -f for files and returns how many of them are dealt with.
// It sends them in order, and what it says of one comes in its place.
func (t *transfer) receiveSome(ctx context.Context, files []*remoteItem, open opener) int {
	f := t.session.remoteFiles.(*scpFiles)
	line, n := "scp -p -f", 0
	for n < len(files) && n < filesPerSCP {
		more := " " + shell.Quote(plainName(files[n].name))
		if n > 0 && len(line)+len(more) > maxSCPLine {
			break
		}
		line += more
		n++
	}
	p, err := f.start(ctx, line)
	if err != nil {
		t.failed(files[0].name, err)
		return 1
	}
	defer p.abort()
	stream := programIO{ctx, p}
	sink := scp.NewSink(stream, stream)
	for i, it := range files[:n] {
		err := t.receiveOne(sink, it, open)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		t.failed(it.name, scpError(p.explain(err)))
		r, refused := errors.AsType[*scp.Refusal](err)
		k, kept := errors.AsType[*scp.KeepError](err)
		if refused && !r.Fatal || kept && k.Sending == nil {
			continue
		}
		return i + 1
	}
	return n
}

// receiveOne takes the next file, which has to be the one that was asked for.
func (t *transfer) receiveOne(sink *scp.Sink, it *remoteItem, open opener) error {
	r, err := sink.Next()
	if err != nil {
		return err
	}
	base := path.Base("/" + it.name)
	// OpenSSH sends names of paths with newlines as vis(3) writes them.
	if r.Kind != scp.File || r.Name != base && !strings.Contains(it.name, "\n") {
		return &scp.ProtocolError{Err: fmt.Errorf("%s, which is not what was asked for", showName(r.Name))}
	}
	to, keep, err := open(it, r)
	if err != nil {
		return &scp.KeepError{Sending: sink.Refuse("cannot write"), Err: err}
	}
	defer to.Close()
	t.report.update(func(s *Progress) { s.Path = it.name })
	return sink.Content(func(p []byte) error {
		if _, err := to.Write(p); err != nil {
			return err
		}
		t.report.update(func(s *Progress) { s.Bytes += int64(len(p)) })
		return nil
	}, keep)
}

// scpLanding is a local file that has not its name yet.
type scpLanding struct {
	t    *transfer
	ctx  context.Context
	root *os.Root
	it   *remoteItem
	r    scp.Record
	old  fs.FileMode // of what is replaced
	has  bool        // there is something to replace
	file *os.File
	tmp  string
}

func (t *transfer) newLanding(ctx context.Context, root *os.Root, it *remoteItem, r scp.Record) (*scpLanding, error) {
	l := &scpLanding{t: t, ctx: ctx, root: root, it: it, r: r, tmp: temporary(it.rel)}
	if old, err := root.Lstat(it.rel); err == nil && old.Mode().IsRegular() {
		l.old, l.has = old.Mode(), true
	}
	var err error
	l.file, err = root.OpenFile(l.tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return l, err
}

func (l *scpLanding) Write(p []byte) (int, error) {
	if err := l.t.throttle(l.ctx, len(p)); err != nil {
		return 0, err
	}
	return l.file.Write(p)
}

// keep gives the file its name.
func (l *scpLanding) keep() error {
	t := l.t
	if err := t.same(l.ctx, l.it.name, l.r); err != nil {
		return err
	}
	if err := l.file.Chmod(t.fileMode(recordMode(l.r), l.old, l.has)); err != nil {
		return err
	}
	if !t.NoSync {
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	info, err := l.file.Stat()
	if err == nil && info.Size() != l.r.Size {
		err = fmt.Errorf("the copy has %d bytes, and %d were read", info.Size(), l.r.Size)
	}
	if err = cmp.Or(err, l.file.Close()); err != nil {
		return err
	}
	if t.Preserve && l.r.HasTimes {
		if err := l.root.Chtimes(l.tmp, l.r.Access, l.r.Mod); err != nil {
			return err
		}
	}
	if t.Verify {
		same, err := t.sameSum(l.ctx, l.root, l.tmp, l.it.name, l.r.Size)
		if err == nil && !same {
			err = errSum
		}
		if err != nil {
			return err
		}
	}
	if err := l.root.Rename(l.tmp, l.it.rel); err != nil {
		return err
	}
	l.tmp = ""
	t.count(func(c *Copied) { c.Files++; c.Bytes += l.r.Size })
	t.report.update(func(s *Progress) { s.Files++ })
	return nil
}

// Close removes what was not kept.
func (l *scpLanding) Close() error {
	l.file.Close()
	if l.tmp == "" {
		return nil
	}
	return l.root.Remove(l.tmp)
}

// same makes sure that a remote file is still what its record said.
func (t *transfer) same(ctx context.Context, name string, r scp.Record) error {
	now, err := t.session.Stat(ctx, name)
	if err == nil && (int64(now.Size) != r.Size || r.HasTimes && now.Flags&sftp.HasTimes != 0 && now.ModTime().Unix() != r.Mod.Unix()) {
		err = &remoteError{errChanged}
	}
	return err
}

func recordMode(r scp.Record) fs.FileMode {
	return sftp.Attributes{Flags: sftp.HasPermissions, Permissions: 0o100000 | r.Mode}.Mode()
}

// getStreamSCP fetches a file into the Writer.
func (t *transfer) getStreamSCP(ctx context.Context, name string) error {
	t.receiveSome(ctx, []*remoteItem{{name: name}}, func(it *remoteItem, r scp.Record) (io.WriteCloser, func() error, error) {
		return throttledWriter{ctx, t}, func() error {
			if err := t.same(ctx, name, r); err != nil {
				return err
			}
			t.count(func(c *Copied) { c.Files++; c.Bytes += r.Size })
			return nil
		}, nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// throttledWriter is the Writer.
type throttledWriter struct {
	ctx context.Context
	t   *transfer
}

func (w throttledWriter) Write(p []byte) (int, error) {
	if err := w.t.throttle(w.ctx, len(p)); err != nil {
		return 0, err
	}
	return w.t.Writer.Write(p)
}

func (throttledWriter) Close() error { return nil }

// scpError is an error of package scp in the words of copies.
func scpError(err error) error {
	switch e := err.(type) {
	case *scp.Refusal:
		return told(e.Text)
	case *scp.ShortError:
		return &sftp.SizeError{Want: e.Want, Got: e.Got}
	case *scp.KeepError:
		return e.Err
	}
	return err
}

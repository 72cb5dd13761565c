package shoal

import (
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

	"github.com/shoal-ssh/shoal/internal/sftp"
)

// partName is the name under which [Copy.Resume] writes a file: always the same,
// so that the next copy finds it.
func partName(name string) string {
	dir, base := path.Split(name)
	if len(base) > 200 {
		base = fmt.Sprintf("%s-%x", base[:160], sha256.Sum256([]byte(base)))[:200]
	}
	return dir + "." + base + ".shoal-part"
}

// resumes reports whether a file of that size is gone on with: a smaller one is
// copied sooner than looked at.
func (cp *Copy) resumes(size int64) bool { return cp.Resume && size > largeFile }

// unchangedBy is how a file of that size is found to be there already.
func (cp *Copy) unchangedBy(size int64) Unchanged {
	if cp.Unchanged == CopyAll && cp.resumes(size) {
		return SkipSameSum
	}
	return cp.Unchanged
}

// resumeWindow is how far behind its end a part may have holes, since so much is
// under way at once.
const resumeWindow = 64 * pieceSize

// prefixes are how much of a part of so many bytes may be good: all that is whole
// pieces, or that less the window.
func prefixes(size int64) (most, least int64) {
	most = size / pieceSize * pieceSize
	return most, max(most-resumeWindow, 0)
}

// upload is a remote file that has not its name yet.
type upload struct {
	file *sftp.File
	name string
	kept int64     // bytes that an earlier copy left
	sum  hash.Hash // of them, and of what is added; nil where no sum is wanted
}

// openUpload makes the file to write, or finds what an earlier copy left of it.
func (t *transfer) openUpload(ctx context.Context, it *item, name string) (*upload, error) {
	u := &upload{name: temporary(name)}
	if t.Verify || t.byTree(it) {
		u.sum = sha256.New()
	}
	if t.resumes(it.info.Size()) {
		u.name = partName(name)
		if err := t.goOn(ctx, it, u); err != nil || u.file != nil {
			return u, err
		}
	}
	var a sftp.Attributes
	a.SetMode(0o600)
	var err error
	u.file, err = t.session.Open(ctx, u.name, sftp.Write|sftp.Create|sftp.Excl, a)
	return u, err
}

// goOn opens a part whose beginning is the source's, and removes any other.
func (t *transfer) goOn(ctx context.Context, it *item, u *upload) error {
	a, err := t.session.Lstat(ctx, u.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if a.Mode().IsRegular() && int64(a.Size) <= it.info.Size() && t.owns(ctx, u.name, a) {
		u.kept, u.sum, err = t.goodPart(ctx, it, u.name, int64(a.Size))
		if err != nil {
			return err
		}
	}
	if u.kept > 0 {
		f, err := t.session.Open(ctx, u.name, sftp.Write, sftp.Attributes{})
		if err != nil {
			return err
		}
		now, err := f.Stat(ctx)
		now.Access = a.Access       // which the looking changed
		if err == nil && now == a { // and not what was put in its place
			u.file = f
			t.report.update(func(s *Progress) { s.Bytes += u.kept })
			return nil
		}
		t.closeFile(ctx, f)
		if err != nil {
			return err
		}
	}
	u.kept = 0
	if u.sum = nil; t.Verify {
		u.sum = sha256.New()
	}
	return t.session.Remove(ctx, u.name)
}

// goodPart returns how much of a part is the source's beginning, with its sum.
func (t *transfer) goodPart(ctx context.Context, it *item, name string, size int64) (int64, hash.Hash, error) {
	most, least := prefixes(size)
	if most == 0 {
		return 0, nil, nil
	}
	source := t.reader(ctx, it)
	whole, short, err := sumTwice(source, most, least)
	source.done()
	if err != nil {
		return 0, nil, err
	}
	good, err := t.hasSum(ctx, name, most, false, whole.Sum(nil))
	if err != nil || good {
		return most, whole, err
	}
	if least > 0 {
		good, err = t.hasSum(ctx, name, least, false, short.Sum(nil))
	}
	if err != nil || !good {
		return 0, nil, err
	}
	return least, short, nil
}

// sumTwice sums up the first bytes of r: most of them, and least of them.
func sumTwice(r io.Reader, most, least int64) (whole, short hash.Hash, err error) {
	whole = sha256.New()
	if _, err = io.CopyN(whole, r, least); err != nil {
		return nil, nil, err
	}
	short, err = whole.(hash.Cloner).Clone()
	if err == nil {
		_, err = io.CopyN(whole, r, most-least)
	}
	return whole, short, err
}

// owns reports whether a remote file belongs to the user, as one does that is made
// beside it. One that somebody else may change later is not gone on with.
func (t *transfer) owns(ctx context.Context, name string, a sftp.Attributes) bool {
	if a.Flags&sftp.HasOwner == 0 {
		return true // the server keeps that to itself
	}
	tmp := temporary(name)
	var private sftp.Attributes
	private.SetMode(0o600)
	f, err := t.session.Open(ctx, tmp, sftp.Write|sftp.Create|sftp.Excl, private)
	if err != nil {
		return false
	}
	mine, err := f.Stat(ctx)
	t.closeFile(ctx, f)
	err = t.clean(ctx, tmp, err)
	return err == nil && mine.UID == a.UID
}

// abandon leaves an unfinished file for Resume, or removes it.
func (t *transfer) abandon(ctx context.Context, it *item, u *upload, err error) error {
	if t.resumes(it.info.Size()) && !errors.Is(err, errSum) {
		return err
	}
	return t.clean(ctx, u.name, err)
}

// still makes sure that a part is what was written, and not that of another copy
// to the same name.
func (t *transfer) still(ctx context.Context, it *item, u *upload, was sftp.Attributes) error {
	if !t.resumes(it.info.Size()) {
		return nil
	}
	now, err := t.session.Lstat(ctx, u.name)
	if err == nil && (now.Size != was.Size || now.Mod != was.Mod || now.Permissions != was.Permissions) {
		err = &remoteError{errOther}
	}
	return err
}

var errOther = errors.New("another copy to the same name is under way")

// openLanding makes the local file to write, or finds what an earlier copy left of
// it: then kept is not 0.
func (t *transfer) openLanding(ctx context.Context, root *os.Root, it *remoteItem) (out *os.File, tmp string, kept int64, err error) {
	tmp = temporary(it.rel)
	if t.resumes(int64(it.at.Size)) {
		tmp = partName(it.rel)
		if out, kept, err = t.landOn(ctx, root, it, tmp); err != nil || out != nil {
			return out, tmp, kept, err
		}
	}
	out, err = root.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return out, tmp, 0, err
}

// landOn opens a part that the remote file begins with, and removes any other. A
// host that computes no sums would have to be read for it, so there it is another.
func (t *transfer) landOn(ctx context.Context, root *os.Root, it *remoteItem, tmp string) (*os.File, int64, error) {
	info, err := root.Lstat(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if most, least := prefixes(info.Size()); most > 0 && info.Mode().IsRegular() && info.Size() <= int64(it.at.Size) && ownFile(info) {
		out, err := root.OpenFile(tmp, os.O_RDWR, 0)
		if err != nil {
			return nil, 0, err
		}
		now, err := out.Stat()
		if err == nil && os.SameFile(info, now) {
			whole, short, err := sumTwice(out, most, least)
			if err != nil {
				return nil, 0, errors.Join(err, out.Close())
			}
			if string(t.computedSum(ctx, it.name, most, false)) == string(whole.Sum(nil)) {
				return out, most, nil
			}
			if least > 0 && string(t.computedSum(ctx, it.name, least, false)) == string(short.Sum(nil)) {
				return out, least, nil
			}
		}
		if err = cmp.Or(err, out.Close()); err != nil {
			return nil, 0, err
		}
	}
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	return nil, 0, root.Remove(tmp)
}

package sshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// maxRead is the most that one read returns, as of OpenSSH's sftp-server.
const maxRead = 255 << 10

// subsystem finds the handler for a subsystem; nil if there is none.
func (f *Fleet) subsystem(host int, name string) Handler {
	if h := f.cfg.Subsystems[name]; h != nil {
		return h
	}
	if name != "sftp" || f.cfg.SFTP == nil {
		return nil
	}
	switch dir := f.cfg.SFTP(host); dir {
	case "":
		return nil
	case "/":
		return serveAllFiles
	default:
		return func(_ context.Context, s *Session) ExitStatus { return serveFiles(s, dir) }
	}
}

// duplex is a session's stdin and stdout.
type duplex struct {
	io.Reader
	io.Writer
	io.Closer
}

func (s *Session) duplex() duplex { return duplex{s.Stdin, s.Stdout, s.ch} }

// served turns the end of an SFTP server into an exit status.
func served(s *Session, err error) ExitStatus {
	if err == nil || errors.Is(err, io.EOF) {
		return ExitStatus{}
	}
	fmt.Fprintf(s.Stderr, "sftp: %v\n", err)
	return ExitStatus{Code: 1}
}

// serveAllFiles serves the whole file system with the rights of this process.
func serveAllFiles(_ context.Context, s *Session) ExitStatus {
	srv, err := sftp.NewServer(s.duplex(), sftp.WithMaxTxPacket(maxRead), sftp.WithServerWorkingDirectory("/"))
	if err != nil {
		return served(s, err)
	}
	return served(s, srv.Serve())
}

// serveFiles serves a folder that clients cannot leave, by links or otherwise.
func serveFiles(s *Session, dir string) ExitStatus {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return served(s, err)
	}
	defer root.Close()
	fs := rootFiles{root}
	srv := sftp.NewRequestServer(s.duplex(), sftp.Handlers{FileGet: fs, FilePut: fs, FileCmd: fs, FileList: fs},
		sftp.WithRSMaxTxPacket(maxRead))
	defer srv.Close()
	return served(s, srv.Serve())
}

// rootFiles answers SFTP requests from a folder.
type rootFiles struct{ root *os.Root }

// local is the name below the root; the paths that come in are absolute.
func local(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

func (fs rootFiles) Fileread(r *sftp.Request) (io.ReaderAt, error) { return fs.OpenFile(r) }

func (fs rootFiles) Filewrite(r *sftp.Request) (io.WriterAt, error) { return fs.OpenFile(r) }

// OpenFile opens for reading, writing or both. O_APPEND is left out: every
// write says where it goes.
func (fs rootFiles) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	want := r.Pflags()
	flags := os.O_RDONLY
	switch {
	case want.Read && want.Write:
		flags = os.O_RDWR
	case want.Write:
		flags = os.O_WRONLY
	}
	for _, f := range []struct {
		set  bool
		flag int
	}{{want.Creat, os.O_CREATE}, {want.Trunc, os.O_TRUNC}, {want.Excl, os.O_EXCL}} {
		if f.set {
			flags |= f.flag
		}
	}
	return fs.root.OpenFile(local(r.Filepath), flags, 0o644)
}

// Filecmd changes something other than the content of a file.
func (fs rootFiles) Filecmd(r *sftp.Request) error {
	name, target := local(r.Filepath), local(r.Target)
	switch r.Method {
	case "Setstat":
		return fs.setstat(name, r)
	case "Rename": // must not replace anything (draft-ietf-secsh-filexfer-02 §6.5)
		if _, err := fs.root.Lstat(target); err == nil {
			return os.ErrExist
		}
		return fs.root.Rename(name, target)
	case "Rmdir", "Remove":
		return fs.root.Remove(name)
	case "Mkdir":
		return fs.root.Mkdir(name, 0o755)
	case "Link":
		return fs.root.Link(name, target)
	case "Symlink":
		return fs.root.Symlink(r.Filepath, target)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename is posix-rename@openssh.com: it replaces the target.
func (fs rootFiles) PosixRename(r *sftp.Request) error {
	return fs.root.Rename(local(r.Filepath), local(r.Target))
}

func (fs rootFiles) setstat(name string, r *sftp.Request) error {
	flags, attrs := r.AttrFlags(), r.Attributes()
	var errs []error
	if flags.Size {
		errs = append(errs, fs.truncate(name, int64(attrs.Size)))
	}
	if flags.UidGid {
		errs = append(errs, fs.root.Lchown(name, int(attrs.UID), int(attrs.GID)))
	}
	if flags.Permissions {
		errs = append(errs, fs.root.Chmod(name, attrs.FileMode()))
	}
	if flags.Acmodtime {
		errs = append(errs, fs.root.Chtimes(name, time.Unix(int64(attrs.Atime), 0), time.Unix(int64(attrs.Mtime), 0)))
	}
	return errors.Join(errs...)
}

func (fs rootFiles) truncate(name string, size int64) error {
	f, err := fs.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// Filelist lists a folder or describes a file.
func (fs rootFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	name := local(r.Filepath)
	if r.Method == "List" {
		return fs.list(name)
	}
	info, err := fs.root.Stat(name)
	if err != nil {
		return nil, err
	}
	return listing{info}, nil
}

// Lstat does not follow a link.
func (fs rootFiles) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := fs.root.Lstat(local(r.Filepath))
	if err != nil {
		return nil, err
	}
	return listing{info}, nil
}

// Readlink returns what a link points to, as it is.
func (fs rootFiles) Readlink(name string) (string, error) { return fs.root.Readlink(local(name)) }

func (fs rootFiles) list(name string) (sftp.ListerAt, error) {
	dir, err := fs.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	infos, err := dir.Readdir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return listing(infos), nil
}

// A listing is a folder's content.
type listing []os.FileInfo

func (l listing) ListAt(to []os.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

package shoal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// faultyFiles is an SFTP server on a folder that does one thing wrong.
type faultyFiles struct {
	root     *os.Root
	names    []string // listed in every directory
	size     int64    // added to what stat says
	write    error    // of the second write
	close    error
	mode     fs.FileMode
	norename bool
	spoil    bool // what is written
	reads    atomic.Int32
}

type faultyInfo struct {
	fs.FileInfo
	name string
	more int64
	mode fs.FileMode
}

func (i faultyInfo) Name() string {
	if i.name != "" {
		return i.name
	}
	return i.FileInfo.Name()
}
func (i faultyInfo) Size() int64       { return i.FileInfo.Size() + i.more }
func (i faultyInfo) Mode() fs.FileMode { return i.FileInfo.Mode() | i.mode }

type infos []os.FileInfo

func (l infos) ListAt(to []os.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

type faultyFile struct {
	*os.File
	writes       atomic.Int32
	write, close error
	spoil        bool
}

func (f *faultyFile) WriteAt(p []byte, offset int64) (int, error) {
	if n := f.writes.Add(1); f.write != nil && n == 2 {
		return 0, f.write
	}
	if f.spoil && offset == 0 {
		p = bytes.Clone(p)
		p[0]++
	}
	return f.File.WriteAt(p, offset)
}

func (f *faultyFile) Close() error {
	if err := f.File.Close(); err != nil || f.close == nil {
		return err
	}
	return f.close
}

func rooted(name string) string {
	if name = strings.TrimPrefix(filepath.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

func (s *faultyFiles) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	s.reads.Add(1)
	return s.root.Open(rooted(r.Filepath))
}

func (s *faultyFiles) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	f, err := s.root.OpenFile(rooted(r.Filepath), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: f, write: s.write, close: s.close, spoil: s.spoil}, nil
}

func (s *faultyFiles) Filecmd(r *sftp.Request) error {
	switch r.Method {
	case "Remove":
		return s.root.Remove(rooted(r.Filepath))
	case "Setstat":
		return nil
	}
	return sftp.ErrSSHFxOpUnsupported
}

func (s *faultyFiles) PosixRename(r *sftp.Request) error {
	if s.norename {
		return sftp.ErrSSHFxPermissionDenied
	}
	return s.root.Rename(rooted(r.Filepath), rooted(r.Target))
}

func (s *faultyFiles) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return s.Filelist(r) }

func (s *faultyFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := s.root.Lstat(rooted(r.Filepath))
	if err != nil {
		return nil, err
	}
	if r.Method != "List" {
		more := s.size
		if info.IsDir() {
			more = 0
		}
		return infos{faultyInfo{info, "", more, s.mode}}, nil
	}
	var l infos
	file, err := s.root.Stat("file")
	if err != nil {
		return nil, err
	}
	for _, name := range s.names {
		l = append(l, faultyInfo{file, name, 0, s.mode})
	}
	return l, nil
}

// serveFaulty returns a connection to a host whose SFTP server is s, on a
// folder with one file "file".
func serveFaulty(t *testing.T, s *faultyFiles) (*shoal.Conn, string) {
	t.Helper()
	return serveFaultyWith(t, s, nil)
}

// serveFaultyWith is serveFaulty with commands that run as the handler has it.
func serveFaultyWith(t *testing.T, s *faultyFiles, run sshtest.Handler) (*shoal.Conn, string) {
	t.Helper()
	return serveFiles(t, s, s, run)
}

// fileServer is all that an SFTP server wants of its files.
type fileServer interface {
	sftp.FileReader
	sftp.FileWriter
	sftp.FileCmder
	sftp.FileLister
}

// serveFiles is serveFaultyWith where the calls go to a wrapper of s.
func serveFiles(t *testing.T, s *faultyFiles, files fileServer, run sshtest.Handler) (*shoal.Conn, string) {
	t.Helper()
	dir := t.TempDir()
	mustWrite(t, dir+"/file", []byte("old"), 0o644)
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	s.root = root
	f := sshtest.New(t, sshtest.Config{Handler: run, Subsystems: map[string]sshtest.Handler{"sftp": func(_ context.Context, session *sshtest.Session) sshtest.ExitStatus {
		stream := struct {
			io.Reader
			io.WriteCloser
		}{session.Stdin, nopCloser{session.Stdout}}
		srv := sftp.NewRequestServer(stream, sftp.Handlers{FileGet: files, FilePut: files, FileCmd: files, FileList: files})
		defer srv.Close()
		srv.Serve()
		return sshtest.ExitStatus{}
	}}})
	conn, err := newClient(t, f).Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, dir
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// A write that fails, a close that fails, a rename that is refused and a size
// that is not the file's: the old file stays, and nothing beside it.
func TestPutFaults(t *testing.T) {
	conform(t, "3.7 disk full")
	t.Parallel()
	full := errors.New("No space left on device")
	for name, test := range map[string]struct {
		files *faultyFiles
		kind  shoal.Kind
		want  string
	}{
		"one write": {&faultyFiles{write: full}, shoal.KindRemoteIO, "No space left"},
		"close":     {&faultyFiles{close: errors.New("quota exceeded")}, shoal.KindRemoteIO, "quota"},
		"rename":    {&faultyFiles{norename: true}, shoal.KindRemoteIO, "permission denied"},
		"size":      {&faultyFiles{size: -1}, shoal.KindRemoteIO, "the server has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, dir := serveFaulty(t, test.files)
			_, err := conn.Put(testContext(t), shoal.Copy{Reader: strings.NewReader(strings.Repeat("x", 1<<20)), To: "/file"})
			he, ok := errors.AsType[*shoal.HostError](err)
			if !ok || he.Kind != test.kind || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			sameTree(t, treeOf(t, dir), map[string]string{"file": treeOf(t, dir)["file"]})
			if b, _ := os.ReadFile(dir + "/file"); string(b) != "old" {
				t.Errorf("the file is %q", b[:min(len(b), 20)])
			}
		})
	}
}

// A file that is not as long as the server says leaves the old one.
func TestGetSizeLie(t *testing.T) {
	t.Parallel()
	for more, kind := range map[int64]shoal.Kind{1: shoal.KindTruncated, -1: shoal.KindChanged} {
		conn, _ := serveFaulty(t, &faultyFiles{size: more})
		to := mustWrite(t, t.TempDir()+"/to", []byte("mine"), 0o644)
		_, err := conn.Get(testContext(t), shoal.Copy{From: "/file", To: to})
		if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != kind {
			t.Errorf("%+d: %v, want %s", more, err, kind)
		}
		sameTree(t, treeOf(t, filepath.Dir(to)), map[string]string{"to": treeOf(t, filepath.Dir(to))["to"]})
		if b, _ := os.ReadFile(to); string(b) != "mine" {
			t.Errorf("%+d: the file is %q", more, b)
		}
	}
}

// No name that a server gives leads out of the folder, and setuid bits are
// dropped.
func TestGetHostileNames(t *testing.T) {
	t.Parallel()
	conn, dir := serveFaulty(t, &faultyFiles{mode: fs.ModeSetuid, names: []string{"../x", "/abs", "a/b", "a\x00b", strings.Repeat("x", 256), "file"}})
	outside := t.TempDir()
	got, err := conn.Get(testContext(t), shoal.Copy{From: "/", To: outside + "/in/into", Recursive: true})
	if err == nil || got.Failed != 5 || got.Files != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if s := err.Error(); strings.ContainsAny(s, "\x00\x1b\n") {
		t.Errorf("raw bytes of the server in %q", s)
	}
	tree := treeOf(t, outside)
	sameTree(t, tree, map[string]string{"in": "dir", "in/into": "dir", "in/into/file": treeOf(t, dir)["file"]})
	if info, err := os.Stat(outside + "/in/into/file"); err != nil || info.Mode()&fs.ModeSetuid != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A link that was planted below the target is not followed.
func TestGetPlantedLink(t *testing.T) {
	t.Parallel()
	conn, dir, outside := opensshConn(t), t.TempDir(), t.TempDir()
	mustWrite(t, dir+"/src/d/f", []byte("new"), 0o644)
	mustWrite(t, dir+"/src/g", []byte("new"), 0o644)
	victim := mustWrite(t, outside+"/victim", []byte("victim"), 0o644)
	for link, to := range map[string]string{"/to/d": outside, "/to/g": victim} {
		if err := errors.Join(os.MkdirAll(dir+"/to", 0o755), os.Symlink(to, dir+link)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := conn.Get(testContext(t), shoal.Copy{From: dir + "/src/.", To: dir + "/to", Recursive: true})
	if err == nil || got.Failed == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if b, _ := os.ReadFile(victim); string(b) != "victim" {
		t.Errorf("written through a link: %q", b)
	}
	if b, _ := os.ReadFile(dir + "/to/g"); string(b) != "new" {
		t.Errorf("the link was not replaced: %q", b)
	}
	sameTree(t, treeOf(t, outside), map[string]string{"victim": treeOf(t, outside)["victim"]})
}

// failingFiles is an SFTP server on a folder of which one call fails.
type failingFiles struct {
	*faultyFiles
	call func() error
}

type failingFile struct {
	*os.File
	call func() error
}

func (f failingFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.call(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

func (f failingFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.call(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

func (f failingFile) Close() error { return errors.Join(f.call(), f.File.Close()) }

func (s *failingFiles) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	f, err := s.root.Open(rooted(r.Filepath))
	return failingFile{f, s.call}, err
}

func (s *failingFiles) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	f, err := s.root.OpenFile(rooted(r.Filepath), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return failingFile{f, s.call}, err
}

func (s *failingFiles) Filecmd(r *sftp.Request) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.faultyFiles.Filecmd(r)
}

func (s *failingFiles) PosixRename(r *sftp.Request) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.faultyFiles.PosixRename(r)
}

func (s *failingFiles) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return s.Filelist(r) }

func (s *failingFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.faultyFiles.Filelist(r)
}

// Each call on the files of the server fails once: a copy that says it succeeded
// is whole, one that failed leaves the old file, and nothing is left beside it.
func TestEachFileCallFails(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 10_000)
	for what, do := range map[string]func(conn *shoal.Conn, local string) (string, error){
		"put": func(conn *shoal.Conn, _ string) (string, error) {
			_, err := conn.Put(testContext(t), shoal.Copy{Reader: strings.NewReader(long), To: "/file"})
			return "", err
		},
		"get": func(conn *shoal.Conn, local string) (string, error) {
			_, err := conn.Get(testContext(t), shoal.Copy{From: "/long", To: local})
			return local, err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			failures := 0
			for n, failed := int64(1), true; failed; n++ {
				var calls atomic.Int64
				files := &failingFiles{faultyFiles: &faultyFiles{}}
				conn, dir := serveFiles(t, files.faultyFiles, files, nil)
				mustWrite(t, dir+"/long", []byte(long), 0o644)
				files.call = func() error {
					if calls.Add(1) == n {
						return errors.New("call fails")
					}
					return nil
				}
				local := mustWrite(t, t.TempDir()+"/local", []byte("old"), 0o644)
				changed, err := do(conn, local)
				failed = calls.Load() >= n
				if changed == "" {
					changed = dir + "/file"
				}
				want := long
				if err != nil {
					want = "old"
					if failures++; !failed {
						t.Errorf("call %d: no call failed, but %v", n, err)
					}
				}
				if got, readErr := os.ReadFile(changed); string(got) != want {
					t.Errorf("call %d: %v, but the file has %d bytes, %v", n, err, len(got), readErr)
				}
				for folder, most := range map[string]int{dir: 2, filepath.Dir(local): 1} {
					left, err := os.ReadDir(folder)
					if err != nil || len(left) > most {
						t.Errorf("call %d: left in the folder: %v, %v", n, left, err)
					}
				}
				conn.Close()
			}
			if failures < 4 {
				t.Errorf("only %d calls of a copy made it fail", failures)
			}
		})
	}
}

package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"

	"github.com/shoal-ssh/shoal/sshtest"
)

// discard is an SFTP server that keeps the names and sizes of files and nothing
// that is in them.
type discard struct {
	mu    sync.Mutex
	files map[string]*discarded
}

// serveDiscard is the SFTP subsystem of the embedded fleet.
func serveDiscard(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
	d := &discard{files: map[string]*discarded{"/": {dir: true}}}
	stream := struct {
		io.Reader
		io.WriteCloser
	}{s.Stdin, writeCloser{s.Stdout}}
	server := sftp.NewRequestServer(stream, sftp.Handlers{FileGet: d, FilePut: d, FileCmd: d, FileList: d}, sftp.WithRSMaxTxPacket(255<<10))
	defer server.Close()
	server.Serve() // ends with the session
	return sshtest.ExitStatus{}
}

type writeCloser struct{ io.Writer }

func (writeCloser) Close() error { return nil }

// discarded is a file: its size alone.
type discarded struct {
	name string
	dir  bool
	size atomic.Int64
}

func (f *discarded) WriteAt(p []byte, offset int64) (int, error) {
	end := offset + int64(len(p))
	for {
		size := f.size.Load()
		if end <= size || f.size.CompareAndSwap(size, end) {
			return len(p), nil
		}
	}
}

func (f *discarded) Name() string       { return f.name }
func (f *discarded) Size() int64        { return f.size.Load() }
func (f *discarded) ModTime() time.Time { return time.Time{} }
func (f *discarded) IsDir() bool        { return f.dir }
func (f *discarded) Sys() any           { return nil }
func (f *discarded) Mode() fs.FileMode {
	if f.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

func (d *discard) Fileread(*sftp.Request) (io.ReaderAt, error) { return nil, os.ErrPermission }

func (d *discard) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	f := &discarded{name: path.Base(r.Filepath)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[r.Filepath] = f
	return f, nil
}

func (d *discard) Filecmd(r *sftp.Request) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch r.Method {
	case "Remove", "Rmdir":
		delete(d.files, r.Filepath)
	case "Mkdir":
		d.files[r.Filepath] = &discarded{name: path.Base(r.Filepath), dir: true}
	}
	return nil
}

func (d *discard) PosixRename(r *sftp.Request) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.files[r.Filepath]
	if !ok {
		return os.ErrNotExist
	}
	delete(d.files, r.Filepath)
	f.name = path.Base(r.Target)
	d.files[r.Target] = f
	return nil
}

func (d *discard) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return d.Filelist(r) }

func (d *discard) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.files[r.Filepath]; ok && r.Method != "List" {
		return oneFile{f}, nil
	}
	return nil, os.ErrNotExist
}

type oneFile struct{ os.FileInfo }

func (f oneFile) ListAt(to []os.FileInfo, offset int64) (int, error) {
	if offset > 0 || len(to) == 0 {
		return 0, io.EOF
	}
	to[0] = f.FileInfo
	return 1, io.EOF
}

package shoal_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/pkg/sftp"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// countingFS counts the bytes that are read of its files.
type countingFS struct {
	fstest.MapFS
	read atomic.Int64
}

func (c *countingFS) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	return &countingFile{f, c}, nil
}

type countingFile struct {
	fs.File
	fs *countingFS
}

func (f *countingFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.File.(io.ReaderAt).ReadAt(p, offset)
	f.fs.read.Add(int64(n))
	return n, err
}

// stallOne makes the first file that gets a second piece wait for release.
type stallOne struct {
	sftp.FileWriter
	stalled *atomic.Bool
	release <-chan struct{}
}

func (s stallOne) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	w, err := s.FileWriter.Filewrite(r)
	return &stallingFile{WriterAt: w, stallOne: s}, err
}

type stallingFile struct {
	io.WriterAt
	stallOne
	mine atomic.Bool
}

func (f *stallingFile) WriteAt(p []byte, offset int64) (int, error) {
	if offset > 0 && f.stalled.CompareAndSwap(false, true) {
		f.mine.Store(true)
	}
	if f.mine.Load() {
		<-f.release
	}
	return f.WriterAt.WriteAt(p, offset)
}

// The source is read once for the hosts that keep pace, and one that stalls in
// the middle of a file holds no other back.
func TestPutReadsOnce(t *testing.T) {
	t.Parallel()
	const hosts, size = 3, 18 << 20 // more than is kept for hosts that come later
	for name, stall := range map[string]bool{"all keep pace": false, "one stalls": true} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var stalled atomic.Bool
			stalled.Store(!stall)
			f := sshtest.New(t, sshtest.Config{Hosts: hosts, Subsystems: map[string]sshtest.Handler{"sftp": func(_ context.Context, session *sshtest.Session) sshtest.ExitStatus {
				stream := struct {
					io.Reader
					io.WriteCloser
				}{session.Stdin, nopCloser{session.Stdout}}
				files := sftp.InMemHandler()
				files.FilePut = stallOne{files.FilePut, &stalled, release}
				srv := sftp.NewRequestServer(stream, files)
				defer srv.Close()
				srv.Serve()
				return sshtest.ExitStatus{}
			}}})
			c := newClient(t, f)
			if _, err := shoal.Gather(c.Put(testContext(t), hostsOf(f), shoal.Copy{Reader: strings.NewReader("x"), To: "/connected"})); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			source := &countingFS{MapFS: fstest.MapFS{"big": {Data: randomData(size)}}}
			whole, ended := 0, 0
			// The bound makes hosts take turns, so that they keep pace.
			for r := range c.Put(ctx, hostsOf(f), shoal.Copy{FS: source, From: "big", To: "/big", Limit: 100 << 20}) {
				ended++
				if r.Err == nil && r.Value.Bytes == size {
					whole++
				} else if he, ok := errors.AsType[*shoal.HostError](r.Err); !stall || ended < hosts || !ok || he.Kind != shoal.KindCancelled {
					t.Errorf("%s: %+v, %v", r.Host.Name, r.Value, r.Err)
				}
				if stall && ended == hosts-1 {
					cancel()
					close(release)
				}
			}
			want := hosts
			if stall {
				want--
			}
			if whole != want || ended != hosts {
				t.Errorf("%d hosts have the file, %d of %d ended", whole, ended, hosts)
			}
			if n := source.read.Load(); n < size || n > size*12/10 {
				t.Errorf("%d bytes were read of a source of %d", n, size)
			}
		})
	}
}

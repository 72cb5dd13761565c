package shoal_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/pkg/sftp"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// meadow is a fleet whose hosts keep files in memory and do what the test says
// where they are to pass one on.
type meadow struct {
	*sshtest.Fleet
	*shoal.Client
	files []sftp.Handlers

	mu      sync.Mutex
	sending []int // at once, by host
	most    int   // of them
	relays  [][2]int
}

// relayWork passes on, by send, so many more bytes. It returns the exit status.
type relayWork func(ctx context.Context, from, to int, send func(n int)) uint32

func newMeadow(t *testing.T, hosts int, relay relayWork, write func(host int, w io.WriterAt) io.WriterAt) *meadow {
	m := &meadow{sending: make([]int, hosts)}
	for range hosts {
		m.files = append(m.files, sftp.InMemHandler())
	}
	m.Fleet, m.Client = memoryFleet(t, sshtest.Config{Hosts: hosts,
		Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
			in, err := io.ReadAll(s.Stdin)
			if err != nil {
				return sshtest.ExitStatus{Code: 1}
			}
			if s.Command == "sh" {
				return sshtest.ExitStatus{Code: m.relay(ctx, s.Host.Index, string(in), relay)}
			}
			r, err := m.files[s.Host.Index].FileGet.Fileread(request("Get", 1, strings.TrimSuffix(string(in), "/")))
			if err != nil {
				return sshtest.ExitStatus{Code: 1}
			}
			sum := sha256.New()
			io.Copy(sum, io.NewSectionReader(r, 0, 1<<30))
			fmt.Fprintf(s.Stdout, "%x\n", sum.Sum(nil))
			return sshtest.ExitStatus{}
		},
		Subsystems: map[string]sshtest.Handler{"sftp": func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			files := m.files[s.Host.Index]
			if write != nil {
				files.FilePut = wrapPut{files.FilePut, func(w io.WriterAt) io.WriterAt { return write(s.Host.Index, w) }}
			}
			srv := sftp.NewRequestServer(struct {
				io.Reader
				io.WriteCloser
			}{s.Stdin, nopCloser{s.Stdout}}, files)
			defer srv.Close()
			srv.Serve()
			return sshtest.ExitStatus{}
		}},
	})
	m.Client.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	return m
}

// wrapPut puts something before the files that are written.
type wrapPut struct {
	sftp.FileWriter
	wrap func(io.WriterAt) io.WriterAt
}

func (p wrapPut) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	w, err := p.FileWriter.Filewrite(r)
	if err != nil {
		return nil, err
	}
	return p.wrap(w), nil
}

// request is one to open a file, with the flags of draft-ietf-secsh-filexfer-02 §6.3.
func request(method string, flags uint32, name string) *sftp.Request {
	r := sftp.NewRequest(method, name)
	r.Flags = flags
	return r
}

var (
	scriptFrom = regexp.MustCompile(`(?m)^exec 3<(\S+) `)
	scriptTo   = regexp.MustCompile(`'((?:\\0[0-7]{3})+)'`)
	scriptHost = regexp.MustCompile(` '--' (\S+) `)
)

// relay does what the script says, at the test's pace.
func (m *meadow) relay(ctx context.Context, from int, script string, work relayWork) uint32 {
	var name strings.Builder
	for _, digits := range strings.Split(scriptTo.FindStringSubmatch(script)[1], `\0`)[1:] {
		n, err := strconv.ParseUint(digits, 8, 8)
		if err != nil {
			return 2
		}
		name.WriteString(string(rune(n)))
	}
	to := -1
	for i, h := range m.Hosts() {
		if strings.HasPrefix(h.Addr, scriptHost.FindStringSubmatch(script)[1]+":") || h.Name == scriptHost.FindStringSubmatch(script)[1] {
			to = i
		}
	}
	r, err := m.files[from].FileGet.Fileread(request("Get", 1, scriptFrom.FindStringSubmatch(script)[1]))
	if err != nil || to < 0 {
		return 3
	}
	w, err := m.files[to].FilePut.Filewrite(request("Put", 2, name.String()))
	if err != nil {
		return 4
	}
	m.mu.Lock()
	m.sending[from]++
	m.most = max(m.most, m.sending[from])
	m.relays = append(m.relays, [2]int{from, to})
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.sending[from]--
		m.mu.Unlock()
	}()
	var offset int64
	return work(ctx, from, to, func(n int) {
		b := make([]byte, n)
		n, _ = r.ReadAt(b, offset)
		w.WriteAt(b[:n], offset)
		offset += int64(n)
	})
}

const meadowSize = 1 << 20

// put copies a file to all hosts, or to those that are given.
func (m *meadow) put(ctx context.Context, tree int, hosts iter.Seq[shoal.Host]) iter.Seq[shoal.Result[shoal.Copied]] {
	if hosts == nil {
		hosts = hostsOf(m.Fleet)
	}
	return m.Put(ctx, hosts, shoal.Copy{Tree: tree, FS: fstest.MapFS{"f": {Data: randomData(meadowSize)}}, From: "f", To: "/f"})
}

// sendAll passes a file on within a second.
func sendAll(ctx context.Context, _, _ int, send func(int)) uint32 {
	time.Sleep(time.Second)
	send(meadowSize)
	return 0
}

// No host passes a file on to more others at once than it may, none to itself, and
// one upload is enough.
func TestTreePlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, tree := range []int{1, 3} {
			m := newMeadow(t, 20, sendAll, nil)
			relayed := 0
			for r := range m.put(t.Context(), tree, nil) {
				if r.Err != nil {
					t.Error(r.Err)
				}
				if r.Value.Relayed == meadowSize {
					relayed++
				}
			}
			if relayed != 19 || m.most != tree {
				t.Errorf("%d hosts got it from others, of which one sent to %d at once; it may to %d", relayed, m.most, tree)
			}
			for _, r := range m.relays {
				if r[0] == r[1] {
					t.Errorf("host %d sent to itself", r[0])
				}
			}
		}
	})
}

// A host whose upload stalls keeps no other from the file; the others get it once
// more from here, and then from each other.
func TestTreeStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var once sync.Once
		m := newMeadow(t, 5, sendAll, func(_ int, w io.WriterAt) io.WriterAt {
			once.Do(func() { w = blockedWriter{release} })
			return w
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		direct, relayed, ended := 0, 0, 0
		for r := range m.put(ctx, 2, nil) {
			ended++
			switch {
			case r.Value.Relayed > 0:
				relayed++
			case r.Err == nil:
				direct++
			}
			if ended == 4 {
				cancel()
				close(release)
			}
		}
		if direct != 1 || relayed != 3 || ended != 5 {
			t.Errorf("%d directly, %d from others, of %d", direct, relayed, ended)
		}
	})
}

type blockedWriter struct{ release <-chan struct{} }

func (b blockedWriter) WriteAt(p []byte, _ int64) (int, error) {
	<-b.release
	return 0, errors.New("released")
}

// One that passes a file on too slowly, or stops, is given up; hosts that wait for
// it get the file from here meanwhile.
func TestTreeSlow(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]relayWork{
		"slow": func(ctx context.Context, _, _ int, send func(int)) uint32 {
			for range meadowSize / 1024 {
				select {
				case <-time.After(time.Second):
					send(1024)
				case <-ctx.Done():
					return 1
				}
			}
			return 0
		},
		"silent": func(ctx context.Context, _, _ int, _ func(int)) uint32 {
			<-ctx.Done()
			return 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, began := newMeadow(t, 6, work, nil), time.Now()
				notRelayed := 0
				for r := range m.put(t.Context(), 1, nil) {
					if r.Err != nil || r.Value.Bytes != meadowSize || r.Value.Relayed != 0 {
						t.Errorf("%+v, %v", r.Value, r.Err)
					}
					notRelayed += r.Value.NotRelayed
				}
				if took := time.Since(began); notRelayed == 0 || took > 5*time.Minute {
					t.Errorf("%d could not be passed on; it took %v", notRelayed, took)
				}
			})
		})
	}
}

// Where no host can pass anything on that is not tried with each.
func TestTreeGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeadow(t, 40, func(context.Context, int, int, func(int)) uint32 { return 255 }, nil)
		notRelayed := 0
		for r := range m.put(t.Context(), 2, nil) {
			if r.Err != nil || r.Value.Bytes != meadowSize {
				t.Errorf("%+v, %v", r.Value, r.Err)
			}
			notRelayed += r.Value.NotRelayed
		}
		if notRelayed < 4 || notRelayed > 8 {
			t.Errorf("%d attempts to pass on", notRelayed)
		}
	})
}

// A host that is there twice sends nothing to itself.
func TestTreeTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeadow(t, 1, sendAll, nil)
		for r := range m.put(t.Context(), 2, func(yield func(shoal.Host) bool) {
			for range 3 {
				if !yield(hostOf(m.Fleet, 0)) {
					return
				}
			}
		}) {
			if r.Err != nil || r.Value.Relayed != 0 {
				t.Errorf("%+v, %v", r.Value, r.Err)
			}
		}
		if len(m.relays) > 0 {
			t.Errorf("%v", m.relays)
		}
	})
}

// What Tree cannot go with is refused before anything is done.
func TestTreeRefused(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{SFTP: func(int) string { return t.TempDir() }})
	c := newClient(t, f)
	for name, cp := range map[string]shoal.Copy{
		"SCP": {Tree: 1, SCP: true}, "Resume": {Tree: 1, Resume: true},
		"Reader": {Tree: 1, Reader: strings.NewReader("x")}, "fewer than 0": {Tree: -1},
	} {
		cp.From, cp.To = "copytree.go", "x"
		_, err := shoal.Gather(c.Put(testContext(t), hostsOf(f), cp))
		if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindInvalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := shoal.Gather(c.Get(testContext(t), hostsOf(f), shoal.Copy{Tree: 1, From: "x", To: t.TempDir()}))
	if err == nil || !strings.Contains(err.Error(), "Tree is for Put") {
		t.Error(err)
	}
}

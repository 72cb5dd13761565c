package shoal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// stream names one output of one host.
type stream struct {
	host   string
	stderr bool
}

// Everything that happens comes as it happens: each output's lines in order and
// whole, and of each host one result, after its last line.
func TestConformWatch(t *testing.T) {
	t.Parallel()
	const hosts, lines = 7, 300
	long := strings.Repeat("x", 150_000)
	f := sshtest.New(t, sshtest.Config{Hosts: hosts, Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		for i := range lines {
			fmt.Fprintf(s.Stdout, "%s %d\n", s.Host.Name, i)
			fmt.Fprintf(s.Stderr, "%d %s\r\n", i, s.Host.Name)
		}
		io.WriteString(s.Stdout, long+"\nno end")
		return sshtest.ExitStatus{Code: uint32(s.Host.Index)}
	}})
	got := map[stream][]string{}
	ended := map[int]bool{}
	unfinished := map[stream]bool{} // the last line continues
	for e := range newClient(t, f).Watch(testContext(t), hostsOf(f), shoal.Command{Line: "x"}) {
		if e.At.IsZero() || (e.Result == nil) == (len(e.Lines) == 0) {
			t.Fatalf("got event %+v", e)
		}
		for _, l := range e.Lines {
			key := stream{l.Host, l.Stderr}
			if ended[l.Index] || f.Host(l.Index).Name != l.Host {
				t.Errorf("%s, %d: a line after its result", l.Host, l.Index)
			}
			if strings.ContainsAny(l.Text, "\r\n") {
				t.Errorf("got line %.30q with its end", l.Text)
			}
			if unfinished[key] {
				got[key][len(got[key])-1] += l.Text
			} else {
				got[key] = append(got[key], l.Text)
			}
			unfinished[key] = l.Continued
		}
		if r := e.Result; r != nil {
			if ended[r.Index] {
				t.Errorf("%s: two results", r.Host.Name)
			}
			ended[r.Index] = true
			wantExit(t, r.Err, r.Index)
			if o := r.Value; o.OutBytes == 0 || o.Stdout != nil || o.Code != r.Index {
				t.Errorf("%s: got %d bytes, status %d", r.Host.Name, o.OutBytes, o.Code)
			}
		}
	}
	if len(ended) != hosts {
		t.Errorf("got %d results, want %d", len(ended), hosts)
	}
	for _, h := range f.Hosts() {
		var stdout, stderr []string
		for i := range lines {
			stdout = append(stdout, fmt.Sprintf("%s %d", h.Name, i))
			stderr = append(stderr, fmt.Sprintf("%d %s", i, h.Name))
		}
		stdout = append(stdout, long, "no end")
		if out := got[stream{h.Name, false}]; !slices.Equal(out, stdout) {
			t.Errorf("%s: got %d lines of stdout, want %d in order", h.Name, len(out), len(stdout))
		}
		if out := got[stream{h.Name, true}]; !slices.Equal(out, stderr) {
			t.Errorf("%s: got %d lines of stderr, want %d in order", h.Name, len(out), len(stderr))
		}
	}
}

// Lines come while the command runs, and the failures of hosts among them.
func TestConformLinesLive(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3, Faults: func(host int) sshtest.Fault {
		if host == 1 {
			return sshtest.Fault{Kind: sshtest.Refuse}
		}
		return sshtest.Fault{}
	}})
	src, w := io.Pipe()
	var live atomic.Int32
	var failed []string
	texts := map[string][]string{}
	for l, err := range newClient(t, f).Lines(testContext(t), hostsOf(f), shoal.Command{Line: "echo begun; cat; exit 1", Stdin: src}) {
		if err != nil {
			failed = append(failed, l.Host)
			continue
		}
		texts[l.Host] = append(texts[l.Host], l.Text)
		if l.Text == "begun" && live.Add(1) == 2 {
			go func() { // the commands wait for this
				io.WriteString(w, "to all\n")
				w.Close()
			}()
		}
	}
	slices.Sort(failed)
	if want := []string{"host0", "host1", "host2"}; !slices.Equal(failed, want) {
		t.Errorf("got errors of %q, want one each of %q", failed, want)
	}
	for _, host := range []string{"host0", "host2"} {
		if want := []string{"begun", "to all"}; !slices.Equal(texts[host], want) {
			t.Errorf("%s: got %q, want %q", host, texts[host], want)
		}
	}
}

// A consumer that falls behind holds the hosts back; leaving the loop ends the
// commands and leaves nothing.
func TestConformSlowConsumer(t *testing.T) {
	conform(t, "3.7 memory bounds")
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		f, c := memoryFleet(t, sshtest.Config{Hosts: 2, Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			line := []byte(strings.Repeat("x", 1023) + "\n")
			for i := 0; ; i++ {
				n, err := s.Stdout.Write(line)
				if written.Add(int64(n)); err != nil {
					return sshtest.ExitStatus{}
				}
				if i%1024 == 0 {
					time.Sleep(100 * time.Millisecond) // the bubble's time stands still while anybody works
				}
			}
		}})
		lines := 0
		for _, err := range c.Lines(t.Context(), hostsOf(f), shoal.Command{Line: "x"}) {
			if err != nil {
				t.Fatal(err)
			}
			if lines++; lines%1000 != 0 {
				continue
			}
			time.Sleep(time.Minute) // until everybody else waits for us
			if ahead := written.Load() - int64(lines)*1024; ahead > 16<<20 {
				t.Errorf("the hosts are %d bytes ahead of the consumer", ahead)
			}
			if lines == 20_000 {
				break
			}
		}
		if s := f.Stats(); s.Sessions != 0 {
			synctest.Wait() // the server has yet to see the end
		}
		c.Close()
		synctest.Wait()
		if s := f.Stats(); s.Sessions != 0 || s.Conns != 0 {
			t.Errorf("after the loop: got %+v, want nothing left", s)
		}
	})
}

// Each host gets all of the input, also one whose turn comes when others have
// long ended, from a source that can be read once.
func TestConformBroadcast(t *testing.T) {
	conform(t, "3.7 big stdin", "3.7 stdin EOF")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 5})
	c := newClient(t, f)
	c.Limit = 2
	data := blob(2<<20 + 3)
	for r := range c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "cat", Stdin: bytes.NewReader(data)}) {
		if !bytes.Equal(r.Value.Stdout, data) || r.Err != nil {
			t.Errorf("%s: got %d bytes, %v; want %d", r.Host.Name, len(r.Value.Stdout), r.Err, len(data))
		}
	}
	// A source that gives a byte at a time, to hosts that take none of it, some
	// and all.
	for r := range c.Run(testContext(t), hostsOf(f), shoal.Command{
		Line: "wc -c", Stdin: iotest.OneByteReader(strings.NewReader("twelve bytes"))}) {
		if r.Value.Text() != "12\n" || r.Err != nil {
			t.Errorf("%s: got %q, %v; want 12", r.Host.Name, r.Value.Text(), r.Err)
		}
	}
	if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "exit", Stdin: bytes.NewReader(data)})); err != nil {
		t.Errorf("input that nobody reads: %v", err)
	}
	for r := range c.Start(testContext(t), hostsOf(f), shoal.Command{Line: "wc -c", Stdin: bytes.NewReader(data)}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		// The loop ends before the commands do.
		defer func() {
			if got := nextLine(t, r.Value.Stdout); got != fmt.Sprint(len(data)) {
				t.Errorf("%s: got %s bytes, want %d", r.Host.Name, got, len(data))
			}
		}()
	}
	for r := range c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "cat", Stdin: iotest.ErrReader(errFull)}) {
		if wantKind(t, r.Err, shoal.KindLocalIO); !errors.Is(r.Err, errFull) {
			t.Errorf("%s: got %v, want the source's error", r.Host.Name, r.Err)
		}
	}
}

// A line that cannot be made for one host is run on none.
func TestConformFormatErrors(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	c := newClient(t, f)
	hosts := slices.Collect(hostsOf(f))
	for i := range hosts {
		hosts[i].Args, hosts[i].Vars = []any{"a", i}, map[string]any{"v": i}
	}
	hosts[2].Args, hosts[2].Vars = []any{"a"}, nil
	for _, format := range []string{"echo %s %d", "echo %(v)s"} {
		cmd := shoal.Command{For: shoal.Format(format)}
		for r := range c.Run(testContext(t), slices.Values(hosts), cmd) {
			if want := []shoal.Kind{shoal.KindNotRun, shoal.KindNotRun, shoal.KindInvalid}[r.Index]; true {
				wantKind(t, r.Err, want)
			}
			if r.Index < 2 && (!errors.Is(r.Err, shoal.ErrNotRun) || !strings.Contains(r.Err.Error(), "host2")) {
				t.Errorf("%s: got %v, want that it was not run because of host2", r.Host.Name, r.Err)
			}
		}
		for r := range c.Start(testContext(t), slices.Values(hosts), cmd) {
			if r.Err == nil {
				t.Errorf("%s: was started", r.Host.Name)
			}
		}
		for r := range c.Run(testContext(t), slices.Values(hosts[:2]), cmd) {
			if want := map[string]string{"echo %s %d": fmt.Sprintf("a %d\n", r.Index), "echo %(v)s": fmt.Sprintf("%d\n", r.Index)}[format]; r.Value.Text() != want || r.Err != nil {
				t.Errorf("%s: got %q, %v; want %q", r.Host.Name, r.Value.Text(), r.Err, want)
			}
		}
	}
	if got := len(eventsOf(f, sshtest.EventExec)); got != 4 {
		t.Errorf("got %d commands on the hosts, want 4", got)
	}
}

// records is a log handler that keeps everything.
type records struct {
	mu   sync.Mutex
	list []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
	return nil
}

// at are the records of a level, each as its message and attributes.
func (r *records) at(level slog.Level) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, rec := range r.list {
		if rec.Level != level {
			continue
		}
		text := rec.Message
		rec.Attrs(func(a slog.Attr) bool {
			text += " " + a.String()
			return true
		})
		all = append(all, text)
	}
	return all
}

// everything is all that was logged, at any level.
func (r *records) everything() string {
	var b strings.Builder
	h := slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug - 100})
	for _, rec := range r.list {
		h.Handle(context.Background(), rec)
	}
	return b.String()
}

// A log shows the hosts' lines and the stages of connections to who asks for
// them, and never a secret.
func TestConformLog(t *testing.T) {
	conform(t, "3.6 test_enabling_host_logger", "3.6 test_enabling_pssh_logger")
	t.Parallel()
	const canary = "c4n4ry-9f3a"
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Users: []sshtest.User{{Name: sshtest.DefaultUser, Password: canary}}})
	var log records
	c := newClient(t, f)
	c.Log = slog.New(&log)
	key, err := sshtest.GenerateKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	c.Host.Auth = []shoal.Auth{shoal.Key(key), shoal.Password(canary)}
	cmd := shoal.Command{Line: `printf 'caf\351\nno end'; stderr oops`, Encoding: wants(t, "latin-1"), Stdin: strings.NewReader(canary)}
	if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), cmd)); err != nil {
		t.Fatal(err)
	}
	got := log.at(shoal.LevelLine)
	slices.Sort(got)
	var want []string
	for _, host := range []string{"host0", "host1"} {
		want = append(want, "output host="+host+" stream=stderr line=oops",
			"output host="+host+" stream=stdout line=café", "output host="+host+" stream=stdout line=no end")
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines: got %q, want %q", got, want)
	}
	stages := log.at(shoal.LevelStage)
	if len(stages) != 2 {
		t.Errorf("stages: got %q, want one record a host", stages)
	}
	for _, s := range stages {
		for _, attr := range []string{"host=host", "resolve=", "connect=", "kex=", "auth=", "attempt=1"} {
			if !strings.Contains(s, attr) {
				t.Errorf("got %q, want it to have %s", s, attr)
			}
		}
	}
	bad := c.Host
	bad.Auth = []shoal.Auth{shoal.Password(canary + canary)}
	bad.Addr, bad.Name = f.Host(0).Addr, "wrong"
	_, err = c.Conn(testContext(t), bad)
	wantKind(t, err, shoal.KindAuthFailed)
	if text := log.everything() + fmt.Sprintf("%v %+v %#v %v", err, err, bad.Auth, c.Host.Auth); strings.Contains(text, canary) {
		t.Errorf("the password is in the log: %s", text)
	}
}

// Lines are logged only where the logger wants them.
func TestConformLogLevel(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	var b bytes.Buffer
	c := newClient(t, f)
	c.Log = slog.New(slog.NewTextHandler(&b, nil))
	if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "echo x"})); err != nil || b.Len() > 0 {
		t.Errorf("got %q, %v; want nothing at the level of most programs", b.String(), err)
	}
}

// What a command left behind may hold its output open; that is said, and not
// waited for longer than it is silent.
func TestConformOutputOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
			io.WriteString(s.Stdout, "x\n")
			s.SendExit(sshtest.ExitStatus{Code: 3})
			switch s.Command {
			case "ends soon":
				time.Sleep(4 * time.Second)
				io.WriteString(s.Stdout, "late\n")
			case "never ends":
				<-ctx.Done()
			}
			return sshtest.ExitStatus{}
		}})
		for _, tt := range []struct {
			line, out string
			open      bool
			atMost    time.Duration
		}{
			{"ends", "x\n", false, time.Second},
			{"ends soon", "x\nlate\n", false, 5 * time.Second},
			{"never ends", "x\n", true, 6 * time.Second},
		} {
			r, _ := shoal.Gather(c.Run(t.Context(), hostsOf(f), shoal.Command{Line: tt.line}))
			wantExit(t, r[0].Err, 3)
			o := r[0].Value
			if o.Text() != tt.out || o.OutputOpen != tt.open || o.Run > tt.atMost {
				t.Errorf("%s: got %q, open %v, after %v; want %q, %v within %v", tt.line, o.Text(), o.OutputOpen, o.Run, tt.out, tt.open, tt.atMost)
			}
		}
	})
}

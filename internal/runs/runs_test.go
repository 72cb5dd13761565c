package runs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/runs"
)

// holds is set in a process that records a run and waits to be killed.
const holds = "SHOAL_TEST_HOLDS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holds); dir != "" {
		r := &runs.Recorder{Journal: &runs.Journal{Dir: dir}, Warn: func(err error) { panic(err) }}
		r.Start(render.Start{Run: id(0), Hosts: 2, Set: "a,b", Command: "true", Time: begun})
		r.Exit(render.Exit{Host: "a", Status: render.OK, RC: new(0)})
		fmt.Println("ready")
		select {}
	}
	goleak.VerifyTestMain(m)
}

var begun = time.Date(2026, 11, 27, 22, 0, 0, 0, time.UTC)

// id is the identifier of the nth run.
func id(n int) string {
	return ulid.MustNew(ulid.Timestamp(begun)+uint64(n)*60_000, bytes.NewReader(fmt.Appendf(make([]byte, 0, 16), "%010d", n*7919))).String()
}

// journal is an empty one.
func journal(t *testing.T) *runs.Journal {
	return &runs.Journal{Dir: filepath.Join(t.TempDir(), "runs")}
}

// record records a run, however far it goes.
func record(t *testing.T, j *runs.Journal, n int, play func(render.Renderer)) {
	t.Helper()
	r := &runs.Recorder{Journal: j, Warn: func(err error) { t.Errorf("warned of: %v", err) }}
	play(recording{r, n})
}

// recording gives a run its identifier.
type recording struct {
	render.Renderer
	n int
}

func (r recording) Start(s render.Start) {
	s.Run, s.Time = id(r.n), begun.Add(time.Duration(r.n)*time.Minute)
	r.Renderer.Start(s)
}

// mixed is a run in which every host ends in another way.
func mixed(r render.Renderer) {
	r.Start(render.Start{Hosts: 7, Set: "web[1-5],db1,db2:22", Command: "uptime", Args: []string{"run", "--hosts=web[1-5],db1,db2:22", "--", "uptime"}, Dir: "/"})
	r.Lines([]render.Line{{Host: "web2", Index: 1, Text: "one"}, {Host: "web3", Index: 2, Stderr: true, Text: "\xff", Continued: true}})
	var end render.End
	for i, x := range []render.Exit{
		{Host: "web2", Status: render.OK, RC: new(0)},
		{Host: "web1", Status: render.Failed, RC: new(3)},
		{Host: "web3", Status: render.Timeout, Err: &render.Problem{Stage: "run", Kind: "timeout", Msg: "timed out"}},
		{Host: "web4", Status: render.Cancelled, Err: &render.Problem{Stage: "run", Kind: "cancelled", Msg: "interrupted"}},
		{Host: "web5", Status: render.NotRun},
		{Host: "db1", Status: render.Auth, Err: &render.Problem{Stage: "auth", Kind: "auth-failed", Msg: "no"}},
		{Host: "db2:22", Status: render.Signal, Signal: "KILL"},
	} {
		x.Index = i
		end.Count(x.Status)
		r.Exit(x)
	}
	end.Exit = 130
	r.End(end)
}

func nothing(r render.Renderer) {
	r.Start(render.Start{Hosts: 1, Set: "a", Command: "true"})
	r.Exit(render.Exit{Host: "a", Status: render.OK, RC: new(0)})
	r.End(render.End{Hosts: 1, OK: 1})
}

// What is recorded is what JSONL prints, in a folder and a file that are private.
func TestRecord(t *testing.T) {
	j := journal(t)
	record(t, j, 0, mixed)
	got, err := os.ReadFile(filepath.Join(j.Dir, id(0)+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	mixed(recording{&render.JSONL{W: &want}, 0})
	if string(got) != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
	if runtime.GOOS != "windows" {
		for name, mode := range map[string]fs.FileMode{j.Dir: 0o700, filepath.Join(j.Dir, id(0)+".jsonl"): 0o600} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: got %v, %v, want mode %v", name, info.Mode(), err, mode)
			}
		}
	}
	all, err := j.List(t.Context(), 0)
	if err != nil || len(all) != 1 {
		t.Fatalf("got %v, %v", all, err)
	}
	r := all[0]
	if r.ID != id(0) || r.State != runs.Ended || r.Start.Command != "uptime" || r.End.Exit != 130 || r.End.Failed != 2 || r.Bytes != int64(len(got)) || !r.Time().Equal(begun) {
		t.Errorf("got %+v", r)
	}
	var again bytes.Buffer
	if err := r.Replay(&render.JSONL{W: &again}); err != nil || again.String() != want.String() {
		t.Errorf("replay: %v\n%s", err, again.String())
	}
}

func TestHosts(t *testing.T) {
	j := journal(t)
	record(t, j, 0, mixed)
	for sets, want := range map[string]string{
		"all":            "web1 web2 web3 web4 web5 db1 db2:22",
		"ok":             "web2",
		"failed":         "web1 web3 db1 db2:22",
		"rest":           "web4 web5",
		"timeout":        "web3",
		"unreachable":    "db1",
		"rc=3":           "web1",
		"rc=0":           "web2",
		"rc=4":           "",
		"rest ok failed": "web1 web2 web3 web4 web5 db1 db2:22",
		"timeout rc=3":   "web1 web3",
	} {
		r, err := j.Find("last")
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Hosts(strings.Fields(sets)...)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, %v, want %q", sets, got, err, want)
		}
		if set := strings.Fields(sets); len(set) == 1 {
			got, err = j.Group(t.Context(), "run", "last."+set[0])
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("last.%s: got %q, %v, want %q", sets, got, err, want)
			}
		}
	}
	for _, name := range []string{"last.fail", "last.rc=", "last.rc=x", "last.", "last.ok.ok"} {
		_, err := j.Group(t.Context(), "run", name)
		if _, ok := errors.AsType[*runs.SetError](err); !ok {
			t.Errorf("%s: got %v, want a SetError", name, err)
		}
	}
	if got, err := j.All(t.Context(), "run"); err != nil || len(got) != 7 {
		t.Errorf("All: got %q, %v", got, err)
	}
	want := "last.all last.failed last.ok last.rc=0 last.rc=3 last.rest last.timeout last.unreachable"
	if got, err := j.Names(t.Context(), "run"); err != nil || strings.Join(got, " ") != want {
		t.Errorf("Names: got %q, %v, want %s", got, err, want)
	}
}

// A name that is an expression for something else is refused and not misread.
func TestGroupOddNames(t *testing.T) {
	j := journal(t)
	record(t, j, 0, func(r render.Renderer) {
		r.Start(render.Start{Hosts: 1, Command: "true"})
		r.Exit(render.Exit{Host: "a,b", Status: render.OK, RC: new(0)})
		r.End(render.End{Hosts: 1, OK: 1})
	})
	if got, err := j.Group(t.Context(), "run", "last.ok"); err == nil || !strings.Contains(err.Error(), `"a,b"`) {
		t.Errorf("got %q, %v", got, err)
	}
	r, err := j.Find("last")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Hosts("ok"); err != nil || !slices.Equal(got, []string{"a,b"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFind(t *testing.T) {
	j := journal(t)
	_, err := j.Find("last")
	if e, ok := errors.AsType[*runs.NotFoundError](err); !ok || !e.None {
		t.Errorf("got %v", err)
	}
	if names, err := j.Names(t.Context(), "run"); err != nil || len(names) > 0 {
		t.Errorf("Names: got %q, %v", names, err)
	}
	for n := range 3 {
		record(t, j, n, nothing)
	}
	for word, want := range map[string]string{
		"last": id(2), "LAST": id(2), "last-0": id(2), "last-1": id(1), "last-2": id(0),
		id(1): id(1), strings.ToLower(id(1)): id(1), id(1)[20:]: id(1), id(0)[:12]: id(0),
	} {
		r, err := j.Find(word)
		if err != nil || r.ID != want {
			t.Errorf("%s: got %v, %v, want %s", word, r, err, want)
		}
	}
	for word, like := range map[string]int{
		"last-3": 0, "last-": 0, "last1": 0, "last--1": 0, "lastly": 0, "": 0, "01": 0, id(0)[:4]: 3, "no-such": 0, "../" + id(0): 0,
	} {
		_, err := j.Find(word)
		if e, ok := errors.AsType[*runs.NotFoundError](err); !ok || len(e.Like) != like || e.None {
			t.Errorf("%q: got %v, want %d that are like it", word, err, like)
		}
	}
}

// A record that ends at any byte can be read, as far as it goes.
func TestTorn(t *testing.T) {
	whole := journal(t)
	record(t, whole, 0, mixed)
	text, err := os.ReadFile(filepath.Join(whole.Dir, id(0)+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	j := journal(t)
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for n := range len(text) {
		if err := os.WriteFile(filepath.Join(j.Dir, id(0)+".jsonl"), text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := j.Find("last")
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if n == len(text)-1 { // all but the newline: nothing is missing
			if r.State != runs.Ended {
				t.Errorf("got %+v", r)
			}
			continue
		}
		began, exits := false, 0
		for line := range bytes.Lines(text[:n]) {
			whole := json.Valid(line)
			began = began || whole
			if whole && bytes.Contains(line, []byte(`"ev":"exit"`)) {
				exits++
			}
		}
		if r.State != runs.Interrupted || r.Err != nil || began != (r.Start.Command == "uptime") || r.Time().IsZero() {
			t.Fatalf("%d bytes: got %+v", n, r)
		}
		if r.End.Hosts != exits {
			t.Fatalf("%d bytes: got %d hosts that ended, want %d", n, r.End.Hosts, exits)
		}
		if !began {
			continue
		}
		for set, want := range map[string]int{"all": 7, "rest": 7 - exits + min(max(exits-3, 0), 2)} {
			if got, err := r.Hosts(set); err != nil || len(got) != want {
				t.Fatalf("%d bytes: %s: got %q, %v, want %d", n, set, got, err, want)
			}
		}
	}
}

// What is not the journal's own is neither read nor written nor removed.
func TestForeignFiles(t *testing.T) {
	j := journal(t)
	if err := os.MkdirAll(j.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := []string{"notes.txt", id(1), id(1) + ".json", strings.ToLower(id(1)) + ".jsonl", "U" + id(1)[1:] + ".jsonl"}
	for _, name := range foreign {
		if err := os.WriteFile(filepath.Join(j.Dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(j.Dir, id(2)+".jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	foreign = append(foreign, id(2)+".jsonl")
	if err := os.Symlink(outside, filepath.Join(j.Dir, id(3)+".jsonl")); err == nil {
		foreign = append(foreign, id(3)+".jsonl")
		// A link in the place of the file of a run is not followed.
		warned := 0
		r := &runs.Recorder{Journal: j, Warn: func(error) { warned++ }}
		nothing(recording{r, 3})
		if warned != 1 {
			t.Errorf("warned %d times", warned)
		}
	}
	j.Keep = 1
	for n := 4; n < 7; n++ {
		record(t, j, n, nothing)
	}
	all, err := j.List(t.Context(), 0)
	if err != nil || len(all) != 1 || all[0].ID != id(6) {
		t.Errorf("got %v, %v, want the last one alone", all, err)
	}
	for _, name := range foreign {
		if _, err := os.Lstat(filepath.Join(j.Dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := os.ReadFile(outside); err != nil || string(got) != "precious" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A file of a later version, or of nobody, is listed as what it is.
func TestUnreadable(t *testing.T) {
	j := journal(t)
	record(t, j, 0, nothing)
	for n, text := range []string{1: `{"v":2,"ev":"start"}` + "\n", 2: "null\nnull\n", 3: "]\n", 4: `{"v":1,"ev":"exit"}` + "\n", 5: "\x00\xff\n"} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(j.Dir, id(n)+".jsonl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := j.List(t.Context(), 0)
	if err != nil || len(all) != 6 {
		t.Fatalf("got %v, %v", all, err)
	}
	for _, r := range all[:5] {
		if r.State == runs.Ended || r.State == runs.Running {
			t.Errorf("%s: got %+v", r.ID, r)
		}
	}
	if all[5].State != runs.Ended {
		t.Errorf("got %+v", all[5])
	}
}

// The oldest runs go where there are too many, or too large ones.
func TestRetention(t *testing.T) {
	j := journal(t)
	j.Keep = 3
	for n := range 10 {
		record(t, j, n, nothing)
	}
	wantRuns(t, j, 9, 8, 7)

	j = journal(t)
	record(t, j, 0, nothing)
	all, err := j.List(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	j.Size = 3*all[0].Bytes + 100
	for n := 1; n < 10; n++ {
		record(t, j, n, nothing)
	}
	// That of a run that begins is not known yet.
	wantRuns(t, j, 9, 8, 7, 6)
	if n, err := j.List(t.Context(), 2); err != nil || len(n) != 2 || n[1].ID != id(8) {
		t.Errorf("the last two: got %v, %v", n, err)
	}
}

func wantRuns(t *testing.T, j *runs.Journal, want ...int) {
	t.Helper()
	all, err := j.List(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got, ids []string
	for _, r := range all {
		got = append(got, r.ID)
	}
	for _, n := range want {
		ids = append(ids, id(n))
	}
	if !slices.Equal(got, ids) {
		t.Errorf("got %q, want %q", got, ids)
	}
}

// A run of another program is seen to go on, is not removed, and is interrupted
// when that program is killed.
func TestTwoPrograms(t *testing.T) {
	j := journal(t)
	j.Keep = 1
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holds+"="+j.Dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 4; n++ {
		record(t, j, n, nothing)
	}
	state := func() runs.State {
		t.Helper()
		r, err := j.Find(id(0))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Hosts("rest"); err != nil || !slices.Equal(got, []string{"b"}) {
			t.Errorf("rest: got %q, %v", got, err)
		}
		return r.State
	}
	if got := state(); got != runs.Running {
		t.Errorf("got %s, want running", got)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if got := state(); got != runs.Interrupted {
		t.Errorf("got %s, want interrupted", got)
	}
	record(t, j, 4, nothing)
	wantRuns(t, j, 4)
}

// Many runs at once, each whole.
func TestConcurrent(t *testing.T) {
	j := journal(t)
	t.Run("", func(t *testing.T) {
		for n := range 20 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				record(t, j, n, mixed)
				if _, err := j.List(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		}
	})
	all, err := j.List(t.Context(), 0)
	if err != nil || len(all) != 20 {
		t.Fatalf("got %d, %v", len(all), err)
	}
	for _, r := range all {
		if r.State != runs.Ended || r.Start.Run != r.ID {
			t.Errorf("got %+v", r)
		}
	}
}

// Output beyond the limit is left out and told of; a loud host leaves room for a
// quiet one, and what is kept of a host has no gaps.
func TestLimit(t *testing.T) {
	j := journal(t)
	j.RunSize = 64 << 10
	const lines = 5000
	record(t, j, 0, func(r render.Renderer) {
		r.Start(render.Start{Hosts: 2, Set: "loud,quiet", Command: "yes"})
		for n := range lines {
			r.Lines([]render.Line{{Host: "loud", Seq: int64(n), Text: "no end of this"}})
		}
		r.Lines([]render.Line{{Host: "quiet", Index: 1, Text: "one word"}})
		r.Exit(render.Exit{Host: "loud", Status: render.OK, RC: new(0), Bytes: render.Bytes{Out: lines * 15}})
		r.Exit(render.Exit{Host: "quiet", Index: 1, Status: render.OK, RC: new(0)})
		r.End(render.End{Hosts: 2, OK: 2})
	})
	r, err := j.Find("last")
	if err != nil {
		t.Fatal(err)
	}
	if r.State != runs.Ended || r.Bytes > j.RunSize || r.Bytes < j.RunSize/2 {
		t.Errorf("got %+v", r)
	}
	var got told
	if err := r.Replay(&got); err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for _, n := range got.lines {
		if n.Host == "loud" {
			if n.Seq != next {
				t.Fatalf("got line %d, want %d", n.Seq, next)
			}
			next++
		}
	}
	if next == 0 || next == lines || got.lines[len(got.lines)-1].Text != "one word" {
		t.Errorf("got %d lines, and last %+v", next, got.lines[len(got.lines)-1])
	}
	if !got.exits[0].Truncated || got.exits[0].Bytes.Out != lines*15 || got.exits[1].Truncated {
		t.Errorf("got %+v", got.exits)
	}
}

// Lines and sets of any length are read.
func TestLong(t *testing.T) {
	j := journal(t)
	var hosts []string
	for n := range 20_000 {
		hosts = append(hosts, fmt.Sprintf("host%da", n*n))
	}
	record(t, j, 0, func(r render.Renderer) {
		r.Start(render.Start{Hosts: len(hosts), Set: strings.Join(hosts, ","), Command: "true"})
		r.Lines([]render.Line{{Host: hosts[0], Text: strings.Repeat("long ", 100_000)}, {Host: hosts[0], Text: "short"}})
		r.Exit(render.Exit{Host: hosts[0], Status: render.OK, RC: new(0)})
	})
	r, err := j.Find("last")
	if err != nil || r.Start.Hosts != len(hosts) || r.End.OK != 1 {
		t.Fatalf("got %d hosts, %+v, %v", r.Start.Hosts, r.End, err)
	}
	if got, err := r.Hosts("rest"); err != nil || !slices.Equal(got, hosts[1:]) {
		t.Errorf("got %d hosts, %v", len(got), err)
	}
}

type told struct {
	lines []render.Line
	exits []render.Exit
}

func (r *told) Start(render.Start)        {}
func (r *told) Lines(lines []render.Line) { r.lines = append(r.lines, lines...) }
func (r *told) Exit(x render.Exit)        { r.exits = append(r.exits, x) }
func (r *told) End(render.End) error      { return nil }

// What cannot be written is one warning.
func TestCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	warned := 0
	r := &runs.Recorder{Journal: &runs.Journal{Dir: filepath.Join(file, "runs")}, Warn: func(error) { warned++ }}
	mixed(recording{r, 0})
	if warned != 1 {
		t.Errorf("warned %d times, want once", warned)
	}
}

// Modes that let others look in are taken away.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access is not by modes")
	}
	j := journal(t)
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(j.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	record(t, j, 0, nothing)
	if info, err := os.Stat(j.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestDefaultDir(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	if got, err := runs.DefaultDir(); err != nil || got != filepath.Join(state, "shoal", "runs") {
		t.Errorf("got %q, %v", got, err)
	}
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", "relative")
	t.Setenv("HOME", home)
	t.Setenv("LOCALAPPDATA", home)
	if got, err := runs.DefaultDir(); err != nil || !strings.HasPrefix(got, home) || runtime.GOOS == "linux" && got != filepath.Join(home, ".local/state/shoal/runs") {
		t.Errorf("got %q, %v", got, err)
	}
}

// FuzzFind reads whatever a file has.
func FuzzFind(f *testing.F) {
	var text bytes.Buffer
	mixed(recording{&render.JSONL{W: &text}, 0})
	f.Add(text.Bytes())
	f.Add(text.Bytes()[:text.Len()/2])
	f.Add([]byte(`{"v":1,"ev":"start","hosts":9,"set":"a[1-99999999999]"}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		j := journal(t)
		if err := os.MkdirAll(j.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(j.Dir, id(0)+".jsonl"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := j.Find("last")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Hosts("rest"); err == nil && r.State == runs.Unreadable {
			t.Error("hosts of what cannot be read")
		}
	})
}

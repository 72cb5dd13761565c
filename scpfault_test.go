package shoal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// scpHost returns a connection to a host with a true shell and an scp of one's own.
func scpHost(t *testing.T, scp sshtest.Handler) *shoal.Conn {
	t.Helper()
	sh := sshtest.Shell("/bin/sh")
	f := sshtest.New(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
		if strings.HasPrefix(s.Command, "scp ") {
			return scp(ctx, s)
		}
		return sh(ctx, s)
	}})
	conn, err := newClient(t, f).Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// says is an scp that says something, and hears all.
func says(text string, code uint32) sshtest.Handler {
	return func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		go io.Copy(io.Discard, s.Stdin)
		io.WriteString(s.Stdout, text)
		return sshtest.ExitStatus{Code: code}
	}
}

// A receiver that lies, refuses or breaks off leaves the old file, and nothing
// beside it.
func TestSCPPutFaults(t *testing.T) {
	t.Parallel()
	dirOf := func(s *sshtest.Session) string { return s.Command[strings.LastIndex(s.Command, " ")+1:] }
	for name, test := range map[string]struct {
		scp  sshtest.Handler
		kind shoal.Kind
		want string
		is   error
	}{
		"disk full at once":    {says("\x00\x01scp: f: No space left on device\n", 1), shoal.KindRemoteIO, "No space left on device", nil},
		"disk full in the end": {says("\x00\x00\x01scp: f: No space left on device\n", 1), shoal.KindRemoteIO, "No space left on device", nil},
		"no permission":        {says("\x00\x01scp: d/f: Permission denied\n", 1), shoal.KindRemoteIO, "permission denied", fs.ErrPermission},
		"no folder":            {says("\x01scp: d: No such file or directory\n", 1), shoal.KindRemoteIO, "no such file", fs.ErrNotExist},
		"fatal":                {says("\x00\x02scp: it \x1b[31mbroke\r\n", 1), shoal.KindRemoteIO, `it \x1b[31mbroke`, nil},
		"nothing kept": {func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			io.WriteString(s.Stdout, "\x00\x00\x00")
			io.Copy(io.Discard, s.Stdin)
			return sshtest.ExitStatus{}
		}, shoal.KindRemoteIO, "no such file", fs.ErrNotExist},
		"ends early": {says("\x00", 0), shoal.KindRemoteIO, "ended early", nil},
		"noise":      {says("Welcome to \x1b[31mweb1\n", 0), shoal.KindProtocol, `"Welcome to \x1b[31mweb1`, nil},
		"no scp": {func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			io.WriteString(s.Stderr, "sh: scp: not found\n")
			return sshtest.ExitStatus{Code: 127}
		}, shoal.KindRemoteIO, "ended early: sh: scp: not found", nil},
		"kept short": {func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			in := bufio.NewReader(s.Stdin)
			io.WriteString(s.Stdout, "\x00")
			record, _ := in.ReadString('\n')
			var mode, size, name string
			fmt.Sscanf(record, "C%s %s %s", &mode, &size, &name)
			io.WriteString(s.Stdout, "\x00\x00")
			os.WriteFile(filepath.Join(dirOf(s), name), []byte("short"), 0o644)
			io.Copy(io.Discard, in)
			return sshtest.ExitStatus{}
		}, shoal.KindRemoteIO, "the server has 5 bytes of", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mustWrite(t, dir+"/f", []byte("old"), 0o644)
			conn := scpHost(t, test.scp)
			_, err := conn.Put(testContext(t), shoal.Copy{Reader: strings.NewReader(strings.Repeat("x", 100_000)), To: dir + "/f", SCP: true})
			he, ok := errors.AsType[*shoal.HostError](err)
			if !ok || he.Kind != test.kind || he.Stage != shoal.StageTransfer || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v", err)
			}
			if b, _ := os.ReadFile(dir + "/f"); string(b) != "old" || len(treeOf(t, dir)) != 1 {
				t.Errorf("the file is %q beside %v", b, treeOf(t, dir))
			}
		})
	}
}

// A sender that lies, or gives what was not asked for, leaves the old file, and
// nothing beside it or outside.
func TestSCPGetFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		says string
		kind shoal.Kind
		want string
	}{
		"other name":       {"C0644 3 g\nnew\x00", shoal.KindProtocol, "not what was asked for"},
		"up":               {"C0644 3 ../f\nnew\x00", shoal.KindProtocol, "no file's name"},
		"dots":             {"C0644 3 ..\nnew\x00", shoal.KindProtocol, "no file's name"},
		"absolute":         {"C0644 3 /tmp/f\nnew\x00", shoal.KindProtocol, "no file's name"},
		"below":            {"C0644 3 a/f\nnew\x00", shoal.KindProtocol, "no file's name"},
		"directory":        {"D0755 0 f\nC0644 3 f\nnew\x00E\n", shoal.KindProtocol, "not what was asked for"},
		"end":              {"E\n", shoal.KindProtocol, "not begun"},
		"short":            {"C0644 4 f\nnew", shoal.KindTruncated, "ends after 3 of the 4 bytes"},
		"long":             {"C0644 2 f\nnew\x00", shoal.KindProtocol, "no status"},
		"read error":       {"C0644 3 f\nnew\x01scp: f: Input/output error\n", shoal.KindRemoteIO, "Input/output error"},
		"no end":           {"C0644 3 f\nnew", shoal.KindRemoteIO, "ended early"},
		"nothing":          {"", shoal.KindRemoteIO, "ended early"},
		"refused":          {"\x01scp: f: Permission denied\n", shoal.KindRemoteIO, "permission denied"},
		"fatal":            {"\x02scp: \x1b]0;x\x07\n", shoal.KindRemoteIO, `\x1b]0;x\x07`},
		"noise":            {"Welcome \x1b[31mto\nC0644 3 f\nnew\x00", shoal.KindProtocol, `"Welcome \x1b[31mto"`},
		"negative":         {"C0644 -1 f\n", shoal.KindProtocol, "without mode, size and name"},
		"times of nothing": {"T1 0 1 0\nT1 0 1 0\n", shoal.KindProtocol, "times of nothing"},
		"other size":       {"C0644 4 f\nmore\x00", shoal.KindChanged, "changed while it was copied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, to := t.TempDir(), t.TempDir()
			mustWrite(t, dir+"/f", []byte("src"), 0o644)
			mustWrite(t, to+"/in/f", []byte("old"), 0o644)
			conn := scpHost(t, says(test.says, 0))
			_, err := conn.Get(testContext(t), shoal.Copy{From: dir + "/f", To: to + "/in/f", SCP: true})
			he, ok := errors.AsType[*shoal.HostError](err)
			if !ok || he.Kind != test.kind || !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\x1b\x07\n") {
				t.Errorf("got %v", err)
			}
			if b, _ := os.ReadFile(to + "/in/f"); string(b) != "old" || len(treeOf(t, to)) != 2 {
				t.Errorf("the file is %q beside %v", b, treeOf(t, to))
			}
		})
	}
}

// A file that a sender cannot read does not keep others from coming, setuid bits
// are dropped, and times that nobody asked for are answered.
func TestSCPGetGoesOn(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		mustWrite(t, dir+"/"+name, []byte(name), 0o644)
	}
	when := time.Unix(1e9, 0)
	if err := errors.Join(os.Chtimes(dir+"/a", when, when), os.Chtimes(dir+"/c", when, when)); err != nil {
		t.Fatal(err)
	}
	conn := scpHost(t, says("T1000000000 0 1000000000 0\nC6777 1 a\na\x00\x01scp: b: Permission denied\nT1000000000 0 1000000000 0\nC0644 1 c\nc\x00", 1))
	got, err := conn.Get(testContext(t), shoal.Copy{From: dir + "/.", To: to, Recursive: true, SCP: true})
	if got.Files != 2 || got.Failed != 1 || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/b: ") {
		t.Errorf("%+v, %v", got, err)
	}
	if info, err := os.Stat(to + "/a"); err != nil {
		t.Error(err)
	} else if info.Mode() != 0o755 || info.ModTime().Equal(when) {
		t.Errorf("%v, %v", info.Mode(), info.ModTime())
	}
	if len(treeOf(t, to)) != 2 {
		t.Errorf("there is %v", treeOf(t, to))
	}
}

// fakeShell answers as the shell of copies by SCP does: what a line says by the
// first of its answers that has its beginning, that nothing is there else.
func fakeShell(s *sshtest.Session, answers map[string]string) sshtest.ExitStatus {
	in, token := bufio.NewReader(s.Stdin), ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return sshtest.ExitStatus{}
		}
		line = strings.TrimSuffix(line, "\n")
		if def, ok := strings.CutPrefix(line, "z() { printf '"); ok {
			token = strings.TrimSuffix(def, `\0'; }`)
		} else if line == "z" {
			io.WriteString(s.Stdout, token+"\x00")
		} else if token != "" && line != "" {
			answer := "!x: No such file or directory\x00"
			for begin, a := range answers {
				if strings.HasPrefix(line, begin) {
					answer = a
				}
			}
			io.WriteString(s.Stdout, answer)
		}
	}
}

// No name that a host's shell gives leads out of the folder, and answers that are
// none are errors.
func TestSCPHostileShell(t *testing.T) {
	t.Parallel()
	names := []string{"../x", "/abs", "a/b", "..", ".", strings.Repeat("x", 256), "\x1b[31m", "ok"}
	list := "+\x00" + strings.Join(names, "\x00") + "\x00\x00" + strings.TrimSpace(strings.Repeat("81a4 1 0 0\n", len(names))) + "\x00"
	for name, test := range map[string]struct {
		answers map[string]string
		failed  int
		want    string
	}{
		"names":     {map[string]string{"L=-L": "+41ed 0 0 0\x00", "(D ": list}, 8, "no such"},
		"no stat":   {map[string]string{"L=-L": "+\x1b[31m\x00"}, 1, "stat says"},
		"no answer": {map[string]string{"L=-L": ""}, 1, "shell answered"},
		"half list": {map[string]string{"L=-L": "+41ed 0 0 0\x00", "(D ": "+\x00a\x00b\x00"}, 1, "half a list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := sshtest.New(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
				if strings.HasPrefix(s.Command, "scp ") {
					return says("", 1)(nil, s)
				}
				return fakeShell(s, test.answers)
			}})
			conn, err := newClient(t, f).Conn(testContext(t), shoal.Host{Name: f.Host(0).Addr})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			to := t.TempDir()
			got, err := conn.Get(testContext(t), shoal.Copy{From: "/dir", To: to + "/in/x", Recursive: true, SCP: true})
			if err == nil || got.Failed != test.failed || got.Files != 0 || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%+v, %v", got, err)
			}
			for name := range treeOf(t, to) {
				if name != "in" && name != "in/x" {
					t.Errorf("there is %q", name)
				}
			}
		})
	}
}

// A host that says nothing is given up in its time, wherever it stops.
func TestSCPSilent(t *testing.T) {
	stat := map[string]string{"L=-L": "+81a4 3 0 0\x00"}
	for name, test := range map[string]struct {
		shell, put bool
		scp        string
	}{
		"shell": {}, "ready": {shell: true, put: true}, "record": {shell: true, put: true, scp: "\x00"}, "content": {shell: true, put: true, scp: "\x00\x00"},
		"get": {shell: true}, "get content": {shell: true, scp: "C0644 3 f\nne"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := memoryFleet(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
					switch {
					case strings.HasPrefix(s.Command, "scp "):
						io.WriteString(s.Stdout, test.scp)
					case test.shell && test.put:
						return fakeShell(s, map[string]string{"x rm": "+\x00"})
					case test.shell:
						return fakeShell(s, stat)
					}
					<-ctx.Done()
					return sshtest.ExitStatus{}
				}})
				conn, err := c.Conn(t.Context(), shoal.Host{Name: "host0"})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				to := t.TempDir()
				if test.put {
					_, err = conn.Put(t.Context(), shoal.Copy{Reader: strings.NewReader("new"), To: "f", SCP: true})
				} else {
					_, err = conn.Get(t.Context(), shoal.Copy{From: "f", To: to + "/f", SCP: true})
				}
				if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindTimeout {
					t.Errorf("got %v", err)
				}
				if len(treeOf(t, to)) > 0 {
					t.Errorf("there is %v", treeOf(t, to))
				}
			})
		})
	}
}

// A host without a POSIX shell says so.
func TestSCPNoShell(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		io.WriteString(s.Stderr, "This account \x1b[31mis for scp only\n")
		return sshtest.ExitStatus{Code: 1}
	}})
	_, err := shoal.Gather(newClient(t, f).Put(testContext(t), hostsOf(f), shoal.Copy{Reader: strings.NewReader("x"), To: "f", SCP: true}))
	he, ok := errors.AsType[*shoal.HostError](err)
	if !ok || he.Kind != shoal.KindExecRefused || !strings.Contains(err.Error(), `no POSIX shell`) || !strings.Contains(err.Error(), `This account \x1b[31mis for scp only`) {
		t.Errorf("got %v", err)
	}
}

// What a login shell prints at its start is no harm to the shell that is asked.
func TestSCPChattyLogin(t *testing.T) {
	t.Parallel()
	scp, err := opensshtest.LookPath("scp")
	if err != nil {
		opensshtest.LeaveOut(t, "scp")
	}
	sh := sshtest.Shell("/bin/sh")
	f := sshtest.New(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
		if rest, ok := strings.CutPrefix(s.Command, "scp "); ok {
			s.Command = scp + " " + rest
		} else {
			io.WriteString(s.Stdout, "Welcome!\n")
		}
		return sh(ctx, s)
	}})
	dir := t.TempDir()
	if _, err := shoal.Gather(newClient(t, f).Put(testContext(t), hostsOf(f), shoal.Copy{Reader: strings.NewReader("x"), To: dir + "/f", SCP: true})); err != nil {
		t.Error(err)
	}
}

// A real disk that is full, a connection that breaks, a source that changes, and a
// caller who leaves: the old file stays, and nothing beside it.
func TestSCPFailures(t *testing.T) {
	conform(t, "3.2 test_scp_fail", "3.2 test_scp_send_write_exc", "3.2 test_scp_send_err", "3.1 test_scp_send_exc", "3.1 test_scp_recv_exc", "3.1 test_scp_recv_failure")
	t.Parallel()
	opensshtest.Need(t, "scp")
	client, host, server := openssh(t)
	kind := func(err error, want shoal.Kind) {
		t.Helper()
		if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != want || he.Stage != shoal.StageTransfer || he.Host != host.Name {
			t.Errorf("got %v, want kind %s", err, want)
		}
	}
	dir := t.TempDir()
	old := mustWrite(t, dir+"/old", []byte("old"), 0o644)
	conn := func() *shoal.Conn {
		conn, err := client.Conn(testContext(t), host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	_, err := conn().Put(testContext(t), shoal.Copy{Reader: strings.NewReader("x"), To: "/proc/nothing/file", SCP: true})
	kind(err, shoal.KindRemoteIO)
	_, err = conn().Put(testContext(t), shoal.Copy{Reader: strings.NewReader("x"), To: old + "/below", SCP: true})
	kind(err, shoal.KindRemoteIO)
	_, err = conn().Get(testContext(t), shoal.Copy{From: dir + "/none", To: dir + "/new", SCP: true})
	kind(err, shoal.KindRemoteIO)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	broken := io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, errors.New("no more") }))
	_, err = conn().Put(testContext(t), shoal.Copy{Reader: broken, To: old, SCP: true})
	kind(err, shoal.KindLocalIO)

	src := mustWrite(t, dir+"/src", randomData(5<<20), 0o644)
	during := func(f func()) func(shoal.Progress) {
		done := false
		return func(p shoal.Progress) {
			if !done && p.Bytes > 0 && !p.Done {
				done = true
				f()
			}
		}
	}
	shorten := func() { os.WriteFile(src, []byte("short"), 0o644) }
	_, err = conn().Put(testContext(t), shoal.Copy{From: src, To: old, Limit: 4 << 20, SCP: true, Progress: during(shorten)})
	kind(err, shoal.KindChanged)
	mustWrite(t, src, randomData(5<<20), 0o644)
	_, err = conn().Get(testContext(t), shoal.Copy{From: src, To: old, Limit: 4 << 20, SCP: true, Progress: during(shorten)})
	if err == nil {
		t.Error("a source that was cut short was copied")
	}
	mustWrite(t, src, randomData(5<<20), 0o644)
	for _, do := range []func(*shoal.Conn, context.Context, shoal.Copy) (shoal.Copied, error){(*shoal.Conn).Put, (*shoal.Conn).Get} {
		ctx, cancel := context.WithCancel(testContext(t))
		_, err = do(conn(), ctx, shoal.Copy{From: src, To: old, Limit: 4 << 20, SCP: true, Progress: during(cancel)})
		kind(err, shoal.KindCancelled)
		cancel()
	}
	// Of several, one cannot be read.
	if os.Geteuid() != 0 {
		mustWrite(t, dir+"/tree/secret", []byte("x"), 0)
	} else if err := errors.Join(os.MkdirAll(dir+"/tree", 0o755), os.Symlink("nowhere", dir+"/tree/secret")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir+"/tree/good", []byte("x"), 0o644)
	for name, do := range map[string]func(*shoal.Conn, context.Context, shoal.Copy) (shoal.Copied, error){"put": (*shoal.Conn).Put, "get": (*shoal.Conn).Get} {
		got, err := do(conn(), testContext(t), shoal.Copy{From: dir + "/tree", To: dir + "/" + name, Recursive: true, SCP: true, Links: shoal.FollowLinks})
		if err == nil || got.Failed != 1 || got.Files != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	_, err = conn().Get(testContext(t), shoal.Copy{From: src, To: old, Limit: 4 << 20, SCP: true, Progress: during(server.KillSessions)})
	kind(err, shoal.KindLost)
	if b, _ := os.ReadFile(old); string(b) != "old" {
		t.Errorf("the old file is %q", b)
	}
	if left, _ := filepath.Glob(dir + "/.*shoal*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	_, err = conn().Put(testContext(t), shoal.Copy{From: src, To: old, Limit: 4 << 20, SCP: true, Progress: during(server.KillSessions)})
	kind(err, shoal.KindLost)
	if b, _ := os.ReadFile(old); string(b) != "old" {
		t.Errorf("the old file is %q", b)
	}
}

// SCP cannot go on in the middle of a file, and says so before anything is done.
func TestSCPResume(t *testing.T) {
	t.Parallel()
	conn := scpHost(t, says("", 1))
	_, err := conn.Put(testContext(t), shoal.Copy{From: "x", To: "x", SCP: true, Resume: true})
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindInvalid || !strings.Contains(err.Error(), "Resume needs SFTP") {
		t.Errorf("got %v", err)
	}
}

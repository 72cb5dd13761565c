package shoal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// connect connects to the host until the test's end.
func connect(t *testing.T, c *shoal.Client, h shoal.Host) *shoal.Conn {
	t.Helper()
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// sshd connects to a real OpenSSH server.
func sshd(t *testing.T, extra ...string) *shoal.Conn {
	t.Helper()
	c, h, _ := openssh(t, extra...)
	return connect(t, c, h)
}

// fleetConn connects to the one host of a fleet.
func fleetConn(t *testing.T, cfg sshtest.Config) *shoal.Conn {
	t.Helper()
	f := sshtest.New(t, cfg)
	return connect(t, newClient(t, f), hostOf(f, 0))
}

// hostOf is host i of the fleet.
func hostOf(f *sshtest.Fleet, i int) shoal.Host {
	return shoal.Host{Name: f.Host(i).Name, Addr: f.Host(i).Addr}
}

// posix connects to a host inside the test that runs commands with /bin/sh and
// passes signals on, which sshd does not do for root.
func posix(t *testing.T) *shoal.Conn {
	t.Helper()
	opensshtest.Need(t, "/bin/sh")
	return fleetConn(t, sshtest.Config{Shell: "/bin/sh"})
}

// start starts a command that ends with the test at the latest.
func start(t *testing.T, conn *shoal.Conn, cmd shoal.Command) *shoal.Proc {
	t.Helper()
	p, err := conn.Start(testContext(t), cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// linesOf are all lines of the stream, up to its end.
func linesOf(t *testing.T, s *shoal.Stream) []string {
	t.Helper()
	var got []string
	for line, err := range s.Lines(testContext(t)) {
		if err != nil {
			t.Errorf("after %d lines: %v", len(got), err)
			break
		}
		got = append(got, line)
	}
	return got
}

// nextLine is the next line of the stream.
func nextLine(t *testing.T, s *shoal.Stream) string {
	t.Helper()
	for line, err := range s.Lines(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	t.Fatal("the stream has ended")
	return ""
}

// wantExit fails unless err says that a command ended with the status.
func wantExit(t *testing.T, err error, code int) {
	t.Helper()
	if code == 0 && err == nil {
		return
	}
	if e, ok := errors.AsType[*shoal.ExitError](err); !ok || e.Code != code {
		t.Errorf("got error %v, want exit status %d", err, code)
	}
}

// wantKind fails unless err is a HostError of the kind.
func wantKind(t *testing.T, err error, kind shoal.Kind) *shoal.HostError {
	t.Helper()
	he, ok := errors.AsType[*shoal.HostError](err)
	if !ok || he.Kind != kind {
		t.Fatalf("got error %v, want one of kind %s", err, kind)
	}
	return he
}

// Commands run as they are written; output and status are there without any
// further waiting.
func TestConformCommands(t *testing.T) {
	conform(t, "3.1 test_pssh_client_run_command_get_output", "3.4 test_run_command_get_output",
		"3.1 test_client_join_stdout", "3.4 test_client_join_stdout",
		"3.1 test_pssh_client_no_stdout_non_zero_exit_code_immediate_exit",
		"3.4 test_no_stdout_non_zero_exit_code_immediate_exit",
		"3.1 test_pssh_client_no_stdout_non_zero_exit_code_immediate_exit_no_join",
		"3.1 test_bash_variable_substitution",
		"3.1 test_multiple_single_quotes_in_cmd", "3.4 test_multiple_single_quotes_in_cmd",
		"3.1 test_backtics_in_cmd", "3.4 test_backtics_in_cmd",
		"3.1 test_multiple_shell_commands", "3.4 test_multiple_shell_commands",
		"3.1 test_escaped_quotes", "3.4 test_escaped_quotes",
		"3.2 test_execute", "3.2 test_execute_depr", "3.5 test_execute",
		"3.2 test_stderr", "3.5 test_stderr",
		"3.2 test_stdout_parsing", "3.2 test_file_output_parsing",
		"3.1 test_file_read_no_timeout", "3.4 test_file_read_no_timeout")
	t.Parallel()
	dir := t.TempDir()
	var thousand []string
	for i := range 1000 {
		thousand = append(thousand, fmt.Sprintf("%d %s", i, strings.Repeat("x", i%97)))
		if i < 30 {
			os.WriteFile(filepath.Join(dir, fmt.Sprint("file", i)), nil, 0o600)
		}
	}
	file := writeFile(t, "thousand", []byte(strings.Join(thousand, "\n")+"\n"))
	conn := sshd(t)
	for _, tt := range []struct {
		line     string
		out, err []string
		code     int
	}{
		{line: "echo me", out: []string{"me"}},
		{line: "echo me >&2", err: []string{"me"}},
		{line: "echo me; exit 1", out: []string{"me"}, code: 1},
		{line: "exit 1", code: 1},
		{line: "exit 255", code: 255},
		{line: "for i in 1 2 3; do echo $i; done", out: []string{"1", "2", "3"}},
		{line: "echo 'me' 'and me'", out: []string{"me and me"}},
		{line: "echo `echo me`; echo \"$(echo me too)\"", out: []string{"me", "me too"}},
		{line: "echo me; echo and me; echo and me", out: []string{"me", "and me", "and me"}},
		{line: `t="--flags=\"this\""; echo $t`, out: []string{`--flags="this"`}},
		{line: "printf 'no end'", out: []string{"no end"}},
		{line: "no-such-command 2>/dev/null", code: 127},
		{line: "ls " + shoal.Quote(dir) + " | wc -l | tr -d ' '", out: []string{"30"}},
		{line: "cat " + shoal.Quote(file), out: thousand},
	} {
		t.Run(fmt.Sprintf("%.30s", tt.line), func(t *testing.T) {
			out, err := conn.Run(testContext(t), shoal.Command{Line: tt.line})
			wantExit(t, err, tt.code)
			if out.Code != tt.code {
				t.Errorf("Run: got status %d, want %d", out.Code, tt.code)
			}
			if got := slices.Collect(out.Lines()); !slices.Equal(got, tt.out) {
				t.Errorf("Run: got stdout %.200q, want %.200q", got, tt.out)
			}
			if got := slices.Collect(out.ErrLines()); !slices.Equal(got, tt.err) {
				t.Errorf("Run: got stderr %.200q, want %.200q", got, tt.err)
			}
			p := start(t, conn, shoal.Command{Line: tt.line})
			if got := linesOf(t, p.Stdout); !slices.Equal(got, tt.out) {
				t.Errorf("Start: got stdout %.200q, want %.200q", got, tt.out)
			}
			if code, ok := p.ExitCode(); !ok || code != tt.code {
				t.Errorf("Start: got status %d, %v right after the output's end, want %d", code, ok, tt.code)
			}
			if got := linesOf(t, p.Stderr); !slices.Equal(got, tt.err) {
				t.Errorf("Start: got stderr %.200q, want %.200q", got, tt.err)
			}
			wantExit(t, p.Wait(testContext(t)), tt.code)
		})
	}
}

// The exit status is known as soon as either output has ended, however often.
func TestConformExitCodeWithoutJoin(t *testing.T) {
	conform(t, "3.7 exit code without join repeated", "3.6 test_wait_finished_waits_for_close_before_exit_status",
		"3.2 test_many_short_lived_commands")
	t.Parallel()
	conn := fleetConn(t, sshtest.Config{})
	for i := range 300 {
		p := start(t, conn, shoal.Command{Line: "echo x; exit 7"})
		s := []*shoal.Stream{p.Stdout, p.Stderr}[i%2]
		if _, err := io.Copy(io.Discard, s); err != nil {
			t.Fatal(err)
		}
		if code, ok := p.ExitCode(); !ok || code != 7 || !p.Done() {
			t.Fatalf("command %d: got status %d, %v, done %v; want 7", i, code, ok, p.Done())
		}
	}
}

// A status is all of its 32 bits, and death by a signal is none of them.
func TestConformStatus(t *testing.T) {
	conform(t, "3.7 signals", "3.6 test_bad_exit_status")
	t.Parallel()
	conn := fleetConn(t, sshtest.Config{})
	for _, tt := range []struct {
		line   string
		code   int
		signal string
		want   string
	}{
		{"exit 256", 256, "", "exit status 256"},
		{"exit 4294967295", 4294967295, "", "exit status 4294967295"},
		{"signal TERM", -1, "TERM", "ended by signal TERM"},
		{"echo x; signal SEGV", -1, "SEGV", "ended by signal SEGV"},
		{"signal odd@example.com", -1, "unknown", "ended by signal unknown"},
	} {
		out, err := conn.Run(testContext(t), shoal.Command{Line: tt.line})
		e, ok := errors.AsType[*shoal.ExitError](err)
		if !ok || e.Code != tt.code || e.Signal != tt.signal || e.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.line, err, tt.want)
		}
		if out.Code != tt.code || out.Signal != tt.signal {
			t.Errorf("%s: got status %d, signal %q; want %d, %q", tt.line, out.Code, out.Signal, tt.code, tt.signal)
		}
	}
}

// sshd tells of a command's death by a signal, and so does the result.
func TestConformDeathBySignal(t *testing.T) {
	conform(t, "3.7 signals")
	t.Parallel()
	conn := sshd(t)
	for _, name := range []string{"TERM", "KILL", "SEGV"} {
		out, err := conn.Run(testContext(t), shoal.Command{Line: "echo x; kill -" + name + " $$"})
		e, ok := errors.AsType[*shoal.ExitError](err)
		if !ok || e.Signal != name || e.Code != -1 || out.Text() != "x\n" {
			t.Errorf("%s: got %q, %v", name, out.Text(), err)
		}
	}
}

// Signals that the caller sends reach the command, which may go on.
func TestConformSendSignal(t *testing.T) {
	conform(t, "3.7 signals")
	t.Parallel()
	conn := posix(t)
	// A trap ends the read under way in some shells and not in others.
	p := start(t, conn, shoal.Command{Line: "trap 'echo hup' HUP; trap 'echo int' INT; echo begun; " +
		`while [ "$line" != end ]; do read line; done; exit 3`})
	if got := nextLine(t, p.Stdout); got != "begun" {
		t.Fatalf("got %q", got)
	}
	for _, tt := range []struct {
		signal ssh.Signal
		want   string
	}{{ssh.SIGHUP, "hup"}, {ssh.SIGINT, "int"}} {
		if err := p.Signal(tt.signal); err != nil {
			t.Fatal(err)
		}
		if got := nextLine(t, p.Stdout); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.signal, got, tt.want)
		}
	}
	io.WriteString(p.Stdin, "end\n")
	wantExit(t, p.Wait(testContext(t)), 3)
	if err := p.Signal(ssh.SIGTERM); err == nil {
		t.Error("a command that has ended took a signal")
	}
}

// A connection that breaks under a command is an error that says so, on every
// way to the output, and what came before is kept.
func TestConformConnectionLost(t *testing.T) {
	conform(t, "3.7 connection drop")
	t.Parallel()
	for _, kind := range []sshtest.FaultKind{sshtest.ExecResetMid, sshtest.ExecCloseMid, sshtest.ExecTruncatedPacket, sshtest.BadMAC} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			f := sshtest.New(t, sshtest.Config{Faults: func(int) sshtest.Fault { return sshtest.Fault{Kind: kind, N: 1 << 10} }})
			c := newClient(t, f)
			conn := connect(t, c, hostOf(f, 0))
			p := start(t, conn, shoal.Command{Line: "bytes 4096; sleep 1000"})
			got, err := io.ReadAll(p.Stdout)
			if !errors.Is(err, shoal.ErrLost) || len(got) < 1<<10 {
				t.Errorf("reading: got %d bytes, %v; want at least 1024 and the loss", len(got), err)
			}
			if he := wantKind(t, p.Wait(testContext(t)), shoal.KindLost); !he.MayRun || he.Stage != shoal.StageRun {
				t.Errorf("got %+v, want one that says that the command may still run", he)
			}
			if code, ok := p.ExitCode(); ok || !p.Done() {
				t.Errorf("got exit code %d, done %v", code, p.Done())
			}
			for r := range c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "bytes 4096; sleep 1000"}) {
				if !errors.Is(r.Err, shoal.ErrLost) || len(r.Value.Stdout) < 1<<10 || r.Value.Code != -1 {
					t.Errorf("Run: got %d bytes, status %d, %v", len(r.Value.Stdout), r.Value.Code, r.Err)
				}
			}
		})
	}
}

// Commands started side by side on one connection have each their own output.
func TestConformSeparateOutputs(t *testing.T) {
	conform(t, "3.1 test_read_multi_same_hosts", "3.4 test_read_multi_same_hosts")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2})
	c := newClient(t, f)
	runs := make([][]shoal.Result[*shoal.Proc], 3)
	for i := range runs {
		var err error
		runs[i], err = shoal.Gather(c.Start(testContext(t), hostsOf(f), shoal.Command{Line: fmt.Sprintf("echo run %d; hostname; cat", i)}))
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, run := range slices.Backward(runs) {
		for _, r := range run {
			r.Value.Stdin.Close()
			want := []string{fmt.Sprint("run ", i), r.Host.Name}
			if got := linesOf(t, r.Value.Stdout); !slices.Equal(got, want) {
				t.Errorf("run %d: got %q, want %q", i, got, want)
			}
			wantExit(t, r.Value.Wait(testContext(t)), 0)
		}
	}
	if got := f.Stats().TotalConns; got != 2 {
		t.Errorf("got %d connections, want one a host", got)
	}
}

// The results say everything there is to know, in the order of the hosts.
func TestConformResults(t *testing.T) {
	conform(t, "3.1 test_output_attributes", "3.1 test_return_list_last_output_multi_host", "3.4 test_get_last_output",
		"3.6 test_print", "3.6 test_excepting_client_exit_code", "3.6 test_none_output_client")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 4, Faults: func(host int) sshtest.Fault {
		if host == 2 {
			return sshtest.Fault{Kind: sshtest.Refuse}
		}
		return sshtest.Fault{}
	}})
	results, err := shoal.Gather(newClient(t, f).Run(testContext(t), hostsOf(f), shoal.Command{Line: "hostname; echo e >&2; exit 5"}))
	if err == nil || !strings.Contains(err.Error(), "host2") {
		t.Errorf("got %v, want an error that names the host", err)
	}
	if len(results) != 4 {
		t.Fatalf("got %d results, want 4", len(results))
	}
	for i, r := range results {
		if r.Index != i || r.Host.Name != f.Host(i).Name || r.Began.IsZero() {
			t.Errorf("result %d: got index %d, host %s, begin %v", i, r.Index, r.Host.Name, r.Began)
		}
		o := r.Value
		if i == 2 {
			wantKind(t, r.Err, shoal.KindRefused)
			if o.Stdout != nil || o.Stderr != nil || o.Code != 0 && o.Code != -1 {
				t.Errorf("a host that was not reached: got %+v", o)
			}
			continue
		}
		wantExit(t, r.Err, 5)
		want := shoal.Output{Command: "hostname; echo e >&2; exit 5", Code: 5, OutBytes: int64(len(r.Host.Name) + 1), ErrBytes: 2}
		if o.Command != want.Command || o.Code != want.Code || o.OutBytes != want.OutBytes || o.ErrBytes != want.ErrBytes ||
			o.Text() != r.Host.Name+"\n" || o.ErrText() != "e\n" || o.Signal != "" || o.OutputOpen {
			t.Errorf("host %d: got %+v", i, o)
		}
		if o.Start <= 0 || o.Run <= 0 || r.Took < o.Start+o.Run || r.Timings.Kex <= 0 || r.AuthMethod != "publickey" {
			t.Errorf("host %d: got start %v, run %v of %v, %+v, by %s", i, o.Start, o.Run, r.Took, r.Timings, r.AuthMethod)
		}
	}
}

// The command line and the output are in the encoding that the command names.
func TestConformCommandEncoding(t *testing.T) {
	conform(t, "3.1 test_run_command_encoding")
	t.Parallel()
	conn := sshd(t)
	latin1, err := shoal.Encoding("latin-1")
	if err != nil {
		t.Fatal(err)
	}
	cmd := shoal.Command{Line: "echo 'é à ü'; echo 'ß' >&2", Encoding: latin1}
	out, err := conn.Run(testContext(t), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{0xe9, ' ', 0xe0, ' ', 0xfc, '\n'}; !bytes.Equal(out.Stdout, want) {
		t.Errorf("got bytes % x, want % x", out.Stdout, want)
	}
	if out.Text() != "é à ü\n" || out.ErrText() != "ß\n" {
		t.Errorf("got %q and %q", out.Text(), out.ErrText())
	}
	for _, join := range []bool{false, true} {
		p := start(t, conn, cmd)
		if join {
			wantExit(t, p.Wait(testContext(t)), 0)
		}
		got := append(linesOf(t, p.Stdout), linesOf(t, p.Stderr)...)
		if !slices.Equal(got, []string{"é à ü", "ß"}) {
			t.Errorf("join %v: got %q", join, got)
		}
	}
	_, err = conn.Run(testContext(t), shoal.Command{Line: "echo €", Encoding: latin1})
	wantKind(t, err, shoal.KindInvalid)
}

// Without a terminal the outputs are two, with one they are one, which has the
// type, size and modes asked for and takes a new size.
func TestConformPTY(t *testing.T) {
	conform(t, "3.1 test_pty")
	t.Parallel()
	conn := sshd(t)
	const line = "echo out; echo err >&2"
	out, err := conn.Run(testContext(t), shoal.Command{Line: line})
	if out.Text() != "out\n" || out.ErrText() != "err\n" || err != nil {
		t.Errorf("got %q, %q, %v", out.Text(), out.ErrText(), err)
	}
	out, err = conn.Run(testContext(t), shoal.Command{Line: line, PTY: &shoal.PTY{}})
	if out.Text() != "out\r\nerr\r\n" || out.ErrText() != "" || err != nil {
		t.Errorf("terminal: got %q, %q, %v", out.Text(), out.ErrText(), err)
	}
	if got, want := slices.Collect(out.Lines()), []string{"out", "err"}; !slices.Equal(got, want) {
		t.Errorf("terminal: got lines %q, want %q", got, want)
	}
	for _, tt := range []struct {
		pty  shoal.PTY
		want []string
	}{
		{shoal.PTY{}, []string{"xterm", "24 80", "echo"}},
		{shoal.PTY{Term: "vt100", Rows: 50, Cols: 132, Modes: ssh.TerminalModes{ssh.ECHO: 0}}, []string{"vt100", "50 132", "-echo"}},
	} {
		out, err := conn.Run(testContext(t), shoal.Command{PTY: &tt.pty, Line: "echo $TERM; stty size; stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e -echo"})
		if got := slices.Collect(out.Lines()); !slices.Equal(got, tt.want) || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, tt.want)
		}
	}
	p := start(t, conn, shoal.Command{PTY: &shoal.PTY{Modes: ssh.TerminalModes{ssh.ECHO: 0}}, Line: "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"})
	if got := nextLine(t, p.Stdout); got != "ready" {
		t.Fatalf("got %q", got)
	}
	if err := p.Resize(33, 99); err != nil {
		t.Fatal(err)
	}
	if got := nextLine(t, p.Stdout); got != "33 99" {
		t.Errorf("after Resize: got %q, want 33 99", got)
	}
}

// Input arrives whole, of any size, and its end is an end of file.
func TestConformStdin(t *testing.T) {
	conform(t, "3.2 test_stdin", "3.5 test_stdin", "3.7 big stdin", "3.7 stdin EOF")
	t.Parallel()
	conn := sshd(t)

	p := start(t, conn, shoal.Command{Line: `read line; echo "$line"; cat`})
	io.WriteString(p.Stdin, "written\n")
	if got := nextLine(t, p.Stdout); got != "written" {
		t.Errorf("got %q, want what was written", got)
	}
	if p.Done() {
		t.Error("done without an end of file")
	}
	p.Stdin.Close()
	wantExit(t, p.Wait(testContext(t)), 0)
	if _, err := io.WriteString(p.Stdin, "x"); err != io.ErrClosedPipe {
		t.Errorf("writing to a command that has ended: got %v, want %v", err, io.ErrClosedPipe)
	}

	big := bytes.Repeat([]byte("0123456789abcde\n"), 5<<20/16)
	sum := fmt.Sprintf("%x", sha256.Sum256(big))
	p = start(t, conn, shoal.Command{Line: "sha256sum"})
	if n, err := p.Stdin.Write(big); n != len(big) || err != nil {
		t.Errorf("got %d, %v; want %d", n, err, len(big))
	}
	p.Stdin.Close()
	if got := nextLine(t, p.Stdout); !strings.HasPrefix(got, sum) {
		t.Errorf("got sum %q, want %s", got, sum)
	}
	// There and back at once.
	out, err := conn.Run(testContext(t), shoal.Command{Line: "cat", Stdin: bytes.NewReader(big)})
	if !bytes.Equal(out.Stdout, big) || err != nil {
		t.Errorf("got %d bytes, %v; want %d", len(out.Stdout), err, len(big))
	}
	// None, and more than is wanted.
	if out, err := conn.Run(testContext(t), shoal.Command{Line: "cat; echo end"}); out.Text() != "end\n" || err != nil {
		t.Errorf("no stdin: got %q, %v", out.Text(), err)
	}
	out, err = conn.Run(testContext(t), shoal.Command{Line: "head -c 4; exit 3", Stdin: bytes.NewReader(big)})
	if wantExit(t, err, 3); out.Text() != "0123" {
		t.Errorf("stdin not read: got %q", out.Text())
	}
}

// A command goes on, and its output stays, when its connection was given back.
func TestConformScope(t *testing.T) {
	conform(t, "3.2 test_output_client_scope", "3.5 test_output_client_scope",
		"3.2 test_output_client_scope_disconnect", "3.5 test_output_client_scope_disconnect")
	t.Parallel()
	for _, idle := range []int{0, -1} {
		f := sshtest.New(t, sshtest.Config{})
		c := newClient(t, f)
		c.MaxIdle = idle
		conn, err := c.Conn(testContext(t), hostOf(f, 0))
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, conn, shoal.Command{Line: "echo me; cat; exit 2"})
		conn.Close()
		io.WriteString(p.Stdin, "and me\n")
		p.Stdin.Close()
		wantExit(t, p.Wait(testContext(t)), 2)
		if idle != 0 && conn.Alive() {
			t.Error("a connection that is not to be kept is")
		}
		if got := linesOf(t, p.Stdout); !slices.Equal(got, []string{"me", "and me"}) {
			t.Errorf("MaxIdle %d: got %q", idle, got)
		}
	}
}

// Clients, one after the other, leave nothing behind at the server.
func TestConformManyClients(t *testing.T) {
	conform(t, "3.2 test_multiple_clients_exec_terminates_channels", "3.5 test_multiple_clients_exec_terminates_channels",
		"3.2 test_multiple_clients_exec_terminates_channels_explicit_disc")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{})
	for i := range 20 {
		c := newClient(t, f)
		conn, err := c.Conn(testContext(t), hostOf(f, 0))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := conn.Run(testContext(t), shoal.Command{Line: "echo me"}); out.Text() != "me\n" || err != nil {
			t.Errorf("client %d: got %q, %v", i, out.Text(), err)
		}
		if i%2 == 0 {
			conn.Close()
		}
		c.Close()
		_, err = f.WaitEvent(testContext(t), func(e sshtest.Event) bool { return e.Kind == sshtest.EventClose && e.Conn == uint64(i+1) })
		if err != nil {
			t.Fatalf("client %d: the server still has its connection: %v", i, err)
		}
	}
	ctx := testContext(t)
	for f.Stats().Conns+f.Stats().Sessions > 0 && ctx.Err() == nil {
		runtime.Gosched() // the server counts them out a moment after it said so
	}
	if s := f.Stats(); s.Conns != 0 || s.Sessions != 0 || s.PeakConns != 1 {
		t.Errorf("got %+v, want nothing left, and one connection at a time", s)
	}
}

// Any number of commands may run, however few are being started at once.
func TestConformMoreHostsThanLimit(t *testing.T) {
	conform(t, "3.7 > pool_size timeouts")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 5})
	c := newClient(t, f)
	c.Limit = 1
	var procs []*shoal.Proc
	for r := range c.Start(testContext(t), hostsOf(f), shoal.Command{Line: "cat; hostname"}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		procs = append(procs, r.Value)
	}
	procs[3].Stdin.Close()
	wantExit(t, procs[3].Wait(testContext(t)), 0)
	ctx, cancel := context.WithTimeout(testContext(t), 0)
	defer cancel()
	te, ok := errors.AsType[*shoal.TimeoutError](shoal.Join(ctx, procs...))
	if !ok || len(te.Finished) != 1 || len(te.Unfinished) != 4 || te.Finished[0] != procs[3] {
		t.Fatalf("got %+v, want one of five finished", te)
	}
	for _, p := range procs {
		p.Stdin.Close()
	}
	if err := shoal.Join(testContext(t), procs...); err != nil {
		t.Error(err)
	}
}

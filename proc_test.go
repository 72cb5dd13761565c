package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// unique is a sleep time that no other process of the machine has, to find a
// remote sleep in the process list.
func uniqueSleep() string { return fmt.Sprintf("1000.%d", time.Now().UnixNano()%1e9) }

// running reports whether a process with these words in its arguments runs.
func running(t *testing.T, words string) bool {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(strings.Split(string(out), "\n"), func(l string) bool {
		return strings.Contains(l, words) && !strings.Contains(l, "ps -A")
	})
}

// A deadline ends the remote process and says so, also where sshd refuses
// signals, as it does to root.
func TestDeadlineEndsRemoteProcess(t *testing.T) {
	for _, pty := range []*shoal.PTY{nil, {}} {
		t.Run(fmt.Sprint("pty=", pty != nil), func(t *testing.T) {
			c, h, _ := openssh(t)
			conn, err := c.Conn(testContext(t), h)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithCancel(testContext(t))
			sleep := uniqueSleep()
			p, err := conn.Start(ctx, shoal.Command{Line: "echo begun; sleep " + sleep + "; echo after", PTY: pty})
			if err != nil {
				t.Fatal(err)
			}
			for line, err := range p.Stdout.Lines(testContext(t)) {
				if line != "begun" || err != nil {
					t.Fatalf("got %q, %v", line, err)
				}
				break
			}
			if !running(t, "sleep "+sleep) {
				t.Fatal("the remote process does not run")
			}
			cancel()
			err = p.Wait(testContext(t))
			he, ok := errors.AsType[*shoal.HostError](err)
			if !ok || he.Kind != shoal.KindCancelled || he.MayRun {
				t.Errorf("got %v, want cancelled, its end seen", err)
			}
			if running(t, "sleep "+sleep) {
				t.Error("the remote process still runs")
			}
		})
	}
}

// 13 commands at once over a server that allows ten sessions on a connection.
func TestMaxSessions(t *testing.T) {
	conform(t, "3.7 MaxSessions")
	for _, limit := range []int{1, 2, 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			c, h, _ := openssh(t, fmt.Sprintf("MaxSessions %d", limit))
			conn, err := c.Conn(testContext(t), h)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var procs []*shoal.Proc
			for range 13 {
				p, err := conn.Start(testContext(t), shoal.Command{Line: "read x; echo $x"})
				if err != nil {
					t.Fatal(err)
				}
				procs = append(procs, p)
			}
			for i, p := range procs {
				fmt.Fprintln(p.Stdin, i)
			}
			if err := shoal.Join(testContext(t), procs...); err != nil {
				t.Fatal(err)
			}
			for i, p := range procs {
				out, err := io.ReadAll(p.Stdout)
				if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(i) {
					t.Errorf("proc %d: got %q, %v", i, got, err)
				}
				if code, ok := p.ExitCode(); !ok || code != 0 {
					t.Errorf("proc %d: exit %d, %v; %v", i, code, ok, p.Wait(testContext(t)))
				}
			}
		})
	}
}

// The exit status is there as soon as the output ends, three hundred times.
func TestExitCodeRepeated(t *testing.T) {
	c, h, _ := openssh(t)
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 300 {
		p, err := conn.Start(testContext(t), shoal.Command{Line: "echo x; exit 7"})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := io.ReadAll(p.Stdout); string(out) != "x\n" || err != nil {
			t.Fatalf("got %q, %v", out, err)
		}
		err = p.Wait(testContext(t))
		if e, ok := errors.AsType[*shoal.ExitError](err); !ok || e.Code != 7 {
			t.Fatalf("got %v, want exit status 7", err)
		}
	}
}

// Both outputs of a command in one loop, left and gone on with.
func TestProcLines(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Shell: "/bin/sh"})
	conn, err := newClient(t, f).Conn(testContext(t), shoal.Host{Name: "host0", Addr: f.Host(0).Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := conn.Start(testContext(t), shoal.Command{Line: "echo out; read x; echo err >&2; read x; printf last; exit 3"})
	if err != nil {
		t.Fatal(err)
	}
	var got []shoal.Line
	for range 3 {
		for line, err := range p.Lines(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, line)
			fmt.Fprintln(p.Stdin)
			break
		}
	}
	want := []shoal.Line{{Host: "host0", Text: "out", End: "\n"}, {Host: "host0", Stderr: true, Text: "err", End: "\n"}, {Host: "host0", Text: "last"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for line, err := range p.Lines(testContext(t)) {
		t.Errorf("after the end: %+v, %v", line, err)
	}
}

// A command that is ended by another one beside it, as root's are, may end by itself
// before. What then runs on the same connection is not ended in its place.
func TestKillSparesNext(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(bin+"/ps", []byte("#!/bin/sh\nPATH=/usr/bin:/bin\nsleep 0.5\nexec ps \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, host, _ := openssh(t, "SetEnv PATH="+bin+":/usr/bin:/bin")
	conn, err := c.Conn(testContext(t), host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Run(testContext(t), shoal.Command{Line: "sleep 0.6", Timeout: 100 * time.Millisecond}); !errors.Is(err, shoal.ErrTimeout) {
		t.Errorf("got %v, want a timeout", err)
	}
	if out, err := conn.Run(testContext(t), shoal.Command{Line: "sleep 2; echo ok"}); err != nil || out.Text() != "ok\n" {
		t.Errorf("the next command: got %q, %v", out.Text(), err)
	}
}

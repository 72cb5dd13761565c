package shoal_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

func TestShell(t *testing.T) {
	conform(t, "3.1 test_client_shells", "3.2 test_interactive_shell", "3.2 test_interactive_shell_exit_code",
		"3.5 test_interactive_shell", "3.5 test_interactive_shell_exit_code")
	for _, tt := range []struct {
		name string
		opts shoal.ShellOptions
	}{{"plain", shoal.ShellOptions{}}, {"pty", shoal.ShellOptions{PTY: &shoal.PTY{}}}} {
		t.Run(tt.name, func(t *testing.T) {
			c, h, _ := openssh(t)
			conn, err := c.Conn(testContext(t), h)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			sh, err := conn.Shell(testContext(t), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			pty := tt.opts.PTY != nil
			for _, step := range []struct {
				line     string
				out, err []string
				code     int
			}{
				{"echo hello", []string{"hello"}, nil, 0},
				{"cd /; v='a b'", nil, nil, 0},
				{`pwd; echo "$v"`, []string{"/", "a b"}, nil, 0},
				{"echo e >&2; (exit 3)", nil, []string{"e"}, 3},
				{"printf abc", []string{"abc"}, nil, 0},
				{"printf 'a\\n\\n'", []string{"a", ""}, nil, 0},
				{"for i in 1 2\ndo\necho $i\ndone", []string{"1", "2"}, nil, 0},
				{"cat; echo end", []string{"end"}, nil, 0},
				{"echo \"it's\"", []string{"it's"}, nil, 0},
			} {
				out, err := sh.Run(testContext(t), step.line)
				if step.code == 0 && err != nil {
					t.Errorf("%q: %v", step.line, err)
				}
				if e, ok := errors.AsType[*shoal.ExitError](err); step.code != 0 && (!ok || e.Code != step.code) {
					t.Errorf("%q: got %v, want exit status %d", step.line, err, step.code)
				}
				want, wantErr := step.out, step.err
				if pty {
					want, wantErr = append(slices.Clone(want), wantErr...), nil
				}
				if got := slices.Collect(out.Lines()); !slices.Equal(got, want) {
					t.Errorf("%q: stdout %q, want %q", step.line, got, want)
				}
				if got := slices.Collect(out.ErrLines()); !slices.Equal(got, wantErr) {
					t.Errorf("%q: stderr %q, want %q", step.line, got, wantErr)
				}
			}
			out, err := sh.Run(testContext(t), "echo last; exit 4")
			if e, ok := errors.AsType[*shoal.ExitError](err); !ok || e.Code != 4 {
				t.Errorf("exit 4: got %v", err)
			}
			if got := slices.Collect(out.Lines()); !pty && !slices.Equal(got, []string{"last"}) {
				t.Errorf("exit 4: got %q", got)
			}
			if _, err := sh.Run(testContext(t), "echo x"); err == nil {
				t.Error("a shell that ended took a line")
			}
			if err := sh.Close(); err == nil {
				t.Error("got nil, want the shell's exit status 4")
			}
		})
	}
}

func TestShellTimeout(t *testing.T) {
	conform(t, "3.1 test_client_shells_read_timeout", "3.1 test_client_shells_join_timeout")
	c, h, _ := openssh(t)
	conn, err := c.Conn(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sh, err := conn.Shell(testContext(t), shoal.ShellOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	out, err := sh.Run(ctx, "echo a; sleep 1; echo b; exit 2")
	if !errors.Is(err, shoal.ErrTimeout) || out.Text() != "a\n" {
		t.Errorf("got %q, %v; want the first line and a timeout", out.Text(), err)
	}
	if _, err := sh.Run(testContext(t), "echo c"); err == nil {
		t.Error("a busy shell took a line")
	}
	out, err = sh.Wait(testContext(t))
	if e, ok := errors.AsType[*shoal.ExitError](err); !ok || e.Code != 2 || out.Text() != "a\nb\n" {
		t.Errorf("got %q, %v; want both lines and status 2", out.Text(), err)
	}
	if err := sh.Close(); err == io.EOF || err == nil {
		t.Errorf("got %v, want exit status 2", err)
	}
}

// Opening a shell takes its time like every other stage.
func TestShellOpenTimeout(t *testing.T) {
	conform(t, "3.1 test_client_shells_timeout")
	for fault, stage := range map[sshtest.FaultKind]shoal.Stage{
		sshtest.ChanOpenSilent: shoal.StageChannel, sshtest.ExecSilent: shoal.StageExec,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, c := memoryFleet(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: fault})})
			c.Host.Timeout = 3 * time.Second
			conn, err := c.Conn(testContext(t), shoal.Host{Name: "host0"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			began := time.Now()
			_, err = conn.Shell(testContext(t), shoal.ShellOptions{})
			wantHostError(t, err, stage, shoal.KindTimeout)
			if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
				t.Errorf("%s: took %v", fault, took)
			}
		})
	}
}

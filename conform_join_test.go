package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// soon is a deadline that ends before anything that waits for a person.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// collect reads lines to the stream's end, or until ctx ends.
func collect(ctx context.Context, s *shoal.Stream) (lines []string, err error) {
	for line, err := range s.Lines(ctx) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// A deadline of Join tells finished from unfinished; the unfinished go on,
// their output stays, and Join is called again.
func TestJoinDeadline(t *testing.T) {
	conform(t, "3.1 test_join_timeout", "3.4 test_join_timeout", "3.1 test_join_timeout_subset_read",
		"3.1 test_multiple_join_timeout", "3.4 test_multiple_join_timeout", "3.1 test_join_timeout_set_no_timeout",
		"3.2 test_finished", "3.5 test_finished", "3.4 test_default_finished",
		"3.2 test_wait_finished_timeout", "3.5 test_wait_finished_timeout")
	t.Parallel()
	conn := posix(t)
	var procs []*shoal.Proc
	for i := range 4 {
		line := fmt.Sprintf("echo %d", i)
		if i%2 == 1 {
			line += "; read x; echo $x"
		}
		procs = append(procs, start(t, conn, shoal.Command{Line: line}))
	}
	if err := shoal.Join(testContext(t), procs[0], procs[2]); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := shoal.Join(soon(t), procs...)
		te, ok := errors.AsType[*shoal.TimeoutError](err)
		if !ok || !errors.Is(err, shoal.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want a TimeoutError", err)
		}
		if !slices.Equal(te.Finished, []*shoal.Proc{procs[0], procs[2]}) || !slices.Equal(te.Unfinished, []*shoal.Proc{procs[1], procs[3]}) {
			t.Errorf("finished %v, unfinished %v", te.Finished, te.Unfinished)
		}
		for i, p := range procs {
			if _, ok := p.ExitCode(); p.Done() != (i%2 == 0) || ok != p.Done() {
				t.Errorf("proc %d: Done is %v, and there is a status: %v", i, p.Done(), ok)
			}
		}
	}
	if err := procs[1].Wait(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: got %v, want the end of its context", err)
	}
	if got := nextLine(t, procs[0].Stdout); got != "0" {
		t.Errorf("a finished one's output is %q", got)
	}
	fmt.Fprintln(procs[1].Stdin, "later")
	fmt.Fprintln(procs[3].Stdin, "later")
	if err := shoal.Join(testContext(t), procs...); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{1, 3} {
		got, err := collect(testContext(t), procs[i].Stdout)
		if want := []string{fmt.Sprint(i), "later"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("proc %d: %q, %v, want %q", i, got, err, want)
		}
	}
}

// Nothing to wait for, hosts that were not reached, and output that was read
// before: none of it is in the way of Join.
func TestJoinNothing(t *testing.T) {
	conform(t, "3.1 test_finished_no_run_command", "3.1 test_client_join_consume_output", "3.1 test_invalid_host_out",
		"3.4 test_join_bad_host_out", "3.2 test_finished_error", "3.5 test_finished_error")
	t.Parallel()
	if err := shoal.Join(testContext(t)); err != nil {
		t.Error(err)
	}
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Faults: func(i int) sshtest.Fault {
		return []sshtest.Fault{{}, {Kind: sshtest.Refuse}}[i]
	}})
	c := newClient(t, f)
	var procs []*shoal.Proc
	for r := range c.Start(testContext(t), hostsOf(f), shoal.Command{Line: "echo a; exit 3"}) {
		if (r.Err == nil) != (r.Index == 0) {
			t.Errorf("host %d: %v", r.Index, r.Err)
		}
		procs = append(procs, r.Value) // nil for the host that refuses
	}
	if err := shoal.Join(testContext(t), procs...); err != nil {
		t.Errorf("joined: %v", err)
	}
	for _, p := range procs {
		if p == nil {
			continue
		}
		got, err := collect(testContext(t), p.Stdout)
		if err != nil || !slices.Equal(got, []string{"a"}) {
			t.Errorf("got %q, %v", got, err)
		}
		if again, err := collect(testContext(t), p.Stdout); err != nil || again != nil {
			t.Errorf("read again: %q, %v", again, err)
		}
		if code, ok := p.ExitCode(); !ok || code != 3 {
			t.Errorf("exit status %d, %v", code, ok)
		}
	}
}

// A deadline of reading loses nothing and ends nothing; both outputs have their
// own, or none.
func TestReadDeadline(t *testing.T) {
	conform(t, "3.1 test_read_timeout", "3.4 test_read_timeout", "3.1 test_multiple_run_command_timeout",
		"3.1 test_read_stdout_no_timeout", "3.1 test_read_timeout_no_timeouts", "3.1 test_partial_read_timeout_join_no_output",
		"3.4 test_long_running_cmd_join_timeout", "3.2 test_long_running_cmd", "3.5 test_long_running_cmd")
	t.Parallel()
	conn := posix(t)
	p := start(t, conn, shoal.Command{Line: "echo one; read x; echo two; echo err >&2; read x; echo three; exit 2"})
	ctx := testContext(t)
	var got []string
	for step := range 3 {
		lines, err := collect(soon(t), p.Stdout)
		got = append(got, lines...)
		if step < 2 {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("step %d: %q, %v", step, lines, err)
			}
			if err := shoal.Join(soon(t), p); !errors.Is(err, shoal.ErrTimeout) {
				t.Errorf("step %d: joined: %v", step, err)
			}
			fmt.Fprintln(p.Stdin)
		}
	}
	wantExit(t, p.Wait(ctx), 2)
	rest, err := collect(ctx, p.Stdout)
	if got = append(got, rest...); err != nil || !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("stdout: %q, %v", got, err)
	}
	if got, err := collect(ctx, p.Stderr); err != nil || !slices.Equal(got, []string{"err"}) {
		t.Errorf("stderr: %q, %v", got, err)
	}
}

// A deadline is of one reading of one stream: the other one is read on.
func TestReadDeadlineOfOneStream(t *testing.T) {
	conform(t, "3.1 test_read_timeout_mixed_output", "3.1 test_read_stdout_timeout_stderr_no_timeout")
	t.Parallel()
	p := start(t, posix(t), shoal.Command{Line: "echo err >&2; read x; echo out; echo more >&2"})
	ctx := testContext(t)
	type read struct {
		lines []string
		err   error
	}
	stderr := make(chan read)
	go func() {
		lines, err := collect(ctx, p.Stderr)
		stderr <- read{lines, err}
	}()
	if lines, err := collect(soon(t), p.Stdout); !errors.Is(err, context.DeadlineExceeded) || lines != nil {
		t.Errorf("stdout: %q, %v", lines, err)
	}
	fmt.Fprintln(p.Stdin)
	if lines, err := collect(ctx, p.Stdout); err != nil || !slices.Equal(lines, []string{"out"}) {
		t.Errorf("stdout, read on: %q, %v", lines, err)
	}
	if r := <-stderr; r.err != nil || !slices.Equal(r.lines, []string{"err", "more"}) {
		t.Errorf("stderr: %q, %v", r.lines, r.err)
	}
}

// Commands that never end are read in parts, on a terminal too, and closed; what
// came before is still to be read.
func TestEndless(t *testing.T) {
	conform(t, "3.1 test_partial_read_timeout_close_cmd", "3.1 test_timeout_file_read", "3.4 test_timeout_file_read")
	t.Parallel()
	conn := sshd(t)
	for _, pty := range []*shoal.PTY{nil, {}} {
		p := start(t, conn, shoal.Command{Line: "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done", PTY: pty})
		for i := range 3 {
			if got, want := nextLine(t, p.Stdout), fmt.Sprint("line ", i); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if err := shoal.Join(soon(t), p); !errors.Is(err, shoal.ErrTimeout) {
			t.Errorf("joined an endless command: %v", err)
		}
		if err := p.Close(); err != nil && !errors.Is(err, shoal.ErrCancelled) {
			t.Errorf("Close: %v", err)
		}
		rest, err := collect(testContext(t), p.Stdout)
		if len(rest) == 0 || rest[0] != "line 3" {
			t.Errorf("after Close: %q, %v", rest, err)
		}
		if !p.Done() {
			t.Error("not done after Close")
		}
	}
}

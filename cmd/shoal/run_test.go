package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// inMemory returns an app whose clients connect to a fleet in memory.
func inMemory(t *testing.T, cfg sshtest.Config) (a *app, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cfg.InMemory, cfg.SharedHostKey = true, true
	f := sshtest.New(t, cfg)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &app{stdout: stdout, stderr: stderr, reach: func(c *shoal.Client) {
		c.Dial = f.Dial
		c.Host = shoal.Host{
			User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(f.ClientSigner())},
			HostKeys: shoal.PinnedHostKeys(f.Host(0).HostKey),
		}
	}}, stdout, stderr
}

// A run leaves nothing behind, however it ends.
func TestRunLeavesNothing(t *testing.T) {
	for _, args := range []string{
		"run -w host[0-19] hostname",
		"run -w host[0-19] -k exit 1",
		"run -w host[0-19] -u 50ms sleep 1000",
		"run -w host[0-19] --deadline 50ms sleep 1000",
		"run -w host[0-19] -b yes 1000",
		"run -w nothing[0-3] hostname",
		"ping host[0-19]",
		"ping host[0-19] nothing[0-3] -f 3",
		"ping host[0-19] --deadline 1ms",
		"keys host[0-19] --known-hosts /dev/null",
		"keys host[0-19] --known-hosts /dev/null --deadline 1ms",
		"keys nothing[0-3] -O jsonl --known-hosts /dev/null",
	} {
		t.Run(args, func(t *testing.T) {
			a, _, _ := inMemory(t, sshtest.Config{Hosts: 20})
			leaks := goleak.IgnoreCurrent()
			a.main(t.Context(), strings.Fields(args))
			goleak.VerifyNone(t, leaks)
		})
	}
}

// Every host has exactly one exit, its lines are numbered, and none is missing.
func TestRunJSONL(t *testing.T) {
	const hosts = 200
	a, stdout, _ := inMemory(t, sshtest.Config{Hosts: hosts})
	if code := a.main(t.Context(), []string{"run", "-w", fmt.Sprintf("host[0-%d]", hosts-1), "-O", "jsonl", "seq 100; stderr oops"}); code != exitOK {
		t.Fatalf("got exit code %d", code)
	}
	type object struct {
		Ev, Host, Stream, Data, Status string
		Seq                            int
	}
	next, exits := make(map[string]int), make(map[string]int)
	for line := range strings.Lines(stdout.String()) {
		var o object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch {
		case o.Ev == "exit":
			exits[o.Host]++
		case o.Ev == "line" && o.Stream == "stdout":
			if o.Seq != next[o.Host] || o.Data != fmt.Sprint(o.Seq+1) {
				t.Fatalf("got %+v, want line %d", o, next[o.Host])
			}
			next[o.Host]++
		case o.Ev == "line" && (o.Seq != 0 || o.Data != "oops"):
			t.Fatalf("got %+v on stderr", o)
		}
	}
	if len(next) != hosts || len(exits) != hosts {
		t.Fatalf("got lines of %d hosts and exits of %d, want %d", len(next), len(exits), hosts)
	}
	for host, n := range exits {
		if n != 1 || next[host] != 100 {
			t.Errorf("%s: %d exits, %d lines", host, n, next[host])
		}
	}
}

// A mistake of ours is told as such.
func TestInternalError(t *testing.T) {
	a, _, stderr := inMemory(t, sshtest.Config{})
	a.reach = func(*shoal.Client) { panic("boom") }
	if code := a.main(t.Context(), []string{"run", "-w", "host0", "true"}); code != exitInternal {
		t.Errorf("got exit code %d, want %d", code, exitInternal)
	}
	if !strings.HasPrefix(stderr.String(), "shoal: internal error: boom\n  hint: ") {
		t.Errorf("got %q", stderr)
	}
}

// -k lets no host begin behind a failure.
func TestFailFastIsStrict(t *testing.T) {
	for range 20 {
		f, stderr := 0, (*bytes.Buffer)(nil)
		var a *app
		a, _, stderr = inMemory(t, sshtest.Config{Hosts: 5})
		reach := a.reach
		a.reach = func(c *shoal.Client) {
			reach(c)
			c.Complete = func(h shoal.Host) (shoal.Host, error) { f++; return h, nil }
		}
		if code := a.main(t.Context(), []string{"run", "-w", "host[0-4]", "-f", "1", "-k", "false"}); code != exitPolicy || f != 1 {
			t.Fatalf("got exit code %d and %d hosts begun: %s", code, f, stderr)
		}
	}
}

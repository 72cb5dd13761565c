package shoal_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// Hosts that have their lines may be given to a run one by one, and another
// command is not taken for theirs.
func TestResolve(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2})
	c := newClient(t, f)
	cmd := shoal.Command{For: func(h shoal.Host) (string, error) { return "echo for " + h.Name, nil }}
	hosts, resolved, err := cmd.Resolve(hostsOf(f))
	if err != nil || len(hosts) != 2 {
		t.Fatal(hosts, err)
	}
	for i, h := range hosts {
		one := func(yield func(shoal.Host) bool) { yield(h) }
		got, err := texts(t, c, one, resolved)
		wantTexts(t, got, err, h.Name+": for "+h.Name)
		got, err = texts(t, c, one, shoal.Command{Line: "echo other"})
		wantTexts(t, got, err, h.Name+": other")
		for r := range c.Run(testContext(t), one, resolved) {
			results, err := shoal.Gather(c.Run(testContext(t), func(yield func(shoal.Host) bool) { yield(r.Host) }, shoal.Command{Line: "echo again"}))
			if err != nil || results[0].Value.Text() != "again\n" {
				t.Errorf("host %d: got %q, %v", i, results[0].Value.Text(), err)
			}
		}
	}
}

func TestResolveError(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2})
	c := newClient(t, f)
	bad := f.Host(1).Name
	hosts, cmd, err := shoal.Command{For: func(h shoal.Host) (string, error) {
		if h.Name == bad {
			return "", errors.New("no line")
		}
		return "echo", nil
	}}.Resolve(hostsOf(f))
	if err == nil || !strings.HasSuffix(err.Error(), bad+": no line") {
		t.Fatal(err)
	}
	results, _ := shoal.Gather(c.Run(testContext(t), func(yield func(shoal.Host) bool) { _ = yield(hosts[0]) && yield(hosts[1]) }, cmd))
	if !errors.Is(results[0].Err, shoal.ErrNotRun) || results[1].Err == nil || f.Stats().TotalSessions != 0 {
		t.Errorf("got %v, %v", results[0].Err, results[1].Err)
	}
}

// The line that a host would get is what it gets.
func TestLineFor(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 1, Shell: "/bin/sh"})
	c := newClient(t, f)
	cmd := shoal.Command{
		Shell: "sh -c", Dir: "/", Env: []string{"A=it's"},
		For: func(h shoal.Host) (string, error) { return "echo $A of " + h.Name, nil },
	}
	for h := range hostsOf(f) {
		line, err := cmd.LineFor(h)
		if err != nil {
			t.Fatal(err)
		}
		for r := range c.Run(testContext(t), hostsOf(f), cmd) {
			if want := "it's of " + h.Name + "\n"; r.Err != nil || r.Value.Command != line || r.Value.Text() != want {
				t.Errorf("got %q, which is %q, %v; want %q", r.Value.Command, r.Value.Text(), r.Err, line)
			}
		}
		cmd = shoal.Command{Line: "id", Sudo: &shoal.Sudo{Password: "secret"}}
		if line, err := cmd.LineFor(h); err != nil || !strings.HasPrefix(line, "sudo -S -p '[sudo RANDOM] password: ' ") || strings.Contains(line, "secret") {
			t.Errorf("got %q, %v", line, err)
		}
		if _, err := (shoal.Command{}).LineFor(h); err == nil {
			t.Error("a line of nothing")
		}
	}
}

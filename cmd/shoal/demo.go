package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "Show runs on a fleet of 100 hosts inside this program",
		Example: "  shoal demo",
		Long: `Show what runs look like, on a fleet of 100 SSH servers inside this program.
It needs nothing, opens no port and touches no file.`,
		Args: noWords,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context()) },
	}
}

// demoStep is a run that the demo shows.
type demoStep struct {
	about string
	args  []string
}

func demoSteps() []demoStep {
	return []demoStep{
		{"Lines come as the hosts send them, each with its host:",
			[]string{"-w", "web[01-12]", "uptime -p"}},
		{"With -b equal output is shown once. Some of these 100 hosts are broken, in different ways:",
			[]string{"-w", "web[01-60],db[01-30],gw[01-10]", "-b", "-u", "2s", "uname -r"}},
		{"For programs there is an object a line, and for all an exit code that can be relied on:",
			[]string{"-w", "web[16-17]", "-O", "jsonl", "systemctl is-active nginx"}},
	}
}

// demo shows one run after the other.
func (a *app) demo(ctx context.Context) error {
	fleet, err := startDemoFleet()
	if err != nil {
		return err
	}
	defer fleet.Close()
	shown := *a
	shown.stdin = nil
	shown.reach = func(c *shoal.Client) { reachDemo(fleet, c) }
	fmt.Fprintf(a.stdout, "A fleet of %d SSH servers runs inside this program, near and far.\n", len(fleet.Hosts()))
	for _, step := range demoSteps() {
		if err := shown.demoRun(ctx, step); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.stdout, "\nNow on hosts of your own: shoal run -w HOSTS COMMAND. More: shoal help run\n")
	return err
}

// demoRun shows one run as if it had been typed.
func (a *app) demoRun(ctx context.Context, step demoStep) error {
	fmt.Fprintf(a.stdout, "\n%s\n\n$ shoal run %s\n", step.about, shellWords(step.args))
	if isTerminal(a.stdout) {
		select {
		case <-time.After(time.Second): // to read it
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	c := a.runCommand()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(step.args)
	err := c.ExecuteContext(ctx)
	code := exitOK
	if e, ok := errors.AsType[*codeError](err); ok {
		code = e.code
	} else if err != nil {
		return err
	}
	if code > exitInternal {
		return err // interrupted, or nobody reads
	}
	_, err = fmt.Fprintf(a.stdout, "$ echo $?\n%d\n", code)
	return err
}

// shellWords writes words as a person would type them.
func shellWords(words []string) string {
	text := make([]string, len(words))
	for i, w := range words {
		if strings.ContainsAny(w, "[ ") {
			w = "'" + w + "'"
		}
		text[i] = w
	}
	return strings.Join(text, " ")
}

// startDemoFleet starts the hosts, in memory. The hosts do not answer alike.
func startDemoFleet() (*sshtest.Fleet, error) {
	var names []string
	for _, kind := range []struct {
		name  string
		hosts int
	}{{"web", 60}, {"db", 30}, {"gw", 10}} {
		for i := range kind.hosts {
			names = append(names, fmt.Sprintf("%s%02d", kind.name, i+1))
		}
	}
	faults := map[string]sshtest.FaultKind{
		"gw03": sshtest.Refuse, "gw04": sshtest.AuthFailAll, "db12": sshtest.ExecResetMid,
	}
	return sshtest.Start(sshtest.Config{
		Hosts:    len(names),
		InMemory: true,
		Name:     func(host int) string { return names[host] },
		Latency:  func(host int) time.Duration { return time.Duration(1+host*37%53) * time.Millisecond },
		Faults:   func(host int) sshtest.Fault { return sshtest.Fault{Kind: faults[names[host]]} },
		Handler:  demoHandler,
	})
}

// demoHandler answers the commands of the demo, and others as Builtin does.
func demoHandler(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
	name := s.Host.Name
	switch s.Command {
	case "uptime -p":
		fmt.Fprintf(s.Stdout, "up %d days, %d hours\n", s.Host.Index*29%97+2, s.Host.Index*7%21+2)
	case "uname -r":
		switch {
		case name == "db07": // hangs until it is ended
			select {
			case sig := <-s.Signals:
				return sshtest.ExitStatus{Signal: sig}
			case <-ctx.Done():
				return sshtest.ExitStatus{Code: 1}
			}
		case name == "web17":
			fmt.Fprintln(s.Stdout, "5.10.0-28-amd64")
		case strings.HasPrefix(name, "db"):
			fmt.Fprintln(s.Stdout, "6.1.0-37-amd64")
		default:
			fmt.Fprintln(s.Stdout, "6.12.48-amd64")
		}
	case "systemctl is-active nginx":
		if name == "web17" {
			fmt.Fprintln(s.Stdout, "failed")
			return sshtest.ExitStatus{Code: 3}
		}
		fmt.Fprintln(s.Stdout, "active")
	default:
		return sshtest.Builtin(ctx, s)
	}
	return sshtest.ExitStatus{}
}

// reachDemo has a client connect to the fleet. Its keys are known beforehand,
// and one of the hosts does not have the key that is known.
func reachDemo(fleet *sshtest.Fleet, c *shoal.Client) {
	hosts := fleet.Hosts()
	keys := make(map[string]shoal.HostKeys, len(hosts))
	for _, h := range hosts {
		keys[h.Name] = shoal.PinnedHostKeys(h.HostKey)
	}
	wrong := slices.IndexFunc(hosts, func(h sshtest.Host) bool { return h.Name == "gw01" })
	keys["gw05"] = shoal.PinnedHostKeys(hosts[wrong].HostKey)
	c.Dial = fleet.Dial
	c.Host.User = sshtest.DefaultUser
	c.Host.Auth = []shoal.Auth{shoal.KeyBytes(fleet.ClientKeyPEM())}
	c.Complete = func(h shoal.Host) (shoal.Host, error) {
		h.HostKeys = keys[h.Name]
		return h, nil
	}
}

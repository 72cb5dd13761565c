package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

const pingHelp = `Go all the way to a command on each host, and show how long each stage took or
which one failed: looking up the name (dns), connecting (tcp), the key exchange
(kex), the check of the host key (hostkey), logging in (auth), and running a
command that does nothing (exec). Nothing is changed on the hosts.

Exit codes are those of shoal run: 0 all stages of all hosts succeeded; 1 the
command ended with another status than 0; 3 some host was not reached; 4 some
host timed out.`

const pingExample = `  shoal ping -w 'web[1-20],db1'
  shoal ping 'web[1-20]' -J bastion -t 3s
  shoal ping --hosts-file hosts.txt -O jsonl | jq 'select(.ms) | .host, .ms'`

// pingFlags are the flags of shoal ping.
type pingFlags struct {
	target  targetFlags
	connect connectFlags
	pace    paceFlags
	view    viewFlags
}

func (a *app) pingCommand() *cobra.Command {
	var f pingFlags
	f.target.example = "shoal ping -w 'web[1-20]'"
	c := &cobra.Command{
		Use:                   "ping [-w] HOSTS [FLAGS]",
		Short:                 "Show how far hosts are reached, and how long each stage takes",
		Long:                  pingHelp,
		Example:               pingExample,
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, words []string) error { return a.ping(c.Context(), &f, words) },
	}
	addGroups(c, []flagGroup{
		newGroup("Hosts", f.target.add, f.target.addYes),
		newGroup(connectionGroup, func(fs *pflag.FlagSet) { f.connect.add(fs); f.connect.addTransport(fs) }),
		newGroup("Pace and output", f.pace.add, f.view.add),
	})
	return c
}

// pingLine is a command that any shell has, cmd.exe and PowerShell too, and that
// starts no program.
const pingLine = "exit 0"

// pingTimeout bounds that command where -t says nothing.
const pingTimeout = 10 * time.Second

// ping is shoal ping: a run of a command that does nothing, shown differently.
func (a *app) ping(ctx context.Context, f *pingFlags, words []string) error {
	if f.view.quiet && f.view.format.word == "jsonl" {
		return &usageError{what: "-O jsonl has everything in it and cannot be cut", hint: "leave out -q"}
	}
	if err := f.connect.check(); err != nil {
		return err
	}
	hosts, err := a.targets(ctx, &f.target, &f.connect, words)
	if hosts == nil {
		return err
	}
	command := shoal.Command{Line: pingLine, Timeout: pingTimeout}
	if f.connect.timeout.isSet {
		command.Timeout = f.connect.timeout.d
	}
	j := newJob(a, &f.view, &f.pace, hosts)
	return newRunner(j, command, f.renderer(j.console.screen, hosts)).run(ctx, func(ctx context.Context) error {
		if a.reach != nil {
			a.reach(j.client)
			return nil
		}
		if err := f.target.confirm(ctx, &j); err != nil {
			return err
		}
		if err := f.connect.mayAsk(&j); err != nil {
			return err
		}
		return j.connects(&f.connect, f.view.verbose)
	})
}

func (f *pingFlags) renderer(s *render.Screen, hosts []shoal.Host) render.Renderer {
	p := &render.Ping{Screen: s, Quiet: f.view.quiet}
	for _, h := range hosts {
		p.Hosts = append(p.Hosts, h.Name)
	}
	if f.view.format.word == "jsonl" {
		p.Quiet = true
		return render.Tee{&render.JSONL{W: s.Out()}, p}
	}
	return p
}

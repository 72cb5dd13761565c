package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const runHelp = `Run a command on hosts, at once, and show their output as it comes.

The words after the flags are the command. They are joined by blanks and given
to the login shell of each host as they stand; quote what your own shell must
not touch. Behind a command that is quoted as a whole, long flags may follow, as
--canary 1 does here: 'systemctl restart nginx' --canary 1. Behind -- all is the
command.

The exit code says how it went: 0 where every host succeeded, 1 where some command
failed, 3 where some host was not reached; shoal help exit-codes has all of them.
shoal help host-expressions says how hosts are named.

What is piped in goes to each host, to its end, as with ssh; -n keeps it back,
which loops and jobs want whose own input is not meant for the hosts.

On a terminal the first ^C says what is running and the second within two
seconds ends it, on the hosts too; elsewhere the first one does.

--canary and --batch take the hosts in turn: a batch ends, its check included,
before the next one begins. A canary that fails stops the run, as more failures
than --max-fail allows do, or without it a failed check: hosts at work finish, no
other is begun.

With --subst the command has for each host, quoted for the shell: %{host}, without
user and port; %{name}, as it was named; %{user}; %{port}; %{index}, from 0;
%{count}, of all hosts; %{var.NAME}, of the inventory. %{raw:NAME} does not quote,
and %%{ is no beginning.`

const runExample = `  shoal run -w 'web[01-20],db1' uptime
  shoal run -w 'node[1-4]' -b uname -r
  shoal run -w 'node[1-99]' --diff --same sysctl -n vm.swappiness
  shoal run --hosts-file hosts.txt -l root -u 30s 'df -h | tail -n +2'
  shoal run -w 'web[1-20]' --sudo -K systemctl restart nginx
  shoal run -w 'web[1-20]' --canary 1 --batch 10% --max-fail 2 \
    --check 'curl -fs localhost/health' --sudo systemctl restart nginx
  shoal run -w 'db[1-3]' --subst --dry-run 'pg_dump main >/backup/%{host}.sql'
  tar cz site | shoal run -w 'web[1-20]' 'tar xz -C /srv'
  shoal run -w 'gpu[1-8]' -O jsonl nvidia-smi -L | jq`

// paceFlags say how fast, how long and how far.
type paceFlags struct {
	fanout   numberFlag
	deadline durationFlag
	failFast bool
}

// addLimits adds those that any command has.
func (f *paceFlags) addLimits(fs *pflag.FlagSet) {
	f.fanout = numberFlag{n: 64, min: 1, max: 100_000}
	fs.VarP(&f.fanout, "fanout", "f", "work on `N` hosts at once")
	fs.Var(&f.deadline, "deadline", "end the whole run after `DUR`")
}

func (f *paceFlags) add(fs *pflag.FlagSet) {
	f.addLimits(fs)
	fs.BoolVarP(&f.failFast, "fail-fast", "k", false, "stop the run at the first host that does not succeed")
}

// runFlags are the flags of shoal run.
type runFlags struct {
	target  targetFlags
	connect connectFlags
	command commandFlags
	pace    paceFlags
	rollout rolloutFlags
	subst   substFlags
	output  outputFlags
	journal journalFlags
}

// groups returns the flags as help shows them.
func (f *runFlags) groups() []flagGroup {
	return []flagGroup{
		newGroup("Hosts", f.target.add),
		newGroup(connectionGroup, func(fs *pflag.FlagSet) { f.connect.add(fs); f.connect.addTransport(fs); f.connect.addAgent(fs) }),
		newGroup("Command", f.command.add, f.subst.add),
		newGroup("Pace", f.pace.add, f.rollout.add),
		newGroup("Output and result", f.output.add, f.journal.add),
	}
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	f.target.example = "shoal run -w 'web[1-20]' uptime"
	groups := f.groups()
	c := &cobra.Command{
		Use:                   "run -w HOSTS [FLAGS] COMMAND…",
		Short:                 "Run a command on hosts",
		Long:                  runHelp,
		Example:               runExample,
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, words []string) error {
			f.command.ttySaid = c.Flags().Changed("tty")
			return a.run(c.Context(), &f, words)
		},
	}
	addGroups(c, groups)
	c.Flags().SetInterspersed(false) // what comes after the command is the command's
	return c
}

// flagsFirst puts long flags behind a command that is one quoted word, as in 'systemctl
// restart nginx' --canary 1, in front of it. Where what follows is not flags alone, or
// -- stands before the command, it is the command's.
func flagsFirst(fs *pflag.FlagSet, args []string) []string {
	ignore := func(*pflag.Flag, string) error { return nil }
	if err := fs.ParseAll(args, ignore); err != nil || fs.ArgsLenAtDash() >= 0 || fs.NArg() < 2 {
		return args
	}
	words := fs.Args()
	command, rest := words[0], words[1:]
	if !strings.Contains(command, " ") || !strings.HasPrefix(rest[0], "--") {
		return args
	}
	short := func(word string) bool { return strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") }
	if slices.Contains(rest, "--") || slices.ContainsFunc(rest, short) {
		return args
	}
	if err := fs.ParseAll(rest, ignore); err != nil || fs.NArg() > 0 {
		return args
	}
	before := args[:len(args)-len(words)]
	return slices.Concat(before, rest, []string{command})
}

// run is shoal run. Everything is checked before anything is done.
func (a *app) run(ctx context.Context, f *runFlags, words []string) error {
	if err := f.output.check(); err != nil {
		return err
	}
	if err := f.rollout.check(f); err != nil {
		return err
	}
	if err := f.connect.check(); err != nil {
		return err
	}
	if err := f.connect.checkAgent(&f.target); err != nil {
		return err
	}
	hosts, err := a.targets(ctx, &f.target, &f.connect, nil)
	if hosts == nil {
		return err
	}
	command, err := f.command.command(words)
	if err != nil {
		return err
	}
	if err := f.subst.apply(&f.connect, hosts, &command); err != nil {
		return err
	}
	check, err := f.rollout.checkCommand(f, hosts, command)
	if err != nil {
		return err
	}
	if f.rollout.dryRun {
		return a.dryRun(f, hosts, command)
	}
	j := newJob(a, &f.output.viewFlags, &f.pace, hosts)
	j.console.screen.Raw = f.output.raw
	f.output.view = a.guise.viewOf(hostNames(hosts))
	show, err := f.output.renderer(j.console.screen)
	if err != nil {
		return err
	}
	r := newRunner(j, command, show)
	r.violated = show.violated
	a.keep(&r.job, &f.journal)
	r.redact(f.output.redact.find) // the journal too
	r.verdict.guise = a.guise.code
	r.largest = f.output.largest
	r.rollout, r.check = &f.rollout, check
	r.quiet = f.output.quiet
	r.command.Stdin = a.commandInput(f)
	r.origin.stdin = r.origin.stdin || r.command.Stdin != nil && f.command.script == nil
	r.command.PTY = f.command.pty(a.stderr, a.stdout)
	f.connect.config.PTY = f.command.configuredPTY(a.stdin, a.stderr, a.stdout)
	return r.run(ctx, func(ctx context.Context) error {
		if a.reach != nil {
			a.reach(r.client)
			return nil
		}
		return r.prepare(ctx, f)
	})
}

// list shows the hosts.
func (a *app) list(names []string) error {
	for name := range slices.Values(names) {
		if _, err := fmt.Fprintln(a.stdout, name); err != nil {
			return err
		}
	}
	return nil
}

// commandInput is what the commands get on their standard input; nothing where
// the names of the hosts came from there.
func (a *app) commandInput(f *runFlags) io.Reader {
	if f.target.stdin() && f.command.script == nil {
		return nil
	}
	return f.command.input(a.stdin)
}

// prepare asks what must be known beforehand and readies the client.
func (r *runner) prepare(ctx context.Context, f *runFlags) error {
	f.target.yes = f.rollout.yes
	if err := f.target.confirm(ctx, &r.job); err != nil {
		return err
	}
	if f.command.askSudo {
		if err := r.mayAsk("-K"); err != nil {
			return err
		}
	}
	if err := f.connect.mayAsk(&r.job); err != nil {
		return err
	}
	if err := f.rollout.mayAsk(&r.job); err != nil {
		return err
	}
	password := ""
	if f.command.askSudo {
		var err error
		if password, err = r.ask.sudoPassword(ctx); err != nil {
			return err
		}
	}
	r.command.Sudo = f.command.sudoer(password)
	return r.connects(&f.connect, f.output.verbose)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/rollout"
)

// rolloutFlags say in which batches hosts are worked on, and what stops that.
type rolloutFlags struct {
	canary       numberFlag
	batch        sizesFlag
	pause        durationFlag
	checkLine    string
	confirm, yes bool
	maxFail      sizeFlag
	dryRun       bool
}

func (f *rolloutFlags) add(fs *pflag.FlagSet) {
	f.canary = numberFlag{min: 1, max: 1_000_000}
	fs.Var(&f.canary, "canary", "begin with a batch of `N` hosts, which all must succeed")
	fs.Var(&f.batch, "batch", "hosts in batches of `N|N%|LIST`; of a list, as in 1,5,10%, the last one goes for the rest")
	fs.Var(&f.pause, "pause", "wait for `DUR` between two batches")
	fs.StringVar(&f.checkLine, "check", "", "after each batch run `CMD` on its hosts that succeeded, in the same way as the command; where it fails the host has failed")
	fs.BoolVar(&f.confirm, "confirm", false, "ask before each batch but the first")
	fs.BoolVar(&f.yes, "yes", false, "answer that, and the question of -a, with yes")
	fs.Var(&f.maxFail, "max-fail", "stop when more than `N|N%` of all hosts have failed; those at work finish")
	fs.BoolVar(&f.dryRun, "dry-run", false, "show the batches, and the command line of each host, and connect to none")
}

// sizeFlag is a number of hosts or a share of them.
type sizeFlag struct{ size *rollout.Size }

func (f *sizeFlag) Type() string { return "N|N%" }

func (f *sizeFlag) String() string {
	if f.size == nil {
		return ""
	}
	return f.size.String()
}

func (f *sizeFlag) Set(s string) error {
	size, err := rollout.ParseSize(s)
	if err != nil {
		return errors.New("want a number of hosts or a percentage, as in 2 or 10%")
	}
	f.size = &size
	return nil
}

// sizesFlag is the sizes of batches.
type sizesFlag struct {
	text  string
	sizes []rollout.Size
}

func (f *sizesFlag) Type() string   { return "N|N%|LIST" }
func (f *sizesFlag) String() string { return f.text }

func (f *sizesFlag) Set(s string) (err error) {
	if f.sizes, err = rollout.ParseSizes(s); err != nil {
		return errors.New("want numbers of hosts from 1 or percentages up to 100%, as in 10, 25% or 1,5,10%")
	}
	f.text = s
	return nil
}

// batches reports whether there may be several.
func (f *rolloutFlags) batches() bool { return f.canary.n > 0 || f.batch.sizes != nil }

// check refuses what does not go together.
func (f *rolloutFlags) check(run *runFlags) error {
	const hint = "give --canary or --batch along with it"
	switch {
	case f.confirm && !f.batches():
		return &usageError{what: "--confirm asks between batches, and there is one", hint: hint}
	case f.pause.isSet && !f.batches():
		return &usageError{what: "--pause waits between batches, and there is one", hint: hint}
	case run.pace.failFast && f.maxFail.size != nil:
		return &usageError{what: "-k stops at the first failure, and --max-fail allows some", hint: "leave one of them out; --max-fail 0 stops at the first one and lets hosts at work finish"}
	case f.dryRun && run.output.format.word != "text":
		return &usageError{what: "--dry-run shows a plan for people", hint: "leave out -O"}
	}
	return nil
}

// checkCommand is the command of --check, which runs as the command does.
func (f *rolloutFlags) checkCommand(run *runFlags, hosts []shoal.Host, command shoal.Command) (shoal.Command, error) {
	if f.checkLine == "" {
		return shoal.Command{}, nil
	}
	check := command
	check.Line, check.For = f.checkLine, nil
	return check, run.subst.apply(&run.connect, hosts, &check)
}

// mayAsk refuses --confirm where there is nobody to ask.
func (f *rolloutFlags) mayAsk(j *job) error {
	if !f.confirm || f.yes {
		return nil
	}
	if err := j.ask.check(); err != nil {
		return &usageError{what: "--confirm: " + err.Error(), hint: "run it from a terminal, or answer beforehand with --yes"}
	}
	return nil
}

// plan is the rollout by the flags.
func (r *runner) plan() rollout.Plan {
	f := r.rollout
	p := rollout.Plan{
		Canary: f.canary.n, Batches: f.batch.sizes, Pause: f.pause.d,
		MaxFail: f.maxFail.size, FailFast: r.pace.failFast, Total: len(r.hosts),
	}
	if f.checkLine != "" {
		p.Check = r.check
		p.Check.Sudo = r.command.Sudo
	}
	if f.confirm && !f.yes {
		p.Confirm = r.confirm
	}
	return p
}

// rolloutState is how far a rollout has come.
type rolloutState struct {
	stopped error    // why it was
	failed  []string // hosts
	left    []string // hosts that were not run
	checked int      // hosts of the batch
}

// count takes the end of a host into account.
func (s *rolloutState) count(x *render.Exit) {
	switch x.Status {
	case render.OK, render.Cancelled:
	case render.NotRun:
		s.left = append(s.left, x.Host)
	default:
		s.failed = append(s.failed, x.Host)
	}
}

// why is the reason for which the run was stopped; nil where it was not.
func (r *runner) why() error {
	if r.state.stopped != nil && !isSignal(r.cause()) {
		return errPolicy
	}
	return r.cause()
}

// step says how the rollout goes.
func (r *runner) step(e *rollout.Event[shoal.Output]) {
	s := &r.state
	if e.Stopped != nil {
		s.stopped = e.Stopped
	}
	if e.Phase == rollout.Begins {
		s.checked = 0
	}
	if e.Phase == rollout.Checks {
		s.checked = e.Batch.OK
	}
	if text := r.phaseText(e.Phase, e.Batch); text != "" && !r.quiet {
		r.console.screen.Say(text)
	}
}

// phaseText tells the phase of a batch. Of a run of one batch it tells the check.
func (r *runner) phaseText(phase rollout.Phase, b rollout.Batch) string {
	label := b.String() + ": "
	if !r.rollout.batches() {
		label = ""
	}
	switch phase {
	case rollout.Pauses:
		return fmt.Sprintf("%v begins in %s", b, plainDuration(r.rollout.pause.d))
	case rollout.Begins:
		if label != "" {
			return label + hostsText(hostNames(b.Hosts))
		}
	case rollout.Checks:
		return label + "checking " + count(b.OK)
	case rollout.Ends:
		return endText(label, b, r.state.checked)
	}
	return ""
}

// endText tells how a batch went.
func endText(label string, b rollout.Batch, checked int) string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{b.OK, "ok"}, {b.Failed, "failed"}, {len(b.Hosts) - b.OK - b.Failed, "not run"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	text := label + strings.Join(parts, ", ")
	check := ""
	if checked > 0 {
		check = fmt.Sprintf("check passed on %d of %s", b.OK, count(checked))
	}
	switch {
	case label == "":
		return check
	case check != "":
		return text + "; " + check
	}
	return text
}

// stopped says what stopped the rollout, and which hosts it did not come to.
func (r *runner) stopped() string {
	s := &r.state
	if s.stopped == nil {
		return ""
	}
	left := "every host was begun"
	if n := len(s.left); n > 0 {
		left = fmt.Sprintf("%s not run (%s)", count(n), someHosts(s.left))
	}
	return "stopped by " + stopText(s.stopped) + "; " + left
}

// stopText tells what stopped a rollout, by the flag.
func stopText(err error) string {
	switch e := err.(type) {
	case *rollout.BudgetError:
		return fmt.Sprintf("--max-fail: %d of %d allowed failed", e.Failed, e.Allowed)
	case *rollout.CanaryError:
		return "--canary: " + e.Host + " failed"
	case *rollout.CheckError:
		return "--check: it failed on " + e.Host
	case *rollout.FirstFailureError:
		return "-k: " + e.Host + " failed"
	case *rollout.DeclinedError:
		if e.Err != nil {
			return fmt.Sprintf("--confirm: %v before %v", e.Err, e.Next)
		}
		return fmt.Sprintf("--confirm: the answer before %v was no", e.Next)
	}
	return err.Error()
}

// checkProblem tells why a host is not well: the error of the check, and the
// last that it wrote on standard error.
func checkProblem(e *rollout.CheckError) *render.Problem {
	msg := e.Err.Error()
	if h, ok := errors.AsType[*shoal.HostError](e.Err); ok {
		msg = h.Summary()
	} else if x, ok := errors.AsType[*shoal.ExitError](e.Err); ok && x.Signal == "" {
		msg = fmt.Sprintf("exit %d", x.Code)
	}
	if said := strings.TrimSpace(string(e.Output.Stderr)); said != "" {
		msg += ": " + said[strings.LastIndexByte(said, '\n')+1:]
	}
	return &render.Problem{Stage: "check", Kind: "check-failed", Msg: msg}
}

// confirm asks whether to go on.
func (r *runner) confirm(ctx context.Context, next rollout.Batch, sofar rollout.Progress) (bool, error) {
	prompt := fmt.Sprintf("So far %d ok, %d failed", sofar.OK, sofar.Failed)
	if failed := r.state.failed; len(failed) > 0 {
		prompt += " (" + someHosts(failed) + ")"
	}
	prompt += fmt.Sprintf("; %d left.\nGo on with %v: %s", sofar.Left, next, hostsText(hostNames(next.Hosts)))
	return r.ask.confirm(ctx, prompt)
}

func hostNames(hosts []shoal.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// hostsText counts hosts and names them.
func hostsText(names []string) string {
	return fmt.Sprintf("%s (%s)", count(len(names)), someHosts(names))
}

// someHosts is a folded set of hosts, cut where it is long.
func someHosts(names []string) string {
	const most = 200
	text := render.Sanitize(fold(names))
	if len(text) <= most {
		return text
	}
	cut := strings.LastIndexByte(text[:most], ',')
	return text[:max(cut, 0)] + ",…"
}

// dryRun shows what would be run, on which hosts, in which batches.
func (a *app) dryRun(f *runFlags, hosts []shoal.Host, command shoal.Command) error {
	command.Sudo = f.command.sudoer("")
	if f.command.askSudo {
		command.Sudo.NonInteractive = false // sudo gets the password
	}
	p := rollout.Plan{Canary: f.rollout.canary.n, Batches: f.rollout.batch.sizes}
	sizes := p.Sizes(len(hosts))
	var out strings.Builder
	first := 0
	for i, n := range sizes {
		b := rollout.Batch{Number: i + 1, Of: len(sizes), Canary: i == 0 && p.Canary > 0, Hosts: hosts[first : first+n]}
		first += n
		if f.rollout.batches() {
			fmt.Fprintf(&out, "%v: %s\n", b, hostsText(hostNames(b.Hosts)))
		}
		for h := range slices.Values(b.Hosts) {
			line, err := command.LineFor(h)
			if err != nil {
				return &usageError{what: h.Name + ": " + err.Error(), hint: "nothing was run"}
			}
			for part := range strings.Lines(line) {
				fmt.Fprintf(&out, "%s: %s\n", h.Name, strings.TrimSuffix(part, "\n"))
			}
		}
	}
	_, err := io.WriteString(a.stdout, out.String())
	return err
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

// app is what the commands have from the process.
type app struct {
	stdin          io.Reader // nil where there is none
	stdout, stderr io.Writer

	guise  guise    // of another program
	args   []string // the command and its words
	origin origin   // of the run, by its command line

	// reach readies clients in place of the connection flags; nil outside of
	// the demo.
	reach func(*shoal.Client)
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	return a.main(ctx, args)
}

func (a *app) main(ctx context.Context, args []string) (code int) {
	defer func() {
		if v := recover(); v != nil {
			a.say(fmt.Sprintf("internal error: %v", v), "please report it, with the lines below")
			fmt.Fprintf(a.stderr, "%s", debug.Stack())
			code = exitInternal
		}
	}()
	tuneGC()
	return a.finish(a.execute(ctx, withRun(args)))
}

// execute is a command with its words.
func (a *app) execute(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "run" {
		args = append(args[:1:1], flagsFirst(new(app).runCommand().Flags(), args[1:])...)
	}
	a.args = args
	root := a.rootCommand()
	root.SetArgs(args)
	if isCompletion(args) {
		a.addCompletions(root)
	}
	return root.ExecuteContext(ctx)
}

// finish says what went wrong, unless that was said before, and returns the
// exit code.
func (a *app) finish(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*codeError](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*signalError](err); ok {
		return e.code()
	}
	if e, ok := errors.AsType[*noHostsError](err); ok {
		a.say(e.Error(), e.hint)
		return a.guise.exit(a.guise.none, exitNoHosts)
	}
	if e, ok := errors.AsType[*usageError](err); ok {
		a.say(e.what, e.where, cmp.Or(e.hint, "shoal help says how it goes"))
		return a.guise.exit(a.guise.usage, exitUsage)
	}
	a.say(strings.ReplaceAll(err.Error(), "\n", "; ")) // several that were joined
	return a.guise.exit(a.guise.broken, exitInternal)
}

// say writes a line of Shoal's own where no run is under way, and under it a
// hint, which is the last of more, and between them what the hint explains.
func (a *app) say(what string, more ...string) {
	var text strings.Builder
	text.WriteString(cmp.Or(a.guise.name, "shoal") + ": " + render.Sanitize(what) + "\n")
	for i, m := range more {
		switch {
		case m == "":
		case i == len(more)-1:
			text.WriteString("  hint: " + render.Sanitize(m) + "\n")
		default:
			text.WriteString(m + "\n")
		}
	}
	io.WriteString(a.stderr, text.String())
}

// usageError is a mistake on the command line: what it is, lines that show
// where, and what to do about it. The last two may be empty.
type usageError struct{ what, where, hint string }

func (e *usageError) Error() string { return e.what }

// noHostsError says that no hosts are left to run on.
type noHostsError struct{ what, hint string }

func (e *noHostsError) Error() string { return e.what }

// codeError ends the program with a code. All that is to be said was said.
type codeError struct{ code int }

func (e *codeError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

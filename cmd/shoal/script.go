package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-ssh/shoal/internal/shell"
)

const scriptHelp = `Run a local script on hosts, at once, and show its output as it comes.

The script goes to each host on the standard input of the interpreter that its
first line names, as in #!/bin/bash; without such a line it is sh. It has been
read to its end before it begins, so that what it starts finds its input empty.
Shells, Python, Perl, Ruby, Node.js and Lua need no file on the host. For any
other interpreter, and for a compiled program, a private temporary file is made
and removed again.

The words behind FILE are the script's arguments, each passed on as it stands.
FILE - is standard input. Everything else is as with shoal run.`

const scriptExample = `  shoal script -w 'web[01-20]' check-disk.sh /var /srv
  shoal script -w 'web[01-20]' --sudo -b facts.py
  generate-script | shoal script -w db1,db2 -`

func (a *app) scriptCommand() *cobra.Command {
	var f runFlags
	f.target.example = "shoal script -w 'web[1-20]' check.sh"
	c := &cobra.Command{
		Use:                   "script -w HOSTS [FLAGS] FILE [ARGUMENT…]",
		Short:                 "Run a local script on hosts",
		Long:                  scriptHelp,
		Example:               scriptExample,
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, words []string) error { return a.script(c.Context(), &f, words) },
	}
	addGroups(c, f.groups())
	c.Flags().SetInterspersed(false) // what comes after the file is the script's
	return c
}

// script is shoal script: shoal run of the interpreter, with the script as its
// input.
func (a *app) script(ctx context.Context, f *runFlags, words []string) error {
	if len(words) == 0 {
		return &usageError{what: "no script given", hint: "it comes last, as in: " + f.target.example}
	}
	if f.command.tty {
		return &usageError{what: "-T: a terminal would show the script and mix it with what is typed", hint: "push the script and run it by: shoal run -T"}
	}
	if words[0] == "-" && f.target.stdin() {
		return &usageError{what: "standard input cannot be both the hosts and the script", hint: "name one of them by a file"}
	}
	text, err := a.readScript(words[0])
	if err != nil {
		return err
	}
	line, err := scriptLine(words[0], text, words[1:])
	if err != nil {
		return err
	}
	f.command.script = text
	a.origin.stdin = words[0] == "-"
	return a.run(ctx, f, []string{line})
}

// maxScript bounds scripts: all of one is kept in memory.
const maxScript = 64 << 20

func (a *app) readScript(name string) ([]byte, error) {
	r := a.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, &usageError{what: err.Error(), hint: "the script is a local file"}
		}
		defer file.Close()
		r = file
	}
	if r == nil {
		r = strings.NewReader("")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxScript+1))
	switch {
	case err != nil:
		return nil, &usageError{what: err.Error(), hint: "the script is a local file"}
	case len(text) == 0:
		return nil, &usageError{what: name + ": the script is empty", hint: "nothing was run"}
	case len(text) > maxScript:
		return nil, &usageError{what: name + ": the script is larger than 64 MiB", hint: "shoal push copies large files"}
	}
	return text, nil
}

// Interpreters that read all of a script from their input before it begins.
// Posix shells are made to.
var (
	posixShell   = regexp.MustCompile(`^(ba|da|k|mk|z|a|ya)?sh$`)
	readsProgram = regexp.MustCompile(`^(python|pypy|perl|ruby|node|lua)[\d.]*$`)
)

const (
	// evaluated is a script that a shell has read to its end, so that what it
	// starts cannot take the rest of the script for its input.
	evaluated = `eval "$(cat)"`
	// fromFile runs what comes on standard input from a file of its own.
	fromFile = `f=$(mktemp) || exit
trap 'rm -f "$f"' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
cat >"$f" && chmod 700 "$f" && "$f" "$@" </dev/null`
)

// scriptLine returns the command line that runs a script from its standard
// input.
func scriptLine(name string, text []byte, args []string) (string, error) {
	quoted := shell.Join(append([]string{path.Base(filepath.ToSlash(name))}, args...))
	first, _, _ := bytes.Cut(text, []byte("\n"))
	words, isScript := bytes.CutPrefix(first, []byte("#!"))
	if bytes.HasSuffix(first, []byte("\r")) && isScript {
		return "", &usageError{what: name + ": its lines end with CR LF, which interpreters on the hosts do not understand", hint: "convert it first, as by dos2unix"}
	}
	if !isScript {
		if bytes.IndexByte(text[:min(len(text), 512)], 0) >= 0 { // a compiled program
			return "sh -c " + shell.Quote(fromFile) + " " + quoted, nil
		}
		return "sh -c " + shell.Quote(evaluated) + " " + quoted, nil
	}
	interpreter := strings.Fields(string(words))
	if len(interpreter) == 0 {
		return "", &usageError{what: name + ": its first line names no interpreter", hint: "as in: #!/bin/sh"}
	}
	called := path.Base(interpreter[0])
	if called == "env" {
		for _, word := range interpreter[1:] {
			if called = path.Base(word); !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
				break
			}
		}
	}
	run := shell.Join(interpreter)
	switch {
	case posixShell.MatchString(called):
		return run + " -c " + shell.Quote(evaluated) + " " + quoted, nil
	case readsProgram.MatchString(called):
		return strings.TrimRight(run+" - "+shell.Join(args), " "), nil
	}
	return fmt.Sprintf("sh -c %s %s", shell.Quote(fromFile), quoted), nil
}

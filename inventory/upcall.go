package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Defaults and bounds of commands that are run.
const (
	// DefaultTimeout is how long a command may take where nothing else is said.
	DefaultTimeout = 60 * time.Second
	// DefaultCacheTime is how long what an upcall printed is used again, as in
	// ClusterShell.
	DefaultCacheTime = time.Hour

	maxOutput = 16 << 20 // bytes that a command may print
	maxStderr = 4 << 10  // bytes of it in an error
	waitDelay = time.Second
)

// Upcalls is a source whose groups come from commands: a section of ClusterShell's
// groups.conf. Each is a line for sh, run in Dir with nothing on its standard input;
// what it prints is expressions separated by blanks or newlines. It is safe for
// concurrent use, and runs one command at a time.
//
// In a command $GROUP, $NODE, $SOURCE and $CFGDIR are replaced before the shell sees
// it, also within quotes, as ClusterShell does. So that none of them can be read as
// anything but a word, a value with other characters than letters, digits and
// "_.:+@%=-", in a folder's path also "/", or with a - in front, is an error and
// nothing is run.
type Upcalls struct {
	Map     string // prints the members of $GROUP
	AllOf   string // prints every host; empty means the members of all groups
	List    string // prints the names of the groups; may be empty
	Reverse string // prints the groups of $NODE; may be empty

	Source    string        // the name for $SOURCE
	Dir       string        // the folder for $CFGDIR, and where the commands run
	CacheTime time.Duration // how long output is used again; 0 means DefaultCacheTime, negative never
	Timeout   time.Duration // of one command; 0 means DefaultTimeout

	turn  chan struct{}
	cache map[[2]string]cached // by command and argument
}

type cached struct {
	words []string
	until time.Time
}

// NewUpcalls returns u ready for use.
func NewUpcalls(u Upcalls) *Upcalls {
	u.turn = make(chan struct{}, 1)
	u.cache = make(map[[2]string]cached)
	return &u
}

// Group runs Map. A group for which it prints nothing, or fails, is an
// [*UnknownGroupError] unless List names it.
func (u *Upcalls) Group(ctx context.Context, name string) ([]string, error) {
	members, err := u.call(ctx, u.Map, "GROUP", name)
	if _, failed := errors.AsType[*CommandError](err); err != nil && !failed || len(members) > 0 {
		return members, err
	}
	if u.List == "" {
		if err != nil {
			return nil, err
		}
		return nil, &UnknownGroupError{Name: name}
	}
	known, listErr := u.Names(ctx)
	switch {
	case listErr != nil:
		return nil, cmp.Or(err, listErr)
	case !slices.Contains(known, name):
		return nil, &UnknownGroupError{Name: name, Known: known}
	}
	return nil, err
}

// All runs AllOf, or List and then Map for each group.
func (u *Upcalls) All(ctx context.Context) ([]string, error) {
	if u.AllOf != "" {
		return u.call(ctx, u.AllOf, "", "")
	}
	names, err := u.Names(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range names {
		members, err := u.call(ctx, u.Map, "GROUP", name)
		if err != nil {
			return nil, err
		}
		all = append(all, members...)
	}
	return unique(all), nil
}

// Names runs List.
func (u *Upcalls) Names(ctx context.Context) ([]string, error) {
	if u.List == "" {
		return nil, fmt.Errorf("the source %q does not say which groups it has: groups.conf has no list for it", u.Source)
	}
	names, err := u.call(ctx, u.List, "", "")
	return slices.Compact(slices.Sorted(slices.Values(names))), err
}

// GroupsOf runs Reverse: it returns the groups that a host is in. Without a Reverse
// the error is [errors.ErrUnsupported].
func (u *Upcalls) GroupsOf(ctx context.Context, host string) ([]string, error) {
	if u.Reverse == "" {
		return nil, errors.ErrUnsupported
	}
	return u.call(ctx, u.Reverse, "NODE", host)
}

// call runs a command or remembers what it printed.
func (u *Upcalls) call(ctx context.Context, command, variable, value string) ([]string, error) {
	line, err := u.expand(command, variable, value)
	if err != nil {
		return nil, err
	}
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	key := [2]string{command, value}
	if c, ok := u.cache[key]; ok && time.Now().Before(c.until) {
		return slices.Clone(c.words), nil
	}
	out, err := run(ctx, cmp.Or(u.Timeout, DefaultTimeout), u.Dir, "sh", "-c", line)
	if err != nil {
		return nil, err
	}
	words := split(string(out))
	if keep := cmp.Or(u.CacheTime, DefaultCacheTime); keep > 0 {
		u.cache[key] = cached{words, time.Now().Add(keep)}
	}
	return slices.Clone(words), nil
}

// expand replaces variables as Python's string.Template does in its safe_substitute.
func (u *Upcalls) expand(command, variable, value string) (string, error) {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(command, "$")
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		name, behind := variableName(rest)
		command = behind
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			command = rest[1:]
			continue
		case name == "SOURCE":
			variable, value = name, u.Source
		case name == "CFGDIR":
			if err := checkWord(name, filepath.ToSlash(u.Dir), true); err != nil {
				return "", err
			}
			out.WriteString(u.Dir)
			continue
		}
		if name == "" || name != variable {
			out.WriteString("$" + rest[:len(rest)-len(behind)])
			continue
		}
		if err := checkWord(name, value, false); err != nil {
			return "", err
		}
		out.WriteString(value)
	}
}

// variableName returns the name behind a $, in braces or not, and what is behind it.
func variableName(s string) (name, behind string) {
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		if name, behind = variableName(inner); name != "" && strings.HasPrefix(behind, "}") && !strings.HasPrefix(inner, "{") {
			return name, behind[1:]
		}
		return "", s
	}
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if n < 0 {
		n = len(s)
	}
	if n == 0 || s[0] >= '0' && s[0] <= '9' {
		return "", s
	}
	return s[:n], s[n:]
}

// checkWord refuses what a shell or an option parser might act on.
func checkWord(variable, value string, path bool) error {
	for _, r := range value {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_.:+@%=-", r) && (!path || r != '/') {
			return fmt.Errorf("%q cannot be put into a command for $%s: it has %q", value, variable, r)
		}
	}
	if value == "" || value[0] == '-' {
		return fmt.Errorf("%q cannot be put into a command for $%s", value, variable)
	}
	return nil
}

// CommandError is a command that failed.
type CommandError struct {
	Command string // the program and its arguments, or the line for sh
	Stderr  string // the beginning of what it wrote there
	Err     error
}

// Error returns the command, what it said and how it ended, on one line.
func (e *CommandError) Error() string {
	said := ""
	if s := strings.TrimSpace(e.Stderr); s != "" {
		said = fmt.Sprintf(", saying %q", s)
	}
	return fmt.Sprintf("the command %q failed%s: %v", e.Command, said, e.Err)
}

// Unwrap returns e.Err.
func (e *CommandError) Unwrap() error { return e.Err }

// UnsafeFileError is a file whose commands are not run, since others than the user
// and root may have written it.
type UnsafeFileError struct{ File, Reason string }

// Error names the file and says why.
func (e *UnsafeFileError) Error() string {
	return fmt.Sprintf("%s: no commands are run from this file: %s", e.File, e.Reason)
}

// run runs a program in dir and returns what it printed. All that it started is
// killed when it takes too long or ctx ends.
func run(ctx context.Context, limit time.Duration, dir, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	stdout, stderr := &capped{left: maxOutput, full: cancel}, &capped{left: maxStderr}
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, stdout, stderr, waitDelay
	killGroup(cmd)
	err := cmd.Run()
	switch {
	case stdout.over:
		err = fmt.Errorf("it printed more than %d MiB", maxOutput>>20)
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if err != nil {
		line := strings.Join(append([]string{program}, args...), " ")
		if program == "sh" {
			line = args[len(args)-1]
		}
		return nil, &CommandError{Command: line, Stderr: string(stderr.kept), Err: err}
	}
	return stdout.kept, nil
}

// capped keeps the first bytes and calls full, which may be nil, at the first that
// is too much.
type capped struct {
	kept []byte
	left int
	over bool
	full func()
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.kept = append(c.kept, p[:n]...)
	c.left -= n
	if n < len(p) && !c.over {
		c.over = true
		if c.full != nil {
			c.full()
		}
	}
	return len(p), nil
}

// Command returns the hosts that a line for sh prints: expressions separated by
// blanks or newlines. limit bounds its time; 0 means [DefaultTimeout]. The error is
// a [*CommandError]. The line is the caller's: nothing in it is replaced.
func Command(ctx context.Context, line string, limit time.Duration) ([]string, error) {
	out, err := run(ctx, cmp.Or(limit, DefaultTimeout), "", "sh", "-c", line)
	if err != nil {
		return nil, err
	}
	return split(string(out)), nil
}

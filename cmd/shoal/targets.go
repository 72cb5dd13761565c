package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/hostlist"
)

// targetFlags say which hosts.
type targetFlags struct {
	exprs, literal, files, exclude []string
	list                           bool
	example                        string // of the command, with -w
}

func (t *targetFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&t.exprs, "hosts", "w", nil, "hosts: `EXPR` as in web[01-20],root@db1:2222; ^FILE reads a hosts file, - stdin")
	fs.StringArrayVarP(&t.literal, "host", "H", nil, "one `HOST`, taken as it stands")
	fs.StringArrayVar(&t.files, "hosts-file", nil, "hosts from a `FILE`: an expression a line, # begins a comment")
	fs.StringArrayVarP(&t.exclude, "exclude", "x", nil, "leave out the hosts of `EXPR`")
	fs.BoolVar(&t.list, "list", false, "show the hosts, one a line, and run nothing")
}

// stdin reports whether the names of hosts come from standard input.
func (t *targetFlags) stdin() bool {
	return slices.Contains(t.exprs, "-") || slices.Contains(t.files, "-")
}

// names returns the hosts, each once, in the order in which they were named.
func (t *targetFlags) names(stdin io.Reader) ([]string, error) {
	if len(t.exprs)+len(t.literal)+len(t.files) == 0 {
		return nil, &usageError{what: "no hosts given", hint: "name them with -w, as in: " + t.example}
	}
	s := newSet()
	for _, expr := range t.exprs {
		if err := s.addAll("-w", named(expr, stdin)); err != nil {
			return nil, err
		}
	}
	for _, host := range t.literal {
		s.add(host)
	}
	for _, file := range t.files {
		if err := s.addAll("--hosts-file", inFile(file, stdin)); err != nil {
			return nil, err
		}
	}
	found := len(s.names)
	for _, expr := range t.exclude {
		if err := s.removeAll("-x", named(expr, stdin)); err != nil {
			return nil, err
		}
	}
	if len(s.names) == 0 && found > 0 {
		return nil, &noHostsError{what: "no hosts are left after -x", hint: "see what -w stands for with --list"}
	}
	if len(s.names) == 0 {
		return nil, &noHostsError{what: "no hosts", hint: "the list of hosts is empty"}
	}
	return s.names, nil
}

// named yields the hosts of an argument of -w or -x.
func named(arg string, stdin io.Reader) iter.Seq2[string, error] {
	if arg == "-" {
		return inFile(arg, stdin)
	}
	if file, ok := strings.CutPrefix(arg, "^"); ok {
		return inFile(file, stdin)
	}
	return func(yield func(string, error) bool) {
		e, err := hostlist.Parse(arg)
		if err != nil {
			yield("", err)
			return
		}
		for name := range e.All() {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// inFile yields the hosts of a hosts file; - is standard input.
func inFile(name string, stdin io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r := stdin
		if name == "-" {
			name = "standard input"
			if r == nil {
				r = strings.NewReader("")
			}
		} else {
			f, err := os.Open(name)
			if err != nil {
				yield("", err)
				return
			}
			defer f.Close()
			r = bufio.NewReader(f)
		}
		for host, err := range hostlist.ReadHosts(r) {
			if err != nil {
				err = &fileError{name, err}
			}
			if !yield(host, err) {
				return
			}
		}
	}
}

// fileError is a mistake in a hosts file.
type fileError struct {
	name string
	err  error
}

func (e *fileError) Error() string { return e.name + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// hostSet is names in the order in which they came, each once.
type hostSet struct {
	names []string
	has   map[string]bool
}

func newSet() *hostSet { return &hostSet{has: make(map[string]bool)} }

func (s *hostSet) add(name string) {
	if !s.has[name] {
		s.has[name] = true
		s.names = append(s.names, name)
	}
}

func (s *hostSet) addAll(flag string, names iter.Seq2[string, error]) error {
	for name, err := range names {
		if err != nil {
			return targetError(flag, err)
		}
		s.add(name)
	}
	return nil
}

// removeAll takes names out. One without a user and a port stands for the host
// with any of them: leaving out too much is safer than too little.
func (s *hostSet) removeAll(flag string, names iter.Seq2[string, error]) error {
	gone := make(map[string]bool)
	for name, err := range names {
		if err != nil {
			return targetError(flag, err)
		}
		gone[name] = true
	}
	s.names = slices.DeleteFunc(s.names, func(name string) bool {
		bare := name
		if h, err := shoal.ParseHost(name); err == nil {
			bare = h.Addr
		}
		return gone[name] || gone[bare]
	})
	return nil
}

// targetError puts a mistake in the naming of hosts into words.
func targetError(flag string, err error) error {
	where := flag
	if e, ok := errors.AsType[*fileError](err); ok {
		where = e.name
	}
	if e, ok := errors.AsType[*hostlist.LineError](err); ok {
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	if e, ok := errors.AsType[*hostlist.SyntaxError](err); ok {
		return &usageError{what: where + ": " + e.Msg, where: "  " + strings.ReplaceAll(e.Caret(), "\n", "\n  "), hint: e.Hint}
	}
	if e, ok := errors.AsType[*hostlist.LineError](err); ok {
		return &usageError{what: where + ": " + e.Err.Error(), hint: "a line is an expression, and behind a blank the user"}
	}
	return &usageError{what: where + ": " + err.Error(), hint: "shoal help run says how hosts are named"}
}

// parseHosts makes hosts of names.
func parseHosts(names []string) ([]shoal.Host, error) {
	hosts := make([]shoal.Host, len(names))
	for i, name := range names {
		h, err := shoal.ParseHost(name)
		if err != nil {
			return nil, &usageError{what: err.Error(), hint: "a host is [user@]name[:port] or [user@][ipv6][:port]"}
		}
		hosts[i] = h
	}
	return hosts, nil
}

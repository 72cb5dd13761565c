package main

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
)

// substFlags put what belongs to a host into its command line.
type substFlags struct{ on, env bool }

func (f *substFlags) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.on, "subst", false, "put in what stands for each host: %{host}, %{index} and others, see above")
	fs.BoolVar(&f.env, "env-shoal", false, "set SHOAL_HOST, as the host was named, SHOAL_INDEX, from 0, and SHOAL_COUNT, of all hosts")
}

// apply has the command made for each host, where the flags ask for it.
func (f *substFlags) apply(connect *connectFlags, hosts []shoal.Host, cmd *shoal.Command) error {
	if !f.on && !f.env {
		return nil
	}
	t := template{{text: cmd.Line}}
	if f.on {
		var err error
		if t, err = parseTemplate(cmd.Line); err != nil {
			return &usageError{what: "--subst: " + err.Error(), hint: "it has %{host} %{name} %{user} %{port} %{index} %{count} %{var.NAME}, and %{raw:NAME} unquoted; %%{ is no beginning"}
		}
	}
	v := &values{index: make(map[string]int, len(hosts)), complete: connect.settled(t)}
	for i, h := range hosts {
		v.index[h.Name] = i
	}
	shell := cmd.Shell
	if f.env {
		cmd.Shell = "" // it is inside of the line
	}
	cmd.For = func(h shoal.Host) (string, error) {
		line, err := t.line(h, v)
		if err != nil || !f.env {
			return line, err
		}
		return v.environment(h, shell, line), nil
	}
	for _, h := range hosts {
		if _, err := cmd.For(h); err != nil {
			return &usageError{what: fmt.Sprintf("--subst: host %s: %v", h.Name, err), hint: "nothing was run"}
		}
	}
	return nil
}

// template is a command line with places for values.
type template []piece

// piece is text, or the name of a value.
type piece struct {
	text, name string
	raw        bool
}

// names of values; others begin with "var.".
var valueNames = []string{"host", "name", "user", "port", "index", "count"}

// parseTemplate takes a line apart. "%%{" stands for "%{", and any other percent
// sign for itself.
func parseTemplate(line string) (template, error) {
	var t template
	for {
		i := strings.Index(line, "%{")
		if i < 0 {
			return append(t, piece{text: line}), nil
		}
		if i > 0 && line[i-1] == '%' {
			t = append(t, piece{text: line[:i-1] + "%{"})
			line = line[i+2:]
			continue
		}
		t = append(t, piece{text: line[:i]})
		name, rest, closed := strings.Cut(line[i+2:], "}")
		if !closed {
			return nil, fmt.Errorf("%q has no }", line[i:])
		}
		line = rest
		p := piece{}
		p.name, p.raw = strings.CutPrefix(name, "raw:")
		if err := checkValueName(p.name); err != nil {
			return nil, err
		}
		t = append(t, p)
	}
}

func checkValueName(name string) error {
	if v, ok := strings.CutPrefix(name, "var."); ok && v != "" {
		return nil
	}
	if slices.Contains(valueNames, name) {
		return nil
	}
	return fmt.Errorf("unknown %%{%s}%s", name, didYouMean(name, valueNames))
}

// needs reports whether one of these values is in the line.
func (t template) needs(names ...string) bool {
	for _, p := range t {
		if slices.Contains(names, p.name) {
			return true
		}
	}
	return false
}

// line is the command line of a host.
func (t template) line(h shoal.Host, v *values) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		value, err := v.value(h, p.name)
		if err != nil {
			return "", err
		}
		if !p.raw {
			value = shoal.Quote(value)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// values knows what stands for a host.
type values struct {
	index    map[string]int // by name
	complete func(shoal.Host) (shoal.Host, error)
}

func (v *values) value(h shoal.Host, name string) (string, error) {
	if key, ok := strings.CutPrefix(name, "var."); ok {
		value, ok := h.Vars[key]
		if !ok {
			return "", fmt.Errorf("it has no variable %q", key)
		}
		return fmt.Sprint(value), nil
	}
	switch name {
	case "name":
		return h.Name, nil
	case "index":
		return strconv.Itoa(v.index[h.Name]), nil
	case "count":
		return strconv.Itoa(len(v.index)), nil
	case "host":
		return bareHost(h), nil
	}
	h, err := v.complete(h)
	if err != nil {
		return "", err
	}
	if name == "user" {
		return loginUser(h)
	}
	return portOf(h), nil
}

// bareHost is the host as it was named, without user and port.
func bareHost(h shoal.Host) string {
	named, err := shoal.ParseHost(h.Name)
	if err != nil {
		return h.Name
	}
	return named.Addr
}

func loginUser(h shoal.Host) (string, error) {
	if h.User != "" {
		return h.User, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("the user is not known: %w", err)
	}
	return u.Username[strings.LastIndexByte(u.Username, '\\')+1:], nil
}

func portOf(h shoal.Host) string {
	if _, port, err := net.SplitHostPort(h.Addr); err == nil {
		return port
	}
	if h.Port != 0 {
		return strconv.Itoa(h.Port)
	}
	return "22"
}

// environment is a line that runs another one with the variables of the host.
func (v *values) environment(h shoal.Host, shell, line string) string {
	if shell == "" {
		shell = "$SHELL -c"
	}
	return fmt.Sprintf("env SHOAL_HOST=%s SHOAL_INDEX=%d SHOAL_COUNT=%d %s %s",
		shoal.Quote(h.Name), v.index[h.Name], len(v.index), shell, singleQuoted(line))
}

// singleQuoted is a word of every shell, also of those that are not POSIX's.
func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// settled returns what gives hosts the user and the port that ssh_config has
// for them, where the line needs it.
func (f *connectFlags) settled(t template) func(shoal.Host) (shoal.Host, error) {
	if !t.needs("user", "port") {
		return func(h shoal.Host) (shoal.Host, error) { return h, nil }
	}
	if f.openssh() {
		return func(h shoal.Host) (shoal.Host, error) {
			if h.User == "" && t.needs("user") || t.needs("port") && h.Port == 0 && !strings.Contains(h.Addr, ":") {
				return h, errors.New("with --transport openssh ssh alone knows the user and the port")
			}
			return h, nil
		}
	}
	config := &shoal.SSHConfig{File: f.file, Options: f.options, AllowCommands: true}
	err := config.Check()
	return func(h shoal.Host) (shoal.Host, error) {
		if err != nil {
			return h, err
		}
		return config.Complete(h)
	}
}

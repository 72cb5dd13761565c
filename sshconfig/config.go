// Package sshconfig resolves OpenSSH's client configuration, ssh_config(5), for
// one host at a time: Host and Match blocks, Include, first value wins, and %
// tokens. It touches no network and runs no program, unless the caller gives it
// the function to.
//
// Files are read once, by [Load]; a [Config] may then be asked for any number
// of hosts.
package sshconfig

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options says what to read.
type Options struct {
	// File is read instead of the user's and the system's files, as with
	// ssh -F; "none" reads nothing. Empty means both, where they are there.
	File string
	// Set holds "Keyword=value" or "Keyword value" as with ssh -o; they come
	// before the files.
	Set []string
	// Home is the user's home folder; empty means that of the process.
	Home string
	// LocalUser is the user's own name; empty means that of the process.
	LocalUser string
	// Exec decides a "Match exec" by its command, tokens expanded. Nil means
	// that these never match, and a warning.
	Exec func(command string) (bool, error)
	// Lookup looks a name up in the DNS for CanonicalizeHostname: it returns
	// the name at the end of its aliases, or an error where it has no address.
	// Nil means that no name is canonicalized, and a warning.
	Lookup func(name string) (cname string, err error)
	// LocalAddresses returns the addresses of this machine for "Match
	// localnetwork". Nil means that these never match, and a warning.
	LocalAddresses func() ([]netip.Addr, error)
}

// Config is the content of configuration files. Safe for concurrent use.
type Config struct {
	options  Options
	sources  []source
	warnings []error
	final    bool // some Match asks for a second pass
}

type source struct{ body []*directive }

// SystemFile returns the path of the system's configuration file.
func SystemFile() string {
	if dir := os.Getenv("ProgramData"); dir != "" && runtime.GOOS == "windows" {
		return filepath.Join(dir, "ssh", "ssh_config")
	}
	return "/etc/ssh/ssh_config"
}

// Load reads the files. A mistake in one is an [*Error]; unknown keywords are
// only warned about.
func Load(o Options) (*Config, error) {
	if o.Home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		o.Home = home
	}
	if o.LocalUser == "" {
		me, err := user.Current()
		if err != nil {
			return nil, err
		}
		o.LocalUser = me.Username[strings.LastIndexByte(me.Username, '\\')+1:]
	}
	c := &Config{options: o}
	p := &parser{home: o.Home, known: keywords()}
	for i, text := range o.Set {
		d, err := p.directive("-o", i+1, text)
		if err != nil {
			e, _ := errors.AsType[*Error](err)
			return nil, fmt.Errorf("-o %s: %w", e.Keyword, e.Err)
		}
		if d != nil && (d.name == "host" || d.name == "match" || d.name == "include") {
			return nil, fmt.Errorf("-o %s: belongs into a file", d.name)
		}
		if d != nil {
			c.sources = append(c.sources, source{[]*directive{d}})
		}
	}
	if len(p.warnings) > 0 { // nobody types what is to be passed over
		e, _ := errors.AsType[*Error](p.warnings[0])
		return nil, fmt.Errorf("-o: the option %q is not supported", e.Keyword)
	}
	files := []string{filepath.Join(o.Home, ".ssh", "config"), SystemFile()}
	switch o.File {
	case "":
	case "none":
		files = nil
	default:
		files = []string{o.File}
	}
	for i, file := range files {
		p.system, p.owned = i == 1, i == 0 && o.File == ""
		body, err := p.file(file, 0)
		if o.File == "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.sources = append(c.sources, source{body})
	}
	c.warnings = p.warnings
	var check func([]*directive) error
	check = func(body []*directive) error {
		for _, d := range body {
			if d.name == "match" {
				if err := c.checkMatch(d); err != nil {
					return err
				}
			}
			if d.name == "canonicalizehostname" && o.Lookup == nil && (d.args[0] == "yes" || d.args[0] == "always") {
				c.warnings = append(c.warnings, &Error{d.file, d.line, "CanonicalizeHostname", errors.New("names are not looked up; passed over")})
			}
			if err := check(d.body); err != nil {
				return err
			}
		}
		return nil
	}
	for _, s := range c.sources {
		if err := check(s.body); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Warnings returns what was passed over, each with file and line.
func (c *Config) Warnings() []error { return slices.Clone(c.warnings) }

// Aliases returns the names of Host lines that are no patterns, in their order.
func (c *Config) Aliases() []string {
	var names []string
	var walk func([]*directive)
	walk = func(body []*directive) {
		for _, d := range body {
			if d.name == "host" {
				for _, name := range d.args {
					if !strings.ContainsAny(name, "*?!") && !slices.Contains(names, name) {
						names = append(names, name)
					}
				}
			}
			walk(d.body)
		}
	}
	for _, s := range c.sources {
		walk(s.body)
	}
	return names
}

// criterion is one part of a Match line.
type criterion struct {
	negated bool
	name    string
	arg     string
}

func criteria(d *directive) ([]criterion, error) {
	var all []criterion
	for args := d.args; len(args) > 0; args = args[1:] {
		name, arg, hasArg := strings.Cut(args[0], "=")
		c := criterion{name: strings.ToLower(strings.TrimPrefix(name, "!")), negated: strings.HasPrefix(name, "!")}
		switch c.name {
		case "all", "canonical", "final":
		case "host", "originalhost", "user", "localuser", "localnetwork", "tagged", "exec", "command", "version", "sessiontype":
			if !hasArg {
				if len(args) < 2 {
					return nil, fmt.Errorf("%s: a value is missing", c.name)
				}
				args, arg = args[1:], args[1]
			}
			c.arg = arg
		default:
			return nil, fmt.Errorf("%q is no criterion", name)
		}
		all = append(all, c)
	}
	if i := slices.IndexFunc(all, func(c criterion) bool { return c.name == "all" }); i >= 0 {
		others := slices.ContainsFunc(all, func(c criterion) bool { return c.name != "all" && c.name != "final" && c.name != "canonical" })
		if others || all[i].negated {
			return nil, errors.New("all stands alone, or behind final or canonical")
		}
	}
	return all, nil
}

func (c *Config) checkMatch(d *directive) error {
	all, err := criteria(d)
	if err != nil {
		return &Error{d.file, d.line, "Match", err}
	}
	for _, m := range all {
		switch m.name {
		case "final":
			c.final = true
		case "exec":
			if c.options.Exec == nil {
				c.warnings = append(c.warnings, &Error{d.file, d.line, "Match exec", errors.New("is not run; the block does not apply")})
			}
		case "localnetwork":
			if _, err := parseNetworks(m.arg); err != nil {
				return &Error{d.file, d.line, "Match localnetwork", err}
			}
			if c.options.LocalAddresses == nil {
				c.warnings = append(c.warnings, &Error{d.file, d.line, "Match localnetwork", errors.New("is not asked for; the block does not apply")})
			}
		case "command", "version", "sessiontype":
			c.warnings = append(c.warnings, &Error{d.file, d.line, "Match " + m.name, errors.New("is not supported; the block does not apply")})
		}
	}
	return nil
}

// Target is whose settings are wanted.
type Target struct {
	Host string // as the user named it
	User string // given by the user, above all files; may be empty
	Port int    // the same
}

// Resolve returns the settings of a host.
func (c *Config) Resolve(t Target) (*Settings, error) {
	s := &Settings{config: c, alias: t.Host, values: map[string][]string{}, named: map[string]bool{}}
	if t.User != "" {
		s.values["user"] = []string{t.User}
	}
	if t.Port != 0 {
		s.values["port"] = []string{strconv.Itoa(t.Port)}
	}
	if err := s.pass(false); err != nil {
		return nil, err
	}
	s.settleHost()
	again, err := s.canonicalize()
	if err != nil {
		return nil, err
	}
	if c.final || again {
		if err := s.pass(true); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Settings are those of one host.
type Settings struct {
	config *Config
	alias  string
	values map[string][]string
	naming bool            // the block at hand names the host
	named  map[string]bool // keywords that were set in such a block
}

func (s *Settings) pass(final bool) error {
	for _, src := range s.config.sources {
		active := true
		s.naming = false
		if err := s.apply(src.body, &active, false, final); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) apply(body []*directive, active *bool, never, final bool) error {
	for _, d := range body {
		switch d.name {
		case "host":
			name := s.alias
			if final {
				name = s.HostName()
			}
			*active = !never && matchHost(d.args, name)
			s.naming = slices.Contains(d.args, name)
		case "match":
			s.naming = false
			if *active = false; never {
				break
			}
			ok, err := s.match(d, final)
			if err != nil {
				return err
			}
			*active = ok
		case "include":
			was, naming := *active, s.naming
			for _, file := range d.body {
				inner := was
				s.naming = naming
				if err := s.apply(file.body, &inner, never || !was, final); err != nil {
					return err
				}
			}
			*active, s.naming = was, naming
		default:
			if *active {
				s.set(d)
			}
		}
	}
	return nil
}

func (s *Settings) set(d *directive) {
	old, has := s.values[d.name]
	if d.name == "sendenv" || s.adds(d.name) {
		args := d.args
		switch d.name {
		case "localforward", "remoteforward", "dynamicforward":
			args = []string{strings.Join(d.args, " ")}
		}
		for _, v := range args {
			if d.name == "sendenv" && strings.HasPrefix(v, "-") {
				old = slices.DeleteFunc(slices.Clone(old), func(name string) bool { return wildcard(v[1:], name) })
			} else if !slices.Contains(old, v) {
				old = append(old, v)
			}
		}
		s.values[d.name] = old
		return
	}
	if !has {
		s.values[d.name], s.named[d.name] = d.args, s.naming
		if d.name == "setenv" {
			s.values[d.name] = firstOfName(d.args)
		}
	}
	if d.name == "proxyjump" && !has { // the first of the two wins
		if _, other := s.values["proxycommand"]; other {
			delete(s.values, "proxyjump")
		} else if d.args[0] != "none" {
			s.values["proxycommand"] = []string{"none"}
		}
	} else if d.name == "proxycommand" && !has {
		if _, other := s.values["proxyjump"]; !other {
			s.values["proxyjump"] = []string{"none"}
		}
	}
}

// firstOfName leaves out variables that were set before.
func firstOfName(env []string) (first []string) {
	seen := map[string]bool{}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !seen[name] {
			seen[name] = true
			first = append(first, e)
		}
	}
	return first
}

func (s *Settings) adds(name string) bool {
	switch name {
	case "identityfile", "certificatefile", "localforward", "remoteforward", "dynamicforward":
		return true
	}
	return false
}

func (s *Settings) match(d *directive, final bool) (bool, error) {
	all, err := criteria(d)
	if err != nil {
		return false, &Error{d.file, d.line, "Match", err}
	}
	for _, m := range all {
		ok := false
		switch m.name {
		case "all":
			ok = true
		case "canonical", "final":
			ok = final
		case "host":
			ok = matchName(m.arg, s.HostName())
		case "originalhost":
			ok = matchName(m.arg, s.alias)
		case "user":
			ok = matchList(m.arg, s.User())
		case "localuser":
			ok = matchList(m.arg, s.config.options.LocalUser)
		case "tagged":
			tag, _ := s.Get("Tag")
			ok = matchList(m.arg, tag)
		case "exec":
			if s.config.options.Exec == nil {
				return false, nil
			}
			command, err := s.Command(m.arg)
			if err == nil {
				ok, err = s.config.options.Exec(command)
			}
			if err != nil {
				return false, &Error{d.file, d.line, "Match exec", err}
			}
		case "localnetwork":
			if s.config.options.LocalAddresses == nil {
				return false, nil
			}
			if ok, err = s.onNetwork(m.arg); err != nil {
				return false, &Error{d.file, d.line, "Match localnetwork", err}
			}
		default:
			return false, nil // warned about
		}
		if ok == m.negated {
			return false, nil
		}
	}
	return true, nil
}

// Get returns the value of a keyword in any case, and whether it was set. Of
// several values it returns all, with a blank between.
func (s *Settings) Get(keyword string) (string, bool) {
	v, ok := s.values[alias(strings.ToLower(keyword))]
	return strings.Join(v, " "), ok
}

// List returns the values of a keyword; nil where it was not set.
func (s *Settings) List(keyword string) []string {
	return slices.Clone(s.values[alias(strings.ToLower(keyword))])
}

// Bool returns a yes or no, and whether it was set.
func (s *Settings) Bool(keyword string) (value, ok bool) {
	v, ok := s.Get(keyword)
	return v == "yes", ok
}

// Named reports whether the value of a keyword comes from a Host block that names
// the host itself, without a wildcard.
func (s *Settings) Named(keyword string) bool { return s.named[alias(strings.ToLower(keyword))] }

// Int returns a number, and whether it was set.
func (s *Settings) Int(keyword string) (n int, ok bool) {
	v, ok := s.Get(keyword)
	n, err := strconv.Atoi(v)
	return n, ok && err == nil
}

// Duration returns a time, and whether it was set to one.
func (s *Settings) Duration(keyword string) (d time.Duration, ok bool) {
	n, ok := s.Int(keyword)
	return time.Duration(n) * time.Second, ok
}

// HostName returns the name or address to connect to: HostName with its tokens
// expanded, or else the host as the user named it.
func (s *Settings) HostName() string {
	v, ok := s.Get("HostName")
	if !ok {
		return s.alias
	}
	return strings.NewReplacer("%%", "%", "%h", s.alias).Replace(v)
}

// settleHost gives HostName its value: names in lower case as ssh does, addresses
// as they are, since the zone of one is the name of an interface.
func (s *Settings) settleHost() {
	name := s.HostName()
	if _, err := netip.ParseAddr(name); err != nil {
		name = strings.ToLower(name)
	}
	s.values["hostname"] = []string{name}
}

// User returns the user to log in as: the user's own name where none was set.
func (s *Settings) User() string {
	if v, ok := s.Get("User"); ok {
		return v
	}
	return s.config.options.LocalUser
}

// Port returns the port: 22 where none was set.
func (s *Settings) Port() int {
	if n, ok := s.Int("Port"); ok {
		return n
	}
	return 22
}

// Expand replaces the tokens of ssh_config(5) (TOKENS), ${VARIABLES} and a
// leading "~/".
func (s *Settings) Expand(v string) (string, error) {
	if rest, ok := strings.CutPrefix(v, "~/"); ok {
		v = filepath.Join(s.config.options.Home, rest)
	}
	return s.expand(v, false)
}

// Command replaces the tokens of a command that a shell may get. Values that
// come with the host, and with which a shell might do anything, are an error:
// see [CheckArgument]. Variables are left to the shell.
func (s *Settings) Command(v string) (string, error) { return s.expand(v, true) }

// CheckArgument refuses values that a shell or an option parser might act on:
// all but letters, digits and . _ : % @ -, and a leading "-".
func CheckArgument(value string) error {
	for _, r := range value {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._:%@-", r) {
			return fmt.Errorf("%q must not stand in a command: it has %q", value, r)
		}
	}
	if strings.HasPrefix(value, "-") {
		return fmt.Errorf("%q must not stand in a command: it begins with -", value)
	}
	return nil
}

func (s *Settings) expand(v string, command bool) (string, error) {
	local, err := os.Hostname()
	if err != nil {
		return "", err
	}
	short, _, _ := strings.Cut(local, ".")
	jump, _ := s.Get("ProxyJump")
	if jump == "none" {
		jump = ""
	}
	keyAlias, ok := s.Get("HostKeyAlias")
	if !ok {
		keyAlias = s.alias
	}
	port := strconv.Itoa(s.Port())
	hash := sha1.Sum([]byte(local + s.HostName() + port + s.User() + jump)) // as ssh does
	tokens := map[byte]string{
		'%': "%", 'C': hex.EncodeToString(hash[:]), 'd': s.config.options.Home, 'h': s.HostName(), 'i': strconv.Itoa(os.Getuid()),
		'j': jump, 'k': keyAlias, 'L': short, 'l': local, 'n': s.alias, 'p': port, 'r': s.User(), 'u': s.config.options.LocalUser,
	}
	var out strings.Builder
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '%':
			if i++; i == len(v) {
				return "", fmt.Errorf("%q ends in a lone %%", v)
			}
			t, ok := tokens[v[i]]
			if !ok {
				return "", fmt.Errorf("%q has the unknown token %%%c", v, v[i])
			}
			if command && strings.IndexByte("hjknr", v[i]) >= 0 {
				if err := CheckArgument(t); err != nil {
					return "", fmt.Errorf("%%%c: %w", v[i], err)
				}
			}
			out.WriteString(t)
		case !command && strings.HasPrefix(v[i:], "${"):
			name, _, ok := strings.Cut(v[i+2:], "}")
			value, set := os.LookupEnv(name)
			if !ok || !set {
				return "", fmt.Errorf("%q: the variable %q is not set", v, name)
			}
			out.WriteString(value)
			i += len(name) + 2
		default:
			out.WriteByte(v[i])
		}
	}
	return out.String(), nil
}

// Files returns the values of a keyword that names files, expanded; "none" among
// them ends the list.
func (s *Settings) Files(keyword string) ([]string, error) {
	var files []string
	for _, v := range s.List(keyword) {
		if v == "none" {
			return files, nil
		}
		file, err := s.Expand(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keyword, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// ProxyJump returns the jump hosts, each as [user@]host[:port], the first one
// first; nil where there are none.
func (s *Settings) ProxyJump() []string {
	v, ok := s.Get("ProxyJump")
	if !ok || v == "none" {
		return nil
	}
	var hops []string
	for hop := range strings.SplitSeq(v, ",") {
		hops = append(hops, strings.TrimSuffix(strings.TrimPrefix(hop, "ssh://"), "/"))
	}
	return hops
}

// Algorithms applies a list of algorithms to the default ones: with "+" before
// it the names are added, with "-" they are taken away, with "^" they come
// first. It returns nil where the keyword was not set.
func (s *Settings) Algorithms(keyword string, defaults []string) []string {
	v, ok := s.Get(keyword)
	if !ok || v == "" {
		return nil
	}
	names := strings.Split(strings.TrimLeft(v, "+-^"), ",")
	matches := func(d string) bool {
		return slices.ContainsFunc(names, func(pattern string) bool { return wildcard(pattern, d) })
	}
	switch v[0] {
	case '+':
		return append(slices.Clone(defaults), slices.DeleteFunc(names, func(n string) bool { return slices.Contains(defaults, n) })...)
	case '-':
		return slices.DeleteFunc(slices.Clone(defaults), matches)
	case '^':
		return append(names, slices.DeleteFunc(slices.Clone(defaults), matches)...)
	}
	return names
}

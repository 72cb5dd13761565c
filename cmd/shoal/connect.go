package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/inventory"
	"github.com/shoal-ssh/shoal/kerberos"
)

// connectFlags say how to reach a host and log in.
type connectFlags struct {
	user    string
	port    numberFlag
	keys    []string
	file    string
	options []string
	jumps   []string
	hostKey choiceFlag
	askPass bool
	v4, v6  bool
	timeout durationFlag
	retries numberFlag
	hash    bool       // names in known_hosts; a flag of shoal keys
	by      choiceFlag // native or openssh; no flag of shoal keys

	via     []shoal.Host
	config  shoal.SSHConfig
	forward bool // -A
	runs    bool // commands, which may have an agent and a terminal

	noteKeys func(error) // is told what is wrong in known_hosts; may be nil

	mu    sync.Mutex
	known []*shoal.KnownHosts // in use

	passedOver []error // in an inventory
}

func (f *connectFlags) add(fs *pflag.FlagSet) {
	f.port = numberFlag{min: 1, max: 65535}
	f.hostKey = choiceFlag{words: []string{"strict", "accept-new", "ask", "off"}}
	f.timeout.zeroOK = true
	f.retries = numberFlag{max: 100}
	fs.StringVarP(&f.user, "user", "l", "", "log in as `USER` where the host names none")
	fs.VarP(&f.port, "port", "p", "`PORT` where the host names none (default 22)")
	fs.StringArrayVarP(&f.keys, "identity", "i", nil, "log in with the private key in `FILE`; without, with the agent's and the default ones")
	fs.StringSliceVarP(&f.jumps, "jump", "J", nil, "go through the jump hosts `JUMP[,JUMP]`, each [user@]host[:port], the first one first")
	fs.BoolVar(&f.askPass, "ask-pass", false, "ask for passwords, passphrases and what else the servers want to know")
	fs.Var(&f.hostKey, "host-key", "what to do about a host key that is not known; a changed one is always refused, but off verifies nothing (default ask on a terminal, else strict)")
	fs.StringArrayVarP(&f.options, "option", "o", nil, "an `OPTION` of ssh_config(5), as KEY=VALUE")
	fs.StringVarP(&f.file, "ssh-config", "F", "", "read this ssh_config(5) `FILE` instead of the user's and the system's; none reads nothing")
	fs.BoolVarP(&f.v4, "ipv4", "4", false, "use IPv4 only")
	fs.BoolVarP(&f.v6, "ipv6", "6", false, "use IPv6 only")
	fs.VarP(&f.timeout, "connect-timeout", "t", "give up on a host that is not reached within `DUR`; 0 never (default 10s)")
	fs.Var(&f.retries, "retries", "try `N` times more to reach a host")
}

// addTransport adds the flag for what needs no connection of Shoal's own.
func (f *connectFlags) addTransport(fs *pflag.FlagSet) {
	f.by = choiceFlag{words: []string{"native", "openssh"}}
	fs.Var(&f.by, "transport", "openssh has your own ssh make the connections, with all that it and its configuration can do (default native)")
}

// addAgent adds the flag for commands, which are what may use an agent.
func (f *connectFlags) addAgent(fs *pflag.FlagSet) {
	f.runs = true
	fs.BoolVarP(&f.forward, "forward-agent", "A", false, "let commands use the SSH agent; for hosts that are named one by one, since whoever controls them can use it too")
}

// checkAgent refuses to forward the agent to hosts that nobody named.
func (f *connectFlags) checkAgent(t *targetFlags) error {
	if !f.forward {
		return nil
	}
	const hint = "name each host that may have it with -w or -H, as in: -A -w web1,web2"
	if flag, ok := t.sets(); ok {
		return &usageError{what: "-A forwards the agent to no set of hosts, such as that of " + flag, hint: hint}
	}
	for _, expr := range t.exprs {
		for word := range strings.SplitSeq(expr, ",") {
			if _, err := shoal.ParseHost(strings.TrimSpace(word)); err != nil || strings.ContainsAny(word, "^!&") {
				return &usageError{what: fmt.Sprintf("-A forwards the agent to no set of hosts, such as %q", expr), hint: hint}
			}
		}
	}
	switch {
	case f.openssh():
		return &usageError{what: "-A works with --transport native alone", hint: "leave out one of them"}
	case runtime.GOOS != "windows" && os.Getenv("SSH_AUTH_SOCK") == "":
		return &usageError{what: "-A: there is no SSH agent: SSH_AUTH_SOCK is not set", hint: "start one with: eval $(ssh-agent); ssh-add"}
	case runtime.GOOS != "windows":
		conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
		if err != nil {
			return &usageError{what: "-A: the SSH agent at SSH_AUTH_SOCK does not answer: " + err.Error(), hint: "start one with: eval $(ssh-agent); ssh-add"}
		}
		return conn.Close()
	}
	return nil
}

// check refuses what cannot work, before anything is done.
func (f *connectFlags) check() error {
	if f.v4 && f.v6 {
		return &usageError{what: "-4 and -6 exclude each other", hint: "leave both out to use either"}
	}
	for i, key := range f.keys {
		path, err := expandHome(key)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return &usageError{what: "-i: " + err.Error(), hint: "-i names the file of a private key"}
		}
		f.keys[i] = path
	}
	if err := f.jumpHosts(); err != nil {
		return err
	}
	return nil
}

// mayAsk refuses flags that want a person to ask where there is none.
func (f *connectFlags) mayAsk(j *job) error {
	if f.askPass {
		if err := j.mayAsk("--ask-pass"); err != nil {
			return err
		}
	}
	if f.hostKey.word == "ask" {
		return j.mayAsk("--host-key ask")
	}
	return nil
}

// load reads ssh_config; warn is told what is passed over in it.
func (f *connectFlags) load(warn func(error)) error {
	f.config.File, f.config.Options, f.config.Warn = f.file, f.options, warn
	f.config.AllowCommands = true // the files are the user's own, as they are for ssh
	if err := f.config.Check(); err != nil {
		return &usageError{what: err.Error(), hint: "-F none reads no file; -o takes KEY=VALUE of ssh_config(5), as in -o UserKnownHostsFile=known_hosts"}
	}
	return nil
}

// aim gives hosts what -l and -p say, which as in ssh is not for jump hosts, and what
// an inventory has for them, which as ssh_config stands below the flags.
func (f *connectFlags) aim(hosts []shoal.Host, settings map[string]inventory.Host) error {
	for i := range hosts {
		h := &hosts[i]
		h.User = cmp.Or(h.User, f.user)
		h.Port = cmp.Or(h.Port, f.port.n)
		if f.forward {
			h.ForwardAgent = shoal.Agent()
		}
		if s, ok := settings[h.Name]; ok {
			if err := f.settle(h, s); err != nil {
				return &usageError{what: fmt.Sprintf("--inventory: host %q: %v", h.Name, err), hint: "-i names another key for all hosts"}
			}
		}
	}
	return nil
}

// settle gives a host what an inventory has for it and no flag says.
func (f *connectFlags) settle(h *shoal.Host, s inventory.Host) error {
	if !f.says("HostName") {
		h.Addr = cmp.Or(s.Addr, h.Addr)
	}
	if !f.says("Port") {
		h.Port = cmp.Or(h.Port, s.Port)
	}
	if !f.says("User") {
		h.User = cmp.Or(h.User, s.User)
	}
	if s.Jump != nil && len(f.jumps) == 0 && !f.says("ProxyJump") && !f.says("ProxyCommand") {
		for _, word := range s.Jump {
			hop, err := shoal.ParseHost(strings.TrimPrefix(word, "ssh://"))
			if err != nil {
				return fmt.Errorf("its jump host: %w", err)
			}
			h.Via = append(h.Via, hop)
		}
	}
	for _, option := range s.PassedOver {
		f.passedOver = append(f.passedOver, fmt.Errorf("%s: the inventory's option %q of ssh is passed over", h.Name, option))
	}
	h.Vars = s.Vars
	if s.KeyFile == "" || len(f.keys) > 0 || f.says("IdentityFile") {
		return nil
	}
	if f.openssh() {
		return errors.New("--transport openssh takes no key from an inventory; say it in ssh_config(5)")
	}
	key, err := expandHome(s.KeyFile)
	if err == nil {
		_, err = os.Stat(key)
	}
	if err != nil {
		return fmt.Errorf("its private key: %w", err)
	}
	h.Auth = []shoal.Auth{shoal.Identities(shoal.Agent(), false, key)}
	return nil
}

// says reports whether -o sets a keyword.
func (f *connectFlags) says(keyword string) bool {
	return slices.ContainsFunc(f.options, func(option string) bool {
		option = strings.TrimLeft(option, " \t")
		end := strings.IndexAny(option, "= \t")
		return end > 0 && strings.EqualFold(option[:end], keyword)
	})
}

// jumpHosts takes the words of -J.
func (f *connectFlags) jumpHosts() error {
	for _, word := range f.jumps {
		hop, err := shoal.ParseHost(strings.TrimPrefix(word, "ssh://"))
		if err != nil {
			return &usageError{what: "-J: " + err.Error(), hint: "a jump host is [user@]name[:port] or [user@][ipv6][:port]"}
		}
		f.via = append(f.via, hop)
	}
	return nil
}

// host returns the settings that hosts start from.
func (f *connectFlags) host() shoal.Host {
	h := shoal.Host{Timeout: f.timeout.d, Auth: f.auth(), Via: f.via}
	switch {
	case f.v4:
		h.Network = "tcp4"
	case f.v6:
		h.Network = "tcp6"
	}
	if f.openssh() {
		h.Auth = nil // it is told of the keys itself
	}
	if f.timeout.isSet && f.timeout.d == 0 {
		h.Timeout = -1
	}
	if f.retries.n > 0 {
		h.Retry.Attempts = f.retries.n + 1
	}
	return h
}

// auth are the named keys, instead of the default ones; else nil.
func (f *connectFlags) auth() []shoal.Auth {
	if len(f.keys) == 0 {
		return nil
	}
	return []shoal.Auth{shoal.Identities(shoal.Agent(), false, f.keys...)}
}

// complete gives a host what ssh_config has for it, and at last the person who
// may be asked.
func (f *connectFlags) complete(ask *asker) func(shoal.Host) (shoal.Host, error) {
	f.config.HostKeys = func(k *shoal.KnownHosts, strict string) { f.hostKeys(ask, k, strict) }
	f.config.GSSAPI = func(g shoal.GSSAPISettings) shoal.Auth {
		return kerberos.Auth(kerberos.Config{Principal: g.ClientIdentity, ServerName: g.ServerIdentity, Delegate: g.Delegate})
	}
	defaults := shoal.DefaultAuth()
	ways := shoal.Ask(ask.login)
	return func(h shoal.Host) (shoal.Host, error) {
		h, err := f.config.Complete(h)
		if !f.runs {
			h.ForwardAgent, h.PTY = shoal.Auth{}, nil // which are not for copies and pings
		}
		if h.Auth == nil {
			h.Auth = defaults
		}
		if f.askPass {
			h.Auth = append(slices.Clip(h.Auth), ways)
		}
		return h, err
	}
}

// unsaved are the keys that were accepted and could not be stored.
func (f *connectFlags) unsaved() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, k := range f.known {
		errs = append(errs, k.Unsaved()...)
	}
	return errs
}

// hostKeys says what happens to unknown keys: as the flag says, or ssh_config,
// or by whether there is a person to ask.
func (f *connectFlags) hostKeys(ask *asker, k *shoal.KnownHosts, strict string) {
	k.Ask = ask.hostKey
	k.Hash = k.Hash || f.hash
	f.mu.Lock()
	f.known = append(f.known, k)
	f.mu.Unlock()
	if f.noteKeys != nil {
		for _, w := range k.Warnings() {
			f.noteKeys(w)
		}
	}
	switch f.hostKey.word {
	case "strict":
		k.Mode = shoal.StrictHostKeys
	case "accept-new":
		k.Mode = shoal.AcceptNewHostKeys
	case "off":
		k.Mode = shoal.IgnoreHostKeys
	case "ask":
		k.Mode = shoal.AskHostKeys
	case "":
		if strict == "" && ask.present() {
			k.Mode = shoal.AskHostKeys
		}
	}
}

// expandHome replaces a leading "~/".
func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, rest), err
}

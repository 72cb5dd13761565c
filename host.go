package shoal

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Host says which host and how to reach it. The client's defaults and the
// settings of one host are the same type: a field left zero takes the value of
// [Client.Host], and where that is zero too, the default named here. A Host is
// a plain value; it is not changed by Shoal.
type Host struct {
	// Name is what results call the host, and its address where Addr is empty.
	Name string
	// Addr is the address to connect to, as "host", "host:port" or
	// "[ipv6]:port"; empty means Name. The port defaults to 22.
	Addr string
	// Port is used where Addr names none; 0 means 22.
	Port int
	// Network is "tcp" (the default), or "tcp4" or "tcp6" to insist.
	Network string
	// BindAddress is the local IP address to connect from; empty means any.
	// It has no effect with [Client.Dial] or Via.
	BindAddress string
	// User is the login name; empty means the current user's.
	User string
	// Auth lists ways to log in, tried in this order. Nil means the SSH agent
	// and then the default identity files in OpenSSH's order; empty but not
	// nil means none.
	Auth []Auth
	// Methods lists the authentication methods that may be used, by their
	// names in RFC 4252, such as "publickey" and "keyboard-interactive"; Auth
	// gives the order. Nil means all; empty but not nil means none.
	Methods []string
	// HostKeys decides whether the server's key is the host's; nil means
	// the user's and the system's known_hosts files, strictly.
	HostKeys HostKeys
	// HostKeyAlias is looked up in known_hosts instead of the address, for hosts
	// that share an address or change it. It stands for the port too, unless it
	// is written as "[name]:port". Empty means the address.
	HostKeyAlias string
	// Algorithms are offered instead of the default ones.
	Algorithms Algorithms
	// Env is set in the environment of every session, as "NAME=value" (RFC
	// 4254 §6.4). Servers ignore names that they do not expect (AcceptEnv in
	// sshd_config(5)); see [Command.Env] for what always arrives.
	Env []string
	// Via lists the jump hosts to go through, the first to connect to first,
	// as ssh -J does. Each is a Host with its own settings; what it leaves zero
	// comes from [Client.Host], but for Via. All hosts behind a jump host share
	// one connection to it, and more where there are over 500 of them or the
	// server allows fewer. Names are looked up by the last jump host. Nil means
	// [Client.Host]'s; empty but not nil means none.
	Via []Host
	// ProxyCommand is a command line whose process stands for the network
	// connection, over its standard input and output, as in ssh_config(5). Of
	// the tokens it knows %%, %h (the address), %k (HostKeyAlias, or else the
	// name), %n (the name), %p (the port) and %r (User); values that a shell
	// or an option parser might act on are refused. It is run without a shell
	// where it is only words and quotes, in a session of its own without the
	// terminal, and ends with the connection. With Via that of the first jump
	// host counts. It goes before [Client.Dial], and Network and BindAddress
	// have no effect. Empty means [Client.Host]'s; "none" means none.
	ProxyCommand string
	// ForwardAgent is the SSH agent that commands on the host may use, [Agent]
	// or [AgentSocket], as with ssh -A; the zero Auth means none. Whoever
	// controls the host can use the agent's keys meanwhile, so that it is set
	// for hosts one by one: it is an error in [Client.Host]. Jump hosts get
	// none. A server may ignore it (AllowAgentForwarding in sshd_config(5)), and
	// keys that are bound to destinations do not work.
	ForwardAgent Auth
	// PTY is the terminal of commands on the host that ask for none, see
	// [Command.PTY]; nil means none.
	PTY *PTY
	// Timeout bounds one attempt to connect and log in. 0 means 10 s to
	// resolve and connect, 15 s for the key exchange and 30 s to log in;
	// negative means no bound. Time in which a person answers an [Ask] does
	// not count.
	Timeout time.Duration
	// Retry says what to try again; the zero value repeats only what a busy
	// server asks to be repeated.
	Retry Retry
	// KeepAlive is the time without a sign of life after which the server is
	// asked for one. 0 means 15 s, negative means never.
	KeepAlive time.Duration
	// KeepAliveMax is how many times KeepAlive may pass, after the server was
	// asked, without a sign of life: then the connection is lost, as with
	// ServerAliveCountMax in ssh_config(5). 0 and less means 3, so that a dead
	// connection is noticed after 4 times KeepAlive.
	KeepAliveMax int
	// Args are the host's own arguments for [Format], by position.
	Args []any
	// Vars are the host's own arguments for [Format], by name.
	Vars map[string]any

	line *madeLine // by Command.For
}

// Retry says how often a connection is attempted.
//
// A server that closes the connection before identifying itself is busy
// (sshd's MaxStartups), and is asked again up to ten times with growing,
// random delays; so are attempts that failed for want of local resources.
// What is never repeated: a host key that is not accepted, a login that has
// begun, a command that may have begun.
type Retry struct {
	// Attempts is the number of attempts in all at hosts that refuse, are
	// unreachable, time out or do not resolve; 0 and 1 mean one. Negative
	// means one attempt, even at a busy server.
	Attempts int
	// Delay is the longest first pause; it grows by 1.6 with each attempt,
	// and the pause is a random part of it. 0 means 200 ms.
	Delay time.Duration
	// MaxDelay is the longest pause; 0 means 5 s.
	MaxDelay time.Duration
}

// pause returns the upper bound of the pause after the given attempt, from 1.
func (r Retry) pause(attempt int) time.Duration {
	d, limit := r.Delay, r.MaxDelay
	if d <= 0 {
		d = 200 * time.Millisecond
	}
	if limit <= 0 {
		limit = 5 * time.Second
	}
	for range attempt - 1 {
		if d = d * 8 / 5; d >= limit {
			return limit
		}
	}
	return min(d, limit)
}

// Hosts yields a Host for each name, in order, as [ParseHost] reads it. A name
// that cannot be read is yielded all the same, so that its error reaches the
// results.
func Hosts(names ...string) iter.Seq[Host] { return Names(slices.Values(names)) }

// Names is [Hosts] over a sequence.
func Names(names iter.Seq[string]) iter.Seq[Host] {
	return func(yield func(Host) bool) {
		for name := range names {
			h, err := ParseHost(name)
			if err != nil {
				h = Host{Name: name, Addr: name}
			}
			if !yield(h) {
				return
			}
		}
	}
}

// ParseHost reads "[user@]host[:port]", where host is a name, an IPv4 address,
// a bare IPv6 address, or an IPv6 address in brackets, with a zone or not. The
// whole text becomes the host's Name.
func ParseHost(s string) (Host, error) {
	h := Host{Name: s}
	addr := s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		h.User, addr = s[:i], s[i+1:]
		if h.User == "" {
			return Host{}, fmt.Errorf("host %q: no user before the @", s)
		}
	}
	if err := checkName(addr); err != nil {
		return Host{}, fmt.Errorf("host %q: %w", s, err)
	}
	host, port, err := splitAddr(addr)
	if err != nil {
		return Host{}, fmt.Errorf("host %q: %w", s, err)
	}
	h.Addr, h.Port = host, port
	return h, nil
}

// checkName refuses what no host name or address holds and what would be
// dangerous in a log, a terminal or an argument list.
func checkName(s string) error {
	if s == "" {
		return errors.New("empty name")
	}
	if s[0] == '-' {
		return errors.New("a name cannot begin with -")
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f || strings.ContainsRune("\"'`$&;|<>(){}\\*?!#/,@=", r) || r == '\uFFFD' {
			return fmt.Errorf("%q cannot stand in a name", r)
		}
	}
	return nil
}

// splitAddr takes "host", "host:port", "[v6]:port", "[v6]" or a bare IPv6
// address apart; port is 0 where none is given.
func splitAddr(s string) (host string, port int, err error) {
	if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return s, 0, checkIP(s)
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return s[1 : len(s)-1], 0, checkIP(s[1 : len(s)-1])
	}
	if !strings.ContainsAny(s, ":[]") {
		return s, 0, nil
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, errors.New("want host:port or [ipv6]:port")
	}
	if host == "" {
		return "", 0, errors.New("no name before the colon")
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", p)
	}
	if strings.HasPrefix(s, "[") {
		err = checkIP(host)
	}
	return host, int(n), err
}

func checkIP(s string) error {
	ip, _, _ := strings.Cut(s, "%")
	if net.ParseIP(ip) == nil {
		return fmt.Errorf("%q is not an IPv6 address", s)
	}
	return nil
}

// or fills the zero fields of h from d.
func (h Host) or(d Host) Host {
	if h.Port == 0 {
		h.Port = d.Port
	}
	if h.Network == "" {
		h.Network = d.Network
	}
	if h.BindAddress == "" {
		h.BindAddress = d.BindAddress
	}
	if h.User == "" {
		h.User = d.User
	}
	if h.Auth == nil {
		h.Auth = d.Auth
	}
	if h.Methods == nil {
		h.Methods = d.Methods
	}
	if h.HostKeys == nil {
		h.HostKeys = d.HostKeys
	}
	if h.HostKeyAlias == "" {
		h.HostKeyAlias = d.HostKeyAlias
	}
	h.Algorithms = h.Algorithms.or(d.Algorithms)
	if h.Env == nil {
		h.Env = d.Env
	}
	if h.Via == nil {
		h.Via = d.Via
	}
	if h.ProxyCommand == "" {
		h.ProxyCommand = d.ProxyCommand
	}
	if h.PTY == nil {
		h.PTY = d.PTY
	}
	if h.Timeout == 0 {
		h.Timeout = d.Timeout
	}
	if h.Retry == (Retry{}) {
		h.Retry = d.Retry
	}
	if h.KeepAlive == 0 {
		h.KeepAlive = d.KeepAlive
	}
	if h.KeepAliveMax == 0 {
		h.KeepAliveMax = d.KeepAliveMax
	}
	if h.Args == nil {
		h.Args = d.Args
	}
	if h.Vars == nil {
		h.Vars = d.Vars
	}
	return h
}

// address returns the name or address to dial and the port.
func (h Host) address() (host string, port int, err error) {
	addr := h.Addr
	if addr == "" {
		addr = h.Name
	}
	if err = checkName(addr); err == nil {
		host, port, err = splitAddr(addr)
	}
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	if port == 0 {
		port = h.Port
	}
	if port == 0 {
		port = 22
	}
	if port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %d is not from 1 to 65535", port)
	}
	return host, port, nil
}

// login returns the user to log in as.
func (h Host) login() (string, error) {
	if h.User != "" {
		return h.User, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("no user given, and the current one is unknown: %w", err)
	}
	name := u.Username
	// Windows says DOMAIN\user.
	return name[strings.LastIndexByte(name, '\\')+1:], nil
}

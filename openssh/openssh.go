package openssh

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal"
)

// Transport is a [shoal.Transport] by ssh(1). The zero value runs the ssh found
// in PATH, which asks nobody. Safe for concurrent use; must not be changed or
// copied after first use.
type Transport struct {
	// Path is the ssh to run; empty means "ssh".
	Path string
	// Args are arguments for ssh that stand behind what the Host says, such as
	// "-F", "config", "-i", "key", "-o", "Compression=yes".
	Args []string
	// NoJoin keeps to connections of our own where a ControlMaster runs already.
	NoJoin bool
	// Ask answers what ssh asks: passwords, passphrases, PINs, and with
	// StrictHostKeyChecking=ask whether to trust a host key. It may be called
	// from several goroutines at once and must return when the context ends;
	// an error ends the attempt to log in. While it is answered no time counts.
	// It needs a shell at /bin/sh.
	Ask func(context.Context, shoal.Question) (string, error)
	// Terminal lets ssh ask on the terminal of this process, or by the program
	// in SSH_ASKPASS, as it does for users. Where Ask is set it has no effect.
	Terminal bool

	starter starter
}

// Time for one attempt where [shoal.Host.Timeout] is zero; as long as sshd gives
// to log in where a person is asked.
const (
	connectTime  = 10 * time.Second // TCP and the server's identification
	loginTime    = 55 * time.Second // all
	loginTimeAsk = 2 * time.Minute  // from one answer to the next question
)

const keepAlive = 15 * time.Second

// joinedSessions bounds our sessions on somebody else's ControlMaster, for which
// the server's refusal of one is the end.
const joinedSessions = 1

// limit is the time for one attempt; 0 means any.
func (t *Transport) limit(h shoal.Host) time.Duration {
	switch {
	case h.Timeout > 0:
		return h.Timeout
	case h.Timeout < 0, t.Terminal && t.Ask == nil:
		return 0
	case t.Ask != nil:
		return loginTimeAsk
	}
	return loginTime
}

func (t *Transport) path() string {
	if t.Path == "" {
		return "ssh"
	}
	return t.Path
}

// hostArgs are the arguments by which ssh is told what the Host says. Words that
// ssh would take for something else are an error: nothing goes through a shell
// of ours, but ProxyCommand and Match exec put names into the user's.
func hostArgs(h shoal.Host) ([]string, error) {
	if h.Auth != nil || h.HostKeys != nil {
		return nil, errors.New("ssh decides about keys to log in with and host keys: leave Auth and HostKeys unset, and say in ssh_config or Transport.Args what to use")
	}
	var args []string
	add := func(words ...string) { args = append(args, words...) }
	if err := checkAddr(h.Addr); err != nil {
		return nil, err
	}
	if h.User != "" {
		if err := checkUser(h.User); err != nil {
			return nil, err
		}
		add("-l", h.User)
	}
	if h.Port != 0 {
		add("-p", strconv.Itoa(h.Port))
	}
	switch h.Network {
	case "", "tcp":
	case "tcp4":
		add("-4")
	case "tcp6":
		add("-6")
	default:
		return nil, fmt.Errorf("network %q is not tcp, tcp4 or tcp6", h.Network)
	}
	if h.BindAddress != "" {
		if net.ParseIP(h.BindAddress) == nil {
			return nil, fmt.Errorf("bind address %q is not an IP address", h.BindAddress)
		}
		add("-b", h.BindAddress)
	}
	switch hops, err := jumps(h.Via); {
	case err != nil:
		return nil, err
	case len(hops) > 0:
		add("-J", strings.Join(hops, ","))
	}
	for _, o := range []struct {
		keyword string
		words   []string
	}{
		{"HostKeyAlias", nonEmpty(h.HostKeyAlias)},
		{"PreferredAuthentications", orNone(h.Methods)},
		{"KexAlgorithms", h.Algorithms.KeyExchanges},
		{"Ciphers", h.Algorithms.Ciphers},
		{"MACs", h.Algorithms.MACs},
		{"HostKeyAlgorithms", h.Algorithms.HostKeys},
		{"PubkeyAcceptedAlgorithms", h.Algorithms.PublicKeys},
	} {
		if o.words == nil {
			continue
		}
		for _, word := range o.words {
			if err := checkWord(word); err != nil {
				return nil, fmt.Errorf("%s: %w", o.keyword, err)
			}
		}
		add("-o", o.keyword+"="+strings.Join(o.words, ","))
	}
	if h.Timeout > 0 {
		add("-o", "ConnectTimeout="+seconds(h.Timeout))
	}
	switch {
	case h.KeepAlive < 0:
		add("-o", "ServerAliveInterval=0")
	case h.KeepAlive > 0:
		add("-o", "ServerAliveInterval="+seconds(h.KeepAlive))
	}
	if h.KeepAliveMax > 0 {
		add("-o", "ServerAliveCountMax="+strconv.Itoa(h.KeepAliveMax))
	}
	return args, nil
}

// config is what "ssh -G" says of a host, by keywords in lower case.
type config map[string]string

// extraArgs depend on what ssh_config says: mostly they stand in for what it does
// not say.
func (t *Transport) extraArgs(h shoal.Host, c config) []string {
	var args []string
	if t.Ask == nil && !t.Terminal {
		args = append(args, "-o", "BatchMode=yes")
	}
	if c["forkafterauthentication"] == "yes" { // unknown before OpenSSH 8.7
		args = append(args, "-o", "ForkAfterAuthentication=no")
	}
	if h.Timeout == 0 && c["connecttimeout"] == "none" {
		args = append(args, "-o", "ConnectTimeout="+seconds(connectTime))
	}
	if h.KeepAlive == 0 && c["serveraliveinterval"] == "0" {
		args = append(args, "-o", "ServerAliveInterval="+seconds(keepAlive))
	}
	return args
}

// masterArgs make ssh a ControlMaster that does nothing else.
func masterArgs(socket string) []string {
	return []string{"-M", "-N", "-T", "-a", "-x", "-S", socket, "-o", "ControlPersist=no", "-o", "LogLevel=INFO",
		"-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no"}
}

// jumps are the words of ssh -J.
func jumps(via []shoal.Host) ([]string, error) {
	var hops []string
	for _, hop := range via {
		err := checkAddr(hop.Addr)
		if hop.Auth != nil || hop.HostKeys != nil {
			err = errors.New("ssh decides about its keys: leave Auth and HostKeys unset")
		}
		word := hop.Addr
		if strings.Contains(word, ":") {
			word = "[" + word + "]"
		}
		if hop.User != "" && err == nil {
			if err = checkUser(hop.User); err == nil && strings.ContainsAny(hop.User, ", \t") {
				err = fmt.Errorf("user %q cannot be named in ssh -J", hop.User)
			}
			word = hop.User + "@" + word
		}
		if err != nil {
			return nil, fmt.Errorf("jump host %s: %w", hop.Name, err)
		}
		if hop.Port != 0 {
			word += ":" + strconv.Itoa(hop.Port)
		}
		hops = append(hops, word)
	}
	return hops, nil
}

func checkAddr(s string) error {
	if s == "" || s[0] == '-' || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\"'`$&;|<>(){}\\*?!#/,@=", r)
	}) {
		return fmt.Errorf("%q is not a host name or address", s)
	}
	return nil
}

// checkUser refuses what ssh refuses in newer releases only: a user name is put
// into ProxyCommand and Match exec (CVE-2025-61984).
func checkUser(s string) error {
	if s[0] == '-' || strings.HasSuffix(s, "\\") || strings.Contains(s, " -") || strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("'`\"$;&<>|(){}", r)
	}) {
		return fmt.Errorf("%q cannot be a user name", s)
	}
	return nil
}

// checkWord refuses what would end a word of ssh_config.
func checkWord(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'\\,#%$", r) }) {
		return fmt.Errorf("%q cannot be given to ssh", s)
	}
	return nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func orNone(list []string) []string {
	if list != nil && len(list) == 0 {
		return []string{"none"}
	}
	return list
}

// seconds rounds up, as ssh knows no parts.
func seconds(d time.Duration) string {
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}

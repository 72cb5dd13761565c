package knownhosts

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the length from which OpenSSH's match_pattern_list gives up on a
// line, so that a longer name could never be found again.
const maxName = 1023

// hostName is an address in the forms that known_hosts uses.
type hostName struct {
	addr string // as given, for messages
	host string // lower case, IP addresses in their shortest form; the principal of certificates
	name string // host, or [host]:port for a port other than 22
	bare string // host when name has a port, otherwise empty: the name to fall back to
}

// parseAddr takes "host:port" or, for a HostKeyAlias, a name without a port
// that is looked up as it is.
func parseAddr(addr string) hostName {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]"), ""
	}
	host = lower(host)
	// ssh canonicalises addresses whether or not CanonicalizeHostname is on.
	if ip, err := netip.ParseAddr(host); err == nil {
		host = lower(ip.String())
	}
	n := hostName{addr: addr, host: host, name: host}
	if number, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(number, 10)
	}
	if port != "" && port != "0" && port != "22" {
		n.name, n.bare = "["+host+"]:"+port, host
	}
	return n
}

// String returns the address for messages; names come from inventories, so
// what could disturb a terminal is quoted.
func (n hostName) String() string { return printable(n.addr) }

// check returns an error when n cannot be written as a line's only name
// because known_hosts would read it as something else: several names, a
// pattern, a marker, a comment, another line.
func (n hostName) check() error {
	bad := func(r rune) bool {
		return r == ',' || r == '*' || r == '?' || r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsControl(r)
	}
	switch {
	case n.host == "":
		return fmt.Errorf("host key of %q: no host name", n.addr)
	case len(n.name) >= maxName:
		return fmt.Errorf("host key of %.40q…: host name too long", n.addr)
	case strings.ContainsRune("!|#@", rune(n.name[0])) || strings.ContainsFunc(n.name, bad):
		return fmt.Errorf("host key of %q: not a name that known_hosts can hold", n.addr)
	}
	return nil
}

// lower folds ASCII only, as OpenSSH does, and leaves every other byte alone.
func lower(s string) string {
	i := strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	if i < 0 {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if 'A' <= b[i] && b[i] <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// printable returns s, quoted unless it is plain text.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

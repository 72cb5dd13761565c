package sshconfig

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind says how the values of a keyword are read.
type kind int

const (
	word       kind = iota // one value, the first that is found
	line                   // the rest of the line, as it stands
	flag                   // yes or no
	flagOrWord             // the same, or one value
	number                 // from 0
	port                   // from 1 to 65535
	span                   // a time such as 1h30m
	words                  // several values of one line, the first that is found
	list                   // values of all lines add up
	choice                 // one of a few words
	ignored                // known, and nothing to us
)

type keyword struct {
	kind  kind
	words []string // of a choice
}

// keywords are those of ssh_config(5) in lower case.
func keywords() map[string]keyword {
	yesNoAsk := []string{"yes", "no", "ask"}
	known := map[string]keyword{
		"addkeystoagent":          {kind: line},
		"addressfamily":           {choice, []string{"any", "inet", "inet6"}},
		"batchmode":               {kind: flag},
		"canonicalizehostname":    {choice, []string{"yes", "no", "always", "none"}},
		"certificatefile":         {kind: list},
		"connectionattempts":      {kind: number},
		"connecttimeout":          {kind: span},
		"controlmaster":           {choice, []string{"yes", "no", "ask", "auto", "autoask"}},
		"dynamicforward":          {kind: list},
		"forwardagent":            {kind: flagOrWord},
		"globalknownhostsfile":    {kind: words},
		"identityfile":            {kind: list},
		"localforward":            {kind: list},
		"port":                    {kind: port},
		"proxycommand":            {kind: line},
		"localcommand":            {kind: line},
		"remotecommand":           {kind: line},
		"knownhostscommand":       {kind: line},
		"versionaddendum":         {kind: line},
		"proxyjump":               {kind: word},
		"remoteforward":           {kind: list},
		"requesttty":              {choice, []string{"yes", "no", "force", "auto"}},
		"sendenv":                 {kind: list},
		"setenv":                  {kind: words},
		"serveralivecountmax":     {kind: number},
		"serveraliveinterval":     {kind: span},
		"stricthostkeychecking":   {choice, []string{"yes", "no", "ask", "off", "accept-new"}},
		"updatehostkeys":          {choice, yesNoAsk},
		"userknownhostsfile":      {kind: words},
		"numberofpasswordprompts": {kind: number},
		"requiredrsasize":         {kind: number},
	}
	for _, name := range []string{
		"bindaddress", "bindinterface", "ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms",
		"casignaturealgorithms", "hostbasedacceptedalgorithms", "hostkeyalias", "hostname", "identityagent",
		"preferredauthentications", "user", "tag", "controlpath", "controlpersist", "escapechar", "fingerprinthash",
		"kbdinteractivedevices", "loglevel", "pkcs11provider", "refuseconnection", "revokedhostkeys", "securitykeyprovider",
		"sessiontype", "streamlocalbindmask", "syslogfacility", "tunnel", "tunneldevice", "xauthlocation",
		"forwardx11timeout", "obscurekeystroketiming", "gssapiclientidentity", "gssapiserveridentity", "gssapikexalgorithms",
	} {
		known[name] = keyword{kind: word}
	}
	for _, name := range []string{"canonicaldomains", "canonicalizepermittedcnames", "channeltimeout", "ipqos", "logverbose", "permitremoteopen", "rekeylimit"} {
		known[name] = keyword{kind: words}
	}
	known["canonicalizemaxdots"] = keyword{kind: number}
	for _, name := range []string{
		"canonicalizefallbacklocal", "checkhostip", "clearallforwardings", "compression", "enablesshkeysign", "exitonforwardfailure",
		"forkafterauthentication", "forwardx11", "forwardx11trusted", "gatewayports", "gssapiauthentication", "gssapidelegatecredentials",
		"gssapikeyexchange", "gssapirenewalforcesrekey", "gssapitrustdns",
		"hashknownhosts", "hostbasedauthentication", "identitiesonly", "kbdinteractiveauthentication", "nohostauthenticationforlocalhost",
		"passwordauthentication", "permitlocalcommand", "proxyusefdpass", "stdinnull", "streamlocalbindunlink", "tcpkeepalive",
		"verifyhostkeydns", "visualhostkey", "enableescapecommandline", "warnweakcrypto",
	} {
		known[name] = keyword{kind: flag}
	}
	// These may also have other words than yes and no.
	for name, more := range map[string][]string{
		"verifyhostkeydns": yesNoAsk, "pubkeyauthentication": {"yes", "no", "unbound", "host-bound"},
		"tunnel": {"yes", "no", "point-to-point", "ethernet"},
	} {
		known[name] = keyword{choice, more}
	}
	for _, name := range []string{
		"cipher", "protocol", "rhostsrsaauthentication", "rsaauthentication", "usersh", "fallbacktorsh", "globalknownhostsfile2",
		"userknownhostsfile2", "afstokenpassing", "kerberosauthentication", "kerberostgtpassing", "rhostsauthentication",
		"compressionlevel", "smartcarddevice", "useroaming", "useprivilegedport", "usekeychain", "ignoreunknown",
	} {
		known[name] = keyword{kind: ignored}
	}
	return known
}

// alias returns today's name of a keyword.
func alias(name string) string {
	switch name {
	case "challengeresponseauthentication", "skeyauthentication", "tisauthentication":
		return "kbdinteractiveauthentication"
	case "dsaauthentication":
		return "pubkeyauthentication"
	case "hostbasedkeytypes":
		return "hostbasedacceptedalgorithms"
	case "pubkeyacceptedkeytypes":
		return "pubkeyacceptedalgorithms"
	case "keepalive":
		return "tcpkeepalive"
	}
	return name
}

// read checks the words behind a keyword and returns its values.
func (k keyword) read(args []string, rest string) ([]string, error) {
	if k.kind == line {
		if rest == "" {
			return nil, fmt.Errorf("a value is missing")
		}
		return []string{rest}, nil
	}
	if k.kind == ignored {
		return nil, nil
	}
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("a value is missing")
	}
	if k.kind != words && k.kind != list && len(args) > 1 {
		return nil, fmt.Errorf("%q follows the value; quote a value that has blanks", args[1])
	}
	v := args[0]
	switch k.kind {
	case flag:
		if v = boolean(v); v == "" {
			return nil, fmt.Errorf("%q is not yes or no", args[0])
		}
	case flagOrWord:
		v = cmp.Or(boolean(v), v)
	case choice:
		v = strings.ToLower(v)
		if b := boolean(v); b != "" && slices.Contains(k.words, b) {
			v = b
		}
		if !slices.Contains(k.words, v) {
			return nil, fmt.Errorf("%q is not one of %s", args[0], strings.Join(k.words, ", "))
		}
	case number:
		if n, err := strconv.ParseUint(v, 10, 31); err != nil {
			return nil, fmt.Errorf("%q is not a number", v)
		} else {
			v = strconv.FormatUint(n, 10)
		}
	case port:
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is not a port from 1 to 65535", v)
		}
		v = strconv.FormatUint(n, 10)
	case span:
		if v == "none" {
			break
		}
		d, err := parseTime(v)
		if err != nil {
			return nil, err
		}
		v = strconv.FormatInt(int64(d/time.Second), 10)
	case words, list:
		return args, nil
	}
	return []string{v}, nil
}

func boolean(s string) string {
	switch strings.ToLower(s) {
	case "yes", "true":
		return "yes"
	case "no", "false":
		return "no"
	}
	return ""
}

// parseTime reads the format TIME of sshd_config(5): 90, 1m30s, 2h, 1w.
func parseTime(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a time such as 90 or 1m30s", s)
	var total time.Duration
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		digits, unit := rest, "s"
		if i >= 0 {
			digits, unit = rest[:i], strings.ToLower(rest[i:i+1])
			rest = rest[i+1:]
		} else {
			rest = ""
		}
		n, err := strconv.ParseUint(digits, 10, 31)
		scale := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[unit]
		if err != nil || scale == 0 {
			return 0, bad
		}
		if total += time.Duration(n) * scale; total < 0 || total > 1<<31*time.Second {
			return 0, bad
		}
	}
	if s == "" {
		return 0, bad
	}
	return total, nil
}

package render

import (
	"fmt"
	"net/netip"
	"strings"
)

// maxMessage bounds the text of one cause.
const maxMessage = 1 << 10

// cause says in one line why a host did not succeed: what follows its name.
//
//	exit 1
//	timed out after 30 s, killed
//	via bastion: auth: no method accepted (tried publickey, password)
func cause(x *Exit) string {
	var b strings.Builder
	switch {
	case x.Status == Failed && x.RC != nil && x.Err == nil:
		fmt.Fprintf(&b, "exit %d", *x.RC)
	case x.Status == Signal:
		b.WriteString(signalText(x.Signal))
	default:
		b.WriteString(problemText(x))
	}
	switch x.Remote {
	case Killed:
		b.WriteString(", killed")
	case MayStillRun:
		b.WriteString(", may still run")
	}
	return b.String()
}

func signalText(name string) string {
	if name == "" {
		return "ended by a signal"
	}
	return "ended by signal " + Sanitize(name)
}

// problemText joins hop, step and cause as a path.
func problemText(x *Exit) string {
	p := x.Err
	if p == nil {
		p = &Problem{}
	}
	var path []string
	if p.Hop != "" {
		path = append(path, "via "+Sanitize(p.Hop))
	}
	if stage := stageText(x.Status, p.Stage); stage != "" {
		path = append(path, stage)
	}
	msg := Sanitize(cutBytes(p.Msg, maxMessage))
	if msg == "" {
		msg = statusText(x)
	}
	return strings.Join(append(path, msg), ": ")
}

// stageText names the step of a failure, unless the cause says it all.
func stageText(status Status, stage string) string {
	switch {
	case status == HostKey || stage == "hostkey":
		return "host key"
	case status == Lost:
		return "connection lost"
	case status == Cancelled, status == Timeout && stage == "run":
		return ""
	}
	return Sanitize(stage)
}

// statusText is the cause where nobody gave one.
func statusText(x *Exit) string {
	switch x.Status {
	case Timeout:
		return "timed out"
	case HostKey:
		return "not accepted"
	case Auth:
		return "no method accepted"
	case Lost:
		return "cause unknown"
	case NotRun:
		return "not run"
	}
	return Sanitize(string(x.Status))
}

// pattern returns text with what differs from host to host taken out: the
// host's own name, network addresses and fingerprints. Hosts with equal
// patterns failed alike.
func pattern(text, host string) string {
	host = host[strings.LastIndexByte(host, '@')+1:] // messages name no user
	words := strings.Split(text, " ")
	for i, w := range words {
		bare := strings.TrimRight(strings.TrimLeft(w, `"'(`), `"'),;:`)
		if with := placeholder(bare, host); with != "" {
			words[i] = strings.Replace(w, bare, with, 1)
		}
	}
	return strings.Join(words, " ")
}

// placeholder returns what stands for a word that differs from host to host.
func placeholder(word, host string) string {
	switch {
	case word == "":
		return ""
	case word == host, strings.HasPrefix(word, host+"."):
		return "<host>"
	case strings.HasPrefix(word, "SHA256:"), strings.HasPrefix(word, "MD5:"):
		return "<fingerprint>"
	case strings.HasPrefix(word, host+":"), isAddress(word):
		return "<address>"
	}
	return ""
}

// isAddress reports whether word is an address, with a port or without, or two
// of them as in the errors of package net: "10.0.0.1:40022->10.0.0.2:22".
func isAddress(word string) bool {
	if from, to, two := strings.Cut(word, "->"); two {
		return isAddress(from) && isAddress(to)
	}
	if _, err := netip.ParseAddrPort(word); err == nil {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(word, "[]"))
	return err == nil
}

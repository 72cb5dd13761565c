package render

import (
	"bytes"
	"io"
	"net/netip"
	"regexp"
	"strings"
)

// A mask takes out of one host's lines what differs from host to host and from
// one moment to the next:
//
//	<host>      its own name, long or short
//	<address>   IPv4, IPv6 and hardware addresses, with their port
//	<time>      dates, times of day, and the kernel's [seconds]
//	<duration>  measured times: with a fraction and a unit (0.38 s, 12.5ms),
//	            before "ago", behind "up"
//	<pid>       numbers behind "pid" or "process", and in name[123]:
//
// Whole numbers with a unit, as in "timeout 30s", are settings and stay, and so
// does every other number.
type mask []substitution

// substitution masks what find matches. Most lines have none of the texts of which a
// match has one, and so spare the search.
type substitution struct {
	find *regexp.Regexp
	with string
	has  []string
}

func substitute(find, with string, has ...string) substitution {
	return substitution{regexp.MustCompile(find), with, has}
}

func (r *substitution) apply(p []byte) []byte {
	for _, text := range r.has {
		if bytes.Contains(p, []byte(text)) {
			return r.find.ReplaceAll(p, []byte(r.with))
		}
	}
	return p
}

const (
	weekday = `(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +)?`
	month   = `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?`
	clock   = `\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AP]M)?`
	zone    = `(?: ?Z\b| ?[+-]\d\d:?\d\d\b| (?:UTC|GMT|BST|MSK|IST|JST|[CEW]ES?T|EES?T|[ECMP][SD]T|A[EC][SD]T)\b)?`
	unit    = `(?:years?|y|months?|weeks?|w|days?|d|hours?|h|minutes?|min|m|seconds?|secs?|s|ms)`
)

// The rules are applied one after another: addresses first, since they hold what
// looks like times.
var (
	hardware = substitute(`\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5,7}\b`, "<address>", ":")
	rules    = []substitution{
		substitute(weekday+`\b\d{4}-\d\d-\d\d(?:[T ]`+clock+`)?`+zone, "<time>", "-"),
		substitute(`\b`+weekday+`(?:\d{1,2} +)?`+month+` +\d{1,2}\b(?:,? +`+clock+zone+`)?(?:,? +(?:19|20)\d\d\b)?(?:,? +`+clock+zone+`)?`, "<time>",
			"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
		substitute(`\b`+clock+`\b`+zone, "<time>", ":"),
		substitute(`\[ *\d+\.\d{6}\]`, "[<time>]", "["),
		substitute(`\b(?:\d+`+unit+`? ?`+unit+` ?)+ago\b`, "<duration> ago", "ago"),
		substitute(`\bup +(?:\d+ `+unit+`(?:, +\d+ `+unit+`)*(?:, +<time>)?|<time>)`, "up <duration>", "up "),
		substitute(`\b(?:\d+h)?(?:\d+m)?\d+\.\d+ ?(?:ns|us|µs|ms|s|secs?|seconds?|min|minutes?)\b`, "<duration>", "."),
		substitute(`\b((?i:pid|process(?: id)?))([ =:#]+)\d+\b`, "$1$2<pid>", "pid", "PID", "Pid", "rocess"),
		substitute(`(\w)\[\d+\]:`, "$1[<pid>]:", "]:"),
	}
)

// addresses finds what may be an IP address; [isAddress] decides.
var addresses = regexp.MustCompile(`\[[0-9A-Fa-f:.]+(?:%\w+)?\](?::\d+)?|\b[0-9A-Fa-f]+[.:][0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%\w+)?|\B::[0-9A-Fa-f:.]*[0-9A-Fa-f]`)

// newMask returns the mask for a host of this name.
func newMask(host string) mask {
	name := bareHost(host)
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return nil // among the addresses
	}
	short, _, _ := strings.Cut(name, ".")
	if strings.Trim(short, "0123456789") == "" {
		short = name // a mere number is not taken for the host
	}
	upper := strings.ToUpper(short)
	return mask{substitute(`\b(?:`+regexp.QuoteMeta(short)+`|`+regexp.QuoteMeta(upper)+`)(?:\.[A-Za-z0-9-]+)*\b`, "<host>", short, upper)}
}

// bareHost is a host's name without user, port and brackets.
func bareHost(host string) string {
	host = host[strings.LastIndexByte(host, '@')+1:]
	if inside, rest, ok := strings.Cut(strings.TrimPrefix(host, "["), "]"); ok && host[0] == '[' && (rest == "" || rest[0] == ':') {
		return inside
	}
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		return name
	}
	return host
}

// line returns a line with everything masked.
func (m mask) line(p []byte) []byte {
	for i := range m {
		p = m[i].apply(p)
	}
	if !bytes.ContainsAny(p, "0123456789:") {
		return p // nothing else is without
	}
	p = hardware.apply(p)
	if bytes.Count(p, []byte(".")) > 2 || bytes.Count(p, []byte(":")) > 1 {
		p = addresses.ReplaceAllFunc(p, func(word []byte) []byte {
			if isAddress(string(word)) {
				return []byte("<address>")
			}
			return word
		})
	}
	for i := range rules {
		p = rules[i].apply(p)
	}
	return p
}

// maskWriter passes lines on with everything masked. A line longer than a
// buffer is masked in pieces.
type maskWriter struct {
	mask mask
	to   io.Writer
	rest []byte // of a line that has not ended
}

func (w *maskWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), flushSize-len(w.rest))
		end := bytes.IndexByte(p[:take], '\n') + 1
		if end > 0 {
			take = end
		}
		w.rest = append(w.rest, p[:take]...)
		p = p[take:]
		if end > 0 || len(w.rest) == flushSize {
			w.flush()
		}
	}
	return n, nil
}

func (w *maskWriter) flush() {
	w.to.Write(w.mask.line(w.rest)) // a hash or a buffer: no error
	w.rest = w.rest[:0]
}

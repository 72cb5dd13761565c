package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Key is a host key beside what known_hosts files have.
type Key struct {
	Host        string
	Index       int
	T           time.Duration // since the start
	Type        string        // such as "ssh-ed25519"
	Fingerprint string        // "SHA256:…"
	Blob        string        // the key in base64, as files have it
	State       KeyState
	Lines       []KeyLine // that have it, contradict or revoke it
	Problem     string    // of a certificate by a known authority that is not accepted
}

// KeyLine is a line of a known_hosts file.
type KeyLine struct {
	Place       string // "file:line"
	Type        string
	Fingerprint string
}

// Stored says how many lines of a known_hosts file were added and removed for a
// host.
type Stored struct {
	Host, File     string
	Added, Removed int
}

// KeyState says what known_hosts files make of a key.
type KeyState string

// The states of a key, the worst first.
const (
	KeyChanged    KeyState = "changed"
	KeyRevoked    KeyState = "revoked"
	KeyWeak       KeyState = "weak"
	KeyNew        KeyState = "new"
	KeyNotOffered KeyState = "not offered"
	KeyKnown      KeyState = "known"
)

var keyStates = []KeyState{KeyChanged, KeyRevoked, KeyWeak, KeyNew, KeyNotOffered, KeyKnown}

// Keys shows host keys for a review, on standard output: a row for each key, the
// worst first, with the hosts that have it; keys that are known are summed up.
// Under a key that a file contradicts or revokes stands what the file has. Hosts
// that were not reached are told as by [Report], on standard error.
//
//	changed      ed25519  SHA256:9pUZ…  db1
//	  was        ed25519  SHA256:b2Nq…  /home/me/.ssh/known_hosts:12
//	new          rsa      SHA256:Wm3K…  web7
//	known        57 keys of 19 hosts: web[1-6,8-20]
type Keys struct {
	Screen *Screen
	All    bool // known keys in rows too
	Quiet  bool // no rows of keys that are known, nor their sum
	Pin    bool // new keys are about to be stored

	report Report
	keys   []Key
}

// Start implements [Renderer].
func (k *Keys) Start(e Start) {
	k.report = Report{Screen: k.Screen}
	k.report.Start(e)
}

// Lines implements [Renderer].
func (k *Keys) Lines([]Line) {}

// Key takes a key for the review.
func (k *Keys) Key(key Key) { k.keys = append(k.keys, key) }

// Exit implements [Renderer].
func (k *Keys) Exit(x Exit) { k.report.Exit(x) }

// keyRow is a key, with the hosts that have it.
type keyRow struct {
	Key
	hosts []string
}

// rows joins the same keys of several hosts, in order.
func (k *Keys) rows() []keyRow {
	slices.SortStableFunc(k.keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(slices.Index(keyStates, a.State), slices.Index(keyStates, b.State)), cmp.Compare(a.Index, b.Index))
	})
	var rows []keyRow
	places := make(map[string]int)
	for _, key := range k.keys {
		id := fmt.Sprintf("%q %q %q %q %q", key.State, key.Type, key.Fingerprint, key.Problem, keyWas(&key))
		i, ok := places[id]
		if !ok {
			i = len(rows)
			places[id] = i
			rows = append(rows, keyRow{Key: key})
		}
		rows[i].hosts = append(rows[i].hosts, key.Host)
	}
	return rows
}

// keyWas are the lines that are shown under a key.
func keyWas(key *Key) []KeyLine {
	if key.State == KeyChanged || key.State == KeyRevoked {
		return key.Lines
	}
	return nil
}

// Review shows the keys that came, and what they are in numbers.
func (k *Keys) Review(took time.Duration) {
	k.report.waiting()
	width := 0
	rows := k.rows()
	for _, r := range rows {
		for _, l := range append(keyWas(&r.Key), KeyLine{Type: r.Type}) {
			width = max(width, len(keyType(l.Type)))
		}
	}
	for _, r := range rows {
		if r.State == KeyKnown && !k.All {
			break // they come last
		}
		k.row(&r, width)
	}
	k.known()
	k.numbers(took)
}

// Summary is Review without the rows.
func (k *Keys) Summary(took time.Duration) {
	k.report.waiting()
	k.numbers(took)
}

func (k *Keys) numbers(took time.Duration) {
	for _, line := range k.summary(took) {
		k.Screen.line(line)
	}
	for _, state := range keyStates {
		if n, _ := k.count(state); n > 0 && keyHint(state) != "" {
			if state != KeyNew || !k.Pin {
				k.Screen.say("  hint: ", keyHint(state), "")
			}
			break // for the worst
		}
	}
	k.Screen.flush()
}

func (k *Keys) row(r *keyRow, width int) {
	text := fmt.Sprintf("%-11s  %-*s  %-50s  ", r.State, width, keyType(r.Type), Sanitize(r.Fingerprint))
	color := ""
	if r.State == KeyChanged || r.State == KeyRevoked || r.State == KeyWeak {
		color = red
	}
	k.line(text, foldNames(r.hosts), color)
	word := "  was"
	if r.State == KeyRevoked {
		word = "  by"
	}
	for _, l := range keyWas(&r.Key) {
		k.line(fmt.Sprintf("%-11s  %-*s  %-50s  ", word, width, keyType(l.Type), Sanitize(l.Fingerprint)), Sanitize(l.Place), "")
	}
	if r.Problem != "" {
		k.line("  ", Sanitize(r.Problem), "")
	}
}

func (k *Keys) line(text, rest, color string) {
	s := k.Screen
	s.begin(toStdout, ours)
	if !s.StdoutColor {
		color = ""
	}
	s.buf = append(appendColor(s.buf, color, text), rest...)
	s.buf = append(s.buf, '\n')
	s.full()
}

// known sums the known keys up.
func (k *Keys) known() {
	keys, hosts := k.count(KeyKnown)
	if keys == 0 || k.All || k.Quiet {
		return
	}
	k.line(fmt.Sprintf("%-11s  ", KeyKnown), fmt.Sprintf("%s of %s", counted(keys, "key"), countedHosts(hosts)), "")
}

func countedHosts(names []string) string {
	if len(names) == 1 {
		return foldNames(names)
	}
	return fmt.Sprintf("%d hosts: %s", len(names), foldNames(names))
}

func counted(n int, word string) string { return fmt.Sprintf("%d %s", n, plural(n, word, word+"s")) }

// count counts the keys in a state, and lists the hosts that have some.
func (k *Keys) count(state KeyState) (keys int, hosts []string) {
	for _, key := range k.keys {
		if key.State != state {
			continue
		}
		keys++
		if len(hosts) == 0 || hosts[len(hosts)-1] != key.Host {
			hosts = append(hosts, key.Host)
		}
	}
	return keys, hosts
}

// keyHint is what to do about keys in a state.
func keyHint(state KeyState) string {
	switch state {
	case KeyChanged:
		return kindHint("hostkey-changed") + "; --pin --replace stores the new one"
	case KeyRevoked:
		return kindHint("hostkey-revoked")
	case KeyWeak:
		return "give the host an Ed25519 key, or an RSA key of at least 2048 bits"
	case KeyNew:
		return "compare the fingerprints with the hosts' own (ssh-keygen -lf), then store the keys with --pin"
	}
	return ""
}

// summary is the review in numbers, and the hosts that were not scanned.
func (k *Keys) summary(took time.Duration) []string {
	e := k.report.tally
	e.Took = took
	if len(k.keys) == 0 {
		return k.report.summary(e)
	}
	var parts []string
	for _, state := range keyStates {
		if n, _ := k.count(state); n > 0 {
			text := fmt.Sprintf("%d %s", n, state)
			if k.Screen.StderrColor && (state == KeyChanged || state == KeyRevoked || state == KeyWeak) {
				text = string(appendColor(nil, red, text))
			}
			parts = append(parts, text)
		}
	}
	shown := len(k.keys)
	n, _ := k.count(KeyNotOffered)
	head := counted(shown-n, "key") + " of " + counted(e.OK, "host")
	if len(parts) > 0 {
		head += ": " + strings.Join(parts, ", ")
	}
	lines := []string{head + ", in " + duration(took)}
	if e.OK < e.Hosts {
		e.Hosts, e.OK = e.Hosts-e.OK, 0
		lines = append(lines, k.report.summary(e)...)
	}
	return lines
}

// End implements [Renderer].
func (k *Keys) End(End) error { return k.Screen.end() }

// keyType is what people call a type of key: "ed25519", "rsa-cert".
func keyType(name string) string {
	plain, cert := strings.CutSuffix(name, "-cert-v01@openssh.com")
	plain, sk := strings.CutPrefix(strings.TrimSuffix(plain, "@openssh.com"), "sk-")
	short, ok := strings.CutPrefix(plain, "ssh-")
	switch {
	case strings.HasPrefix(plain, "ecdsa-sha2-nistp"):
		short = "ecdsa"
	case plain == "ssh-dss":
		short = "dsa"
	case !ok:
		return Sanitize(name)
	}
	if sk {
		short += "-sk"
	}
	if cert {
		short += "-cert"
	}
	return Sanitize(short)
}

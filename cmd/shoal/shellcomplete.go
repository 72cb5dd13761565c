package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/internal/shell"
)

// complete completes what stands before the cursor: a command of Shoal's own, or a
// command or file of a host.
func (s *session) complete(before string) (after string, choices []string) {
	if word, ok := strings.CutPrefix(before, ":"); ok {
		if name, arg, ok := strings.Cut(word, " "); ok && name == "dir" {
			return s.completeRemote(":dir ", arg, false)
		} else if ok {
			return before, nil
		}
		var names []string
		for _, c := range ownCommands() {
			if strings.HasPrefix(c.name, word) {
				names = append(names, c.name)
			}
		}
		found, one, choices := extend(word, names)
		if one {
			found += " "
		}
		return ":" + found, choices
	}
	if before == "" || strings.ContainsRune("!+-@#", rune(before[0])) {
		return before, nil
	}
	return s.completeRemote("", before, true)
}

// completeRemote completes the last word of a command line.
func (s *session) completeRemote(head, line string, mayBeCommand bool) (after string, choices []string) {
	before := head + line
	w, ok := lastWord(line)
	if !ok || w.first && mayBeCommand && w.value == "" {
		return before, nil
	}
	var names []string
	if w.first && mayBeCommand && !strings.Contains(w.value, "/") && !w.home {
		names = s.names(commandsLike(w.value), "")
	} else if w.home || strings.HasPrefix(w.value, "/") {
		names = s.names(filesLike(w), "") // the folder of :dir may be missing
	} else {
		names = s.names(filesLike(w), s.flags.command.dir)
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return !strings.HasPrefix(n, w.value) || !utf8.ValidString(n) || render.Sanitize(n) != n
	})
	found, one, choices := extend(w.value, names)
	if found == w.value && !one {
		return before, lastParts(choices)
	}
	word := escaped(found)
	if w.home {
		word = "~/" + word
	}
	if one && !strings.HasSuffix(found, "/") {
		word += " "
	}
	return head + line[:w.at] + word, nil
}

// extend returns what all names begin with, and whether there is one only. Where
// that is no more than word, the names are the choices.
func extend(word string, names []string) (found string, one bool, choices []string) {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return word, false, nil
	}
	found = names[0]
	for _, n := range names[1:] {
		for !strings.HasPrefix(n, found) {
			_, size := utf8.DecodeLastRuneInString(found)
			found = found[:len(found)-size]
		}
	}
	if len(names) > 1 && found == word {
		return word, false, names
	}
	return found, len(names) == 1, nil
}

// lastParts are names without the folders before them.
func lastParts(names []string) []string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n[strings.LastIndexByte(strings.TrimSuffix(n, "/"), '/')+1:]
	}
	return parts
}

// word is the last word of a command line.
type word struct {
	at    int    // where it begins
	value string // without quotes, and without ~/
	home  bool   // ~/ stands before value
	first bool   // of a command
}

// lastWord finds the word that a line ends with, as a shell would read it. It is
// not ok where the word has something in it that only a shell knows.
func lastWord(line string) (w word, ok bool) {
	const (
		plain = iota
		single
		double
	)
	w, ok = word{first: true}, true
	var value []byte
	state, inWord := plain, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		if state == plain && strings.IndexByte(" \t;&|()<>", c) >= 0 {
			switch {
			case strings.IndexByte(";&|(", c) >= 0:
				w.first = true
			case inWord, c == '<', c == '>':
				w.first = false
			}
			inWord, ok, value = false, true, value[:0]
			continue
		}
		if !inWord {
			inWord, w.at = true, i
		}
		switch {
		case state == single && c == '\'', state == double && c == '"':
			state = plain
		case state == single:
			value = append(value, c)
		case c == '\\' && i+1 < len(line):
			i++
			value = append(value, line[i])
		case c == '\\', c == '$', c == '`':
			ok = false
		case state == double:
			value = append(value, c)
		case c == '\'':
			state = single
		case c == '"':
			state = double
		case strings.IndexByte("*?[{#", c) >= 0:
			ok = false
		default:
			value = append(value, c)
		}
	}
	if !inWord {
		w.at = len(line)
	}
	w.value = string(value)
	if rest, isHome := strings.CutPrefix(w.value, "~/"); isHome && strings.HasPrefix(line[w.at:], "~/") {
		w.value, w.home = rest, true
	} else if strings.HasPrefix(line[w.at:], "~") && w.value != "~" {
		ok = false // the home of another user
	}
	return w, ok
}

// escaped is a name as it stands in a command line and can be gone on with, which
// it could not behind a quote.
func escaped(name string) string {
	if name == "" || shell.Quote(name) == name {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		switch {
		case r >= utf8.RuneSelf, 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9',
			strings.ContainsRune("_@%+:,./", r), r == '-' && i > 0, r == '=' && i > 0:
		default:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// completionTime is how long a person waits for the names that Tab asks for.
const completionTime = time.Second

// maxNames bounds the names that a host is asked for.
const maxNames = 2000

// commandsLike lists the programs in PATH whose names begin with a prefix.
func commandsLike(prefix string) string {
	return fmt.Sprintf(`IFS=:; for d in $PATH; do for f in "$d"/%s*; do [ -f "$f" ] && [ -x "$f" ] && printf '%%s\n' "${f##*/}"; done; done | head -n %d`,
		shell.Quote(prefix), maxNames)
}

// filesLike lists the files whose names begin with a word; folders end with a
// slash.
func filesLike(w word) string {
	pattern, strip := shell.Quote(w.value), ""
	if w.value == "" {
		pattern = ""
	}
	switch {
	case w.home:
		pattern, strip = `"$HOME"/`+pattern, `f=${f#"$HOME"/}; `
	case strings.HasPrefix(w.value, "-"):
		pattern = "./" + pattern
		strip = `f=${f#./}; `
	}
	return fmt.Sprintf(`for f in %s*; do [ -e "$f" ] || [ -h "$f" ] || continue; s=; [ -d "$f" ] && s=/; %sprintf '%%s\n' "$f$s"; done | head -n %d`,
		pattern, strip, maxNames)
}

// names runs a script of a POSIX shell in a folder of the first host that can be
// reached, as far as is known, and returns its lines; none where that takes too
// long. Nobody is asked anything.
func (s *session) names(script, dir string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	s.ask.silent.Store(true)
	defer s.ask.silent.Store(false)
	for _, h := range s.byReach() {
		conn, err := s.client.Conn(ctx, h)
		if err != nil {
			continue // the next one, if there is time
		}
		out, err := conn.Run(ctx, shoal.Command{
			Line: "sh -c " + shell.Quote(script), Dir: dir, MaxOutput: 1 << 20,
		})
		conn.Close()
		if err != nil && len(out.Stdout) == 0 {
			return nil
		}
		return strings.Split(strings.TrimSuffix(string(out.Stdout), "\n"), "\n")
	}
	return nil
}

// byReach are the hosts but for those that were not reached: first those that were,
// and then those of which nothing is known.
func (s *session) byReach() []shoal.Host {
	hosts := slices.DeleteFunc(slices.Clone(s.hosts), func(h shoal.Host) bool { return s.ended[h.Name].reach == unreached })
	slices.SortStableFunc(hosts, func(a, b shoal.Host) int {
		return cmp.Compare(s.ended[a.Name].reach, s.ended[b.Name].reach)
	})
	return hosts
}

// maxChoices bounds the choices that are shown.
const maxChoices = 200

// columns lays names out in columns, in lines of width, one below the other.
func columns(names []string, width int) string {
	more := ""
	if n := len(names) - maxChoices; n > 0 {
		names, more = names[:maxChoices], fmt.Sprintf("and %d more\n", n)
	}
	widest := 0
	for _, n := range names {
		widest = max(widest, utf8.RuneCountInString(n))
	}
	cols := max(1, width/(widest+2))
	rows := (len(names) + cols - 1) / cols
	var b strings.Builder
	for row := range rows {
		for i := row; i < len(names); i += rows {
			if i+rows < len(names) {
				fmt.Fprintf(&b, "%-*s", widest+2, names[i])
			} else {
				b.WriteString(names[i])
			}
		}
		b.WriteByte('\n')
	}
	return b.String() + more
}

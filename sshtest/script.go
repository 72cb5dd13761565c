package sshtest

import (
	"fmt"
	"strings"
)

// A script is a parsed command line of [Builtin].
type script []step

// A step is one simple command, and when to run it.
type step struct {
	after    string // "" or ";" always, "&&" after success, "||" after failure
	args     []word
	toStderr bool // >&2
}

// A word is an argument: literal text and variables, in turn.
type word []piece

// A piece is literal text or, if variable, a variable's name.
type piece struct {
	text     string
	variable bool
}

// expand puts in the variables' values. They are never split into words.
func (w word) expand(lookup func(name string) string) string {
	var b strings.Builder
	for _, p := range w {
		if p.variable {
			b.WriteString(lookup(p.text))
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// A scanner reads a command line. What a shell would understand and Builtin
// does not is an error, never taken literally.
type scanner struct {
	in  string
	pos int
}

// parseScript reads the few parts of the shell's language that Builtin has.
func parseScript(line string) (script, error) {
	s := &scanner{in: line}
	var steps script
	var now step
	end := func(after string) error {
		if len(now.args) == 0 && (now.toStderr || after == "&&" || after == "||" || !separates(now.after)) {
			return fmt.Errorf("syntax error near %q", s.rest())
		}
		if len(now.args) > 0 {
			steps = append(steps, now)
		}
		now = step{after: after}
		return nil
	}
	for {
		s.skipBlanks()
		switch op := s.operator(); op {
		case "":
		case ">&2":
			now.toStderr = true
			continue
		default:
			if err := end(op); err != nil {
				return nil, err
			}
			continue
		}
		if s.pos == len(s.in) {
			return steps, end("")
		}
		w, err := s.word()
		if err != nil {
			return nil, err
		}
		now.args = append(now.args, w)
	}
}

func separates(op string) bool { return op == "" || op == ";" }

func (s *scanner) rest() string {
	rest := s.in[s.pos:]
	if len(rest) > 20 {
		rest = rest[:20]
	}
	return rest
}

func (s *scanner) skipBlanks() {
	for s.pos < len(s.in) && (s.in[s.pos] == ' ' || s.in[s.pos] == '\t') {
		s.pos++
	}
}

// operator takes an operator, if there is one here.
func (s *scanner) operator() string {
	for _, op := range []string{"&&", "||", ";", "\n", "1>&2", ">&2"} {
		if strings.HasPrefix(s.in[s.pos:], op) {
			s.pos += len(op)
			switch op {
			case "\n":
				return ";"
			case "1>&2":
				return ">&2"
			}
			return op
		}
	}
	return ""
}

// word takes everything up to a blank or an operator.
func (s *scanner) word() (word, error) {
	w := word{{}}
	for s.pos < len(s.in) {
		switch c := s.in[s.pos]; c {
		case ' ', '\t', '\n', ';':
			return w, nil
		case '\'':
			text, err := s.single()
			if err != nil {
				return nil, err
			}
			w = append(w, piece{text: text})
		case '"':
			pieces, err := s.double()
			if err != nil {
				return nil, err
			}
			w = append(w, pieces...)
		case '$':
			p, err := s.dollar()
			if err != nil {
				return nil, err
			}
			w = append(w, p)
		case '\\':
			w = append(w, piece{text: s.escape()})
		case '&', '|', '>', '<', '`', '(', ')', '*', '?', '[', '#':
			if strings.HasPrefix(s.in[s.pos:], "&&") || strings.HasPrefix(s.in[s.pos:], "||") || strings.HasPrefix(s.in[s.pos:], ">&2") {
				return w, nil
			}
			return nil, fmt.Errorf("%q is not supported", string(c))
		default:
			s.pos++
			w = append(w, piece{text: string(c)})
		}
	}
	return w, nil
}

func (s *scanner) single() (string, error) {
	end := strings.IndexByte(s.in[s.pos+1:], '\'')
	if end < 0 {
		return "", fmt.Errorf("unterminated quote: %q", s.rest())
	}
	text := s.in[s.pos+1 : s.pos+1+end]
	s.pos += end + 2
	return text, nil
}

func (s *scanner) double() ([]piece, error) {
	start := s.rest()
	pieces := []piece{}
	for s.pos++; s.pos < len(s.in); {
		switch c := s.in[s.pos]; {
		case c == '"':
			s.pos++
			return pieces, nil
		case c == '$':
			p, err := s.dollar()
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, p)
		case c == '`':
			return nil, fmt.Errorf("%q is not supported", "`")
		case c == '\\' && s.pos+1 < len(s.in) && strings.IndexByte("$`\"\\\n", s.in[s.pos+1]) >= 0:
			pieces = append(pieces, piece{text: s.escape()})
		default:
			s.pos++
			pieces = append(pieces, piece{text: string(c)})
		}
	}
	return nil, fmt.Errorf("unterminated quote: %q", start)
}

// escape takes a backslash and what follows it.
func (s *scanner) escape() string {
	s.pos++
	if s.pos == len(s.in) {
		return "\\"
	}
	c := s.in[s.pos : s.pos+1]
	s.pos++
	if c == "\n" {
		return ""
	}
	return c
}

// dollar takes $NAME, ${NAME} or $?; a lone $ is literal.
func (s *scanner) dollar() (piece, error) {
	s.pos++
	rest := s.in[s.pos:]
	switch {
	case strings.HasPrefix(rest, "("):
		return piece{}, fmt.Errorf("%q is not supported", "$(")
	case strings.HasPrefix(rest, "?"):
		s.pos++
		return piece{"?", true}, nil
	case strings.HasPrefix(rest, "{"):
		name := rest[1 : 1+nameLen(rest[1:])]
		if name == "" || !strings.HasPrefix(rest[1+len(name):], "}") {
			return piece{}, fmt.Errorf("%q is not supported", "${")
		}
		s.pos += len(name) + 2
		return piece{name, true}, nil
	}
	n := nameLen(rest)
	if n == 0 {
		return piece{text: "$"}, nil
	}
	s.pos += n
	return piece{rest[:n], true}, nil
}

func nameLen(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}

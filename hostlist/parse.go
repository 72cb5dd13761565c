package hostlist

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxBrackets bounds the brackets of one operand, and with them the depth of calls
// when it is expanded.
const maxBrackets = 64

// reserved are the characters of the grammar of sets and groups.
const reserved = "!&^()/*?"

// scanner reads an expression. All offsets are in src.
type scanner struct {
	src string
}

func (s *scanner) errorf(pos, end int, hint, format string, args ...any) error {
	return &SyntaxError{Expr: s.src, Pos: pos, End: end, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// expr reads the operands that the commas outside brackets separate.
func (s *scanner) expr() ([]pattern, error) {
	if strings.Trim(s.src, blanks) == "" {
		return nil, s.errorf(0, len(s.src), "", "the expression is empty")
	}
	var operands []pattern
	for pos := 0; pos <= len(s.src); {
		end, err := s.operandEnd(pos)
		if err != nil {
			return nil, err
		}
		p, err := s.operand(s.trim(pos, end))
		if err != nil {
			return nil, err
		}
		operands = append(operands, p)
		pos = end + 1 // behind the comma
	}
	return operands, nil
}

const blanks = " \t\r\n"

// trim returns the part between pos and end without blanks around it.
func (s *scanner) trim(pos, end int) (int, int) {
	for pos < end && strings.IndexByte(blanks, s.src[pos]) >= 0 {
		pos++
	}
	for pos < end && strings.IndexByte(blanks, s.src[end-1]) >= 0 {
		end--
	}
	return pos, end
}

// operandEnd returns where the operand at pos ends: at a comma or the end of the
// expression. It sees to it that brackets come in pairs.
func (s *scanner) operandEnd(pos int) (int, error) {
	open := -1
	for i := pos; i < len(s.src); i++ {
		switch c := s.src[i]; {
		case c == '[' && open >= 0:
			return 0, s.errorf(i, i+1, "", "a bracket within brackets")
		case c == '[':
			open = i
		case c == ']' && open < 0:
			return 0, s.errorf(i, i+1, "", "a closing bracket without an opening one")
		case c == ']':
			open = -1
		case c == ',' && open < 0:
			return i, nil
		}
	}
	if open >= 0 {
		return 0, s.errorf(open, open+1, "close it with ]", "the bracket is not closed")
	}
	return len(s.src), nil
}

// operand reads [user@]host[:port].
func (s *scanner) operand(pos, end int) (pattern, error) {
	text := s.src[pos:end]
	switch {
	case text == "" && pos == len(s.src):
		return nil, s.errorf(pos, end, "remove the comma", "no host after the last comma")
	case text == "":
		return nil, s.errorf(pos, end, "remove a comma", "no host before the comma")
	case text[0] == '@':
		return nil, s.errorf(pos, end, "", "groups are not known here")
	}
	if err := s.checkText(pos, end); err != nil {
		return nil, err
	}
	host := pos
	if at := lastOutside(text, '@'); at >= 0 {
		host = pos + at + 1
		if err := s.checkUser(pos, host-1); err != nil {
			return nil, err
		}
	}
	user := s.src[pos:host]
	var p pattern
	var err error
	switch rest := s.src[host:end]; {
	case rest == "":
		return nil, s.errorf(host, end, "", "no host after the user")
	case rest[0] == '-':
		return nil, s.errorf(host, end, "", "a host cannot begin with -")
	case rest[0] == '[' && strings.Contains(rest[:strings.IndexByte(rest, ']')], ":"):
		p, err = s.bracketed(host, end)
	case countOutside(rest, ':') > 1:
		p, err = s.bareIPv6(host, end)
	default:
		p, err = s.named(host, end)
	}
	if err != nil || user == "" {
		return p, err
	}
	return append(pattern{{text: user}}, p...), nil
}

// checkText refuses characters that cannot be part of an operand.
func (s *scanner) checkText(pos, end int) error {
	inside := false
	for i, r := range s.src[pos:end] {
		at := pos + i
		size := max(utf8.RuneLen(r), 1)
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s.src[at:], "\uFFFD"):
			return s.errorf(at, at+1, "", "not UTF-8 text")
		case r == '[' || r == ']':
			inside = r == '['
		case !unicode.IsPrint(r) && r != '\t':
			return s.errorf(at, at+size, "", "a host cannot hold the character %q", r)
		case inside: // the items are read later
		case r == ' ' || r == '\t':
			return s.errorf(at, at+1, "put a comma between hosts", "a blank within a host")
		case strings.ContainsRune(reserved, r):
			return s.errorf(at, at+1, "", "%q is not supported here", r)
		case r == '{' || r == '}':
			return s.errorf(at, at+1, "write a range as [1-3]", "braces mean nothing here")
		case strings.ContainsRune("\"'`\\$;|<>#", r):
			return s.errorf(at, at+1, "", "a host cannot hold the character %q", r)
		}
	}
	return nil
}

func (s *scanner) checkUser(pos, end int) error {
	switch user := s.src[pos:end]; {
	case user[0] == '-':
		return s.errorf(pos, end, "", "a user cannot begin with -")
	case strings.ContainsAny(user, "[]"):
		return s.errorf(pos, end, "", "a user cannot hold brackets")
	}
	return nil
}

// bracketed reads [ipv6] or [ipv6]:port.
func (s *scanner) bracketed(pos, end int) (pattern, error) {
	closing := pos + strings.IndexByte(s.src[pos:end], ']')
	if err := s.checkIPv6(pos+1, closing, s.src[pos+1:closing]); err != nil {
		return nil, err
	}
	if rest := s.src[closing+1 : end]; rest != "" {
		if rest[0] != ':' {
			return nil, s.errorf(closing+1, end, "", "only a port can follow an address in brackets")
		}
		if err := s.checkPort(closing+2, end); err != nil {
			return nil, err
		}
	}
	return pattern{{text: s.src[pos:end]}}, nil
}

// bareIPv6 reads an address without a port, which may have ranges in it.
func (s *scanner) bareIPv6(pos, end int) (pattern, error) {
	p, err := s.pattern(pos, end)
	if err != nil {
		return nil, err
	}
	first, last := p.ends()
	if err := s.checkIPv6(pos, end, first); err != nil {
		return nil, err
	}
	return p, s.checkIPv6(pos, end, last)
}

func (s *scanner) checkIPv6(pos, end int, text string) error {
	a, err := netip.ParseAddr(text)
	if err == nil && a.Is6() {
		return nil
	}
	hint := "an address with a port is written [2001:db8::1]:22"
	if from, to, ok := strings.Cut(text, ":"); ok && isDigits(from) && isDigits(to) {
		hint = fmt.Sprintf("write the range as [%s-%s]", from, to)
	}
	return s.errorf(pos, end, hint, "not an IPv6 address")
}

// named reads a pattern of names or IPv4 addresses, with a port or without.
func (s *scanner) named(pos, end int) (pattern, error) {
	colon := lastOutside(s.src[pos:end], ':')
	if colon < 0 {
		return s.pattern(pos, end)
	}
	if colon == 0 {
		return nil, s.errorf(pos, end, "", "no host before the port")
	}
	if err := s.checkPort(pos+colon+1, end); err != nil {
		return nil, err
	}
	p, err := s.pattern(pos, pos+colon)
	if err != nil {
		return nil, err
	}
	return append(p, part{text: s.src[pos+colon : end]}), nil
}

func (s *scanner) checkPort(pos, end int) error {
	port := s.src[pos:end]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' || port[0] == '+' {
		return s.errorf(pos, end, "", "a port is a number from 1 to 65535")
	}
	return nil
}

// pattern reads text and brackets.
func (s *scanner) pattern(pos, end int) (pattern, error) {
	var p pattern
	brackets := 0
	for pos < end {
		next := strings.IndexByte(s.src[pos:end], '[')
		if next < 0 {
			next = end - pos
		}
		if next > 0 {
			p = append(p, part{text: s.src[pos : pos+next]})
			pos += next
			continue
		}
		if brackets++; brackets > maxBrackets {
			return nil, s.errorf(pos, end, "", "more than %d brackets in one host", maxBrackets)
		}
		closing := pos + strings.IndexByte(s.src[pos:end], ']')
		items, err := s.items(pos+1, closing)
		if err != nil {
			return nil, err
		}
		p = append(p, part{items: items})
		pos = closing + 1
	}
	return p, nil
}

// lastOutside returns the index of the last c in text that is not in brackets, or -1.
func lastOutside(text string, c byte) int {
	for i := len(text) - 1; i >= 0; i-- {
		switch text[i] {
		case c:
			return i
		case ']':
			i = strings.LastIndexByte(text[:i], '[')
		}
	}
	return -1
}

// countOutside counts the bytes c in text that are not in brackets.
func countOutside(text string, c byte) int {
	n := 0
	for inside, i := false, 0; i < len(text); i++ {
		switch {
		case text[i] == '[':
			inside = true
		case text[i] == ']':
			inside = false
		case text[i] == c && !inside:
			n++
		}
	}
	return n
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

package hostlist

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxBrackets bounds the brackets of one operand, and with them the depth of calls
// when it is expanded.
const maxBrackets = 64

// wildcards are * for any text and ? for any character.
const wildcards = "*?"

// scanner reads an expression. All offsets are in src.
type scanner struct {
	src string
}

func (s *scanner) errorf(pos, end int, hint, format string, args ...any) error {
	return &SyntaxError{Expr: s.src, Pos: pos, End: end, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// kind is what an operand is.
type kind int

const (
	hosts  kind = iota
	parens      // an expression in parentheses
	group
	glob
	regex
	file
)

// operand is a part of an expression, with the operator in front of it.
type operand struct {
	op       byte // a comma for the first
	pos, end int
	kind     kind

	pattern pattern // hosts, globs, the names of groups
	source  string  // of a group, where it is named
	wild    bool    // the name of a group is a glob
	regexp  *regexp.Regexp
	file    string
	inner   []operand
}

const (
	operators = ",!&^"

	// maxDepth bounds the parentheses in each other.
	maxDepth = 64
)

// expr reads the whole expression.
func (s *scanner) expr() ([]operand, error) {
	if strings.Trim(s.src, blanks) == "" {
		return nil, s.errorf(0, len(s.src), "", "the expression is empty")
	}
	operands, end, err := s.list(0, 0)
	if err == nil && end < len(s.src) {
		return nil, s.errorf(end, end+1, "", "a closing parenthesis without an opening one")
	}
	return operands, err
}

// list reads operands with operators between them, as far as the end of the
// expression or a closing parenthesis.
func (s *scanner) list(pos, depth int) (operands []operand, end int, err error) {
	for op := byte(','); ; op = s.src[pos-1] {
		pos = s.skip(pos)
		o, err := s.operand(pos, depth, op, len(operands) == 0)
		if err != nil {
			return nil, 0, err
		}
		o.op = op
		operands = append(operands, o)
		pos = s.skip(o.end)
		switch {
		case pos == len(s.src) || s.src[pos] == ')':
			return operands, pos, nil
		case strings.IndexByte(operators, s.src[pos]) < 0:
			return nil, 0, s.errorf(pos, pos+1, "put , ! & or ^ in between", "an operator is missing")
		}
		pos++
	}
}

// operand reads one operand. Blanks around it are not part of it.
func (s *scanner) operand(pos, depth int, op byte, first bool) (operand, error) {
	switch rest := s.src[pos:]; {
	case rest == "" || rest[0] == ')' || rest[0] != '^' && strings.IndexByte(operators, rest[0]) >= 0:
		return operand{}, s.missing(pos, op, first)
	case rest[0] == '(':
		return s.parens(pos, depth)
	case rest[0] == '/':
		return s.regexp(pos)
	case rest[0] == '^':
		return s.file(pos)
	}
	end, err := s.operandEnd(pos)
	if err != nil {
		return operand{}, err
	}
	pos, end = s.trim(pos, end)
	o := operand{pos: pos, end: end, kind: hosts}
	wild := countOutside(s.src[pos:end], '*')+countOutside(s.src[pos:end], '?') > 0
	switch {
	case s.src[pos] == '@':
		o.kind, o.wild = group, wild
		o.source, o.pattern, err = s.group(pos+1, end)
	case wild:
		o.kind = glob
		if err = s.checkText(pos, end, wildcards); err == nil {
			o.pattern, err = s.pattern(pos, end)
		}
	default:
		o.pattern, err = s.hosts(pos, end)
	}
	return o, err
}

// missing is the error for an operand that is not there.
func (s *scanner) missing(pos int, op byte, first bool) error {
	atEnd := pos == len(s.src) || s.src[pos] == ')'
	switch {
	case first && atEnd:
		return s.errorf(pos, pos, "", "nothing in the parentheses")
	case op == ',' && atEnd:
		return s.errorf(pos, pos, "remove the comma", "no host after the last comma")
	case atEnd:
		return s.errorf(pos, pos, "", "no host after the operator %c", op)
	case s.src[pos] == ',':
		return s.errorf(pos, pos, "remove a comma", "no host before the comma")
	case first:
		return s.errorf(pos, pos+1, "say first from which hosts, as in web[1-9]!web3", "no host before the operator %c", s.src[pos])
	}
	return s.errorf(pos, pos+1, "remove one of them", "two operators, and no host in between")
}

func (s *scanner) parens(pos, depth int) (operand, error) {
	if depth == maxDepth {
		return operand{}, s.errorf(pos, pos+1, "", "more than %d parentheses in each other", maxDepth)
	}
	inner, end, err := s.list(pos+1, depth+1)
	if err != nil {
		return operand{}, err
	}
	if end == len(s.src) {
		return operand{}, s.errorf(pos, pos+1, "close it with )", "the parenthesis is not closed")
	}
	return operand{pos: pos, end: end + 1, kind: parens, inner: inner}, nil
}

// regexp reads /regexp/, in which \/ is a slash.
func (s *scanner) regexp(pos int) (operand, error) {
	end := pos + 1
	for ; end < len(s.src) && s.src[end] != '/'; end++ {
		if s.src[end] == '\\' {
			end++
		}
	}
	if end >= len(s.src) {
		return operand{}, s.errorf(pos, pos+1, "close it with /", "the regular expression is not closed")
	}
	text := s.src[pos+1 : end]
	if text == "" {
		return operand{}, s.errorf(pos, end+1, "write @* for all hosts", "an empty regular expression")
	}
	re, err := regexp.Compile(strings.ReplaceAll(text, `\/`, "/"))
	if err != nil {
		msg := err.Error()
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			msg = string(e.Code)
		}
		return operand{}, s.errorf(pos, end+1, "", "the regular expression cannot be read: %s", msg)
	}
	return operand{pos: pos, end: end + 1, kind: regex, regexp: re}, nil
}

// file reads ^file.
func (s *scanner) file(pos int) (operand, error) {
	end := len(s.src)
	if i := strings.IndexAny(s.src[pos+1:], operators+"()"); i >= 0 {
		end = pos + 1 + i
	}
	_, end = s.trim(pos, end)
	name := s.src[pos+1 : end]
	if name == "" {
		return operand{}, s.errorf(pos, pos+1, "write ^FILE", "no file after the ^")
	}
	if strings.ContainsRune(name, 0) {
		return operand{}, s.errorf(pos, end, "", "a file's name cannot hold a NUL byte")
	}
	return operand{pos: pos, end: end, kind: file, file: name}, nil
}

// group reads [source:]name, which stands behind an @.
func (s *scanner) group(pos, end int) (source string, name pattern, err error) {
	if err := s.checkText(pos, end, wildcards); err != nil {
		return "", nil, err
	}
	if i := strings.IndexByte(s.src[pos:end], ':'); i >= 0 && !strings.ContainsAny(s.src[pos:pos+i], "[") {
		source = s.src[pos : pos+i]
		switch {
		case source == "":
			return "", nil, s.errorf(pos, pos+1, "write @source:group, or @group for the default source", "no source before the colon")
		case strings.ContainsAny(source, wildcards+"@"):
			return "", nil, s.errorf(pos, pos+i, "", "the name of a source is written out")
		}
		pos += i + 1
	}
	if pos == end {
		return "", nil, s.errorf(pos, end, "write @group, or @* for all hosts", "no group after the @")
	}
	if i := strings.IndexByte(s.src[pos:end], '@'); i >= 0 {
		return "", nil, s.errorf(pos+i, pos+i+1, "", "the name of a group cannot hold an @")
	}
	name, err = s.pattern(pos, end)
	return source, name, err
}

const blanks = " \t\r\n"

// skip returns the place of the next character that is no blank.
func (s *scanner) skip(pos int) int {
	pos, _ = s.trim(pos, len(s.src))
	return pos
}

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

// operandEnd returns where the operand at pos ends: at an operator, a parenthesis or
// the end of the expression. It sees to it that brackets come in pairs.
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
		case open < 0 && strings.IndexByte(operators+"()", c) >= 0:
			return i, nil
		}
	}
	if open >= 0 {
		return 0, s.errorf(open, open+1, "close it with ]", "the bracket is not closed")
	}
	return len(s.src), nil
}

// hosts reads [user@]host[:port].
func (s *scanner) hosts(pos, end int) (pattern, error) {
	text := s.src[pos:end]
	if err := s.checkText(pos, end, ""); err != nil {
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

// checkText refuses characters that cannot be part of an operand, but those of besides.
func (s *scanner) checkText(pos, end int, besides string) error {
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
		case strings.ContainsRune(besides, r):
		case r == '{' || r == '}':
			return s.errorf(at, at+1, "write a range as [1-3]", "braces mean nothing here")
		case strings.ContainsRune("\"'`\\$;|<>#!&^()/*?", r):
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

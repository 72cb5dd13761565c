package hostlist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// maxLine bounds a line of a hosts file, in bytes.
const maxLine = 1 << 20

// ReadHosts reads a hosts file with the zero [Parser].
func ReadHosts(r io.Reader) iter.Seq2[string, error] { return Parser{}.ReadHosts(r) }

// ReadHosts reads a hosts file as pssh has it: on each line an expression and, behind
// a blank, the user for those of its hosts that name none. A # at the start of a line
// or behind a blank begins a comment, blank lines mean nothing, a line may end in
// CR LF, the file may begin with a byte order mark. The words that come out have the
// form that [Expr.All] gives, [user@]host[:port], in the order of the file.
//
// A line that cannot be read yields a [*LineError] with an empty word; the lines
// behind it are read all the same, so that a caller can report everything that is
// wrong. An error of r ends the sequence. Parser.Limit holds for each line. The file
// is read while the sequence is ranged over, which works once.
func (p Parser) ReadHosts(r io.Reader) iter.Seq2[string, error] {
	return readHosts(r, func(expr string) (iterable, error) { return p.Parse(expr) })
}

// iterable is an [*Expr] or a [*Set].
type iterable interface{ All() iter.Seq[string] }

func readHosts(r io.Reader, parse func(expr string) (iterable, error)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		n := 0
		for lines.Scan() {
			n++
			text := lines.Text()
			if n == 1 {
				text = strings.TrimPrefix(text, "\uFEFF")
			}
			if !readLine(n, text, parse, yield) {
				return
			}
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("longer than %d bytes", maxLine)
		}
		if err != nil {
			yield("", &LineError{Line: n + 1, Err: err})
		}
	}
}

// readLine yields the hosts of one line. It returns false when yield did.
func readLine(n int, text string, parse func(string) (iterable, error), yield func(string, error) bool) bool {
	expr, user, err := splitLine(text)
	if expr == "" && err == nil {
		return true
	}
	var e iterable
	if err == nil {
		e, err = parse(expr)
	}
	if err != nil {
		return yield("", &LineError{Line: n, Err: err})
	}
	for word := range e.All() {
		if user != "" && !strings.Contains(word, "@") {
			word = user + "@" + word
		}
		if !yield(word, nil) {
			return false
		}
	}
	return true
}

// splitLine returns the expression of a line and the user behind it.
func splitLine(text string) (expr, user string, err error) {
	if i := commentStart(text); i >= 0 {
		text = text[:i]
	}
	fields := strings.Fields(text)
	switch len(fields) {
	case 0:
		return "", "", nil
	case 1:
		return fields[0], "", nil
	case 2:
		user = fields[1]
		if err := checkLineUser(user); err != nil {
			return "", "", err
		}
		return fields[0], user, nil
	}
	return "", "", errors.New("more than a host and a user")
}

func commentStart(text string) int {
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			return i
		}
	}
	return -1
}

func checkLineUser(user string) error {
	s := scanner{src: user}
	if err := s.checkText(0, len(user), ""); err != nil {
		return err
	}
	if i := strings.IndexAny(user, ",:@"); i >= 0 {
		return s.errorf(i, i+1, "", "a user cannot hold the character %q", user[i])
	}
	return s.checkUser(0, len(user))
}

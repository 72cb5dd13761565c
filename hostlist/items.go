package hostlist

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDigits bounds the numbers of a range. A number on its own may be longer: it is
// only text.
const maxDigits = 18

// items reads what stands between brackets.
func (s *scanner) items(pos, end int) ([]item, error) {
	var items []item
	for ; pos <= end; pos++ {
		next := pos
		for next < end && s.src[next] != ',' {
			next++
		}
		i, err := s.item(s.trim(pos, next))
		if err != nil {
			return nil, err
		}
		items = append(items, i)
		pos = next
	}
	return items, nil
}

// item reads n, n-m, n-m/step, a or a-f.
func (s *scanner) item(pos, end int) (item, error) {
	text := s.src[pos:end]
	if text == "" {
		return item{}, s.errorf(pos, end, "", "an empty range")
	}
	if isDigits(text) || isLetter(text) {
		return item{text: text}, nil
	}
	if text[0] == '-' {
		return item{}, s.errorf(pos, end, "", "a range cannot begin with -")
	}
	bounds, step, stepped := strings.Cut(text, "/")
	from, to, isRange := strings.Cut(bounds, "-")
	from, to, step = trimBlanks(from), trimBlanks(to), trimBlanks(step)
	switch {
	case isRange && isLetter(from) && isLetter(to) && !stepped:
		return s.letters(pos, end, from[0], to[0])
	case isRange && isDigits(from) && isDigits(to):
		i, err := s.numbers(pos, end, from, to)
		if err == nil && stepped {
			i.step, err = s.step(pos, end, step)
		}
		return i, err
	case stepped && isDigits(from):
		return item{}, s.errorf(pos, end, "write [1-9/2]", "a step needs a range")
	}
	return item{}, s.badItem(pos, end)
}

// badItem is the error for an item that has none of the known forms, with a hint to
// those who come from other tools.
func (s *scanner) badItem(pos, end int) error {
	text := s.src[pos:end]
	hint := "write 1-5, 1-9/2 or a-f"
	for _, sep := range []string{"..", ":"} {
		if from, to, ok := strings.Cut(text, sep); ok && isDigits(from) && isDigits(to) {
			hint = fmt.Sprintf("write %s-%s", from, to)
		}
	}
	return s.errorf(pos, end, hint, "%q is not a range of numbers or letters", shorten(text))
}

func (s *scanner) letters(pos, end int, from, to byte) (item, error) {
	const lower = 'a' - 'A'
	switch {
	case from&lower != to&lower:
		return item{}, s.errorf(pos, end, "", "a range of letters keeps to one case")
	case from > to:
		return item{}, s.errorf(pos, end, fmt.Sprintf("write %c-%c", to, from), "the range counts down")
	}
	return item{from: uint64(from), to: uint64(to), step: 1, letters: true}, nil
}

func (s *scanner) numbers(pos, end int, from, to string) (item, error) {
	if len(from) > maxDigits || len(to) > maxDigits {
		return item{}, s.errorf(pos, end, "", "a number of more than %d digits", maxDigits)
	}
	i := item{from: number(from), to: number(to), step: 1}
	padded := isPadded(from) || isPadded(to)
	switch {
	case i.from > i.to:
		return item{}, s.errorf(pos, end, fmt.Sprintf("write %s-%s", to, from), "the range counts down")
	case padded && len(from) != len(to):
		width := max(len(from), len(to))
		hint := fmt.Sprintf("write %0*d-%0*d or %d-%d", width, i.from, width, i.to, i.from, i.to)
		return item{}, s.errorf(pos, end, hint, "the ends of a padded range differ in width")
	case padded:
		i.width = len(from)
	}
	return i, nil
}

func (s *scanner) step(pos, end int, text string) (uint64, error) {
	if !isDigits(text) || len(text) > maxDigits || number(text) == 0 {
		return 0, s.errorf(pos, end, "", "a step is a number from 1 on")
	}
	return number(text), nil
}

// number returns the value of at most maxDigits digits.
func number(digits string) uint64 {
	n, _ := strconv.ParseUint(digits, 10, 64)
	return n
}

func isPadded(digits string) bool { return len(digits) > 1 && digits[0] == '0' }

func isLetter(s string) bool {
	return len(s) == 1 && ('a' <= s[0] && s[0] <= 'z' || 'A' <= s[0] && s[0] <= 'Z')
}

func trimBlanks(s string) string { return strings.Trim(s, blanks) }

// shorten bounds text that an error shows.
func shorten(text string) string {
	if len(text) > 24 {
		return text[:24] + "…"
	}
	return text
}

package inventory

import (
	"errors"
	"strings"
)

// shellWords takes text apart as Python's shlex.split does: at blanks outside of
// quotes; a backslash keeps the next character, within double quotes only where that
// is a double quote or a backslash. With comments, a # outside of quotes ends it.
func shellWords(text string, comments bool) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '#' && comments:
			i = len(text)
		case c == '\\':
			if i++; i == len(text) {
				return nil, errors.New("nothing is behind the backslash")
			}
			word.WriteByte(text[i])
			inWord = true
		case c == '\'' || c == '"':
			inWord = true
			for i++; ; i++ {
				if i >= len(text) {
					return nil, errors.New("no closing quotation mark")
				}
				if text[i] == c {
					break
				}
				if c == '"' && text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\') {
					i++
				}
				word.WriteByte(text[i])
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

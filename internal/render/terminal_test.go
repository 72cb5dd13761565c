package render_test

import (
	"strings"
	"testing"
)

// terminal is a screen that understands what StatusLine needs: text, newline,
// carriage return, erase to the end of the line, and colours, which it drops.
// Both streams of a command write to it.
type terminal struct {
	t      *testing.T
	rows   []string // scrolled past
	line   []rune
	column int
	most   int // the most columns any row had
}

func (m *terminal) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b[K"):
			m.line = m.line[:m.column]
			text = text[len("\x1b[K"):]
			continue
		case strings.HasPrefix(text, "\x1b["):
			_, text, _ = strings.Cut(text, "m")
			continue
		}
		r := []rune(text)[0]
		text = strings.TrimPrefix(text, string(r))
		m.put(r)
	}
	return len(p), nil
}

func (m *terminal) put(r rune) {
	switch r {
	case '\n':
		m.rows = append(m.rows, string(m.line))
		m.line, m.column = nil, 0
	case '\r':
		m.column = 0
	case 0x1b:
		m.t.Error("an escape that no renderer should write")
	default:
		if m.column == len(m.line) {
			m.line = append(m.line, r)
		}
		m.line[m.column] = r
		m.column++
		m.most = max(m.most, len(m.line))
	}
}

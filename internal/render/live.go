package render

import (
	"strings"
	"time"
)

// Live shows every line as it arrives, as "host: text": standard output on
// standard output, standard error on standard error.
//
// The pieces of a long line are joined again where no other line came between
// them; a piece that had to begin anew is labelled "host:+ text".
type Live struct {
	Screen     *Screen
	NoLabels   bool // lines as the hosts wrote them
	Timestamps bool // the local time of day before each label

	start  time.Time
	pieces map[int]string // streams in the middle of a line, with the bytes of a torn rune
}

// Start implements [Renderer].
func (l *Live) Start(e Start) {
	l.start = e.Time
	l.Screen.exact = l.NoLabels
}

// Lines implements [Renderer].
func (l *Live) Lines(batch []Line) {
	for i := range batch {
		l.line(&batch[i])
	}
	l.Screen.flush()
}

// streamKey names one stream of one host.
func streamKey(index int, stderr bool) int {
	if stderr {
		return index<<1 | 1
	}
	return index << 1
}

func (l *Live) line(n *Line) {
	s, key := l.Screen, streamKey(n.Index, n.Stderr)
	text, goesOn := n.Text, false
	if n.Continued || len(l.pieces) > 0 {
		text, goesOn = l.piece(key, n)
	}
	to := toStdout
	if n.Stderr {
		to = toStderr
	}
	if !s.begin(to, key) {
		l.label(n, goesOn)
	}
	if s.Raw {
		s.buf = append(s.buf, text...)
	} else {
		s.buf = AppendSanitized(s.buf, text)
	}
	if n.Continued {
		s.leaveOpen(key)
	} else {
		s.buf = append(s.buf, '\n')
	}
	s.full()
}

// piece returns what of n can be shown now, and whether it goes on a line that
// is begun. A rune torn at the end of a piece waits for the next one, or it
// would be shown as bytes that are not UTF-8.
func (l *Live) piece(key int, n *Line) (text string, goesOn bool) {
	torn, goesOn := l.pieces[key]
	text = torn + n.Text
	if !n.Continued {
		delete(l.pieces, key)
		return text, goesOn
	}
	cut := len(text)
	if !l.Screen.Raw {
		cut -= tornRune(text)
	}
	if l.pieces == nil {
		l.pieces = make(map[int]string)
	}
	l.pieces[key] = strings.Clone(text[cut:])
	return text[:cut], goesOn
}

func (l *Live) label(n *Line, goesOn bool) {
	if l.NoLabels {
		return
	}
	s := l.Screen
	if l.Timestamps {
		s.buf = l.start.Add(n.T).AppendFormat(s.buf, "15:04:05.000 ")
	}
	color := ""
	switch {
	case n.Stderr && s.StderrColor:
		color = red
	case !n.Stderr && s.StdoutColor:
		color = labelColor(n.Index)
	}
	s.buf = append(s.buf, color...)
	s.buf = AppendSanitized(s.buf, n.Host)
	if goesOn {
		s.buf = append(s.buf, ":+"...)
	} else {
		s.buf = append(s.buf, ':')
	}
	if color != "" {
		s.buf = append(s.buf, resetColor...)
	}
	s.buf = append(s.buf, ' ')
}

// Exit implements [Renderer]. It shows the bytes of a rune that never became
// whole.
func (l *Live) Exit(e Exit) {
	for _, stderr := range []bool{false, true} {
		key := streamKey(e.Index, stderr)
		torn := l.pieces[key]
		delete(l.pieces, key)
		if len(torn) > 0 {
			l.rest(&Line{Host: e.Host, Index: e.Index, Stderr: stderr, T: e.T, Text: torn}, key)
		}
	}
}

func (l *Live) rest(n *Line, key int) {
	to := toStdout
	if n.Stderr {
		to = toStderr
	}
	if !l.Screen.begin(to, key) {
		l.label(n, true)
	}
	l.Screen.buf = AppendSanitized(l.Screen.buf, n.Text)
	l.Screen.leaveOpen(key)
	l.Screen.flush()
}

// End implements [Renderer].
func (l *Live) End(End) error {
	if !l.NoLabels {
		l.Screen.endLine()
	}
	return l.Screen.end()
}

// Package lines cuts bytes into lines, a batch at a time.
package lines

import (
	"bytes"
	"strings"
)

// MaxPiece is the longest piece of a line that is held back for its end.
const MaxPiece = 64 << 10

// Splitter cuts a stream into lines. The zero value is ready. Not safe for
// concurrent use.
type Splitter struct{ carry []byte }

// Add takes the next bytes of the stream and calls emit for each line that is
// whole, without its "\n" and one "\r" before it, which are its end. A line
// longer than MaxPiece comes in pieces, with continued set and no end on all but
// the last, and in the same ones however the stream was cut up. The texts of one
// call share their memory.
func (s *Splitter) Add(p []byte, emit func(text, end string, continued bool)) {
	end := bytes.LastIndexByte(p, '\n') + 1
	if end > 0 {
		whole := p[:end]
		if len(s.carry) > 0 {
			whole = append(s.carry, whole...)
			s.carry = whole[:0]
		}
		split(string(whole), emit)
	}
	s.carry = append(s.carry, p[end:]...)
	// A "\r" behind a piece may belong to the line's end.
	for len(s.carry) > MaxPiece && string(s.carry[MaxPiece:]) != "\r" {
		emit(string(s.carry[:MaxPiece]), "", true)
		s.carry = append(s.carry[:0], s.carry[MaxPiece:]...)
	}
}

func split(text string, emit func(text, end string, continued bool)) {
	for len(text) > 0 {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		end := "\n"
		if l, ok := strings.CutSuffix(line, "\r"); ok {
			line, end = l, "\r\n"
		}
		for len(line) > MaxPiece {
			emit(line[:MaxPiece], "", true)
			line = line[MaxPiece:]
		}
		emit(line, end, false)
	}
}

// Flush emits the last line where the stream ended without a "\n". It has no
// end.
func (s *Splitter) Flush(emit func(text, end string, continued bool)) {
	if len(s.carry) > MaxPiece {
		emit(string(s.carry[:MaxPiece]), "", true)
		s.carry = s.carry[MaxPiece:]
	}
	if len(s.carry) > 0 {
		emit(string(s.carry), "", false)
		s.carry = nil
	}
}

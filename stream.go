package shoal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"

	"github.com/shoal-ssh/shoal/internal/spool"
)

// Stream is one output of a running command. The output is taken from the
// network as it comes and kept, in bounded memory and beyond that in a
// temporary file, until it is read: live, later, in pieces, one stream after
// the other or both at once. Nothing is lost at a deadline. Safe for
// concurrent use.
type Stream struct {
	mu      sync.Mutex
	queue   spool.Queue
	end     error         // io.EOF, or why the output ended early
	changed chan struct{} // closed at the next change; nil while nobody waits

	decoder *encoding.Decoder // nil for UTF-8
	text    []byte            // decoded, not yet handed out
	scanned int               // of text, without a line end
	raw     []byte            // not yet decoded: part of a character
}

// MaxLine is the longest piece of a line that [Stream.Lines] yields, in bytes.
const MaxLine = 1 << 20

// ErrLineContinues comes with a piece of a line longer than [MaxLine]: the next
// piece goes on with the same line.
var ErrLineContinues = errors.New("line continues")

// write is the network's side.
func (s *Stream) write(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.queue.Write(p)
	s.wake()
	return err
}

// finish ends the stream: io.EOF, or the reason why there is less than there
// should be.
func (s *Stream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		s.end = err
	}
	s.wake()
}

func (s *Stream) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Read reads raw bytes. It blocks until there are some or the stream has ended:
// with [io.EOF], or the error for which the output is not whole. After Lines
// was used with an [Encoding], Read goes on with the decoded text.
func (s *Stream) Read(p []byte) (int, error) { return s.ReadContext(context.Background(), p) }

// ReadContext is Read that waits no longer than the context allows. A later
// call goes on where this one stopped.
func (s *Stream) ReadContext(ctx context.Context, p []byte) (int, error) {
	for len(p) > 0 {
		s.mu.Lock()
		n, err := s.take(p)
		wait := s.waitLocked(n, err)
		s.mu.Unlock()
		if wait == nil {
			return n, err
		}
		if err := waitFor(ctx, wait); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// waitLocked returns what to wait for where there was nothing.
func (s *Stream) waitLocked(n int, err error) <-chan struct{} {
	if n > 0 || err != nil {
		return nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func waitFor(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Stream) take(p []byte) (int, error) {
	for _, rest := range []*[]byte{&s.text, &s.raw} {
		if len(*rest) > 0 {
			n := copy(p, *rest)
			*rest, s.scanned = (*rest)[n:], 0
			return n, nil
		}
	}
	if s.queue.Len() > 0 {
		return s.queue.Read(p)
	}
	return 0, s.end
}

// Lines yields the lines as they come, decoded, without their "\n" and one
// "\r" before it; the last may have come without. An error ends the loop,
// except for [ErrLineContinues]: the context's cause, after which a later call
// goes on where this one stopped and with a line that was incomplete; or the
// error for which the output is not whole. The context bounds the reading
// only. Bytes that the encoding has not become U+FFFD, except in UTF-8, where
// they pass through.
func (s *Stream) Lines(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			line, _, wait, err := s.next()
			if wait != nil {
				err = waitFor(ctx, wait)
				if err == nil {
					continue
				}
			}
			switch {
			case err == io.EOF:
				return
			case err != nil && err != ErrLineContinues:
				yield("", err)
				return
			case !yield(line, err):
				return
			}
		}
	}
}

// next takes the next line and its end, or returns what to wait for.
func (s *Stream) next() (line, end string, wait <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line, end, err = s.line()
	if err == errNoLine {
		return "", "", s.waitLocked(0, nil), nil
	}
	return line, end, nil, err
}

var errNoLine = errors.New("no whole line yet")

// line takes the next line and its end from what is there.
func (s *Stream) line() (text, end string, err error) {
	for {
		if i := bytes.IndexByte(s.text[s.scanned:], '\n'); i >= 0 {
			n := s.scanned + i
			line := bytes.TrimSuffix(s.text[:n], []byte("\r"))
			if len(line) > MaxLine {
				return s.rest(MaxLine), "", ErrLineContinues
			}
			text, end = string(line), string(s.text[len(line):n+1])
			s.text, s.scanned = s.text[n+1:], 0
			return text, end, nil
		}
		s.scanned = len(s.text)
		// A "\r" behind a piece may belong to the line's end.
		if len(s.text) > MaxLine && string(s.text[MaxLine:]) != "\r" {
			return s.rest(MaxLine), "", ErrLineContinues
		}
		more, err := s.more()
		if err != nil {
			return "", "", err
		}
		if more {
			continue
		}
		if s.end == nil {
			return "", "", errNoLine
		}
		switch {
		case len(s.text) > MaxLine:
			return s.rest(MaxLine), "", ErrLineContinues
		case len(s.text) > 0:
			return s.rest(len(s.text)), "", nil
		}
		return "", "", s.end
	}
}

func (s *Stream) rest(n int) string {
	line := string(s.text[:n])
	s.text, s.scanned = s.text[n:], 0
	return line
}

// more decodes the next bytes into text.
func (s *Stream) more() (bool, error) {
	var chunk [16 << 10]byte
	n, err := s.queue.Read(chunk[:])
	if err != nil {
		return false, err
	}
	last := s.end != nil && s.queue.Len() == 0
	if n == 0 && !(last && len(s.raw) > 0) {
		return false, nil
	}
	if s.decoder == nil {
		s.text = append(s.text, chunk[:n]...)
		return true, nil
	}
	before := len(s.text)
	s.text, s.raw = decode(s.decoder, s.text, append(s.raw, chunk[:n]...), last)
	return len(s.text) > before || n > 0, nil
}

// decode appends what src holds of whole characters to dst and returns the rest.
func decode(d *encoding.Decoder, dst, src []byte, last bool) (text, rest []byte) {
	var buf [4 << 10]byte
	for {
		n, used, err := d.Transform(buf[:], src, last)
		dst, src = append(dst, buf[:n]...), src[used:]
		switch {
		case err == transform.ErrShortDst:
			continue
		case err == transform.ErrShortSrc && !last, err == nil && len(src) == 0:
			return dst, src
		case len(src) == 0:
			return dst, nil
		}
		// What no decoder takes must not stop the stream.
		dst, src = append(dst, "\uFFFD"...), src[1:]
	}
}

package scp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The statuses.
const (
	good    = 0
	warning = 1
	fatal   = 2
)

// peer is the other side.
type peer struct {
	in      *bufio.Reader
	out     io.Writer
	warned  *Refusal // the last warning
	started bool
}

// lastWords is the error of a write to who hears no more: what it said last.
func (p *peer) lastWords(err error) error {
	if err != io.ErrClosedPipe {
		return err
	}
	for {
		switch err := p.status().(type) {
		case nil:
		case *Refusal:
			return &Refusal{err.Text, true}
		default:
			return err
		}
	}
}

// line reads up to a newline.
func (p *peer) line() (string, error) {
	s, err := p.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return "", protocolErrorf("a line of more than %d bytes: %s", maxRecord, clip(string(s)))
	}
	if err == io.EOF && len(s) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", err
	}
	return string(s[:len(s)-1]), nil
}

// status reads a status.
func (p *peer) status() error {
	b, err := p.in.ReadByte()
	if err != nil {
		return p.ended(err)
	}
	return p.judge(b)
}

func (p *peer) judge(b byte) error {
	switch b {
	case good:
		return nil
	case warning, fatal:
		text, err := p.line()
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		r := &Refusal{Text: text, Fatal: b == fatal || err != nil}
		if !r.Fatal {
			p.warned = r
		}
		return r
	}
	first, _ := p.in.Peek(min(p.in.Buffered(), 80))
	return protocolErrorf("no status: %s", clip(string(b)+string(first)))
}

// ended is the error of an end that came too early. One behind a warning means
// that this was more than a warning.
func (p *peer) ended(err error) error {
	if err != io.EOF {
		return err
	}
	if p.warned != nil {
		return &Refusal{Text: p.warned.Text, Fatal: true}
	}
	return io.ErrUnexpectedEOF
}

// Source sends files to scp -t. Its methods wait for the answer. Where it is a
// [*Refusal] that is not Fatal the source may go on, without the file's content or
// with what comes after the directory. After any other error it must not.
type Source struct {
	peer
	left int64 // of the content
}

// NewSource returns a source on the output and the input of scp -t. A write that
// fails with [io.ErrClosedPipe] means that this reads no more: what it said last is
// then the error.
func NewSource(r io.Reader, w io.Writer) *Source {
	return &Source{peer: peer{in: bufio.NewReaderSize(r, maxRecord), out: w}}
}

func (s *Source) record(r Record) error {
	line, err := r.format()
	if err != nil {
		return err
	}
	if err := s.Begin(); err != nil {
		return err
	}
	if _, err := io.WriteString(s.out, line); err != nil {
		return s.lastWords(err)
	}
	return s.status()
}

// Begin waits until scp -t is ready. The other methods do so too.
func (s *Source) Begin() error {
	if s.started {
		return nil
	}
	s.started = true
	switch err := s.status().(type) {
	case *Refusal: // there is nothing to go on with
		return &Refusal{err.Text, true}
	default:
		return err
	}
}

// Times says the times, in whole seconds, of the file or directory that comes next.
func (s *Source) Times(mod, access time.Time) error {
	return s.record(Record{Kind: times, Mod: mod, Access: access})
}

// Dir begins a directory.
func (s *Source) Dir(name string, mode uint32) error {
	return s.record(Record{Kind: Dir, Name: name, Mode: mode})
}

// EndDir ends the directory that was begun last.
func (s *Source) EndDir() error { return s.record(Record{Kind: EndDir}) }

// File begins a file, whose content must be written next: exactly size bytes, and
// then [Source.End]. Who cannot must end the session, so that the other side sees
// that it is not whole.
func (s *Source) File(name string, mode uint32, size int64) error {
	if size < 0 {
		return errors.New("a file of unknown size")
	}
	if err := s.record(Record{Kind: File, Name: name, Mode: mode, Size: size}); err != nil {
		return err
	}
	s.left = size
	return nil
}

// Write sends content.
func (s *Source) Write(p []byte) (int, error) {
	if int64(len(p)) > s.left {
		return 0, fmt.Errorf("%d bytes more than the file's size", int64(len(p))-s.left)
	}
	n, err := s.out.Write(p)
	s.left -= int64(n)
	if err != nil {
		err = s.lastWords(err)
	}
	return n, err
}

// End ends the content.
func (s *Source) End() error {
	if s.left != 0 {
		return fmt.Errorf("%d bytes less than the file's size", s.left)
	}
	if _, err := s.out.Write([]byte{good}); err != nil {
		return s.lastWords(err)
	}
	return s.status()
}

// Sink receives files from scp -f. Each record of [Sink.Next] has to be answered:
// by [Sink.Content] or [Sink.Enter], or by [Sink.Refuse]. [EndDir] is not.
type Sink struct {
	peer
	depth int
	file  Record
}

// NewSink returns a sink on the output and the input of scp -f. A write that fails
// with [io.ErrClosedPipe] means that this reads no more: what it sent before is taken.
func NewSink(r io.Reader, w io.Writer) *Sink {
	return &Sink{peer: peer{in: bufio.NewReaderSize(r, maxRecord), out: w}}
}

// send answers. Who hears no more may have said something before.
func (k *Sink) send(s string) error {
	if _, err := io.WriteString(k.out, s); err != io.ErrClosedPipe {
		return err
	}
	return nil
}

// Next returns the next record, with its times if the source said them, and
// [io.EOF] at the end. After a [*Refusal] that is not Fatal, which is about a file
// that the source cannot send, others may come; after any other error none.
func (k *Sink) Next() (Record, error) {
	if !k.started {
		k.started = true
		if err := k.send("\x00"); err != nil {
			return Record{}, err
		}
	}
	var t Record
	for {
		first, err := k.in.Peek(1)
		if err != nil {
			if err == io.EOF && (k.depth > 0 || t.HasTimes) {
				err = io.ErrUnexpectedEOF
			}
			return Record{}, err
		}
		if first[0] == warning || first[0] == fatal {
			k.in.Discard(1)
			return Record{}, k.judge(first[0])
		}
		line, err := k.line()
		if err != nil {
			return Record{}, err
		}
		r, err := parse(line)
		switch {
		case err != nil:
			return r, err
		case r.Kind == times && !t.HasTimes:
			t = r
			if err := k.send("\x00"); err != nil {
				return Record{}, err
			}
			continue
		case r.Kind == times || r.Kind == EndDir && t.HasTimes:
			return Record{}, protocolErrorf("times of nothing")
		case r.Kind == EndDir:
			if k.depth == 0 {
				return Record{}, protocolErrorf("the end of a directory that was not begun")
			}
			k.depth--
			return r, k.send("\x00")
		}
		r.HasTimes, r.Mod, r.Access = t.HasTimes, t.Mod, t.Access
		k.file = r
		return r, nil
	}
}

// Enter takes the directory of the last record: what comes is in it, until its
// [EndDir].
func (k *Sink) Enter() error {
	k.depth++
	return k.send("\x00")
}

// Refuse refuses the last record; a directory is then left out with all that is in
// it, and has no [EndDir].
func (k *Sink) Refuse(why string) error {
	why = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, why)
	return k.send("\x01scp: " + why[:min(len(why), maxRecord-100)] + "\n")
}

// Content takes the file of the last record and gives its content to take, piece
// by piece; keep, where all came, makes of it what is to stay. A [*Refusal] says
// that the source could not read it all: it is then not kept, and the session can
// go on. After any other error, also one of take, it cannot.
func (k *Sink) Content(take func([]byte) error, keep func() error) error {
	if err := k.send("\x00"); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for left := k.file.Size; left > 0; {
		n, err := k.in.Read(buf[:min(left, int64(len(buf)))])
		if n > 0 {
			left -= int64(n)
			if err := take(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF && left > 0 {
			return &ShortError{k.file.Size - left, k.file.Size}
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	err := k.status()
	if r, ok := err.(*Refusal); ok && !r.Fatal {
		if err := k.send("\x00"); err != nil { // its words were heard
			return err
		}
		return r
	}
	if err != nil {
		return err
	}
	if err := keep(); err != nil {
		return &KeepError{errors.Join(k.Refuse("not kept")), err}
	}
	return k.send("\x00")
}

// KeepError is an error of keep, after which the session can go on unless there is
// one of sending, too.
type KeepError struct{ Sending, Err error }

func (e *KeepError) Error() string { return e.Err.Error() }
func (e *KeepError) Unwrap() error { return e.Err }

// ShortError is a content that ended too early. [errors.Is] finds
// [io.ErrUnexpectedEOF] in it.
type ShortError struct{ Got, Want int64 }

func (e *ShortError) Error() string {
	return fmt.Sprintf("ended after %d of %d bytes", e.Got, e.Want)
}

func (e *ShortError) Is(target error) bool { return target == io.ErrUnexpectedEOF }

package scp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind is the kind of a [Record].
type Kind byte

// The kinds.
const (
	File   Kind = 'C'
	Dir    Kind = 'D'
	EndDir Kind = 'E'
	times  Kind = 'T'
)

// maxRecord is the length of a record with its line end: OpenSSH's buffer.
const maxRecord = 2047

// Record says what comes next.
type Record struct {
	Kind Kind
	Mode uint32 // permissions, setuid, setgid and sticky bits: at most 07777
	Size int64  // of a file's content
	Name string // without a slash, and neither empty, "." nor ".."

	HasTimes    bool // the source said Mod and Access
	Mod, Access time.Time
}

// parse reads a record, without its line end.
func parse(line string) (Record, error) {
	if line == "" {
		return Record{}, protocolErrorf("an empty record")
	}
	r, rest := Record{Kind: Kind(line[0])}, line[1:]
	switch r.Kind {
	case File, Dir:
		return r.parseEntry(rest)
	case times:
		return r.parseTimes(rest)
	case EndDir:
		if rest == "" {
			return r, nil
		}
	}
	return Record{}, protocolErrorf("no record: %s", clip(line))
}

// parseEntry reads "MODE SIZE NAME".
func (r Record) parseEntry(rest string) (Record, error) {
	mode, rest, ok1 := strings.Cut(rest, " ")
	size, name, ok2 := strings.Cut(rest, " ")
	m, err1 := number(mode, 8, 12)
	n, err2 := number(size, 10, 63)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || len(mode) < 4 {
		return Record{}, protocolErrorf("a record without mode, size and name: %s", clip(string(byte(r.Kind))+mode+" "+rest))
	}
	if err := CheckName(name); err != nil {
		return Record{}, protocolErrorf("%w", err)
	}
	r.Mode, r.Size, r.Name = uint32(m), n, name
	return r, nil
}

// parseTimes reads "MTIME MICROSECONDS ATIME MICROSECONDS".
func (r Record) parseTimes(rest string) (Record, error) {
	fields := strings.Split(rest, " ")
	if len(fields) != 4 {
		return Record{}, protocolErrorf("no times: %s", clip(rest))
	}
	var n [4]int64
	for i, f := range fields {
		var err error
		if n[i], err = number(f, 10, 40); err != nil || i%2 == 1 && n[i] > 999999 {
			return Record{}, protocolErrorf("no times: %s", clip(rest))
		}
	}
	r.HasTimes, r.Mod, r.Access = true, time.Unix(n[0], n[1]*1000), time.Unix(n[2], n[3]*1000)
	return r, nil
}

// number reads digits and nothing else.
func number(s string, base, bits int) (int64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, base, bits)
	return int64(n), err
}

// format returns the record as a line, or an error for one that cannot be sent.
func (r Record) format() (string, error) {
	var line string
	switch r.Kind {
	case EndDir:
		return "E\n", nil
	case times:
		// Times before 1970 cannot be said, nor be parsed by OpenSSH.
		return fmt.Sprintf("T%d 0 %d 0\n", max(r.Mod.Unix(), 0), max(r.Access.Unix(), 0)), nil
	}
	if err := CheckName(r.Name); err != nil {
		return "", err
	}
	line = fmt.Sprintf("%c%04o %d %s\n", r.Kind, r.Mode&0o7777, r.Size, r.Name)
	if len(line) > maxRecord {
		return "", errors.New("the name is too long for SCP")
	}
	return line, nil
}

// CheckName reports why a name cannot be that of a file in a directory, or
// cannot be sent: a newline would end the record.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Errorf("%q is no file's name", name)
	case len(name) > 255:
		return fmt.Errorf("a name of %d bytes is too long", len(name))
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%s is no file's name", clip(name))
	case strings.Contains(name, "\n"):
		return fmt.Errorf("SCP cannot send a name with a newline: %s", clip(name))
	}
	return nil
}

// clip quotes the beginning of what the other side sent.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// ProtocolError is about what no scp says. The session cannot go on.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "scp: the server sent " + e.Err.Error() }
func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Errorf(format, args...)}
}

// Refusal is an error that the other side told. Unless it is Fatal, the session
// goes on with the next file.
type Refusal struct {
	Text  string // the other side's words, untrusted
	Fatal bool
}

// Error returns the other side's words in one line, quoted where they have
// control characters.
func (e *Refusal) Error() string {
	text := strings.TrimSpace(e.Text)
	if text == "" {
		return "scp refused, and did not say why"
	}
	if q := strconv.QuoteToGraphic(text); q != `"`+text+`"` {
		return q
	}
	return text
}

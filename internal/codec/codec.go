// Package codec finds text encodings by name: the names and aliases of Python's
// codecs, and those of the IANA registry, all meaning what Python 3.11 means by them.
//
// The tables of golang.org/x/text are those of the WHATWG, in which many names stand
// for something wider: latin1 for windows-1252, gb2312 for gbk, shift_jis for cp932.
// Its name indexes are therefore not used, and where a table has more or other
// characters than the encoding's own, the difference is taken out again.
//
// Decoders put U+FFFD for bytes that mean nothing. Encoders report characters that
// the encoding does not have, and other bytes than UTF-8, as errors.
package codec

//go:generate python3 gen.py

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// Lookup returns the encoding that name stands for. Upper and lower case are alike,
// and so are blanks, hyphens, underscores and other punctuation. The error is an
// [*Error].
//
// utf_16 and utf_32 read a byte order mark and write one; without one they are little
// endian. utf_8 and the others keep a mark as a character, utf_8_sig does not.
//
// The first decoder or encoder of a multi-byte encoding takes a few milliseconds to
// make, so that an encoding is best looked up once. It is safe for concurrent use; its
// decoders and encoders, which hold the state of one stream, are not.
func Lookup(name string) (encoding.Encoding, error) {
	key := normalize(name)
	if codec, _, ok := find(known, key); ok {
		return open(codec), nil
	}
	if _, instead, ok := find(refused, key); ok {
		return nil, &Error{Name: name, Known: true, Try: strings.Fields(instead)}
	}
	return nil, &Error{Name: name, Try: suggest(key)}
}

// Names returns the names of all encodings, sorted, without their aliases.
func Names() []string {
	var names []string
	for line := range strings.Lines(known) {
		if fields := strings.Fields(line); len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	return names
}

// Error is a name for which there is no encoding.
type Error struct {
	// Name is what was looked up.
	Name string
	// Known says that Python has a codec of this name, and this package has not.
	Known bool
	// Try are names to use instead; there may be none.
	Try []string
}

// Error returns one line with the names to try.
func (e *Error) Error() string {
	name := e.Name
	if len(name) > 40 {
		name = name[:40] + "…"
	}
	try := strings.Join(e.Try, " or ")
	switch {
	case e.Known:
		return fmt.Sprintf("encoding %q is not supported: use %s", name, try)
	case try != "":
		return fmt.Sprintf("unknown encoding %q: did you mean %s?", name, try)
	}
	return fmt.Sprintf("unknown encoding %q", name)
}

// open returns the encoding of a name of the table known.
func open(name string) encoding.Encoding {
	switch name {
	case "utf_8":
		return unicode.UTF8
	case "utf_8_sig":
		return unicode.UTF8BOM
	case "utf_16":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf_16_le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf_16_be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case "utf_32":
		return utf32{name: name, mark: true}
	case "utf_32_le":
		return utf32{name: name}
	case "utf_32_be":
		return utf32{name: name, big: true}
	case "cp932":
		return japanese.ShiftJIS
	case "cp949":
		return korean.EUCKR
	case "gbk":
		return simplifiedchinese.GBK
	case "gb18030":
		return simplifiedchinese.GB18030
	case "iso2022_jp":
		return newISO2022JP()
	case "hz":
		return newHZ()
	}
	if t := singleByte(name); t != "" {
		return newCharmap(name, t)
	}
	return newMultibyte(name)
}

// find returns the first name on the line of table that has key among its names, and
// what stands behind the colon of that line.
func find(table, key string) (name, rest string, ok bool) {
	for line := range strings.Lines(table) {
		names, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(names); slices.Contains(fields, key) {
			return fields[0], rest, true
		}
	}
	return "", "", false
}

// normalize brings a name into the form of the tables, as Python does: lower case, and
// one underscore for anything between letters, digits and full stops.
func normalize(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
	return strings.Join(words, "_")
}

package krb5file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Principal is a name in a realm: "alice@EXAMPLE.COM" or
// "host/web.example.com@EXAMPLE.COM".
type Principal struct {
	Type  int32 // RFC 4120 §6.2
	Name  []string
	Realm string
}

// String gives the name in its usual form.
func (p Principal) String() string {
	s := strings.Join(p.Name, "/")
	if p.Realm != "" {
		s += "@" + p.Realm
	}
	return s
}

// Equal reports whether the two are the same, whatever their types.
func (p Principal) Equal(q Principal) bool { return p.String() == q.String() }

// ParsePrincipal reads "name[/instance][@realm]". Backslashes are not taken as
// escapes: no principal of a person or host has them.
func ParsePrincipal(text string) (Principal, error) {
	name, realm, ok := strings.Cut(text, "@")
	p := Principal{Type: 1, Name: strings.Split(name, "/"), Realm: realm}
	for _, part := range p.Name {
		if part == "" || ok && realm == "" || strings.ContainsAny(text, "\\\x00\n") || strings.Contains(realm, "@") {
			return Principal{}, fmt.Errorf("%q is not a principal such as alice or alice@EXAMPLE.COM", text)
		}
	}
	return p, nil
}

// Key is an encryption key, RFC 4120 §5.2.9.
type Key struct {
	Type  int32
	Value []byte
}

var errTruncated = errors.New("truncated")

// bytes reads numbers and lengths off the front of a slice; after a failure
// everything is zero.
type parser struct {
	b   []byte
	err error
}

func (p *parser) take(n uint32) []byte {
	if p.err != nil || uint64(n) > uint64(len(p.b)) {
		p.err, p.b = errTruncated, nil
		return nil
	}
	taken := p.b[:n:n]
	p.b = p.b[n:]
	return taken
}

func (p *parser) uint8() uint8 {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint16() uint16 {
	if b := p.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (p *parser) uint32() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parser) data() []byte { return p.take(p.uint32()) }

// time is in seconds since 1970; MIT takes what would be before it for the
// years after 2038.
func (p *parser) time() time.Time {
	n := p.uint32()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

package krb5file

import (
	"errors"
	"fmt"
)

// Keytab is what is in a keytab file.
type Keytab []KeytabEntry

// KeytabEntry is one key of a principal.
type KeytabEntry struct {
	Principal Principal
	Version   uint32 // the key's
	Key       Key
}

// ParseKeytab reads a keytab of version 2, which all have been since 1996.
func ParseKeytab(file []byte) (Keytab, error) {
	p := &parser{b: file}
	if p.uint8() != 5 || p.uint8() != 2 {
		return nil, errors.New("not a keytab of version 2")
	}
	var k Keytab
	for len(p.b) > 0 && p.err == nil {
		n := int32(p.uint32())
		if n < 0 { // a hole
			p.take(uint32(-int64(n)))
			continue
		}
		if n == 0 {
			break // as in a file of zeroes
		}
		entry := &parser{b: p.take(uint32(n))}
		e := entry.keytabEntry()
		if p.err == nil {
			p.err = entry.err
		}
		k = append(k, e)
	}
	if p.err != nil {
		return nil, fmt.Errorf("keytab: %w", p.err)
	}
	return k, nil
}

func (p *parser) keytabEntry() KeytabEntry {
	var e KeytabEntry
	n := p.uint16()
	e.Principal.Realm = string(p.shortData())
	for ; n > 0 && p.err == nil; n-- {
		e.Principal.Name = append(e.Principal.Name, string(p.shortData()))
	}
	e.Principal.Type = int32(p.uint32())
	p.uint32() // when it was written
	e.Version = uint32(p.uint8())
	e.Key = Key{Type: int32(int16(p.uint16())), Value: p.shortData()}
	if len(p.b) >= 4 {
		if v := p.uint32(); v != 0 {
			e.Version = v
		}
	}
	return e
}

func (p *parser) shortData() []byte { return p.take(uint32(p.uint16())) }

// Find returns the newest key of that type, or nil.
func (k Keytab) Find(client Principal, keyType int32) *KeytabEntry {
	var best *KeytabEntry
	for i := range k {
		e := &k[i]
		if e.Principal.Equal(client) && e.Key.Type == keyType && (best == nil || e.Version >= best.Version) {
			best = e
		}
	}
	return best
}

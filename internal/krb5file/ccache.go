package krb5file

import (
	"errors"
	"fmt"
	"time"
)

// Cache is a credential cache.
type Cache struct {
	Client  Principal // whose tickets these are
	Tickets []Ticket
}

// Ticket is a ticket with its session key.
type Ticket struct {
	Client, Server Principal
	Key            Key
	Auth           time.Time // when the client proved who it is
	Start          time.Time // zero: Auth
	End            time.Time
	RenewTill      time.Time // zero: not renewable
	Flags          uint32    // RFC 4120 §5.3, bit 0 the highest
	Encoded        []byte    // the ticket itself, ASN.1
}

// ParseCache reads a credential cache in a file of version 3 or 4, which MIT
// Kerberos and Heimdal have written since 1996. Entries of configuration are
// left out.
func ParseCache(file []byte) (*Cache, error) {
	p := &parser{b: file}
	magic, version := p.uint8(), p.uint8()
	if magic != 5 || version != 3 && version != 4 {
		return nil, errors.New("not a credential cache of version 3 or 4")
	}
	if version == 4 {
		p.take(uint32(p.uint16())) // the clock's offset to the KDC's
	}
	c := &Cache{Client: p.principal()}
	for len(p.b) > 0 && p.err == nil {
		t := p.ticket(version)
		if t.Server.Realm != "X-CACHECONF:" {
			c.Tickets = append(c.Tickets, t)
		}
	}
	if p.err != nil {
		return nil, fmt.Errorf("credential cache: %w", p.err)
	}
	return c, nil
}

func (p *parser) principal() Principal {
	r := Principal{Type: int32(p.uint32())}
	n := p.uint32()
	r.Realm = string(p.data())
	for ; n > 0 && p.err == nil; n-- {
		r.Name = append(r.Name, string(p.data()))
	}
	return r
}

func (p *parser) ticket(version uint8) Ticket {
	t := Ticket{Client: p.principal(), Server: p.principal()}
	t.Key.Type = int32(int16(p.uint16()))
	if version == 3 {
		p.uint16() // again
	}
	t.Key.Value = p.data()
	t.Auth, t.Start, t.End, t.RenewTill = p.time(), p.time(), p.time(), p.time()
	p.uint8() // for user-to-user authentication
	t.Flags = p.uint32()
	for range 2 { // addresses, then authorization data: a type and bytes each
		for n := p.uint32(); n > 0 && p.err == nil; n-- {
			p.uint16()
			p.data()
		}
	}
	t.Encoded = p.data()
	p.data() // the second ticket of user-to-user authentication
	return t
}

package krb5file

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// writer makes files of these formats, for tests.
type writer []byte

func (w *writer) data(s string) {
	*w = append(binary.BigEndian.AppendUint32(*w, uint32(len(s))), s...)
}

func (w *writer) shortData(s string) {
	*w = append(binary.BigEndian.AppendUint16(*w, uint16(len(s))), s...)
}

func (w *writer) numbers(n ...uint32) {
	for _, n := range n {
		*w = binary.BigEndian.AppendUint32(*w, n)
	}
}

func (w *writer) principal(name ...string) {
	w.numbers(1, uint32(len(name)-1))
	w.data(name[0])
	for _, n := range name[1:] {
		w.data(n)
	}
}

func (w *writer) ticket(version byte, realm, service string) {
	w.principal("R", "alice")
	w.principal(realm, "host", service)
	*w = append(*w, 0, 18)
	if version == 3 {
		*w = append(*w, 0, 18)
	}
	w.data("session key")
	w.numbers(1000, 0, 3000, 4000)
	*w = append(*w, 0)
	w.numbers(0x40000000, 1)
	*w = append(*w, 0, 2)
	w.data("addr")
	w.numbers(0)
	w.data("ticket of " + service)
	w.data("")
}

func cacheFile(version byte) []byte {
	w := writer{5, version}
	if version == 4 {
		w = append(w, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	w.principal("R", "alice")
	w.ticket(version, "X-CACHECONF:", "conf")
	w.ticket(version, "R", "web")
	return w
}

func keytabFile() []byte {
	w := writer{5, 2}
	entry := func(version uint32, name string, hole int) {
		e := writer{0, 1}
		e.shortData("R")
		e.shortData(name)
		e.numbers(1, 1000)
		e = append(e, byte(version), 0, 18)
		e.shortData("key of " + name)
		if version > 255 {
			e.numbers(version)
		}
		w.numbers(uint32(len(e)))
		w = append(w, e...)
		if hole > 0 {
			w.numbers(uint32(-hole))
			w = append(w, make([]byte, hole)...)
		}
	}
	entry(3, "alice", 7)
	entry(300, "alice", 0)
	entry(4, "bob", 0)
	return w
}

func TestCache(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{3, 4} {
		file := cacheFile(version)
		c, err := ParseCache(file)
		if err != nil {
			t.Fatal(err)
		}
		if c.Client.String() != "alice@R" || len(c.Tickets) != 1 {
			t.Fatalf("version %d: got %+v", version, c)
		}
		k := c.Tickets[0]
		if k.Server.String() != "host/web@R" || k.Key.Type != 18 || string(k.Key.Value) != "session key" || string(k.Encoded) != "ticket of web" ||
			!k.Auth.Equal(time.Unix(1000, 0)) || !k.Start.IsZero() || !k.End.Equal(time.Unix(3000, 0)) || k.Flags != 0x40000000 {
			t.Errorf("version %d: got %+v", version, k)
		}
		whole := 0
		for n := range file {
			if _, err := ParseCache(file[:n]); err == nil {
				whole++ // between two tickets
			}
		}
		if whole != 2 {
			t.Errorf("version %d: %d beginnings of the file were taken for whole", version, whole)
		}
	}
	// Counts and lengths that promise more than there is.
	for _, file := range []string{"", "\x05", "\x05\x02", "\x05\x04\xff\xff", "\x05\x03\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00\x00\x00",
		"\x05\x03\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff"} {
		if _, err := ParseCache([]byte(file)); err == nil {
			t.Errorf("%q was taken for a cache", file)
		}
	}
}

func TestKeytab(t *testing.T) {
	t.Parallel()
	file := keytabFile()
	k, err := ParseKeytab(file)
	if err != nil || len(k) != 3 {
		t.Fatalf("got %+v, %v", k, err)
	}
	alice, err := ParsePrincipal("alice@R")
	if err != nil {
		t.Fatal(err)
	}
	if e := k.Find(alice, 18); e == nil || e.Version != 300 || string(e.Key.Value) != "key of alice" {
		t.Errorf("got %+v, want the newest key", e)
	}
	if e := k.Find(alice, 17); e != nil {
		t.Errorf("got %+v for another type", e)
	}
	for _, file := range []string{"", "\x05\x01", "\x05\x02\x00\x00\x00\x05abc", "\x05\x02\x00\x00\x00\x02\xff\xff", "\x05\x02\x80\x00\x00\x00"} {
		if _, err := ParseKeytab([]byte(file)); err == nil {
			t.Errorf("%q was taken for a keytab", file)
		}
	}
	if k, err := ParseKeytab([]byte("\x05\x02\x00\x00\x00\x00")); err != nil || len(k) != 0 {
		t.Errorf("got %v, %v for an empty one", k, err)
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"alice", "alice@R", "host/web.example.com@EXAMPLE.COM"} {
		if p, err := ParsePrincipal(text); err != nil || p.String() != text {
			t.Errorf("%q: got %q, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "@", "a@", "@R", "a//b", "/", "a@b@c", "a\x00", `a\@b`} {
		if p, err := ParsePrincipal(text); err == nil {
			t.Errorf("%q: got %q", text, p)
		} else if !strings.Contains(err.Error(), "not a principal") {
			t.Error(err)
		}
	}
}

func FuzzCache(f *testing.F) {
	f.Add(cacheFile(3))
	f.Add(cacheFile(4))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := ParseCache(file)
		if err != nil {
			return
		}
		for _, k := range c.Tickets {
			if len(k.Encoded)+len(k.Key.Value) > len(file) || len(k.Server.Name) > len(file) {
				t.Error("more than there is")
			}
		}
	})
}

func FuzzKeytab(f *testing.F) {
	f.Add(keytabFile())
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := ParseKeytab(file)
		if err == nil && len(k) > 0 && k.Find(k[0].Principal, k[0].Key.Type) == nil {
			t.Error("the first key is not found")
		}
	})
}

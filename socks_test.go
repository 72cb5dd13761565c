package shoal

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// A request is read up to its end and no further: what follows is the target's,
// and nothing less is a request.
func FuzzReadSOCKS(f *testing.F) {
	for _, seed := range []string{
		"", "G", "\x05", "\x05\x01\x02",
		"\x05\x01\x00" + "\x05\x01\x00\x03\x02ok\x00\x50" + "GET /",
		"\x05\x02\x02\x00" + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
		"\x05\x01\x00" + "\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x50",
		"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00" + "GET /",
		"\x04\x01\x00\x50\x00\x00\x00\x01\x00ok\x00",
	} {
		f.Add([]byte(seed))
	}
	read := func(t *testing.T, b []byte) (addr string, used int, err error) {
		r := bytes.NewReader(b)
		addr, answer, err := readSOCKS(struct {
			io.Reader
			io.Writer
		}{r, io.Discard})
		if err == nil && (len(answer(nil)) == 0 || bytes.Equal(answer(nil), answer(errors.New("failed")))) {
			t.Errorf("%q: success and failure are answered alike", b)
		}
		return addr, len(b) - r.Len(), err
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, used, err := read(t, b)
		if err != nil {
			return
		}
		if again, n, err := read(t, b[:used]); again != addr || n != used || err != nil {
			t.Errorf("%q: %q and %d bytes, but alone %q, %d, %v", b, addr, used, again, n, err)
		}
		if short, _, err := read(t, b[:used-1]); err == nil {
			t.Errorf("%q: a byte less is a request for %q", b[:used], short)
		}
	})
}

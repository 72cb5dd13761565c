package sftp

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// Types of packets (draft-ietf-secsh-filexfer-02 §3).
const (
	typeInit          = 1
	typeVersion       = 2
	typeOpen          = 3
	typeClose         = 4
	typeRead          = 5
	typeWrite         = 6
	typeLstat         = 7
	typeFstat         = 8
	typeSetstat       = 9
	typeFsetstat      = 10
	typeOpendir       = 11
	typeReaddir       = 12
	typeRemove        = 13
	typeMkdir         = 14
	typeRmdir         = 15
	typeRealpath      = 16
	typeStat          = 17
	typeRename        = 18
	typeReadlink      = 19
	typeSymlink       = 20
	typeStatus        = 101
	typeHandle        = 102
	typeData          = 103
	typeName          = 104
	typeAttributes    = 105
	typeExtended      = 200
	typeExtendedReply = 201
)

const (
	version = 3
	// maxPacket is the longest packet taken, as of OpenSSH's client and server.
	maxPacket = 256 << 10
	// maxHandle is the longest handle (draft-ietf-secsh-filexfer-02 §6.2).
	maxHandle = 256
)

// ProtocolError says how the server broke the protocol; the session is over.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "the server broke the SFTP protocol: " + e.Reason }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Sprintf(format, args...)}
}

// header is the room before a request's fields: length, type, id.
const header = 9

// request is a packet being made.
type request []byte

func newRequest(kind byte) request {
	r := make(request, header, 64)
	r[4] = kind
	return r
}

func (r request) uint32(n uint32) request { return binary.BigEndian.AppendUint32(r, n) }
func (r request) uint64(n uint64) request { return binary.BigEndian.AppendUint64(r, n) }
func (r request) string(s string) request { return append(r.uint32(uint32(len(s))), s...) }

// finish fills in the header; data follows the request as a string's content.
func (r request) finish(id uint32, data int) {
	binary.BigEndian.PutUint32(r, uint32(len(r)-4+data))
	binary.BigEndian.PutUint32(r[5:], id)
}

// fields takes an answer apart. The first thing that is missing is noted, and
// all after it is zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n > len(f.rest) {
		f.bad = true
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (f *fields) string() string {
	n := f.uint32()
	if uint64(n) > uint64(len(f.rest)) {
		f.bad = true
		return ""
	}
	return string(f.take(int(n)))
}

// end returns an error unless all was there and nothing more.
func (f *fields) end(what string) error {
	switch {
	case f.bad:
		return protocolErrorf("%s that is cut short", what)
	case len(f.rest) > 0:
		return protocolErrorf("%d bytes too many in %s", len(f.rest), what)
	}
	return nil
}

// clip bounds and quotes text of the server.
func clip(s string) string {
	const limit = 200
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

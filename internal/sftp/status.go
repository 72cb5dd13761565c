package sftp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Code is the code of a [Status] (draft-ietf-secsh-filexfer-02 §7).
type Code uint32

// The codes.
const (
	OK               Code = 0
	EOF              Code = 1
	NoSuchFile       Code = 2
	PermissionDenied Code = 3
	Failure          Code = 4
	BadMessage       Code = 5
	NoConnection     Code = 6
	ConnectionLost   Code = 7
	Unsupported      Code = 8
)

var codeText = [...]string{"ok", "end of file", "no such file", "permission denied", "failure",
	"bad message", "no connection", "connection lost", "operation not supported"}

func (c Code) String() string {
	if int(c) < len(codeText) {
		return codeText[c]
	}
	return fmt.Sprintf("status %d", uint32(c))
}

// Status is a server's answer that a request failed. [errors.Is] finds
// [fs.ErrNotExist], [fs.ErrPermission], [io.EOF] and [errors.ErrUnsupported] in
// it.
type Status struct {
	Code    Code
	Message string // the server's words, untrusted
}

// Error gives the code in words, and what the server said where that is more.
func (s *Status) Error() string {
	if s.Message == "" || usual[s.Message] {
		return s.Code.String()
	}
	return s.Code.String() + ": " + clip(s.Message)
}

// usual are the messages of OpenSSH, which say no more than the code.
var usual = map[string]bool{"Success": true, "End of file": true, "No such file": true, "Permission denied": true,
	"Failure": true, "Bad message": true, "No connection": true, "Connection lost": true, "Operation unsupported": true}

// Is reports whether target stands for the code.
func (s *Status) Is(target error) bool {
	switch s.Code {
	case EOF:
		return target == io.EOF
	case NoSuchFile:
		return target == fs.ErrNotExist
	case PermissionDenied:
		return target == fs.ErrPermission
	case Unsupported:
		return target == errors.ErrUnsupported
	}
	return false
}

// parseStatus returns nil for OK. Servers of version 2 and before leave the
// message out, others the language.
func parseStatus(body []byte) error {
	f := fields{rest: body}
	s := &Status{Code: Code(f.uint32())}
	if f.bad {
		return protocolErrorf("a status without a code")
	}
	if len(f.rest) > 0 {
		s.Message = f.string()
	}
	if len(f.rest) > 0 && !f.bad {
		f.string()
	}
	if err := f.end("a status"); err != nil {
		return err
	}
	if s.Code == OK {
		return nil
	}
	return s
}

package sftp

import (
	"io/fs"
	"time"
)

// Flags say which fields of [Attributes] are there.
type Flags uint32

// The flags (draft-ietf-secsh-filexfer-02 §5).
const (
	HasSize        Flags = 0x00000001
	HasOwner       Flags = 0x00000002
	HasPermissions Flags = 0x00000004
	HasTimes       Flags = 0x00000008
	hasExtended    Flags = 0x80000000
)

// Attributes describe a file. Only the fields that Flags names count.
type Attributes struct {
	Flags       Flags
	Size        uint64
	UID, GID    uint32
	Permissions uint32 // as st_mode of POSIX, with the type
	Access, Mod uint32 // seconds since 1970
}

// Types of files in Permissions, as of POSIX.
const (
	typeMask   = 0o170000
	typeSocket = 0o140000
	typeLink   = 0o120000
	typeFile   = 0o100000
	typeBlock  = 0o060000
	typeDir    = 0o040000
	typeChar   = 0o020000
	typeFIFO   = 0o010000
)

// Mode returns the permissions as Go has them; [fs.ModeIrregular] where the
// server did not say what kind of file it is.
func (a Attributes) Mode() fs.FileMode {
	mode := fs.FileMode(a.Permissions & 0o777)
	if a.Flags&HasPermissions == 0 {
		return fs.ModeIrregular
	}
	switch a.Permissions & typeMask {
	case typeFile:
	case typeDir:
		mode |= fs.ModeDir
	case typeLink:
		mode |= fs.ModeSymlink
	case typeFIFO:
		mode |= fs.ModeNamedPipe
	case typeSocket:
		mode |= fs.ModeSocket
	case typeChar:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case typeBlock:
		mode |= fs.ModeDevice
	default:
		mode |= fs.ModeIrregular
	}
	for _, b := range specialBits {
		if a.Permissions&b.posix != 0 {
			mode |= b.mode
		}
	}
	return mode
}

var specialBits = []struct {
	posix uint32
	mode  fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

// SetMode sets the permissions, without the type.
func (a *Attributes) SetMode(mode fs.FileMode) {
	a.Flags |= HasPermissions
	a.Permissions = uint32(mode.Perm())
	for _, b := range specialBits {
		if mode&b.mode != 0 {
			a.Permissions |= b.posix
		}
	}
}

// ModTime returns when the content was last changed, in whole seconds.
func (a Attributes) ModTime() time.Time { return time.Unix(int64(a.Mod), 0) }

// SetTimes sets both times. Version 3 has unsigned 32 bits of seconds.
func (a *Attributes) SetTimes(access, mod time.Time) {
	a.Flags |= HasTimes
	a.Access, a.Mod = seconds(access), seconds(mod)
}

func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), 1<<32-1)) }

func (r request) attributes(a Attributes) request {
	r = r.uint32(uint32(a.Flags &^ hasExtended))
	if a.Flags&HasSize != 0 {
		r = r.uint64(a.Size)
	}
	if a.Flags&HasOwner != 0 {
		r = r.uint32(a.UID).uint32(a.GID)
	}
	if a.Flags&HasPermissions != 0 {
		r = r.uint32(a.Permissions)
	}
	if a.Flags&HasTimes != 0 {
		r = r.uint32(a.Access).uint32(a.Mod)
	}
	return r
}

func (f *fields) attributes() (a Attributes) {
	a.Flags = Flags(f.uint32())
	if a.Flags&HasSize != 0 {
		a.Size = f.uint64()
	}
	if a.Flags&HasOwner != 0 {
		a.UID, a.GID = f.uint32(), f.uint32()
	}
	if a.Flags&HasPermissions != 0 {
		a.Permissions = f.uint32()
	}
	if a.Flags&HasTimes != 0 {
		a.Access, a.Mod = f.uint32(), f.uint32()
	}
	if a.Flags&hasExtended != 0 {
		for n := f.uint32(); n > 0 && !f.bad; n-- {
			f.string()
			f.string()
		}
	}
	return a
}

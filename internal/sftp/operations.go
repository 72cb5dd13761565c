package sftp

import (
	"context"
	"fmt"
	"iter"
)

// Open modes of [Client.Open] (draft-ietf-secsh-filexfer-02 §6.3).
const (
	Read     = 0x01
	Write    = 0x02
	Create   = 0x08
	Truncate = 0x10
	Excl     = 0x20 // with Create: fail where the name is taken
)

// File is an open file. Its methods are safe for concurrent use.
type File struct {
	client *Client
	handle string
	name   string
}

// Name returns the name the file was opened by.
func (f *File) Name() string { return f.name }

// Open opens a file; attributes are those of one that is created.
func (c *Client) Open(ctx context.Context, name string, mode uint32, a Attributes) (*File, error) {
	return c.open(ctx, name, newRequest(typeOpen).string(name).uint32(mode).attributes(a))
}

func (c *Client) open(ctx context.Context, name string, r request) (*File, error) {
	body, err := c.ask(ctx, r, typeHandle)
	if err != nil {
		return nil, err
	}
	f := fields{rest: body}
	handle := f.string()
	if err := f.end("a handle"); err != nil {
		return nil, c.judge(err)
	}
	if len(handle) > maxHandle {
		return nil, c.judge(protocolErrorf("a handle of %d bytes", len(handle)))
	}
	return &File{client: c, handle: handle, name: name}, nil
}

// Close closes the file. Its error may be that of a write before.
func (f *File) Close(ctx context.Context) error {
	return f.client.doPatiently(ctx, newRequest(typeClose).string(f.handle))
}

// Finish sets the attributes, makes the server write the file to its disk where
// that is asked for and can be, and closes it, all in one round trip. It returns
// how the server describes the file in the end. The first error counts.
func (f *File) Finish(ctx context.Context, set Attributes, sync bool) (Attributes, error) {
	type step struct {
		r    request
		want byte
	}
	var steps []step
	if set.Flags != 0 {
		steps = append(steps, step{newRequest(typeFsetstat).string(f.handle).attributes(set), 0})
	}
	if sync && f.client.Has("fsync@openssh.com") {
		steps = append(steps, step{newRequest(typeExtended).string("fsync@openssh.com").string(f.handle), 0})
	}
	steps = append(steps, step{newRequest(typeFstat).string(f.handle), typeAttributes},
		step{newRequest(typeClose).string(f.handle), 0})
	calls := make([]*call, len(steps))
	answers := make([]chan *call, len(steps))
	for i, s := range steps {
		answers[i] = make(chan *call, 1)
		calls[i] = &call{want: s.want, finished: answers[i], patient: true}
		f.client.launch(calls[i], answers[i], s.r)
	}
	var a Attributes
	var first error
	for i, k := range calls {
		body, err := f.client.await(ctx, k, answers[i])
		if err == nil && k.want == typeAttributes {
			fs := fields{rest: body}
			a = fs.attributes()
			err = fs.end("attributes")
		}
		if first == nil {
			first = f.client.judge(err)
		}
	}
	return a, first
}

// Stat describes the open file.
func (f *File) Stat(ctx context.Context) (Attributes, error) {
	return f.client.stat(ctx, newRequest(typeFstat).string(f.handle))
}

// SetStat changes what the flags of a name.
func (f *File) SetStat(ctx context.Context, a Attributes) error {
	return f.client.do(ctx, newRequest(typeFsetstat).string(f.handle).attributes(a))
}

// Sync makes the server write the file to its disk, by fsync@openssh.com; it
// does nothing where the server has not that.
func (f *File) Sync(ctx context.Context) error {
	if !f.client.Has("fsync@openssh.com") {
		return nil
	}
	return f.client.doPatiently(ctx, newRequest(typeExtended).string("fsync@openssh.com").string(f.handle))
}

// Stat describes a file; where the name is a link, what that points to.
func (c *Client) Stat(ctx context.Context, name string) (Attributes, error) {
	return c.stat(ctx, newRequest(typeStat).string(name))
}

// Lstat describes a file, and a link as a link.
func (c *Client) Lstat(ctx context.Context, name string) (Attributes, error) {
	return c.stat(ctx, newRequest(typeLstat).string(name))
}

func (c *Client) stat(ctx context.Context, r request) (Attributes, error) {
	body, err := c.ask(ctx, r, typeAttributes)
	if err != nil {
		return Attributes{}, err
	}
	f := fields{rest: body}
	a := f.attributes()
	return a, c.judge(f.end("attributes"))
}

// SetStat changes what the flags of a name; a link is followed.
func (c *Client) SetStat(ctx context.Context, name string, a Attributes) error {
	return c.do(ctx, newRequest(typeSetstat).string(name).attributes(a))
}

// SetLinkStat is SetStat on a link itself, by lsetstat@openssh.com.
func (c *Client) SetLinkStat(ctx context.Context, name string, a Attributes) error {
	return c.do(ctx, newRequest(typeExtended).string("lsetstat@openssh.com").string(name).attributes(a))
}

// Remove removes a file that is no directory.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.do(ctx, newRequest(typeRemove).string(name))
}

// Mkdir makes a directory.
func (c *Client) Mkdir(ctx context.Context, name string, a Attributes) error {
	return c.do(ctx, newRequest(typeMkdir).string(name).attributes(a))
}

// Rmdir removes an empty directory.
func (c *Client) Rmdir(ctx context.Context, name string) error {
	return c.do(ctx, newRequest(typeRmdir).string(name))
}

// Rename renames a file. Servers refuse it where the new name is taken
// (draft-ietf-secsh-filexfer-02 §6.5).
func (c *Client) Rename(ctx context.Context, from, to string) error {
	return c.doPatiently(ctx, newRequest(typeRename).string(from).string(to))
}

// PosixRename renames a file and replaces what has the new name, in one step,
// by posix-rename@openssh.com.
func (c *Client) PosixRename(ctx context.Context, from, to string) error {
	return c.doPatiently(ctx, newRequest(typeExtended).string("posix-rename@openssh.com").string(from).string(to))
}

// Symlink makes a link that points to target. The order of the arguments is
// OpenSSH's, which all servers follow, and not that of the draft's §6.10.
func (c *Client) Symlink(ctx context.Context, target, link string) error {
	return c.do(ctx, newRequest(typeSymlink).string(target).string(link))
}

// ReadLink returns what a link points to.
func (c *Client) ReadLink(ctx context.Context, name string) (string, error) {
	return c.oneName(ctx, newRequest(typeReadlink).string(name))
}

// RealPath returns the absolute name of a file; of "." that of the folder
// where relative names begin.
func (c *Client) RealPath(ctx context.Context, name string) (string, error) {
	return c.oneName(ctx, newRequest(typeRealpath).string(name))
}

// ExpandPath is RealPath of a name that may begin with "~" or "~user", by
// expand-path@openssh.com.
func (c *Client) ExpandPath(ctx context.Context, name string) (string, error) {
	return c.oneName(ctx, newRequest(typeExtended).string("expand-path@openssh.com").string(name))
}

func (c *Client) oneName(ctx context.Context, r request) (string, error) {
	body, err := c.ask(ctx, r, typeName)
	if err != nil {
		return "", err
	}
	entries, err := parseNames(body)
	if err == nil && len(entries) != 1 {
		err = protocolErrorf("%d names where one was asked for", len(entries))
	}
	if err != nil {
		return "", c.judge(err)
	}
	return entries[0].Name, nil
}

// Entry is a file in a directory. Its name is what the server says and may be
// anything: see [CheckName].
type Entry struct {
	Name string
	Attributes
}

// minEntry is the length of an entry whose strings are empty.
const minEntry = 4 + 4 + 4

func parseNames(body []byte) ([]Entry, error) {
	f := fields{rest: body}
	count := f.uint32()
	if uint64(count) > uint64(len(f.rest)/minEntry) {
		return nil, protocolErrorf("%d names in a packet of %d bytes", count, len(body))
	}
	entries := make([]Entry, 0, count)
	for range count {
		name := f.string()
		f.string() // as ls -l has it
		entries = append(entries, Entry{name, f.attributes()})
	}
	return entries, f.end("names")
}

// ReadDir yields the entries of a directory, without "." and "..", as they
// come. It ends with the first error.
func (c *Client) ReadDir(ctx context.Context, name string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		dir, err := c.open(ctx, name, newRequest(typeOpendir).string(name))
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer func() { c.start(&call{abandoned: true}, newRequest(typeClose).string(dir.handle), nil, nil) }()
		for empty := 0; empty < maxEmpty; {
			body, err := c.ask(ctx, newRequest(typeReaddir).string(dir.handle), typeName)
			if s, ok := err.(*Status); ok && s.Code == EOF {
				return
			}
			var entries []Entry
			if err == nil {
				entries, err = parseNames(body)
			}
			if err != nil {
				yield(Entry{}, c.judge(err))
				return
			}
			if empty++; len(entries) > 0 {
				empty = 0
			}
			for _, e := range entries {
				if e.Name != "." && e.Name != ".." && !yield(e, nil) {
					return
				}
			}
		}
		yield(Entry{}, c.judge(protocolErrorf("a directory that never ends")))
	}
}

// maxEmpty is the number of answers without content, one after the other, after
// which a server is not asked again.
const maxEmpty = 8

// Limits are the most that a server takes and gives.
type Limits struct {
	Packet, Read, Write int // bytes
	Handles             int // files open at once; 0 where unknown
}

// usual is what every server takes (draft-ietf-secsh-filexfer-02 §3).
var usualLimits = Limits{Packet: 34000, Read: 32 << 10, Write: 32 << 10}

// Limits returns what the server says by limits@openssh.com, within what this
// client takes, or 32 KiB of data in a packet where it does not say.
func (c *Client) Limits(ctx context.Context) (Limits, error) {
	k := c.limits.call
	if k == nil {
		return usualLimits, c.Err()
	}
	select {
	case <-c.limits.answer:
		c.limits.answer <- k // for who asks next
	case <-ctx.Done():
		return usualLimits, context.Cause(ctx)
	}
	body, err := k.answer()
	if _, refused := err.(*Status); refused {
		return usualLimits, nil
	}
	if err != nil {
		return usualLimits, c.judge(err)
	}
	l, err := parseLimits(body)
	return l, c.judge(err)
}

func parseLimits(body []byte) (Limits, error) {
	f := fields{rest: body}
	packet, read, write, handles := f.uint64(), f.uint64(), f.uint64(), f.uint64()
	if f.bad {
		return usualLimits, f.end("limits")
	}
	l := usualLimits
	if packet > 0 {
		l.Packet = int(min(packet, maxPacket))
	}
	if read > 0 {
		l.Read = int(min(read, maxPacket-1024))
	}
	if write > 0 {
		l.Write = int(min(write, maxPacket-1024))
	}
	l.Read = min(l.Read, max(l.Packet-1024, 1))
	l.Write = min(l.Write, max(l.Packet-1024, 1))
	l.Handles = int(min(handles, 1<<20))
	return l, nil
}

// CheckName reports what makes a name that a server gave unfit to be that of
// an entry of a directory: it must not lead out of it.
func CheckName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return fmt.Errorf("the server names an entry %q", name)
	case len(name) > 255:
		return fmt.Errorf("the server names an entry with %d bytes: %s", len(name), clip(name[:80]))
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return fmt.Errorf("the server names an entry %s, which leads elsewhere", clip(name))
		}
	}
	return nil
}

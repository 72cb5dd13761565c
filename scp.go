package shoal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-ssh/shoal/internal/scp"
	"github.com/shoal-ssh/shoal/internal/sftp"
	"github.com/shoal-ssh/shoal/internal/shell"
)

// scpFiles copies by SCP. That protocol says only contents, names, modes and
// times, so a shell on the host does the rest: it looks at files, lists and makes
// directories, and gives finished files their names.
type scpFiles struct {
	conn *Conn
	lost atomic.Bool

	turn  chan struct{} // held while the shell is asked
	shell *program
	token string // ends the shell's answers

	carry  chan struct{} // held while a file is sent
	target *program      // scp -t
	source *scp.Source   // to it
	dir    string        // in which it writes
}

// prologue are the shell's functions. None of what comes behind it on the shell's
// input but names is different from host to host.
//
//	x COMMAND  what it printed: after a "+", or a "!" where it failed; ends with NUL
//	S NAME…    one line each: mode in hexadecimal, size, access and modification time; ls -ldn where there is no stat
//	M FROM TO  rename, also over a link, but not into a directory
//	D NAME     what is in a directory: names, an empty one, and a line each of S
//	H NAME     the SHA-256 sum
const prologue = `LC_ALL=C; export LC_ALL; unset CDPATH
x() { if r=$("$@" 2>&1 </dev/null); then printf '+%s\0' "$r"; else printf '!%s\0' "$r"; fi; }
if stat -c %f / >/dev/null 2>&1; then S() { stat $L -c '%f %s %X %Y' "$@"; }
elif stat -f %Xp / >/dev/null 2>&1; then S() { stat $L -f '%Xp %z %a %m' "$@"; }
else S() { for f do ls -ldn $L "$f"; done; }; fi
case $(mv -T 2>&1 </dev/null) in
*nvalid*|*llegal*|*nrecognized*|*nknown*) M() {
	if [ -L "$2" ]; then if [ -d "$2" ]; then rm -f "$2"; fi
	elif [ -d "$2" ]; then echo 'Is a directory'; return 1; fi
	mv -f "$1" "$2"; } ;;
*) M() { mv -fT "$1" "$2"; } ;;
esac
l() { readlink "$1" && printf /; }
p() { cd "$1" && pwd -P && printf /; }
t() { chmod "$1" "$3" && if [ -n "$2" ]; then TZ=UTC0 touch -t "$2" "$3"; fi; }
n() { for f in ./* ./.[!.]* ./..?*; do if [ -e "$f" ] || [ -L "$f" ]; then printf '%s\0' "$f"; fi; done; }
D() { if ! r=$(cd "$1" 2>&1); then printf '!%s\0' "$r"; return; fi
	cd "$1"; if ! [ -r . ]; then printf '!Permission denied\0'; return; fi
	printf '+\0'; n; printf '\0'; L=; r=$(S ./* ./.[!.]* ./..?* 2>/dev/null </dev/null); printf '%s\0' "$r"; }
H() { for p in sha256sum 'shasum -a 256' 'sha256 -q' 'openssl dgst -sha256' 'busybox sha256sum'; do
	if command -v "${p%% *}" >/dev/null 2>&1 && $p <"$1"; then return; fi; done; return 1; }
`

// scpPatience is how long nothing may come from a host that has to say something.
const scpPatience = 30 * time.Second

// maxAnswer bounds what a shell may answer at once: the names of maxEntries files.
const maxAnswer = 256 << 20

// openSCP begins a shell for copies by SCP.
func (c *Conn) openSCP(ctx context.Context) (*fileSession, error) {
	f := &scpFiles{conn: c, turn: make(chan struct{}, 1), carry: make(chan struct{}, 1)}
	s := &fileSession{close: sync.OnceFunc(f.end)}
	starting, cancel := context.WithTimeoutCause(ctx, sessionBudget(c.host.Timeout), errBudget)
	defer cancel()
	if _, err := f.ask(starting, ""); err != nil {
		f.end()
		return nil, c.copyError(ctx, s, err)
	}
	s.remoteFiles, s.session = f, f.shell.session
	return s, nil
}

func (f *scpFiles) end() {
	f.drop()
	if f.shell != nil {
		f.shell.end()
	}
}

// ask has the shell run a line and returns the parts of its answer.
func (f *scpFiles) ask(ctx context.Context, line string) ([]string, error) {
	if err := take(ctx, f.turn); err != nil {
		return nil, err
	}
	defer func() { <-f.turn }()
	begin := ""
	if f.shell == nil { // or the one before was left in the middle of an answer
		var err error
		if f.shell, err = f.start(ctx, "sh"); err != nil {
			return nil, err
		}
		f.token = "shoal-" + rand.Text()
		begin = prologue + "z() { printf '" + f.token + "\\0'; }\n"
	}
	answer, err := f.converse(ctx, begin+line+"\nz\n")
	if err != nil {
		if err == io.EOF {
			f.shell.awaitExit()
		}
		said := f.shell.said.text()
		f.shell.end()
		f.shell = nil
		switch {
		case err == io.EOF && begin == "":
			err = &remoteError{&saidError{"the host's shell ended early", said}}
		case err == io.EOF:
			err = &HostError{Host: f.conn.host.Name, Stage: StageTransfer, Kind: KindExecRefused,
				Err:  &saidError{"the server runs no POSIX shell, with which copies by SCP are made safe", said},
				Hint: "copy by SFTP"}
		}
		return nil, err
	}
	if begin != "" { // what the login shell's start-up files print
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(answer, "\x00"), "\x00"), nil
}

func (f *scpFiles) converse(ctx context.Context, text string) (string, error) {
	if _, err := (programIO{ctx, f.shell}).Write([]byte(text)); err != nil && err != io.ErrClosedPipe {
		return "", err
	}
	var answer []byte
	end := []byte(f.token + "\x00")
	for !bytes.HasSuffix(answer, end) {
		p, err := f.shell.read(ctx)
		if err != nil {
			return "", err
		}
		if answer = append(answer, p...); len(answer) > maxAnswer {
			return "", &remoteError{errEntries}
		}
	}
	return string(answer[:len(answer)-len(end)]), nil
}

// run runs one of the shell's functions or commands, and returns what it printed.
func (f *scpFiles) run(ctx context.Context, words ...string) (string, error) {
	answer, err := f.ask(ctx, "x "+shell.Join(words))
	if err != nil {
		return "", err
	}
	return judge(answer[0])
}

func judge(answer string) (string, error) {
	if out, ok := strings.CutPrefix(answer, "+"); ok {
		return out, nil
	}
	if why, ok := strings.CutPrefix(answer, "!"); ok {
		return "", told(why)
	}
	return "", &remoteError{fmt.Errorf("the host's shell answered %s", showName(answer[:min(len(answer), 80)]))}
}

// told is an error that a program on the host told in words, those of POSIX's C
// locale.
func told(text string) error {
	text = strings.TrimSpace(text)
	switch reason := strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:]); reason {
	case "No such file or directory":
		return &sftp.Status{Code: sftp.NoSuchFile}
	case "Permission denied", "Operation not permitted":
		return &sftp.Status{Code: sftp.PermissionDenied}
	case "":
		return &remoteError{errors.New("the host did not say why")}
	default:
		return &remoteError{errors.New(printable(reason))}
	}
}

// plainName is a name that no command takes for an option.
func plainName(name string) string {
	if name == "" {
		return "."
	}
	if name[0] == '-' {
		return "./" + name
	}
	return name
}

func (f *scpFiles) Stat(ctx context.Context, name string) (sftp.Attributes, error) {
	return f.stat(ctx, "-L", name)
}

func (f *scpFiles) Lstat(ctx context.Context, name string) (sftp.Attributes, error) {
	return f.stat(ctx, "", name)
}

func (f *scpFiles) stat(ctx context.Context, follow, name string) (sftp.Attributes, error) {
	answer, err := f.ask(ctx, "L="+follow+"; x S "+shell.Quote(plainName(name)))
	if err != nil {
		return sftp.Attributes{}, err
	}
	out, err := judge(answer[0])
	if err != nil {
		return sftp.Attributes{}, err
	}
	return parseStat(out)
}

// parseStat reads a line of S.
func parseStat(line string) (a sftp.Attributes, err error) {
	bad := &remoteError{fmt.Errorf("the host's stat says %s", showName(line[:min(len(line), 80)]))}
	words := strings.Fields(line)
	if len(words) >= 5 && len(words[0]) >= 10 {
		return parseLs(words, bad)
	}
	if len(words) != 4 {
		return a, bad
	}
	mode, err1 := strconv.ParseUint(words[0], 16, 32)
	size, err2 := strconv.ParseUint(words[1], 10, 64)
	access, err3 := strconv.ParseInt(words[2], 10, 64)
	mod, err4 := strconv.ParseInt(words[3], 10, 64)
	if cmp.Or(err1, err2, err3, err4) != nil {
		return a, bad
	}
	a.SetTimes(time.Unix(access, 0), time.Unix(mod, 0))
	a.Flags |= sftp.HasSize | sftp.HasPermissions
	a.Permissions, a.Size = uint32(mode), size
	return a, nil
}

// parseLs reads the beginning of a line of ls -ldn (POSIX.1-2024, ls).
func parseLs(words []string, bad error) (a sftp.Attributes, err error) {
	types := map[byte]uint32{'-': 0o100000, 'd': 0o040000, 'l': 0o120000, 'p': 0o010000, 's': 0o140000, 'c': 0o020000, 'b': 0o060000}
	kind, ok := types[words[0][0]]
	size, err := strconv.ParseUint(words[4], 10, 64)
	if !ok || err != nil && kind != 0o020000 && kind != 0o060000 {
		return a, bad
	}
	a.Flags, a.Size, a.Permissions = sftp.HasSize|sftp.HasPermissions, size, kind
	for i, c := range words[0][1:10] {
		switch {
		case c == '-':
		case c == 's' && i == 2:
			a.Permissions |= 0o4100
		case c == 'S' && i == 2:
			a.Permissions |= 0o4000
		case c == 's' && i == 5:
			a.Permissions |= 0o2010
		case c == 'S' && i == 5:
			a.Permissions |= 0o2000
		case c == 't' && i == 8:
			a.Permissions |= 0o1001
		case c == 'T' && i == 8:
			a.Permissions |= 0o1000
		case byte(c) == "rwxrwxrwx"[i]:
			a.Permissions |= 1 << (8 - i)
		default:
			return sftp.Attributes{}, bad
		}
	}
	return a, nil
}

func (f *scpFiles) SetStat(ctx context.Context, name string, a sftp.Attributes) error {
	when := ""
	if a.Flags&sftp.HasTimes != 0 {
		when = a.ModTime().UTC().Format("200601021504.05")
	}
	_, err := f.run(ctx, "t", fmt.Sprintf("%o", a.Permissions&0o7777), when, plainName(name))
	return err
}

func (f *scpFiles) ReadDir(ctx context.Context, name string) iter.Seq2[sftp.Entry, error] {
	return func(yield func(sftp.Entry, error) bool) {
		answer, err := f.ask(ctx, "(D "+shell.Quote(plainName(name))+")")
		if err == nil {
			_, err = judge(answer[0])
		}
		if err != nil {
			yield(sftp.Entry{}, err)
			return
		}
		end := slices.Index(answer, "")
		if end < 0 || end != len(answer)-2 {
			yield(sftp.Entry{}, &remoteError{errors.New("the host's shell gave half a list")})
			return
		}
		names, lines := answer[1:end], strings.Split(answer[end+1], "\n")
		for i, entry := range names {
			e := sftp.Entry{Name: strings.TrimPrefix(entry, "./")}
			if len(lines) == len(names) {
				e.Attributes, err = parseStat(lines[i])
			} else { // something came or went meanwhile, or there are too many for one command
				e.Attributes, err = f.Lstat(ctx, remoteJoin(name, e.Name))
			}
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// behind is what was printed before the slash and the newline of l and p.
func behind(out string, err error) (string, error) {
	return strings.TrimSuffix(out, "\n/"), err
}

func (f *scpFiles) ReadLink(ctx context.Context, name string) (string, error) {
	return behind(f.run(ctx, "l", plainName(name)))
}

func (f *scpFiles) RealPath(ctx context.Context, name string) (string, error) {
	return behind(f.run(ctx, "p", plainName(name)))
}

func (f *scpFiles) Mkdir(ctx context.Context, name string, a sftp.Attributes) error {
	_, err := f.run(ctx, "mkdir", "-m", fmt.Sprintf("%o", a.Permissions&0o7777), plainName(name))
	return err
}

func (f *scpFiles) Symlink(ctx context.Context, target, link string) error {
	_, err := f.run(ctx, "ln", "-s", "--", target, plainName(link))
	return err
}

func (f *scpFiles) Remove(ctx context.Context, name string) error {
	_, err := f.run(ctx, "rm", "-f", plainName(name))
	return err
}

func (f *scpFiles) Rmdir(ctx context.Context, name string) error {
	_, err := f.run(ctx, "rmdir", plainName(name))
	return err
}

func (f *scpFiles) Rename(ctx context.Context, from, to string) error {
	return f.PosixRename(ctx, from, to)
}

func (f *scpFiles) PosixRename(ctx context.Context, from, to string) error {
	_, err := f.run(ctx, "M", plainName(from), plainName(to))
	return err
}

// Has reports whether there is what an extension of SFTP does.
func (f *scpFiles) Has(extension string) bool { return extension == "posix-rename@openssh.com" }

func (f *scpFiles) Open(context.Context, string, uint32, sftp.Attributes) (*sftp.File, error) {
	return nil, errors.ErrUnsupported // SCP opens none
}

// Err is what [fileSession] takes for a lost connection.
func (f *scpFiles) Err() error {
	if f.lost.Load() {
		return errCut
	}
	return nil
}

// sum asks the host for a file's SHA-256 sum.
func (f *scpFiles) sum(ctx context.Context, name string) ([]byte, error) {
	out, err := f.run(ctx, "H", plainName(name))
	if err != nil {
		return nil, &remoteError{fmt.Errorf("the host computes no SHA-256 sum, and SCP does not read files back: %w", err)}
	}
	for word := range strings.FieldsSeq(out) {
		if sum, err := hex.DecodeString(word); err == nil && len(sum) == 32 {
			return sum, nil
		}
	}
	return nil, &remoteError{errors.New("the host computes no SHA-256 sum, and SCP does not read files back")}
}

// drop ends the scp -t that is there.
func (f *scpFiles) drop() {
	if f.target != nil {
		f.target.end()
		f.target, f.source = nil, nil
	}
}

// into returns a source for files in a directory.
func (f *scpFiles) into(ctx context.Context, dir string) (*scp.Source, error) {
	if f.target != nil && f.dir == dir {
		return f.source, nil
	}
	f.drop()
	var err error
	if f.target, err = f.start(ctx, "scp -p -d -t "+shell.Quote(plainName(dir))); err != nil {
		return nil, err
	}
	stream := programIO{ctx, f.target}
	f.source, f.dir = scp.NewSource(stream, stream), dir
	return f.source, nil
}

// putFileSCP is the part of putFile that writes. A file is sent under its temporary
// name, beside its own.
func (t *transfer) putFileSCP(ctx context.Context, it *item, name string, isNew bool, old sftp.Attributes) error {
	f := t.session.remoteFiles.(*scpFiles)
	if err := take(ctx, f.carry); err != nil {
		return err
	}
	defer func() { <-f.carry }()
	dir, base := path.Split(name)
	base = strings.ReplaceAll(temporary(base), "\n", "_") // which a record cannot have
	n, err := t.sendSCP(ctx, f, it, dir, base, old)
	if err == nil {
		err = t.rename(ctx, dir+base, name, isNew)
	}
	if err != nil {
		return t.clean(ctx, dir+base, err)
	}
	t.count(func(c *Copied) { c.Files++; c.Bytes += n })
	t.report.update(func(s *Progress) { s.Files++ })
	return nil
}

// sendSCP sends a file and checks what came of it.
func (t *transfer) sendSCP(ctx context.Context, f *scpFiles, it *item, dir, base string, old sftp.Attributes) (int64, error) {
	size, err := t.sizeSCP(ctx, it)
	if err != nil {
		return 0, err
	}
	source, err := f.into(ctx, dir)
	if err != nil {
		return 0, err
	}
	t.report.update(func(s *Progress) { s.Path = it.name })
	var a sftp.Attributes
	a.SetMode(t.fileMode(it.info.Mode(), old.Mode(), old.Flags&sftp.HasPermissions != 0 && old.Mode().IsRegular()))
	if t.Preserve && !it.info.ModTime().IsZero() {
		err = source.Times(it.info.ModTime(), it.info.ModTime())
	}
	if err == nil {
		err = source.File(base, a.Permissions, size)
	}
	if r, ok := err.(*scp.Refusal); ok && !r.Fatal {
		return 0, scpError(err)
	}
	var sum hash.Hash
	if t.Verify {
		sum = sha256.New()
	}
	if err == nil {
		err = t.sendContent(ctx, source, it, sum)
	}
	if err != nil { // what is not whole must not seem so to the other side
		err = f.target.explain(err)
		f.drop()
		return 0, scpError(err)
	}
	now, err := f.Lstat(ctx, dir+base)
	if err == nil && int64(now.Size) != size {
		err = &remoteError{fmt.Errorf("the server has %d bytes of the %d it took", now.Size, size)}
	}
	if err != nil || sum == nil {
		return size, err
	}
	got, err := f.sum(ctx, dir+base)
	if err == nil && !bytes.Equal(got, sum.Sum(nil)) {
		err = errSum
	}
	return size, err
}

// sizeSCP is an item's size, which SCP says first. What comes from a Reader is
// read to its end for that, and kept.
func (t *transfer) sizeSCP(ctx context.Context, it *item) (int64, error) {
	if t.stream == nil {
		return it.info.Size(), nil
	}
	r := t.stream.Reader()
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	size, err := io.Copy(io.Discard, r)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return size, err
}

func (t *transfer) sendContent(ctx context.Context, source *scp.Source, it *item, sum hash.Hash) error {
	next, done := t.pieces(it)
	defer done()
	for {
		p, release, err := next(ctx)
		if err == io.EOF {
			return source.End()
		}
		if err == nil {
			err = t.throttle(ctx, len(p))
		}
		if err != nil {
			return err
		}
		if sum != nil {
			sum.Write(p)
		}
		if _, err := source.Write(p); err != nil {
			return err // the piece may still be on its way: it is not released
		}
		if release != nil {
			release()
		}
		t.report.update(func(s *Progress) { s.Bytes += int64(len(p)) })
	}
}

// How many files one scp -f is asked for, and how long its command line may be.
const (
	filesPerSCP = 1000
	maxSCPLine  = 64 << 10
)

// receive fetches files below a folder.
func (t *transfer) receive(ctx context.Context, root *os.Root, files []*remoteItem) {
	var wanted []*remoteItem
	for _, it := range files {
		have, err := t.have(ctx, root, it)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.failed(it.name, err)
		} else if !have {
			wanted = append(wanted, it)
		}
	}
	for len(wanted) > 0 && ctx.Err() == nil {
		n := t.receiveSome(ctx, wanted, func(it *remoteItem, r scp.Record) (io.WriteCloser, func() error, error) {
			l, err := t.newLanding(ctx, root, it, r)
			return l, l.keep, err
		})
		wanted = wanted[n:]
	}
}

// have reports whether a file is there already and needs no copy.
func (t *transfer) have(ctx context.Context, root *os.Root, it *remoteItem) (bool, error) {
	old, err := root.Lstat(it.rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case old.IsDir():
		return false, &fs.PathError{Op: "open", Path: it.rel, Err: errors.New("is a directory")}
	case t.Unchanged == CopyAll || !old.Mode().IsRegular() || old.Size() != int64(it.at.Size):
		return false, nil
	}
	same := old.ModTime().Unix() == it.at.ModTime().Unix()
	if t.Unchanged == SkipSameSum {
		if same, err = t.sameSum(ctx, root, it.rel, it.name, old.Size()); err != nil {
			return false, err
		}
	}
	if same {
		t.count(func(c *Copied) { c.Skipped++ })
		t.report.update(func(s *Progress) { s.Files++; s.Bytes += old.Size() })
	}
	return same, nil
}

// opener gives where a file's content goes, and what is done when all of it came.
type opener func(*remoteItem, scp.Record) (to io.WriteCloser, keep func() error, err error)

// receiveSome asks one scp -f for files and returns how many of them are dealt with.
// It sends them in order, and what it says of one comes in its place.
func (t *transfer) receiveSome(ctx context.Context, files []*remoteItem, open opener) int {
	f := t.session.remoteFiles.(*scpFiles)
	line, n := "scp -p -f", 0
	for n < len(files) && n < filesPerSCP {
		more := " " + shell.Quote(plainName(files[n].name))
		if n > 0 && len(line)+len(more) > maxSCPLine {
			break
		}
		line += more
		n++
	}
	p, err := f.start(ctx, line)
	if err != nil {
		t.failed(files[0].name, err)
		return 1
	}
	defer p.abort()
	stream := programIO{ctx, p}
	sink := scp.NewSink(stream, stream)
	for i, it := range files[:n] {
		err := t.receiveOne(sink, it, open)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		t.failed(it.name, scpError(p.explain(err)))
		r, refused := errors.AsType[*scp.Refusal](err)
		k, kept := errors.AsType[*scp.KeepError](err)
		if refused && !r.Fatal || kept && k.Sending == nil {
			continue
		}
		return i + 1
	}
	return n
}

// receiveOne takes the next file, which has to be the one that was asked for.
func (t *transfer) receiveOne(sink *scp.Sink, it *remoteItem, open opener) error {
	r, err := sink.Next()
	if err != nil {
		return err
	}
	base := path.Base("/" + it.name)
	// OpenSSH sends names of paths with newlines as vis(3) writes them.
	if r.Kind != scp.File || r.Name != base && !strings.Contains(it.name, "\n") {
		return &scp.ProtocolError{Err: fmt.Errorf("%s, which is not what was asked for", showName(r.Name))}
	}
	to, keep, err := open(it, r)
	if err != nil {
		return &scp.KeepError{Sending: sink.Refuse("cannot write"), Err: err}
	}
	defer to.Close()
	t.report.update(func(s *Progress) { s.Path = it.name })
	return sink.Content(func(p []byte) error {
		if _, err := to.Write(p); err != nil {
			return err
		}
		t.report.update(func(s *Progress) { s.Bytes += int64(len(p)) })
		return nil
	}, keep)
}

// scpLanding is a local file that has not its name yet.
type scpLanding struct {
	t    *transfer
	ctx  context.Context
	root *os.Root
	it   *remoteItem
	r    scp.Record
	old  fs.FileMode // of what is replaced
	has  bool        // there is something to replace
	file *os.File
	tmp  string
}

func (t *transfer) newLanding(ctx context.Context, root *os.Root, it *remoteItem, r scp.Record) (*scpLanding, error) {
	l := &scpLanding{t: t, ctx: ctx, root: root, it: it, r: r, tmp: temporary(it.rel)}
	if old, err := root.Lstat(it.rel); err == nil && old.Mode().IsRegular() {
		l.old, l.has = old.Mode(), true
	}
	var err error
	l.file, err = root.OpenFile(l.tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return l, err
}

func (l *scpLanding) Write(p []byte) (int, error) {
	if err := l.t.throttle(l.ctx, len(p)); err != nil {
		return 0, err
	}
	return l.file.Write(p)
}

// keep gives the file its name.
func (l *scpLanding) keep() error {
	t := l.t
	if err := t.same(l.ctx, l.it.name, l.r); err != nil {
		return err
	}
	if err := l.file.Chmod(t.fileMode(recordMode(l.r), l.old, l.has)); err != nil {
		return err
	}
	if !t.NoSync {
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	info, err := l.file.Stat()
	if err == nil && info.Size() != l.r.Size {
		err = fmt.Errorf("the copy has %d bytes, and %d were read", info.Size(), l.r.Size)
	}
	if err = cmp.Or(err, l.file.Close()); err != nil {
		return err
	}
	if t.Preserve && l.r.HasTimes {
		if err := l.root.Chtimes(l.tmp, l.r.Access, l.r.Mod); err != nil {
			return err
		}
	}
	if t.Verify {
		same, err := t.sameSum(l.ctx, l.root, l.tmp, l.it.name, l.r.Size)
		if err == nil && !same {
			err = errSum
		}
		if err != nil {
			return err
		}
	}
	if err := l.root.Rename(l.tmp, l.it.rel); err != nil {
		return err
	}
	l.tmp = ""
	t.count(func(c *Copied) { c.Files++; c.Bytes += l.r.Size })
	t.report.update(func(s *Progress) { s.Files++ })
	return nil
}

// Close removes what was not kept.
func (l *scpLanding) Close() error {
	l.file.Close()
	if l.tmp == "" {
		return nil
	}
	return l.root.Remove(l.tmp)
}

// same makes sure that a remote file is still what its record said.
func (t *transfer) same(ctx context.Context, name string, r scp.Record) error {
	now, err := t.session.Stat(ctx, name)
	if err == nil && (int64(now.Size) != r.Size || r.HasTimes && now.Flags&sftp.HasTimes != 0 && now.ModTime().Unix() != r.Mod.Unix()) {
		err = &remoteError{errChanged}
	}
	return err
}

func recordMode(r scp.Record) fs.FileMode {
	return sftp.Attributes{Flags: sftp.HasPermissions, Permissions: 0o100000 | r.Mode}.Mode()
}

// getStreamSCP fetches a file into the Writer.
func (t *transfer) getStreamSCP(ctx context.Context, name string) error {
	t.receiveSome(ctx, []*remoteItem{{name: name}}, func(it *remoteItem, r scp.Record) (io.WriteCloser, func() error, error) {
		return throttledWriter{ctx, t}, func() error {
			if err := t.same(ctx, name, r); err != nil {
				return err
			}
			t.count(func(c *Copied) { c.Files++; c.Bytes += r.Size })
			return nil
		}, nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// throttledWriter is the Writer.
type throttledWriter struct {
	ctx context.Context
	t   *transfer
}

func (w throttledWriter) Write(p []byte) (int, error) {
	if err := w.t.throttle(w.ctx, len(p)); err != nil {
		return 0, err
	}
	return w.t.Writer.Write(p)
}

func (throttledWriter) Close() error { return nil }

// scpError is an error of package scp in the words of copies.
func scpError(err error) error {
	switch e := err.(type) {
	case *scp.Refusal:
		return told(e.Text)
	case *scp.ShortError:
		return &sftp.SizeError{Want: e.Want, Got: e.Got}
	case *scp.KeepError:
		return e.Err
	}
	return err
}

package shoal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-ssh/shoal/internal/glob"
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
				e.Attributes, err = f.Lstat(ctx, glob.Join(name, e.Name))
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

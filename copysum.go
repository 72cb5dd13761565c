package shoal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal/internal/sftp"
)

// sumProgram prints the SHA-256 sum of a file by what the host has for it. The
// name comes by its input, with a slash behind it that keeps newlines at its end:
// so it is never part of a command line, and the program is the same to every
// login shell.
const sumProgram = `sh -c 'LC_ALL=C; export LC_ALL; n=$(cat); n=${n%/}; ` +
	`for p in sha256sum "shasum -a 256" "sha256 -q" "openssl dgst -sha256" "busybox sha256sum"; do ` +
	`command -v "${p%% *}" >/dev/null 2>&1 && { RUN; exit; }; done; exit 127'`

// Variants of sumProgram's RUN.
const (
	sumWhole  = `$p <"$n"`
	sumPrefix = `head -c SIZE <"$n" | $p`
)

// What a host is given to compute a sum before the file is read back: a slow disk's time.
const (
	sumBudget = 30 * time.Second
	sumRate   = 10 << 20 // bytes a second
)

// hasSum reports whether a remote file begins with size bytes of that SHA-256 sum
// and, where it is to be whole, ends there. A large file's sum is asked of the
// host; where that gives none, or another, the file is read back, so that only
// what SFTP itself gives is ever held against it.
func (t *transfer) hasSum(ctx context.Context, name string, size int64, whole bool, want []byte) (bool, error) {
	if f, ok := t.session.remoteFiles.(*scpFiles); ok {
		got, err := f.sum(ctx, name)
		return bytes.Equal(got, want), err
	}
	if size > largeFile {
		if got := t.computedSum(ctx, name, size, whole); bytes.Equal(got, want) {
			return true, nil
		}
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	sum := sha256.New()
	in := &inOrder{w: sum}
	f, err := t.session.Open(ctx, name, sftp.Read, sftp.Attributes{})
	if err != nil {
		return false, err
	}
	defer t.closeFile(ctx, f)
	_, err = f.Read(ctx, 0, size, in.sink)
	if long, ok := errors.AsType[*sftp.SizeError](err); ok && long.Got > long.Want && !whole {
		err = nil
	}
	return err == nil && bytes.Equal(sum.Sum(nil), want), err
}

// computedSum is a sum that the host computes itself, or nil.
func (t *transfer) computedSum(ctx context.Context, name string, size int64, whole bool) []byte {
	if t.sumless.Load() {
		return nil
	}
	run := sumWhole
	if !whole {
		run = strings.Replace(sumPrefix, "SIZE", strconv.FormatInt(size, 10), 1)
	}
	out, err := (&Conn{peer: t.conn.peer, host: t.conn.host.forOwn()}).Run(ctx, Command{
		Line:  strings.Replace(sumProgram, "RUN", run, 1),
		Stdin: strings.NewReader(name + "/"), MaxOutput: 64 << 10,
		Timeout: sumBudget + time.Duration(size/sumRate)*time.Second,
	})
	words := strings.Fields(out.Text())
	for i := len(words) - 1; i >= 0; i-- { // what a start-up file prints comes before
		if sum, err := hex.DecodeString(words[i]); err == nil && len(sum) == sha256.Size {
			return sum
		}
	}
	if e, ok := errors.AsType[*ExitError](err); ok && e.Code == 127 {
		t.sumless.Store(true)
	}
	return nil
}

// sameSum reports whether a local and a remote file have the same content.
func (t *transfer) sameSum(ctx context.Context, root *os.Root, local, remote string, size int64) (bool, error) {
	f, err := root.Open(local)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, err
	}
	return t.hasSum(ctx, remote, size, true, sum.Sum(nil))
}

// closeFile closes a remote file, also after ctx's end.
func (t *transfer) closeFile(ctx context.Context, f *sftp.File) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanBudget)
	defer cancel()
	f.Close(closing)
}

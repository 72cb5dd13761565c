package shoal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// sinks takes the outputs that a command has no writers for.
type sinks interface {
	sink(stderr bool) func([]byte) error
}

// run starts what moves the bytes: one goroutine an output, one for stdin
// where there is any. They end with the session.
func (p *Proc) run(cmd Command, token string, out sinks) {
	if sameWriter(cmd.Stdout, cmd.Stderr) {
		w := &lockedWriter{w: cmd.Stdout}
		cmd.Stdout, cmd.Stderr = w, w
	}
	stdout, stderr := p.sink(cmd.Stdout, p.Stdout, out, false), p.sink(cmd.Stderr, p.Stderr, out, true)
	if token == "" {
		p.openStdin()
	} else {
		g := &sudoGuard{p: p, password: cmd.Sudo.Password, prompt: []byte(prompt(token)), mark: []byte(mark(token))}
		stdout, stderr = g.filter(stdout, true), g.filter(stderr, false)
	}
	p.Stdin = &stdin{p: p}
	p.input(cmd, out != nil)
	limit := func(w io.Writer) int64 {
		if _, holds := out.(*collector); holds && w == nil {
			return cmd.maxOutput(defaultMaxOutput)
		}
		return cmd.maxOutput(0)
	}
	l := p.session.link
	l.mu.Lock()
	defer l.mu.Unlock()
	left := new(atomic.Int32)
	left.Store(2)
	copyTo := func(r io.Reader, sink func([]byte) error, count *atomic.Int64, limit int64) func() {
		return func() {
			p.copy(r, sink, count, limit)
			if left.Add(-1) == 0 {
				close(p.outputs)
			}
		}
	}
	l.task(copyTo(p.session.channel, stdout, &p.outBytes, limit(cmd.Stdout)))
	l.task(copyTo(p.session.channel.Stderr(), stderr, &p.errBytes, limit(cmd.Stderr)))
}

// sink returns where an output goes: its own writer, what the caller gave, or
// the stream; and into the log where that wants lines.
func (p *Proc) sink(w io.Writer, s *Stream, out sinks, stderr bool) func([]byte) error {
	var sink func([]byte) error
	switch {
	case w != nil:
		sink = writerSink(w)
	case out != nil:
		sink = out.sink(stderr)
	default:
		sink = s.write
	}
	log := p.conn.peer.client.Log
	if log == nil || !log.Enabled(context.Background(), LevelLine) {
		return sink
	}
	name := "stdout"
	if stderr {
		name = "stderr"
	}
	text := lineCutter{decoder: p.cmd.decoder()}
	return func(b []byte) error {
		text.add(b, func(line, _ string, _ bool) {
			log.LogAttrs(context.Background(), LevelLine, "output", hostAttr(p.conn.host), slog.String("stream", name), slog.String("line", line))
		})
		return sink(b)
	}
}

// sameWriter reports whether both outputs go to one writer.
func sameWriter(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// lockedWriter is a writer for two goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func writerSink(w io.Writer) func([]byte) error {
	return func(b []byte) error {
		if b == nil {
			return nil
		}
		_, err := w.Write(b)
		return err
	}
}

// input gives the command its stdin.
func (p *Proc) input(cmd Command, whole bool) {
	var src io.Reader = cmd.Stdin
	if cmd.broadcast != nil {
		r := cmd.broadcast.Reader()
		p.cleanup = append(p.cleanup, func() { r.Close() })
		src = r
	}
	switch {
	case src != nil:
		// Not waited for: nothing can end a reader that blocks.
		go func() {
			if _, err := io.Copy(p.Stdin, src); err != nil && !p.sealed.Load() && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				p.fail(KindLocalIO, fmt.Errorf("stdin: %w", err))
			}
			p.Stdin.Close()
		}()
	case !whole || cmd.login:
	case cmd.Sudo == nil || cmd.Sudo.Password == "":
		p.Stdin.Close()
	default:
		l := p.session.link
		l.mu.Lock()
		defer l.mu.Unlock()
		l.task(func() { p.Stdin.Close() })
	}
}

const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10 // the largest packet of x/crypto/ssh
)

// copy moves one output to its sink, and past a failure or the limit drains it.
// It ends with the session.
func (p *Proc) copy(r io.Reader, sink func([]byte) error, count *atomic.Int64, limit int64) {
	client := p.conn.peer.client
	small := takeBuffer(&client.small, smallBuffer)
	defer client.small.Put(small)
	buf := *small
	var large *[]byte
	for dead := false; ; {
		n, err := r.Read(buf)
		if n > 0 {
			p.lastByte.Store(int64(time.Since(p.began)))
			b := buf[:n]
			total := count.Add(int64(n))
			if limit > 0 && total > limit {
				b = b[:max(0, int64(n)-(total-limit))]
				p.fail(KindOutputLimit, fmt.Errorf("more output than %d bytes: set Command.MaxOutput, or read it live", limit))
			}
			dead = dead || !p.deliver(sink, b)
			if n == smallBuffer && large == nil {
				large = takeBuffer(&client.large, largeBuffer)
				buf = *large
			}
		}
		if err != nil {
			break
		}
	}
	p.deliver(sink, nil) // the end
	if large != nil {
		client.large.Put(large)
	}
}

// takeBuffer takes a buffer from a pool, all of whose buffers have this size.
func takeBuffer(pool *sync.Pool, size int) *[]byte {
	if b, ok := pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, size)
	return &b
}

// deliver hands bytes on, nil for the end; false means that the sink failed.
func (p *Proc) deliver(sink func([]byte) error, b []byte) bool {
	if p.sealed.Load() || b != nil && len(b) == 0 {
		return true
	}
	if err := sink(b); err != nil {
		p.fail(KindLocalIO, fmt.Errorf("output: %w", err))
		return false
	}
	return true
}

// stdin is the command's input.
type stdin struct {
	p      *Proc
	mu     sync.Mutex
	closed bool
}

// maxWrite keeps one Write from overflowing x/crypto's window arithmetic.
const maxWrite = 1 << 20

func (s *stdin) Write(b []byte) (n int, err error) {
	<-s.p.ready
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 0 {
		if s.closed || s.p.sealed.Load() {
			return n, io.ErrClosedPipe
		}
		s.p.uncounted.Store(true)
		m, err := s.p.session.channel.Write(b[:min(len(b), maxWrite)])
		n, b = n+m, b[m:]
		if err != nil {
			return n, io.ErrClosedPipe
		}
	}
	return n, nil
}

func (s *stdin) Close() error {
	<-s.p.ready
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.p.sealed.Load() {
		return nil
	}
	s.closed = true
	s.p.own.Add(1)
	s.p.session.channel.CloseWrite()
	return nil
}

// sudoGuard answers sudo's prompt, once, and takes prompt, mark and, until the
// command begins, any echo of the password out of the output. It lets stdin through when the mark shows that the command begins.
type sudoGuard struct {
	p        *Proc
	password string
	prompt   []byte
	mark     []byte

	mu    sync.Mutex
	asked int
	begun bool
}

// filter watches one output. The mark comes on stdout; the prompt on stderr,
// or on stdout where there is a terminal.
func (g *sudoGuard) filter(sink func([]byte) error, stdout bool) func([]byte) error {
	var held []byte
	return func(b []byte) error {
		g.mu.Lock()
		if g.begun && len(held) == 0 {
			g.mu.Unlock()
			return sink(b)
		}
		held = append(held, b...)
		g.scan(&held, stdout)
		out := held
		if !g.begun && b != nil {
			out = held[:len(held)-g.partial(held)]
		}
		rest := bytes.Clone(held[len(out):])
		g.mu.Unlock()
		var err error
		if len(out) > 0 {
			err = sink(out)
		}
		held = rest
		if b == nil && err == nil {
			err = sink(nil)
		}
		return err
	}
}

// scan removes prompts and the mark from what is held.
func (g *sudoGuard) scan(held *[]byte, stdout bool) {
	for !g.begun {
		h := *held
		if i := bytes.Index(h, g.prompt); i >= 0 {
			*held = append(h[:i:i], bytes.TrimPrefix(h[i+len(g.prompt):], []byte("\r\n"))...)
			g.answer()
			continue
		}
		i := bytes.Index(h, g.mark)
		if !stdout || i < 0 {
			i = len(h)
		}
		if j := bytes.Index(h[:i], []byte(g.password)); j >= 0 && g.asked > 0 {
			*held = append(h[:j:j], h[j+len(g.password):]...)
			continue
		}
		if i == len(h) {
			return
		}
		end := i + len(g.mark)
		if bytes.IndexByte(h[end:], '\n') < 0 {
			return
		}
		rest := h[end+bytes.IndexByte(h[end:], '\n')+1:]
		*held = append(bytes.TrimSuffix(h[:i:i], []byte("\r\n")), rest...)
		g.begun = true
		g.p.openStdin()
	}
}

// answer sends the password for the first prompt; a second one means that sudo
// did not take it.
func (g *sudoGuard) answer() {
	if g.asked++; g.asked > 1 {
		g.p.fail(KindSudo, errors.New("sudo did not accept the password"))
		return
	}
	g.p.uncounted.Store(true)
	l := g.p.session.link
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task(func() { g.p.session.channel.Write([]byte(g.password + "\n")) })
}

// partial is how many bytes at the end may be the beginning of what is looked
// for: a prompt, or a mark with its line end.
func (g *sudoGuard) partial(h []byte) int {
	if i := bytes.Index(h, g.mark); i >= 0 {
		return len(h) - i
	}
	want := [][]byte{g.prompt, g.mark}
	if g.asked > 0 {
		want = append(want, []byte(g.password), []byte("\r\n\r")) // an echo; sudo's, on a terminal, after the password
	}
	most := 0
	for _, want := range want {
		for n := min(len(want)-1, len(h)); n > most; n-- {
			if bytes.HasSuffix(h, want[:n]) {
				most = n
			}
		}
	}
	return most
}

func newToken() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

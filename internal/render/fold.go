package render

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
)

// Fold shows at the end of the run each output once, under a header with the
// hosts that gave it and, where that was not success, how they ended:
//
//	---------------
//	node[1-3] (3)
//	---------------
//	6.1.0-28-amd64
//
// Hosts share a block when their output and their end are equal; a missing
// final newline makes no difference. Small groups come first, for they are the
// ones to look at. Hosts that wrote nothing have no block. Standard error is
// shown live, as [Live] does, unless it is folded too.
type Fold struct {
	Screen *Screen

	Stderr     bool   // fold standard error with the output, in order of arrival
	QuietErr   bool   // leave standard error to another renderer
	ByHost     bool   // a block for every host
	Timestamps bool   // before lines shown live
	Memory     int64  // of output held before it moves to a file; 0 means 64 MiB
	TempDir    string // for that file; empty means the system's

	live    Live
	spool   spool
	hosts   map[int]*folding
	last    *folding
	scratch []byte
	groups  map[sameness]*group
}

// folding is a host that has not ended yet.
type folding struct {
	name    string
	index   int
	text    *text
	sums    [2]hash.Hash // by stream
	open    [2]bool      // the stream is in the middle of a line
	writing stream       // whose line text ends with
}

// sameness is what hosts of one block have in common.
type sameness struct {
	sums  [2][sha256.Size]byte
	end   string
	index int // 0 unless every host has its own block
}

type group struct {
	end   string
	names []string
	first int // index of the first host
	text  *text
}

// Start implements [Renderer].
func (f *Fold) Start(e Start) {
	f.live = Live{Screen: f.Screen, Timestamps: f.Timestamps, start: e.Time}
	f.spool = spool{dir: f.TempDir, limit: cmp.Or(f.Memory, 64<<20)}
	f.hosts = make(map[int]*folding)
	f.groups = make(map[sameness]*group)
}

// Lines implements [Renderer].
func (f *Fold) Lines(batch []Line) {
	for i := range batch {
		n := &batch[i]
		switch {
		case !n.Stderr || f.Stderr:
			f.host(n.Host, n.Index).add(n, &f.scratch)
		case !f.QuietErr:
			f.live.line(n)
		}
	}
	f.Screen.flush()
}

func (f *Fold) host(name string, index int) *folding {
	if f.last != nil && f.last.index == index {
		return f.last
	}
	h := f.hosts[index]
	if h == nil {
		h = &folding{name: name, index: index, text: f.spool.new()}
		h.sums[toStdout] = sha256.New()
		h.sums[toStderr] = sha256.New()
		f.hosts[index] = h
	}
	f.last = h
	return h
}

// add keeps a line. The streams are summed apart, since the order in which
// lines of the two arrive is chance. The text passes through buf, for it has to
// be bytes.
func (h *folding) add(n *Line, buf *[]byte) {
	to := toStdout
	if n.Stderr {
		to = toStderr
	}
	if h.writing != to {
		h.endLine()
		h.writing = to
	}
	h.open[to] = n.Continued
	*buf = append((*buf)[:0], n.Text...)
	if !n.Continued {
		*buf = append(*buf, '\n')
	}
	h.text.write(*buf)
	h.sums[to].Write(*buf)
}

// endLine gives text the newline that its last line lacks.
func (h *folding) endLine() {
	if !h.text.newline {
		h.text.write(newline)
	}
}

// Exit implements [Renderer].
func (f *Fold) Exit(x Exit) {
	f.live.Exit(x)
	h := f.host(x.Host, x.Index)
	delete(f.hosts, x.Index)
	f.last = nil
	h.endLine()
	end := ending(&x, h.text)
	key := sameness{end: pattern(end, x.Host)}
	if f.ByHost {
		key.index = x.Index
	}
	for to, sum := range h.sums {
		if h.open[to] {
			sum.Write(newline)
		}
		sum.Sum(key.sums[to][:0])
	}
	g := f.groups[key]
	if g == nil {
		f.groups[key] = &group{end: end, names: []string{x.Host}, first: x.Index, text: h.text}
		return
	}
	if g.names = append(g.names, x.Host); g.end != end {
		g.end = key.end
	}
	g.first = min(g.first, x.Index)
	h.text.drop()
}

// ending says how a host ended; empty for success.
func ending(x *Exit, t *text) string {
	end := ""
	if x.Status != OK {
		end = cause(x)
	}
	switch x.Status {
	case Timeout, Lost, Cancelled:
		if !t.empty() {
			end += "; partial output"
		}
	}
	if t.cut || x.Truncated {
		end += "; output cut"
	}
	if x.Status == OK && end != "" {
		end = "ok" + end
	}
	return end
}

// End shows the blocks. Hosts that had no Exit are shown too, for what they
// wrote must not be lost.
func (f *Fold) End(End) error {
	for _, h := range f.hosts {
		why := &Problem{Msg: "its end was not seen"}
		f.Exit(Exit{Host: h.name, Index: h.index, Status: Lost, Err: why})
	}
	f.Screen.Hold()
	defer f.Screen.Release()
	for _, g := range f.blocks() {
		if !g.text.empty() {
			f.block(g)
		}
	}
	f.spool.close()
	return errors.Join(f.spool.err, f.Screen.end())
}

// blocks orders the groups: by host, or the smallest first.
func (f *Fold) blocks() []*group {
	var all []*group
	for _, g := range f.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(len(a.names), len(b.names)), cmp.Compare(a.first, b.first))
	})
	return all
}

var newline = []byte{'\n'}

const rule = "---------------\n"

func (f *Fold) block(g *group) {
	s := f.Screen
	s.begin(toStdout, ours)
	color, bad := "", ""
	if s.StdoutColor {
		color, bad = labelColor(0), red
	}
	s.buf = append(s.buf, rule...)
	s.buf = appendColor(s.buf, color, countedNames(g.names))
	if g.end != "" {
		s.buf = append(s.buf, ": "...)
		s.buf = appendColor(s.buf, bad, g.end)
	}
	s.buf = append(append(s.buf, '\n'), rule...)
	if err := s.copyText(g.text.reader()); err != nil {
		f.spool.err = errors.Join(f.spool.err, fmt.Errorf("keeping output: %w", err))
	}
	s.flush()
}

// copyText writes r, line by line so that nothing but newlines ends one.
func (s *Screen) copyText(r io.Reader) error {
	in := bufio.NewReaderSize(r, flushSize)
	torn := ""
	for {
		p, err := in.ReadSlice('\n')
		if s.Raw {
			s.buf = append(s.buf, p...)
		} else {
			torn = s.appendPiece(torn + string(p))
		}
		s.full()
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			s.buf = AppendSanitized(s.buf, torn)
			return nil
		default:
			return err
		}
	}
}

// appendPiece shows text up to a rune that the next piece may complete, which
// it returns.
func (s *Screen) appendPiece(text string) (torn string) {
	text, ended := strings.CutSuffix(text, "\n")
	if !ended {
		cut := len(text) - tornRune(text)
		text, torn = text[:cut], text[cut:]
	}
	s.buf = AppendSanitized(s.buf, text)
	if ended {
		s.buf = append(s.buf, '\n')
	}
	return torn
}

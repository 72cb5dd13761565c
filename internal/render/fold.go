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
//
// The majority is the largest block of hosts whose command ended. With Diff it
// comes first, and each other block as what differs from it, in the unified
// format; with Loose it comes last and the others as differences before it.
// There, hosts that wrote nothing have a block too, for that is a difference.
type Fold struct {
	Screen *Screen

	Stderr     bool   // fold standard error with the output, in order of arrival
	Loose      bool   // mask what differs from host to host and moment to moment
	Diff       bool   // show differences from the majority
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
	sums    [2]hash.Hash   // by stream
	masked  [2]*maskWriter // by stream, into sums of their own; nil unless loose
	open    [2]bool        // the stream is in the middle of a line
	writing stream         // whose line text ends with
}

// sameness is what hosts of one block have in common.
type sameness struct {
	sums  [2][sha256.Size]byte
	end   string
	index int // 0 unless every host has its own block
}

type group struct {
	end    string
	names  []string
	first  int // index of the first host
	text   *text
	mask   mask // of the host that wrote text
	sums   [2][sha256.Size]byte
	masked bool // the texts are equal only with their masks
	ended  bool // the commands ended by themselves
}

// Start implements [Renderer].
func (f *Fold) Start(e Start) {
	f.live = Live{Screen: f.Screen, Timestamps: f.Timestamps, start: e.Time}
	f.spool = spool{dir: f.TempDir, limit: cmp.Or(f.Memory, defaultMemory)}
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
		for to := range h.sums {
			h.sums[to] = sha256.New()
		}
		if f.Loose {
			m := newMask(name)
			for to := range h.masked {
				h.masked[to] = &maskWriter{mask: m, to: sha256.New()}
			}
		}
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
	h.sum(to, *buf)
}

func (h *folding) sum(to stream, p []byte) {
	h.sums[to].Write(p)
	if m := h.masked[to]; m != nil {
		m.Write(p)
	}
}

// total returns the sums of both streams, and with masks those with masks.
func (h *folding) total() (plain, masked [2][sha256.Size]byte) {
	for to := range h.sums {
		if h.open[to] {
			h.sum(stream(to), newline)
		}
		h.sums[to].Sum(plain[to][:0])
		if m := h.masked[to]; m != nil {
			m.flush()
			m.to.(hash.Hash).Sum(masked[to][:0])
		}
	}
	return plain, masked
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
	plain, masked := h.total()
	key.sums = plain
	var m mask
	if f.Loose {
		key.sums, m = masked, h.masked[toStdout].mask
	}
	g := f.groups[key]
	if g == nil {
		f.groups[key] = &group{
			end: end, names: []string{x.Host}, first: x.Index, text: h.text, mask: m, sums: plain,
			ended: x.ended(),
		}
		return
	}
	if g.names = append(g.names, x.Host); g.end != end {
		g.end = key.end
	}
	g.first = min(g.first, x.Index)
	g.masked = g.masked || g.sums != plain
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
	f.show()
	f.spool.close()
	return errors.Join(f.spool.err, f.Screen.end())
}

// show shows the blocks.
func (f *Fold) show() {
	all := f.blocks()
	d := f.differ(all)
	for _, g := range all {
		if g.text.empty() && (d == nil || !g.ended) {
			continue
		}
		f.header(g)
		if d == nil || g == d.majority {
			f.whole(g)
		} else {
			d.show(g)
		}
		f.Screen.flush()
	}
}

// blocks orders the groups: by host, or the smallest first, but for the
// majority where the others are shown beside it.
func (f *Fold) blocks() []*group {
	var all []*group
	for _, g := range f.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(len(a.names), len(b.names)), cmp.Compare(a.first, b.first))
	})
	if m := majority(all); m != nil && (f.Loose || f.Diff) {
		all = slices.DeleteFunc(all, func(g *group) bool { return g == m })
		if f.Diff {
			return slices.Insert(all, 0, m)
		}
		return append(all, m)
	}
	return all
}

// majority returns the first of the largest groups of hosts whose command ended,
// or nil.
func majority(all []*group) *group {
	var m *group
	for _, g := range all {
		if g.ended && (m == nil || len(g.names) > len(m.names)) {
			m = g
		}
	}
	return m
}

var newline = []byte{'\n'}

const rule = "---------------\n"

func (f *Fold) header(g *group) {
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
}

// whole shows all that a group wrote, masked where the hosts differ in no more
// than that.
func (f *Fold) whole(g *group) {
	if g.text.empty() {
		f.Screen.note("no output")
		return
	}
	if err := f.Screen.copyText(g.text.reader(), g.masker()); err != nil {
		f.failed(err)
	}
}

// masker returns what masks the lines of a group, or nil.
func (g *group) masker() func([]byte) []byte {
	if !g.masked {
		return nil
	}
	return g.mask.line
}

// note writes a remark in place of output.
func (s *Screen) note(text string) { s.buf = append(s.buf, "("+text+")\n"...) }

// failed keeps an error of reading output back.
func (f *Fold) failed(err error) {
	f.spool.err = errors.Join(f.spool.err, fmt.Errorf("keeping output: %w", err))
}

// copyText writes r, line by line so that nothing but newlines ends one. A mask
// may be nil.
func (s *Screen) copyText(r io.Reader, mask func([]byte) []byte) error {
	in := bufio.NewReaderSize(r, flushSize)
	torn := ""
	for {
		p, err := in.ReadSlice('\n')
		if mask != nil {
			p = mask(p)
		}
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

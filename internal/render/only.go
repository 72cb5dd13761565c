package render

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Only passes on, when a host ends, what it wrote and how it ended, if it
// succeeded or if it did not. Its lines are held until then, in memory or in a
// file.
type Only struct {
	To      Renderer
	OK      bool   // hosts that succeeded; else those that did not
	Memory  int64  // as in [Fold]
	TempDir string // as in Fold

	spool spool
	texts map[int]*text
	names map[int]string
	buf   []byte
}

// Start implements [Renderer].
func (o *Only) Start(e Start) {
	o.spool = spool{dir: o.TempDir, limit: cmp.Or(o.Memory, defaultMemory)}
	o.texts = make(map[int]*text)
	o.names = make(map[int]string)
	o.To.Start(e)
}

// Lines implements [Renderer].
func (o *Only) Lines(batch []Line) {
	for i := range batch {
		n := &batch[i]
		t := o.texts[n.Index]
		if t == nil {
			t = o.spool.new()
			o.texts[n.Index], o.names[n.Index] = t, n.Host
		}
		o.buf = appendLine(o.buf[:0], n)
		t.write(o.buf)
	}
}

// appendLine encodes what readLine reads.
func appendLine(p []byte, n *Line) []byte {
	flags := byte(0)
	if n.Stderr {
		flags |= 1
	}
	if n.Continued {
		flags |= 2
	}
	if n.CR {
		flags |= 4
	}
	p = append(p, flags)
	p = binary.AppendVarint(p, n.Seq)
	p = binary.AppendVarint(p, int64(n.T))
	p = binary.AppendUvarint(p, uint64(len(n.Text)))
	return append(p, n.Text...)
}

// readLine reads a line but for its host. At the end the error is io.EOF.
func readLine(r *bufio.Reader) (n Line, err error) {
	flags, err := r.ReadByte()
	if err != nil {
		return n, err
	}
	var took int64
	var size uint64
	n.Stderr, n.Continued, n.CR = flags&1 != 0, flags&2 != 0, flags&4 != 0
	if n.Seq, err = binary.ReadVarint(r); err == nil {
		took, err = binary.ReadVarint(r)
	}
	if err == nil {
		size, err = binary.ReadUvarint(r)
	}
	n.T = time.Duration(took)
	text := make([]byte, size)
	if err == nil {
		_, err = io.ReadFull(r, text)
	}
	n.Text = string(text)
	return n, err
}

// Exit implements [Renderer].
func (o *Only) Exit(x Exit) {
	t := o.texts[x.Index]
	delete(o.texts, x.Index)
	delete(o.names, x.Index)
	if (x.Status == OK) == o.OK {
		if t != nil {
			x.Truncated = x.Truncated || t.cut
			o.pass(t, x.Host, x.Index)
		}
		o.To.Exit(x)
	}
	if t != nil {
		t.drop()
	}
}

// pass passes on the lines of a host.
func (o *Only) pass(t *text, host string, index int) {
	in := bufio.NewReader(t.reader())
	var batch []Line
	for {
		n, err := readLine(in)
		if err != nil {
			if err != io.EOF {
				o.spool.err = errors.Join(o.spool.err, fmt.Errorf("keeping output: %w", err))
			}
			break
		}
		n.Host, n.Index = host, index
		if batch = append(batch, n); len(batch) == replayBatch {
			o.To.Lines(batch)
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		o.To.Lines(batch)
	}
}

// End implements [Renderer]. A host that had no Exit did not succeed.
func (o *Only) End(e End) error {
	if !o.OK {
		for index, t := range o.texts {
			o.pass(t, o.names[index], index)
		}
	}
	o.spool.close()
	return errors.Join(o.spool.err, o.To.End(e))
}

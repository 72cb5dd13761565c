package render

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal/hostlist"
)

// Dshbak shows at the end a block for each host as dshbak does, in the order of
// the numbers at the end of their names, or as dshbak -c one for hosts that
// wrote the same.
type Dshbak struct {
	Screen   *Screen
	Coalesce bool

	gather gather
}

// Start implements [Renderer].
func (d *Dshbak) Start(e Start) { d.gather.begin(e, 0, "") }

// Lines implements [Renderer].
func (d *Dshbak) Lines(batch []Line) { d.gather.lines(batch) }

// Exit implements [Renderer].
func (d *Dshbak) Exit(x Exit) { d.gather.end(x) }

// End implements [Renderer].
func (d *Dshbak) End(End) error {
	all := d.gather.all()
	slices.SortStableFunc(all, func(a, b *gathered) int {
		m, n := lastNumber(a.exit.Host), lastNumber(b.exit.Host)
		return cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n))
	})
	type block struct {
		names []string
		text  string
	}
	var blocks []*block
	same := make(map[string]*block)
	for _, h := range all {
		text := d.gather.output(h, toStdout)
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if b := same[text]; b != nil && d.Coalesce {
			b.names = append(b.names, h.exit.Host)
			continue
		}
		b := &block{[]string{h.exit.Host}, text}
		same[text] = b
		blocks = append(blocks, b)
	}
	const rule = "----------------\n"
	for _, b := range blocks {
		names := Sanitize(b.names[0])
		if d.Coalesce {
			names = Sanitize(hostlist.Fold(b.names))
		}
		d.Screen.Out().Write([]byte(rule + names + "\n" + rule + sanitizeLines(b.text)))
	}
	return errors.Join(d.gather.close(), d.Screen.end())
}

// lastNumber is the digits at the end of a name, without zeros in front.
func lastNumber(name string) string {
	return strings.TrimLeft(name[len(strings.TrimRight(name, "0123456789")):], "0")
}

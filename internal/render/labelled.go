package render

import (
	"bufio"
	"io"
	"regexp"
	"strings"
)

// Labelled reads what pdsh, clush and [Live] write, "host: text" in each line,
// and tells it to another renderer as the run of those hosts, all of which
// ended well. Pieces that Live labelled "host:+ text" are joined again, and its
// times are left out. The label ends at the first ": ", or where there is none
// or a blank before it, at the first ":".
//
// A line without a label is handed to stray, if there is a function, or is left
// out.
func Labelled(r io.Reader, to Renderer, stray func(number int, line string)) error {
	l := labelReader{to: to, index: make(map[string]int)}
	to.Start(Start{})
	in := bufio.NewReaderSize(r, flushSize)
	err := l.read(in, stray)
	for i := range l.hosts {
		l.end(i)
	}
	l.flush()
	var e End
	for i, host := range l.hosts {
		to.Exit(Exit{Host: host, Index: i, Status: OK})
		e.Count(OK)
	}
	if ended := to.End(e); err == nil {
		err = ended
	}
	return err
}

type labelReader struct {
	to    Renderer
	index map[string]int
	hosts []string
	open  []bool // by host: the newline of its last line is to come
	batch []Line
}

func (l *labelReader) read(in *bufio.Reader, stray func(int, string)) error {
	for number := 1; ; number++ {
		p, err := in.ReadSlice('\n')
		if len(p) > 0 {
			host, text, more, ok := cutLabel(strings.TrimSuffix(string(p), "\n"))
			switch {
			case ok:
				i := l.host(host)
				if !more {
					l.end(i)
				}
				l.add(i, text)
				for err == bufio.ErrBufferFull {
					p, err = in.ReadSlice('\n')
					l.add(i, strings.TrimSuffix(string(p), "\n"))
				}
			default:
				if stray != nil {
					stray(number, strings.TrimSuffix(string(p), "\n"))
				}
				for err == bufio.ErrBufferFull {
					_, err = in.ReadSlice('\n')
				}
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

func (l *labelReader) host(name string) int {
	i, ok := l.index[name]
	if !ok {
		i = len(l.hosts)
		l.index[name] = i
		l.hosts, l.open = append(l.hosts, name), append(l.open, false)
	}
	return i
}

// add adds text to the line of a host, which may go on.
func (l *labelReader) add(i int, text string) {
	l.open[i] = true
	l.line(Line{Host: l.hosts[i], Index: i, Text: text, Continued: true})
}

// end ends the line of a host.
func (l *labelReader) end(i int) {
	if l.open[i] {
		l.open[i] = false
		l.line(Line{Host: l.hosts[i], Index: i})
	}
}

func (l *labelReader) line(n Line) {
	if l.batch = append(l.batch, n); len(l.batch) >= replayBatch {
		l.flush()
	}
}

func (l *labelReader) flush() {
	if len(l.batch) > 0 {
		l.to.Lines(l.batch)
		l.batch = l.batch[:0]
	}
}

// liveTime is what Live writes before a label when it shows times.
var liveTime = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} `)

// cutLabel takes the label from a line. more says that the text goes on with
// the host's last line.
func cutLabel(line string) (host, text string, more, ok bool) {
	line = strings.TrimLeft(line, " \t")
	line = line[len(liveTime.FindString(line)):]
	host, text, ok = strings.Cut(line, ": ")
	host = strings.TrimRight(host, " \t")
	if before, rest, found := strings.Cut(line, ":+ "); found && isLabel(before) && len(before) < len(host) {
		return before, rest, true, true
	}
	if !ok || !isLabel(host) {
		if host, ok = strings.CutSuffix(strings.TrimSuffix(line, "\r"), ":"); ok && isLabel(host) {
			return host, "", false, true
		}
		host, text, ok = strings.Cut(line, ":")
		host = strings.TrimRight(host, " \t")
	}
	return host, text, false, ok && isLabel(host)
}

func isLabel(s string) bool { return s != "" && !strings.ContainsAny(s, " \t") }

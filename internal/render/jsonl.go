package render

import (
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// JSONL writes one JSON object a line: start, line, exit and end, and of host
// keys key and stored, as the schema
// in docs/jsonl.schema.json says. It is what scripts read and what the journal
// of runs keeps. Output is exact: a line is in "data" where it is UTF-8 and in
// "b64" where not. Control characters are escaped, so that the objects are safe
// to look at. Behind the text belongs a newline, unless the line is "continued",
// and before that a carriage return where there is "cr".
type JSONL struct {
	W io.Writer // nil discards; each batch of lines is one Write

	run   string
	buf   []byte
	exits int
	err   error // the first of W
}

// Start implements [Renderer].
func (j *JSONL) Start(e Start) {
	j.run = e.Run
	j.event("start")
	j.opening(e)
	j.close()
	j.flush()
}

// opening writes what is known of a run at its start.
func (j *JSONL) opening(e Start) {
	j.text("time", e.Time.UTC().Format(time.RFC3339Nano))
	j.number("hosts", int64(e.Hosts))
	if e.Set != "" {
		j.text("set", e.Set)
	}
	j.text("command", e.Command)
	j.again(&e)
}

// again writes what it takes to do a run again.
func (j *JSONL) again(e *Start) {
	if len(e.Args) > 0 {
		j.key("args")
		j.buf = append(j.buf, '[')
		for _, word := range e.Args {
			j.string(word)
		}
		j.buf[len(j.buf)-1] = ']'
		j.buf = append(j.buf, ',')
	}
	if e.Dir != "" {
		j.text("dir", e.Dir)
	}
	if e.Stdin {
		j.bool("stdin")
	}
	if e.Repeats != "" {
		j.text("repeats", e.Repeats)
	}
}

// Lines implements [Renderer].
func (j *JSONL) Lines(batch []Line) {
	for i := range batch {
		j.line(&batch[i])
		if len(j.buf) >= flushSize {
			j.flush()
		}
	}
	j.flush()
}

func (j *JSONL) line(n *Line) {
	j.event("line")
	j.text("host", n.Host)
	if n.Stderr {
		j.text("stream", "stderr")
	} else {
		j.text("stream", "stdout")
	}
	j.number("seq", n.Seq)
	j.seconds("t", n.T)
	j.data(n.Text)
	if n.Continued {
		j.bool("continued")
	}
	if n.CR {
		j.bool("cr")
	}
	j.close()
}

// Exit implements [Renderer].
func (j *JSONL) Exit(x Exit) {
	j.exits++
	j.event("exit")
	j.ending(&x)
	j.close()
	j.flush()
}

// ending writes what is known of a host at its end.
func (j *JSONL) ending(x *Exit) {
	j.text("host", x.Host)
	j.text("status", string(x.Status))
	j.key("rc")
	if x.RC == nil {
		j.raw("null")
	} else {
		j.raw(strconv.Itoa(*x.RC))
	}
	j.key("signal")
	if x.Signal == "" {
		j.raw("null")
	} else {
		j.string(x.Signal)
	}
	j.seconds("t", x.T)
	if x.Err != nil {
		j.problem(x.Err)
	}
	j.stages(x.Stages)
	j.pair("bytes", strconv.FormatInt(x.Bytes.Out, 10), strconv.FormatInt(x.Bytes.Err, 10))
	if x.Digest != (Digest{}) {
		j.pair("sha256", strconv.Quote(Sanitize(x.Digest.Out)), strconv.Quote(Sanitize(x.Digest.Err)))
	}
	if x.Remote != "" {
		j.text("remote", string(x.Remote))
	}
	if x.OutputOpen {
		j.bool("output_open")
	}
	if x.Truncated {
		j.bool("truncated")
	}
	if x.Attempts > 1 {
		j.number("attempts", int64(x.Attempts))
	}
}

// Key writes a host key.
func (j *JSONL) Key(k Key) {
	j.event("key")
	j.text("host", k.Host)
	j.seconds("t", k.T)
	j.text("type", k.Type)
	j.text("fingerprint", k.Fingerprint)
	j.text("key", k.Blob)
	j.text("state", string(k.State))
	if len(k.Lines) > 0 {
		j.key("lines")
		j.buf = append(j.buf, '[')
		for _, l := range k.Lines {
			j.buf = append(j.buf, '{')
			j.text("place", l.Place)
			j.text("type", l.Type)
			j.text("fingerprint", l.Fingerprint)
			j.closeInner()
		}
		j.buf[len(j.buf)-1] = ']'
		j.buf = append(j.buf, ',')
	}
	if k.Problem != "" {
		j.text("problem", k.Problem)
	}
	j.close()
	j.flush()
}

// Stored writes what was stored of a host's keys.
func (j *JSONL) Stored(s Stored) {
	j.event("stored")
	j.text("host", s.Host)
	j.text("file", s.File)
	j.number("added", int64(s.Added))
	j.number("removed", int64(s.Removed))
	j.close()
	j.flush()
}

func (j *JSONL) problem(p *Problem) {
	j.key("error")
	j.buf = append(j.buf, '{')
	if p.Hop != "" {
		j.text("hop", p.Hop)
	}
	j.text("stage", p.Stage)
	j.text("kind", p.Kind)
	j.text("msg", p.Msg)
	if p.Hint != "" {
		j.text("hint", p.Hint)
	}
	j.closeInner()
}

func (j *JSONL) stages(all []Stage) {
	if len(all) == 0 {
		return
	}
	j.key("ms")
	j.buf = append(j.buf, '{')
	for _, s := range all {
		j.buf = append(appendJSON(j.buf, s.Name), ':')
		j.raw(strconv.FormatInt(s.Took.Round(time.Millisecond).Milliseconds(), 10))
	}
	j.closeInner()
}

// pair writes an object with what belongs to each stream.
func (j *JSONL) pair(name, out, err string) {
	j.key(name)
	j.buf = append(j.buf, '{')
	j.key("out")
	j.raw(out)
	j.key("err")
	j.raw(err)
	j.closeInner()
}

// End implements [Renderer]. It is an error when not every host had its exit,
// for then the run's record is not complete.
func (j *JSONL) End(e End) error {
	j.event("end")
	j.totals(e)
	j.close()
	j.flush()
	switch {
	case j.err != nil && !brokenPipe(j.err):
		return fmt.Errorf("jsonl: %w", j.err)
	case j.exits != e.Hosts:
		return fmt.Errorf("jsonl: %d exits for %d hosts", j.exits, e.Hosts)
	}
	return nil
}

// totals writes the numbers of a run.
func (j *JSONL) totals(e End) {
	for _, n := range []struct {
		name  string
		value int
	}{
		{"hosts", e.Hosts}, {"ok", e.OK}, {"failed", e.Failed},
		{"unreachable", e.Unreachable}, {"timeout", e.Timeout},
		{"cancelled", e.Cancelled}, {"not_run", e.NotRun}, {"exit", e.Exit},
	} {
		j.number(n.name, int64(n.value))
	}
	j.seconds("t", e.Took)
	if e.Stopped != "" {
		j.text("stopped", e.Stopped)
	}
}

func (j *JSONL) flush() {
	if j.W != nil && j.err == nil {
		_, j.err = j.W.Write(j.buf)
	}
	j.buf = j.buf[:0]
}

// Each of the following writes one member and the comma behind it; close takes
// the last comma away.

func (j *JSONL) event(ev string) {
	j.buf = append(j.buf, `{"v":1,`...)
	j.text("ev", ev)
	j.text("run", j.run)
}

func (j *JSONL) close() {
	j.buf[len(j.buf)-1] = '}'
	j.buf = append(j.buf, '\n')
}

func (j *JSONL) closeInner() {
	if last := len(j.buf) - 1; j.buf[last] == ',' {
		j.buf = j.buf[:last]
	}
	j.buf = append(j.buf, '}', ',')
}

// key writes a name that needs no escaping.
func (j *JSONL) key(name string) {
	j.buf = append(j.buf, '"')
	j.buf = append(j.buf, name...)
	j.buf = append(j.buf, '"', ':')
}

func (j *JSONL) raw(value string) {
	j.buf = append(append(j.buf, value...), ',')
}

func (j *JSONL) string(s string) {
	j.buf = append(appendJSON(j.buf, s), ',')
}

func (j *JSONL) text(name, s string) {
	j.key(name)
	j.string(s)
}

func (j *JSONL) number(name string, n int64) {
	j.key(name)
	j.buf = append(strconv.AppendInt(j.buf, n, 10), ',')
}

func (j *JSONL) bool(name string) {
	j.key(name)
	j.raw("true")
}

// seconds writes d to the millisecond.
func (j *JSONL) seconds(name string, d time.Duration) {
	j.key(name)
	ms := max(0, d.Milliseconds())
	j.buf = strconv.AppendInt(j.buf, ms/1000, 10)
	j.buf = append(j.buf, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10), ',')
}

// data writes text as it is if it is UTF-8, and in base64 if not.
func (j *JSONL) data(text string) { j.exact("data", "b64", text) }

// exact writes text under one name if it is UTF-8, and in base64 under another
// if not.
func (j *JSONL) exact(plain, encoded, text string) {
	n := plainJSON(text)
	if n < len(text) && !utf8.ValidString(text[n:]) {
		j.key(encoded)
		j.buf = append(j.buf, '"')
		j.buf = base64.StdEncoding.AppendEncode(j.buf, []byte(text))
	} else {
		j.key(plain)
		j.buf = append(j.buf, '"')
		j.buf = append(j.buf, text[:n]...)
		j.buf = appendEscaped(j.buf, text[n:])
	}
	j.buf = append(j.buf, '"', ',')
}

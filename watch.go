package shoal

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"

	"golang.org/x/text/encoding"

	"github.com/shoal-ssh/shoal/internal/lines"
)

// Line is one line of a host's output.
type Line struct {
	Host      string // as the caller named it
	Index     int    // of the host in the sequence
	Stderr    bool   // from stderr, else from stdout
	Text      string // decoded, without its line end
	Continued bool   // the line goes on in the host's next Line of this output

	// End is the line's end as it came: "\n", "\r\n", or nothing where the
	// line goes on or the output ended without one. Text and End of all Lines
	// of an output are the output.
	End string
}

// Event is something that happened on one host: lines that came, or its end.
type Event struct {
	// Lines came from one host, in order; nil at the end.
	Lines []Line
	// At is when they came.
	At time.Time
	// Result is the host's end: the last event of a host, and every host has
	// one. Its Output has counts but no bytes, which were in Lines.
	Result *Result[Output]
}

// Watch runs the command on every host and yields everything as it happens,
// merged over all hosts: batches of lines, and for each host one Result, after
// its last line. A caller that falls behind holds the hosts back; nothing is
// dropped and nothing piles up. Else it is [Client.Run].
func (c *Client) Watch(ctx context.Context, hosts iter.Seq[Host], cmd Command) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		hosts, cmd, done := cmd.prepare(hosts)
		defer done()
		ctx, cancel := context.WithCancelCause(ctx)
		events := make(chan Event, 16)
		go func() {
			defer close(events)
			for r := range each(ctx, c, hosts, func(ctx context.Context, conn *Conn, i int) (Output, error) {
				return conn.watch(ctx, cmd, i, events)
			}) {
				select {
				case events <- Event{At: time.Now(), Result: &r}:
				case <-ctx.Done():
					if context.Cause(ctx) == errLeft {
						return
					}
					events <- Event{At: time.Now(), Result: &r}
				}
			}
		}()
		defer func() {
			cancel(errLeft)
			for range events {
			}
		}()
		for e := range events {
			if !yield(e) {
				return
			}
		}
	}
}

// Lines runs the command on every host and yields the lines of all of them as
// they come. A host that did not end well yields its error, once, with a Line
// that has its name; the others go on. Else it is [Client.Watch].
func (c *Client) Lines(ctx context.Context, hosts iter.Seq[Host], cmd Command) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for e := range c.Watch(ctx, hosts, cmd) {
			for _, l := range e.Lines {
				if !yield(l, nil) {
					return
				}
			}
			if r := e.Result; r != nil && r.Err != nil && !yield(Line{Host: r.Host.Name, Index: r.Index}, r.Err) {
				return
			}
		}
	}
}

// watch runs the command with its lines going to events.
func (c *Conn) watch(ctx context.Context, cmd Command, index int, events chan<- Event) (Output, error) {
	out := &lineSinks{host: c.host.Name, index: index, decoder: cmd.decoder, events: events}
	p, err := c.start(ctx, ctx, cmd, out)
	if err != nil {
		return Output{Command: cmd.Line, Code: -1}, err
	}
	p.watch()
	out.end()
	return p.Output(), p.err
}

// lineSinks turns outputs into events. Sending blocks where the caller has
// fallen behind, also past the context's end, at which what has come is still
// wanted: the caller's loop takes or drains everything.
type lineSinks struct {
	host    string
	index   int
	decoder func() *encoding.Decoder
	events  chan<- Event
	parts   []*lineSink
}

// lineSink is one output.
type lineSink struct {
	*lineSinks
	stderr bool
	mu     sync.Mutex
	shut   bool
	text   lineCutter
}

func (s *lineSinks) sink(stderr bool) func([]byte) error {
	part := &lineSink{lineSinks: s, stderr: stderr, text: lineCutter{decoder: s.decoder()}}
	s.parts = append(s.parts, part)
	return func(b []byte) error { part.add(b); return nil }
}

// end ends both outputs, so that no event comes after it: what was sent late
// is dropped, what was begun is sent.
func (s *lineSinks) end() {
	for _, part := range s.parts {
		part.add(nil)
	}
}

// add takes bytes, or nil for the end.
func (s *lineSink) add(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return
	}
	s.shut = b == nil
	batch := make([]Line, 0, bytes.Count(b, []byte{'\n'})+1)
	emit := func(text, end string, continued bool) {
		batch = append(batch, Line{Host: s.host, Index: s.index, Stderr: s.stderr, Text: text, End: end, Continued: continued})
	}
	s.text.add(b, emit)
	if len(batch) > 0 {
		s.events <- Event{Lines: batch, At: time.Now()}
	}
}

// lineCutter turns the bytes of one output into lines. The zero value is for
// UTF-8.
type lineCutter struct {
	split   lines.Splitter
	decoder *encoding.Decoder
	raw     []byte // part of a character
}

// add takes bytes, or nil for the end.
func (c *lineCutter) add(b []byte, emit func(text, end string, continued bool)) {
	last := b == nil
	if c.decoder != nil {
		b, c.raw = decode(c.decoder, nil, append(c.raw, b...), last)
	}
	c.split.Add(b, emit)
	if last {
		c.split.Flush(emit)
	}
}

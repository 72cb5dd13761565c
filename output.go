package shoal

import (
	"iter"
	"sync"
	"time"

	"golang.org/x/text/encoding"
)

// Output is what a command gave that has ended, well or not.
type Output struct {
	// Command is the command line as it was sent, with sudo and shell.
	Command string
	// Stdout and Stderr are the bytes as they came; empty where the command
	// named writers of its own.
	Stdout, Stderr []byte
	// Code is the exit status, -1 where there was none.
	Code int
	// Signal is the name of the signal that ended the command, without "SIG".
	Signal string
	// OutBytes and ErrBytes count the bytes of the two outputs.
	OutBytes, ErrBytes int64
	// OutputOpen reports that the command ended with a status while
	// something it left behind still held its output open, as daemons do.
	OutputOpen bool
	// Start is the time that opening the session and starting the command
	// took, Run the time from then to the end.
	Start, Run time.Duration

	encoding encoding.Encoding
}

// Text is Stdout as text, decoded by the command's encoding.
func (o Output) Text() string { return string(decodeAll(o.encoding, o.Stdout)) }

// ErrText is Stderr as text.
func (o Output) ErrText() string { return string(decodeAll(o.encoding, o.Stderr)) }

// Lines yields the lines of Stdout, decoded, without their line ends.
func (o Output) Lines() iter.Seq[string] { return splitLines(decodeAll(o.encoding, o.Stdout)) }

// ErrLines yields the lines of Stderr.
func (o Output) ErrLines() iter.Seq[string] { return splitLines(decodeAll(o.encoding, o.Stderr)) }

// collector keeps both outputs of a command in memory. The zero value is ready.
type collector struct {
	mu       sync.Mutex // after sealing, a late writer may still come
	out, err []byte
}

func (c *collector) sink(stderr bool) func([]byte) error {
	return func(p []byte) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if stderr {
			c.err = append(c.err, p...)
		} else {
			c.out = append(c.out, p...)
		}
		return nil
	}
}

func (c *collector) output(p *Proc) Output {
	o := p.Output()
	c.mu.Lock()
	o.Stdout, o.Stderr = c.out, c.err
	c.mu.Unlock()
	return o
}

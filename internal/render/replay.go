package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// ErrNoEnd says that a record of a run stops before the run's end.
var ErrNoEnd = errors.New("the record has no end")

// Replay reads what [JSONL] wrote and tells it to another renderer, so that a
// run can be shown again in any form. Hosts are numbered in the order in which
// they appear, for the record does not hold their places.
//
// A record that was cut off is told as far as it goes, with an End that counts
// what there was; the error is then [ErrNoEnd]. Events of unknown kinds are left
// out.
func Replay(r io.Reader, to Renderer) error {
	p := player{to: to, index: make(map[string]int)}
	dec := json.NewDecoder(r)
	var err error
	for n := 1; !p.ended; n++ {
		var o object
		if err = dec.Decode(&o); err != nil {
			break
		}
		if o.V != 1 {
			return fmt.Errorf("object %d: version %d of the record is not known", n, o.V)
		}
		if err = p.play(&o); err != nil {
			return fmt.Errorf("object %d: %w", n, err)
		}
	}
	p.flush()
	switch {
	case p.ended:
		return p.endErr
	case !p.started:
		return noEnd(err)
	}
	return errors.Join(noEnd(err), p.to.End(p.tally))
}

// noEnd is the error for a record that stopped with err.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrNoEnd
	}
	return fmt.Errorf("%w: %w", ErrNoEnd, err)
}

// object is any of the events as JSON.
type object struct {
	V   int    `json:"v"`
	Ev  string `json:"ev"`
	Run string `json:"run"`

	Time    time.Time       `json:"time"`
	Hosts   int             `json:"hosts"`
	Set     string          `json:"set"`
	Command string          `json:"command"`
	Args    []string        `json:"args"`
	Dir     string          `json:"dir"`
	Stdin   bool            `json:"stdin"`
	Repeats string          `json:"repeats"`
	Host    string          `json:"host"`
	Stream  string          `json:"stream"`
	Seq     int64           `json:"seq"`
	T       float64         `json:"t"`
	Data    string          `json:"data"`
	B64     []byte          `json:"b64"`
	More    bool            `json:"continued"`
	CR      bool            `json:"cr"`
	Status  Status          `json:"status"`
	RC      *int            `json:"rc"`
	Signal  string          `json:"signal"`
	Error   *problemObject  `json:"error"`
	MS      json.RawMessage `json:"ms"`
	Bytes   Bytes           `json:"bytes"`
	SHA256  Digest          `json:"sha256"`
	Remote  Remote          `json:"remote"`

	OutputOpen bool `json:"output_open"`
	Truncated  bool `json:"truncated"`
	Attempts   int  `json:"attempts"`

	OK          int `json:"ok"`
	Failed      int `json:"failed"`
	Unreachable int `json:"unreachable"`
	Timeout     int `json:"timeout"`
	Cancelled   int `json:"cancelled"`
	NotRun      int `json:"not_run"`
	Exit        int `json:"exit"`

	Stopped string `json:"stopped"`
}

type problemObject struct {
	Hop, Stage, Kind, Msg, Hint string
}

// player tells objects to a renderer.
type player struct {
	to     Renderer
	index  map[string]int
	batch  []Line
	tally  End
	endErr error

	started, ended bool
}

func (p *player) play(o *object) error {
	if (o.Ev == "start") == p.started {
		return fmt.Errorf("%q where the record cannot have it", o.Ev)
	}
	p.started = true
	if o.Ev == "line" {
		p.line(o)
		return nil
	}
	p.flush()
	switch o.Ev {
	case "start":
		p.to.Start(Start{
			Run: o.Run, Hosts: o.Hosts, Set: o.Set, Command: o.Command, Time: o.Time,
			Args: o.Args, Dir: o.Dir, Stdin: o.Stdin, Repeats: o.Repeats,
		})
	case "exit":
		return p.exit(o)
	case "end":
		p.ended = true
		p.endErr = p.to.End(End{
			Hosts: o.Hosts, OK: o.OK, Failed: o.Failed, Unreachable: o.Unreachable,
			Timeout: o.Timeout, Cancelled: o.Cancelled, NotRun: o.NotRun,
			Exit: o.Exit, Took: span(o.T), Stopped: o.Stopped,
		})
	}
	return nil
}

const replayBatch = 64

func (p *player) line(o *object) {
	text := o.Data
	if o.B64 != nil {
		text = string(o.B64)
	}
	p.batch = append(p.batch, Line{
		Host: o.Host, Index: p.place(o.Host), Stderr: o.Stream == "stderr",
		Seq: o.Seq, T: span(o.T), Text: text, Continued: o.More, CR: o.CR,
	})
	if len(p.batch) >= replayBatch {
		p.flush()
	}
}

func (p *player) exit(o *object) error {
	x := Exit{
		Host: o.Host, Index: p.place(o.Host), Status: o.Status, T: span(o.T),
		RC: o.RC, Signal: o.Signal, Bytes: o.Bytes, Digest: o.SHA256, Remote: o.Remote,
		OutputOpen: o.OutputOpen, Truncated: o.Truncated, Attempts: o.Attempts,
	}
	if o.Error != nil {
		x.Err = new(Problem(*o.Error))
	}
	var err error
	if x.Stages, err = stagesOf(o.MS); err != nil {
		return err
	}
	p.tally.Count(x.Status)
	p.tally.Took = max(p.tally.Took, x.T)
	p.to.Exit(x)
	return nil
}

// stagesOf reads the members of an object in their order, which a map loses.
func stagesOf(ms json.RawMessage) ([]Stage, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	var stages []Stage
	dec := json.NewDecoder(bytes.NewReader(ms))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("ms is not an object")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("ms: %w", err)
		}
		var n int64
		if err := dec.Decode(&n); err != nil {
			return nil, fmt.Errorf("ms: %w", err)
		}
		stages = append(stages, Stage{Name: fmt.Sprint(name), Took: time.Duration(n) * time.Millisecond})
	}
	return stages, nil
}

// place returns the number of a host.
func (p *player) place(host string) int {
	n, ok := p.index[host]
	if !ok {
		n = len(p.index)
		p.index[host] = n
	}
	return n
}

func (p *player) flush() {
	if len(p.batch) > 0 {
		p.to.Lines(p.batch)
		p.batch = p.batch[:0]
	}
}

// span turns seconds into a duration, to the millisecond of the record.
func span(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

package render

import (
	"errors"
	"time"
)

// Start opens a run.
type Start struct {
	Run     string    // the run's identifier
	Hosts   int       // how many hosts there are; 0 when not known yet
	Set     string    // the hosts as a folded set, like "web[1-20]"; may be empty
	Command string    // the command as given, secrets already taken out
	Time    time.Time // when the run began

	// What it takes to do it again. Args is the command line: the command, its
	// flags as --name=value, "--" and the other words; empty where it cannot be
	// told, as where it is not UTF-8. Of variables there are the names alone.
	Args    []string
	Dir     string // the folder in which it was given
	Stdin   bool   // the hosts were given standard input
	Repeats string // the run that this one repeats in part or whole
}

// Line is one line of a host's output, or a piece of one.
type Line struct {
	Host   string        // the name as the user gave it
	Index  int           // the host's place in the run, from 0
	Stderr bool          // the line came on standard error
	Seq    int64         // counts the lines of this host and stream from 0
	T      time.Duration // since the run's start
	Text   string        // without the newline; any bytes, not only UTF-8

	// Continued says that no newline ended Text: the line goes on in the
	// stream's next Line. On the last Line of a stream it says that the output
	// ended without a newline.
	Continued bool

	// CR says that a carriage return stood before the newline. It is part of
	// no line that is shown to people, but of exact output.
	CR bool
}

// appendEnd appends the end of a line as the host wrote it.
func (n *Line) appendEnd(p []byte) []byte {
	switch {
	case n.Continued:
		return p
	case n.CR:
		return append(p, "\r\n"...)
	}
	return append(p, '\n')
}

// Status says how a host ended.
type Status string

// The ways a host can end. Every host has exactly one.
const (
	OK          Status = "ok"          // the command ended with exit status 0
	Failed      Status = "failed"      // it ended with another exit status
	Signal      Status = "signal"      // a signal ended it
	Timeout     Status = "timeout"     // a time limit of connecting or running passed
	Unreachable Status = "unreachable" // name, connection or key exchange failed
	HostKey     Status = "hostkey"     // the host key is unknown, changed or revoked
	Auth        Status = "auth"        // no authentication method was accepted
	Lost        Status = "lost"        // the connection ended before the command
	Cancelled   Status = "cancelled"   // the user or a policy stopped it
	NotRun      Status = "not_run"     // it was never begun
)

// Remote says what is known of the remote process when Shoal let go of it
// before it reported its end.
type Remote string

// What can be known of a process that was let go of. The zero value means that
// there is nothing to say: it ended by itself or was never started.
const (
	Killed      Remote = "killed"  // its end was seen
	MayStillRun Remote = "unknown" // its end was not seen
)

// Problem is why a host failed.
type Problem struct {
	Hop   string // the jump host where it happened; empty for the host itself
	Stage string // resolve, connect, banner, kex, hostkey, auth, channel, exec, run …
	Kind  string // dns, refused, timeout, hostkey-changed, auth-failed …
	Msg   string // the cause in words, peer text already quoted; of a time limit, which
	Hint  string // what to do next; empty for the usual advice of Kind
}

// Stage is the time one step of a host's run took.
type Stage struct {
	Name string // dns, tcp, kex, auth, run …
	Took time.Duration
}

// Bytes counts what a host wrote.
type Bytes struct{ Out, Err int64 }

// Digest holds the SHA-256 of what a host wrote, in hexadecimal. Empty strings
// mean that it was not computed.
type Digest struct{ Out, Err string }

// Exit is how one host ended. Every host of a run has exactly one, after its
// last Line.
type Exit struct {
	Host   string
	Index  int
	Status Status
	T      time.Duration // since the run's start
	RC     *int          // the exit status; nil where there was none
	Signal string        // the signal's name without SIG, when Status is Signal
	Err    *Problem      // why, where RC and Signal do not say it
	Stages []Stage       // in the order they happened
	Bytes  Bytes
	Digest Digest
	Remote Remote // after Timeout, Cancelled and Lost

	OutputOpen bool // the command ended, but something kept its output open
	Truncated  bool // output was cut at a limit
	Attempts   int  // connection attempts; 0 and 1 mean the same
}

// ended reports whether the command ended by itself, well or not.
func (x *Exit) ended() bool {
	switch x.Status {
	case OK, Signal:
		return true
	case Failed:
		return x.RC != nil
	}
	return false
}

// End closes a run. Its numbers add up to Hosts.
type End struct {
	Hosts       int
	OK          int
	Failed      int // Failed and Signal
	Unreachable int // Unreachable, HostKey, Auth and Lost
	Timeout     int
	Cancelled   int
	NotRun      int
	Exit        int           // the exit code of the command line
	Stopped     string        // what stopped it before its time, in words; empty where nothing did
	Took        time.Duration // the whole run
}

// Count adds one host that ended with s.
func (e *End) Count(s Status) {
	e.Hosts++
	switch s {
	case OK:
		e.OK++
	case Failed, Signal:
		e.Failed++
	case Timeout:
		e.Timeout++
	case Cancelled:
		e.Cancelled++
	case NotRun:
		e.NotRun++
	default:
		e.Unreachable++
	}
}

// Renderer shows the events of one run. Its methods are called from one
// goroutine, in the order Start, any number of Lines and Exit, End.
//
// A writer's error does not stop a renderer: it goes on without that writer, and
// End returns the error unless it is a closed pipe.
type Renderer interface {
	Start(Start)
	Lines([]Line) // a batch of any size, of any hosts; not kept after the call
	Exit(Exit)
	End(End) error
}

// Tee passes every event to each of its renderers in turn.
type Tee []Renderer

// Start implements [Renderer].
func (t Tee) Start(e Start) {
	for _, r := range t {
		r.Start(e)
	}
}

// Lines implements [Renderer].
func (t Tee) Lines(batch []Line) {
	for _, r := range t {
		r.Lines(batch)
	}
}

// Exit implements [Renderer].
func (t Tee) Exit(e Exit) {
	for _, r := range t {
		r.Exit(e)
	}
}

// End ends every renderer, also after one of them failed, and joins the errors.
func (t Tee) End(e End) error {
	var errs []error
	for _, r := range t {
		errs = append(errs, r.End(e))
	}
	return errors.Join(errs...)
}

package shoal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Stage names the step of a host's work at which something went wrong.
type Stage string

// The stages, in the order a host goes through them.
const (
	StageResolve  Stage = "resolve"  // name to addresses
	StageConnect  Stage = "connect"  // TCP
	StageBanner   Stage = "banner"   // the server's identification, RFC 4253 §4.2
	StageKex      Stage = "kex"      // key exchange, RFC 4253 §7
	StageHostKey  Stage = "hostkey"  // is the server's key the one we know
	StageAuth     Stage = "auth"     // user authentication, RFC 4252
	StageChannel  Stage = "channel"  // opening a session channel, RFC 4254 §6.1
	StageExec     Stage = "exec"     // starting the command, RFC 4254 §6.5
	StageRun      Stage = "run"      // the command at work
	StageForward  Stage = "forward"  // connecting or listening from the host, RFC 4254 §7
	StageTransfer Stage = "transfer" // a copy at work
	StageClose    Stage = "close"    // ending
	StagePrepare  Stage = "prepare"  // before anything is sent: settings, arguments, keys
)

// Kind classifies an error so that programs can decide without reading text.
type Kind string

// The kinds of a [HostError].
const (
	KindInvalid        Kind = "invalid"             // a setting, name or argument that cannot work
	KindDNS            Kind = "dns"                 // the name has no address, or the resolver failed
	KindRefused        Kind = "refused"             // nothing listens on the port
	KindUnreachable    Kind = "unreachable"         // no route, network down
	KindTimeout        Kind = "timeout"             // a budget or the caller's deadline ran out
	KindThrottled      Kind = "throttled"           // the server closed before it said who it is (MaxStartups)
	KindNotSSH         Kind = "not-ssh"             // something else, or SSH 1, answers on the port
	KindNoAlgorithm    Kind = "no-common-algorithm" // nothing in common to encrypt with
	KindHostKeyUnknown Kind = "hostkey-unknown"     // no known_hosts line for the host
	KindHostKeyChanged Kind = "hostkey-changed"     // another key than the known one
	KindHostKeyRevoked Kind = "hostkey-revoked"     // a key marked @revoked
	KindAuthFailed     Kind = "auth-failed"         // no method was accepted
	KindTooManyKeys    Kind = "too-many-keys"       // keys were left unoffered, or the server stopped counting
	KindAgent          Kind = "agent"               // the SSH agent failed and nothing else was accepted
	KindChannelRefused Kind = "channel-refused"     // the server opened no session
	KindExecRefused    Kind = "exec-refused"        // the server started no command
	KindSudo           Kind = "sudo-refused"        // sudo did not take the password
	KindLost           Kind = "lost"                // the connection broke
	KindNoExitStatus   Kind = "no-exit-status"      // the command ended without saying how
	KindOutputLimit    Kind = "output-limit"        // more output than Command.MaxOutput
	KindLocalIO        Kind = "local-io"            // a local reader, writer or file failed
	KindRemoteIO       Kind = "remote-io"           // a remote file could not be read, written or made
	KindTruncated      Kind = "truncated"           // a copy is not what its source is
	KindChanged        Kind = "changed"             // the source changed while it was copied
	KindProtocol       Kind = "protocol"            // the server broke the protocol
	KindCancelled      Kind = "cancelled"           // the caller ended it
	KindNotRun         Kind = "not-run"             // never begun
	KindInternal       Kind = "internal"            // a panic in the caller's function
)

// Errors to test for with [errors.Is]; each stands for a group of kinds.
var (
	// ErrAuth: the user could not be authenticated.
	ErrAuth = errors.New("authentication failed")
	// ErrHostKey: the server's key is unknown, changed or revoked.
	ErrHostKey = errors.New("host key not accepted")
	// ErrNotRun: nothing was begun on this host.
	ErrNotRun = errors.New("not run")
	// ErrLost: the connection broke; a command that had begun may still run.
	ErrLost = errors.New("connection lost")
	// ErrTimeout: a time budget ran out.
	ErrTimeout = errors.New("timed out")
	// ErrCancelled: the caller's context was cancelled or the value closed.
	ErrCancelled = errors.New("cancelled")
)

// groups maps the sentinel errors to the kinds they stand for.
func (k Kind) group() error {
	switch k {
	case KindAuthFailed, KindTooManyKeys, KindAgent:
		return ErrAuth
	case KindHostKeyUnknown, KindHostKeyChanged, KindHostKeyRevoked:
		return ErrHostKey
	case KindNotRun:
		return ErrNotRun
	case KindLost:
		return ErrLost
	case KindTimeout:
		return ErrTimeout
	case KindCancelled:
		return ErrCancelled
	}
	return nil
}

// HostError says what failed on which host. Every error of a [Result] is one,
// or an [*ExitError].
type HostError struct {
	// Host is the host as the caller named it.
	Host string
	// Hop names the jump host at which it happened; empty for the host itself.
	Hop string
	// Stage is the step at which it happened.
	Stage Stage
	// Kind says what class of failure it is.
	Kind Kind
	// Attempt counts connection attempts, from 1; 0 where none was made.
	Attempt int
	// Elapsed is the time from the beginning of the work to the failure.
	Elapsed time.Duration
	// MayRun reports that a remote command was begun and its end not seen:
	// it may still run.
	MayRun bool
	// Hint is one line on what to do next; may be empty.
	Hint string
	// Err is the cause.
	Err error

	timings Timings // of the stages before
}

// Error gives host, hop, stage and cause in one line. Text that came from the
// server is quoted or has its control characters escaped.
func (e *HostError) Error() string {
	var b strings.Builder
	b.WriteString(e.Host)
	if e.Hop != "" {
		b.WriteString(": via " + e.Hop)
	}
	b.WriteString(": " + e.Summary())
	return b.String()
}

// Summary is the error without the host and hop: stage and cause.
func (e *HostError) Summary() string {
	var b strings.Builder
	if e.Stage != "" {
		b.WriteString(string(e.Stage) + ": ")
	}
	if e.Err != nil {
		b.WriteString(printable(e.Err.Error()))
	} else {
		b.WriteString(string(e.Kind))
	}
	if e.Attempt > 1 {
		fmt.Fprintf(&b, " (attempt %d)", e.Attempt)
	}
	if e.MayRun {
		b.WriteString("; the remote command may still run")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

// Is reports whether target is the group of the error's kind, such as [ErrAuth].
func (e *HostError) Is(target error) bool {
	return target != nil && target == e.Kind.group()
}

// ExitError says that a remote command ran and ended with a status other than
// zero or by a signal (RFC 4254 §6.10).
type ExitError struct {
	// Code is the exit status; the protocol's unsigned 32 bits are kept, so
	// 256 is not 0. -1 where the command was ended by a signal.
	Code int
	// Signal is the signal's name without "SIG", such as "TERM"; empty where
	// there was none, "unknown" for names outside RFC 4254 §6.10's table.
	Signal string
	// CoreDumped reports that the server said so along with a signal.
	CoreDumped bool
	// Message is the server's explanation of a signal; untrusted text.
	Message string
}

// Error gives the status or the signal.
func (e *ExitError) Error() string {
	if e.Signal == "" {
		return "exit status " + strconv.Itoa(e.Code)
	}
	s := "ended by signal " + e.Signal
	if e.CoreDumped {
		s += " (core dumped)"
	}
	return s
}

// TimeoutError is what [Join] returns when its context ends first. The
// unfinished commands go on; Join may be called again with them.
type TimeoutError struct {
	Finished   []*Proc // ended, their output complete
	Unfinished []*Proc // still at work
	Err        error   // the context's cause
}

// Error gives the counts.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%v: %d of %d commands unfinished", e.Err, len(e.Unfinished), len(e.Finished)+len(e.Unfinished))
}

// Unwrap returns the context's cause.
func (e *TimeoutError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrTimeout].
func (e *TimeoutError) Is(target error) bool { return target == ErrTimeout }

// maxErrorText bounds what of a peer's words enters an error.
const maxErrorText = 1024

// printable makes text that may come from a peer fit for one line of a
// terminal or a log: control, bidirectional and invalid bytes are escaped.
func printable(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	clean := true
	for _, r := range s {
		if !strconv.IsPrint(r) || r == '\uFFFD' {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\uFFFD' && s[i] != 0xEF:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

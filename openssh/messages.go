package openssh

import (
	"errors"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal"
)

// meaning is what a message of ssh's means. All are in English whatever the
// locale.
type meaning struct {
	text  string
	stage shoal.Stage
	kind  shoal.Kind
}

// meanings are tried on the last line first, since the first may be a banner of
// the server's.
var meanings = []meaning{
	{"Bad configuration option", shoal.StagePrepare, shoal.KindInvalid},
	{"bad configuration options", shoal.StagePrepare, shoal.KindInvalid},
	{"Bad owner or permissions", shoal.StagePrepare, shoal.KindInvalid},
	{"too long for Unix domain socket", shoal.StagePrepare, shoal.KindInvalid},
	{"Host key verification failed", shoal.StageHostKey, shoal.KindHostKeyUnknown},
	{"Too many authentication failures", shoal.StageAuth, shoal.KindTooManyKeys},
	{"Permission denied (", shoal.StageAuth, shoal.KindAuthFailed},
	{"o supported authentication methods", shoal.StageAuth, shoal.KindAuthFailed},
	{"Could not resolve hostname", shoal.StageResolve, shoal.KindDNS},
	{"Unable to negotiate", shoal.StageKex, shoal.KindNoAlgorithm},
	{"timed out during banner exchange", shoal.StageBanner, shoal.KindTimeout},
	{"Not allowed at this time", shoal.StageBanner, shoal.KindThrottled},
	{"Exceeded MaxStartups", shoal.StageBanner, shoal.KindThrottled},
	{"banner line", shoal.StageBanner, shoal.KindNotSSH},
	{"No banner received", shoal.StageBanner, shoal.KindNotSSH},
	{"invalid format", shoal.StageBanner, shoal.KindNotSSH},
	{"Remote protocol version", shoal.StageBanner, shoal.KindNotSSH},
	{"administratively prohibited", shoal.StageChannel, shoal.KindChannelRefused},
	{"Connection refused", shoal.StageConnect, shoal.KindRefused},
	{"Connection timed out", shoal.StageConnect, shoal.KindTimeout},
	{"Operation timed out", shoal.StageConnect, shoal.KindTimeout},
	{"Name or service not known", shoal.StageResolve, shoal.KindDNS},
	{"No route to host", shoal.StageConnect, shoal.KindUnreachable},
	{"connect to host", shoal.StageConnect, shoal.KindUnreachable},
}

// endings are tried in this order where no line says more.
var endings = []meaning{
	{viaProxy, shoal.StageConnect, shoal.KindUnreachable},
	{"exchange_identification:", shoal.StageBanner, shoal.KindThrottled},
	{"Connection closed by", shoal.StageKex, shoal.KindLost},
	{"Connection reset by", shoal.StageKex, shoal.KindLost},
}

func understand(lines []string) (shoal.Stage, shoal.Kind) {
	for _, line := range slices.Backward(lines) {
		for _, m := range meanings {
			if strings.Contains(line, m.text) {
				return m.stage, m.kind
			}
		}
	}
	// Twice: the first was said by the ssh that goes through a jump host.
	if strings.Count(strings.Join(lines, "\n"), "exchange_identification:") > 1 {
		return shoal.StageBanner, shoal.KindThrottled
	}
	for _, m := range endings {
		if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, m.text) }) {
			return m.stage, m.kind
		}
	}
	return shoal.StageConnect, shoal.KindUnreachable
}

// viaProxy stands where the connection came from a jump host or a ProxyCommand
// and ended before ssh was logged in.
const viaProxy = "UNKNOWN port 65535"

// failure says what the words of an ssh mean that did not log in.
func failure(h shoal.Host, text string, exit error) *shoal.HostError {
	lines := messages(text)
	if len(lines) == 0 {
		return &shoal.HostError{Stage: shoal.StageConnect, Kind: shoal.KindUnreachable, Err: errors.New("ssh ended without a word: " + exit.Error())}
	}
	he := &shoal.HostError{}
	he.Stage, he.Kind = understand(lines)
	if he.Kind == shoal.KindHostKeyUnknown {
		switch {
		case strings.Contains(text, "REVOKED HOST KEY"):
			he.Kind = shoal.KindHostKeyRevoked
		case strings.Contains(text, "HOST IDENTIFICATION HAS CHANGED"):
			he.Kind = shoal.KindHostKeyChanged
		}
	}
	if len(h.Via) > 0 && strings.Contains(text, viaProxy) && !strings.Contains(text, "open failed: connect failed") {
		he.Hop = hop(h.Via, text)
	}
	he.Err = &Error{Messages: lines}
	return he
}

// hop is the jump host that the words name, else the one connected to first.
func hop(via []shoal.Host, text string) string {
	for _, h := range slices.Backward(via) {
		if strings.Contains(text, h.Addr) {
			return h.Name
		}
	}
	return via[0].Name
}

// Error is what ssh said of a connection that failed or ended.
type Error struct {
	// Messages are its lines, without decoration. They may hold text of the
	// server's or of a ProxyCommand's.
	Messages []string
}

// Error gives the messages in one line.
func (e *Error) Error() string {
	return "ssh: " + strings.TrimPrefix(strings.Join(e.Messages, "; "), "ssh: ")
}

// messages are the lines that say something.
func messages(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.Trim(strings.TrimSpace(line), "@"))
		if line != "" && !slices.ContainsFunc(idle, func(p string) bool { return strings.HasPrefix(line, p) }) {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-maxMessages):]
}

// maxMessages are as many lines as the warning about a changed key has.
const maxMessages = 8

// idle are the beginnings of lines that add nothing.
var idle = []string{
	"Warning: Permanently added",
	"IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!",
	"Someone could be eavesdropping on you right now (man-in-the-middle attack)!",
	"It is also possible that a host key has just been changed.",
	"Please contact your system administrator.",
}

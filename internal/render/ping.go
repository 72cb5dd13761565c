package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Ping shows how far each host was reached: a row on standard output with the
// milliseconds that each stage took, "failed" in the column of the stage that
// did; why, on standard error; and at the end the median of the hosts that
// succeeded and the slowest one.
//
//	times in ms    dns    tcp    kex hostkey   auth   exec  total
//	web1           0.3    0.5   11.9     0.1    7.5    4.2   24.5
//	web2           0.3    0.5   12.4     0.1 failed
//
// The times of a host behind a jump host begin there; the jump host looks the
// name up.
type Ping struct {
	Screen *Screen
	Hosts  []string // their names, which say how wide the first column is
	Quiet  bool     // no rows

	report Report
	label  int // columns of the first column
	first  map[int]string
	ok     []pinged
}

// pinged is a host that was reached, with its times by stage.
type pinged struct {
	host  string
	times [pingStages]time.Duration
}

const pingStages = 6

const pingSlowest = "slowest: "

const pingExec = "exec" // from opening a session to the end of its command

var pingNames = [pingStages]string{"dns", "tcp", "kex", "hostkey", "auth", pingExec}

// pingWidth is how wide a column is, with the blank before it.
func pingWidth(column int) int {
	if column < pingStages {
		return 1 + max(6, len(pingNames[column]))
	}
	return 7
}

// Start implements [Renderer].
func (p *Ping) Start(Start) {
	p.report = Report{Screen: p.Screen, label: func(x *Exit) string { return pingNames[pingFailed(x)] }}
	p.first = make(map[int]string)
	head := "times in ms"
	longest := 0
	for _, h := range p.Hosts {
		longest = max(longest, columns(Sanitize(h)))
	}
	room := p.Screen.width() - 1 // the last column stays free
	for i := range pingStages + 1 {
		room -= pingWidth(i)
	}
	if longest+len(pingSlowest) <= room {
		longest += len(pingSlowest)
	}
	p.label = max(len(head), min(longest, room))
	p.show(head, append(pingNames[:], "total"), "")
}

// Lines implements [Renderer]. It keeps the first line of each host.
func (p *Ping) Lines(batch []Line) {
	for i := range batch {
		if n := &batch[i]; p.first[n.Index] == "" {
			p.first[n.Index] = cutBytes(n.Text, maxMessage)
		}
	}
}

// row writes a row, with the last cell in a colour. A name that is too long has
// a line of its own.
func (p *Ping) row(to stream, name string, cells []string, color string) {
	s := p.Screen
	s.begin(to, ours)
	s.buf = AppendSanitized(s.buf, name)
	if room := p.label - columns(Sanitize(name)); room >= 0 {
		s.buf = append(s.buf, strings.Repeat(" ", room)...)
	} else {
		s.buf = append(append(s.buf, '\n'), strings.Repeat(" ", p.label)...)
	}
	for i, c := range cells {
		c = fmt.Sprintf("%*s", pingWidth(i), c)
		if i == len(cells)-1 {
			s.buf = appendColor(s.buf, color, c)
		} else {
			s.buf = append(s.buf, c...)
		}
	}
	s.buf = append(s.buf, '\n')
	s.flush()
}

// Exit implements [Renderer].
func (p *Ping) Exit(x Exit) {
	said := p.first[x.Index]
	delete(p.first, x.Index)
	times := pingTimes(x.Stages)
	if x.Status == OK {
		p.ok = append(p.ok, pinged{x.Host, times})
		p.show(x.Host, pingCells(times), "")
		p.report.Exit(x)
		return
	}
	if x.Status != NotRun && x.Status != Cancelled {
		failed := pingFailed(&x)
		p.show(x.Host, append(pingCells(times)[:failed:failed], "failed"), red)
	}
	pingProblem(&x, said)
	p.report.Exit(x)
}

func (p *Ping) show(name string, cells []string, color string) {
	if !p.Screen.StdoutColor {
		color = ""
	}
	if !p.Quiet {
		p.row(toStdout, name, cells, color)
	}
}

// pingTimes sorts times of stages into the columns.
func pingTimes(all []Stage) (times [pingStages]time.Duration) {
	for _, s := range all {
		name := s.Name
		if name == "start" || name == "run" {
			name = pingExec
		}
		if i := slices.Index(pingNames[:], name); i >= 0 {
			times[i] += s.Took
		}
	}
	return times
}

// pingFailed is the column of the stage at which a host failed.
func pingFailed(x *Exit) int {
	column := map[string]string{
		"resolve": "dns", "connect": "tcp", "banner": "kex", "kex": "kex", "hostkey": "hostkey", "auth": "auth", "prepare": "dns",
	}
	name := pingExec
	if x.Err != nil {
		name = cmp.Or(column[x.Err.Stage], pingExec)
	}
	if x.Err != nil && x.Err.Hop != "" && pingTimes(x.Stages)[1] == 0 {
		name = "tcp" // whatever it was at the jump host
	}
	return slices.Index(pingNames[:], name)
}

func pingCells(times [pingStages]time.Duration) []string {
	var cells []string
	var total time.Duration
	for _, t := range times {
		cells = append(cells, pingCell(t))
		total += t
	}
	return append(cells, pingCell(total))
}

func pingCell(t time.Duration) string {
	switch ms := float64(t) / float64(time.Millisecond); {
	case t <= 0:
		return "-"
	case ms < 99.95:
		return fmt.Sprintf("%.1f", ms)
	default:
		return fmt.Sprintf("%.0f", ms)
	}
}

// pingProblem says in the words of a ping why a host failed; said is what it
// wrote first.
func pingProblem(x *Exit, said string) {
	problem := Problem{}
	if x.Err != nil {
		problem = *x.Err
	}
	if problem.Stage == "run" {
		problem.Stage = pingExec
	}
	switch {
	case x.Status == Failed && x.RC != nil, x.Status == Signal:
		problem = Problem{Stage: pingExec, Kind: "exit-status", Msg: cause(x),
			Hint: "the login works, but the account runs no commands: is its shell nologin, or a command forced on it?"}
		if said != "" {
			problem.Msg += fmt.Sprintf(": %q", said)
		}
		x.Status = Failed
	case x.Status == Timeout && problem.Stage == pingExec:
		problem.Hint = "the login works, but not even an empty command ends: look at what the shell does when it starts"
	case x.Status == Timeout && problem.Hint == "" && (problem.Stage == "kex" || problem.Stage == "auth"):
		problem.Hint = "the host is slow, or stuck: -v says more, and -t allows more time"
	}
	x.Err = &problem
}

// End implements [Renderer].
func (p *Ping) End(e End) error {
	if len(p.ok) > 1 {
		var median [pingStages]time.Duration
		for i := range median {
			median[i] = medianOf(p.ok, func(h pinged) time.Duration { return h.times[i] })
		}
		cells := pingCells(median)
		cells[pingStages] = pingCell(medianOf(p.ok, pinged.total))
		p.row(toStderr, "median", cells, "")
		slowest := slices.MaxFunc(p.ok, func(a, b pinged) int { return cmp.Compare(a.total(), b.total()) })
		p.row(toStderr, pingSlowest+slowest.host, pingCells(slowest.times), "")
	}
	return p.report.End(e)
}

func (h pinged) total() time.Duration {
	var total time.Duration
	for _, t := range h.times {
		total += t
	}
	return total
}

// medianOf is the middle time, of an even number the lower of the two.
func medianOf(all []pinged, timeOf func(pinged) time.Duration) time.Duration {
	var times []time.Duration
	for _, h := range all {
		times = append(times, timeOf(h))
	}
	slices.Sort(times)
	return times[(len(times)-1)/2]
}

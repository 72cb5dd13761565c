package render

import "fmt"

// SSHCode is the exit code that the program ssh has where a host ended so: the
// exit status of the command, and 255 where there is none; or scp, which has 1
// where a file could not be copied.
func (x *Exit) SSHCode() int {
	switch {
	case x.Status == OK:
		return 0
	case x.Status == Failed && x.RC != nil && x.Err == nil:
		return *x.RC
	case x.Status == Failed && x.Err != nil && x.Err.Stage == "transfer":
		return 1 // of scp
	}
	return 255
}

// Pdsh shows a run as pdsh does: lines as they come, each with its host, and on
// standard error how hosts ended that did not end well.
type Pdsh struct {
	Screen   *Screen
	NoLabels bool
	Self     string              // how pdsh calls itself: "pdsh@thismachine"
	Label    func(string) string // how it calls a host; nil means as it was named

	live    Live
	renamed []Line
}

// Start implements [Renderer].
func (p *Pdsh) Start(e Start) {
	p.live = Live{Screen: p.Screen, NoLabels: p.NoLabels}
	p.live.Start(e)
	if p.Label == nil {
		p.Label = func(name string) string { return name }
	}
}

// Lines implements [Renderer].
func (p *Pdsh) Lines(batch []Line) {
	p.renamed = append(p.renamed[:0], batch...)
	for i := range p.renamed {
		p.renamed[i].Host = p.Label(p.renamed[i].Host)
	}
	p.live.Lines(p.renamed)
}

// Exit implements [Renderer].
func (p *Pdsh) Exit(x Exit) {
	x.Host = p.Label(x.Host)
	p.live.Exit(x)
	code := x.SSHCode()
	if code == 0 {
		return
	}
	host := Sanitize(x.Host)
	switch {
	case x.timedOut():
		p.Screen.line(fmt.Sprintf("%s: %s: command timeout", p.Self, host))
	case !x.ended():
		sayCause(p.Screen, &x, p.NoLabels)
	}
	p.Screen.line(fmt.Sprintf("%s: %s: ssh exited with exit code %d", p.Self, host, code))
	p.Screen.flush()
}

// End implements [Renderer].
func (p *Pdsh) End(e End) error { return p.live.End(e) }

// timedOut reports whether the time limit of the command passed.
func (x *Exit) timedOut() bool {
	return x.Status == Timeout && (x.Err == nil || x.Err.Stage == "" || x.Err.Stage == "run")
}

// sayCause writes why a host was not reached, where ssh would say why.
func sayCause(s *Screen, x *Exit, noLabel bool) {
	label := Sanitize(x.Host) + ": "
	if noLabel {
		label = ""
	}
	s.line(label + cause(x))
}

package render

import "fmt"

// Pssh shows a run as parallel-ssh and its sisters do: a line for each host as
// it ends, on standard output, and under it what the host wrote, if that is
// wanted. Why a host was not reached, which they leave out unless output is
// shown, is on standard error.
type Pssh struct {
	Screen       *Screen
	Name         string // of the program
	Inline       bool   // -i: standard output and error
	InlineStdout bool   // --inline-stdout
	Print        bool   // -P: lines as they come

	live   Live
	gather gather
	ended  int
	out    []Line
}

// Start implements [Renderer].
func (p *Pssh) Start(e Start) {
	p.live = Live{Screen: p.Screen}
	p.live.Start(e)
	p.gather.begin(e, 0, "")
}

// Lines implements [Renderer].
func (p *Pssh) Lines(batch []Line) {
	p.out = p.out[:0]
	for _, n := range batch {
		if !n.Stderr {
			p.out = append(p.out, n)
		}
	}
	if p.Print {
		p.live.Lines(p.out)
	}
	switch {
	case p.Inline:
		p.gather.lines(batch)
	case p.InlineStdout:
		p.gather.lines(p.out)
	}
}

// Exit implements [Renderer].
func (p *Pssh) Exit(x Exit) {
	p.live.Exit(x)
	p.ended++
	why := psshWhy(&x)
	result := "[SUCCESS]"
	if why != "" {
		result, why = "[FAILURE]", " "+why
	}
	number := fmt.Sprintf("[%d]", p.ended)
	if p.Screen.StdoutColor {
		color := labelColor(1)
		if why != "" {
			color = red
			why = red + why + resetColor
		}
		number, result = labelColor(0)+number+resetColor, color+result+resetColor
	}
	at := p.gather.start.Time.Add(x.T).Local().Format("15:04:05")
	p.write(number + " " + at + " " + result + " " + Sanitize(x.Host) + why + "\n")
	broken := why != "" && !x.ended() && !x.timedOut()
	if p.Inline || p.InlineStdout {
		h := p.gather.host(x.Host, x.Index)
		p.write(p.text(p.gather.output(h, toStdout)))
		errs := p.text(p.gather.output(h, toStderr))
		if broken && p.Inline {
			errs += cause(&x) + "\n"
			broken = false
		}
		if errs != "" {
			p.write("Stderr: " + errs)
		}
		for to, t := range h.texts {
			if t != nil {
				t.drop()
				h.texts[to] = nil
			}
		}
		delete(p.gather.hosts, x.Index)
	}
	if broken {
		p.Screen.line(p.Name + ": " + Sanitize(x.Host) + ": " + cause(&x))
		p.Screen.flush()
	}
}

// text is output as it may be shown.
func (p *Pssh) text(s string) string {
	if p.Screen.Raw {
		return s
	}
	return sanitizeLines(s)
}

// psshWhy is what pssh says of a host that failed; empty where it did not.
func psshWhy(x *Exit) string {
	switch x.Status {
	case OK:
		return ""
	case Timeout:
		return "Timed out, Killed by signal 9"
	case Cancelled:
		return "Interrupted, Killed by signal 9"
	case NotRun:
		return "Cancelled"
	}
	return fmt.Sprintf("Exited with error code %d", x.SSHCode())
}

func (p *Pssh) write(text string) {
	if text != "" {
		p.Screen.Out().Write([]byte(text))
	}
}

// End implements [Renderer].
func (p *Pssh) End(e End) error {
	err := p.live.End(e)
	if e := p.gather.close(); e != nil {
		return e
	}
	return err
}

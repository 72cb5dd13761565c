package render

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// StatusLine keeps one line below the output of a terminal: how many hosts are
// done and how they ended, how fast it goes, when it may end, and the host that
// takes longest.
//
//	31/40 done: 28 ok, 1 failed, 9 running | 2.3 hosts/s | 4 s left | slowest db17 26 s
//
// It counts the events it is given as a [Renderer] and is drawn by Tick, which
// the command calls a few times a second. Nothing is drawn where standard error
// is no terminal.
type StatusLine struct {
	Screen *Screen
	Every  time.Duration // at least this long between two texts; 0 means 100 ms

	start   Start
	tally   End
	shown   time.Time
	begun   []begun      // in order of beginning, some of them done
	running map[int]bool // of those, by index
	bytes   int64
	total   int64
}

type begun struct {
	host  string
	index int
	at    time.Time
}

// Start implements [Renderer].
func (s *StatusLine) Start(e Start) {
	s.start = e
	s.running = make(map[int]bool)
}

// Begin notes that work on a host begins. A caller may leave it out, at the
// price of not seeing what runs and what is slowest.
func (s *StatusLine) Begin(host string, index int, now time.Time) {
	s.running[index] = true
	s.begun = append(s.begun, begun{host, index, now})
}

// Bytes sets how much was copied, of how much in all; a total of 0 means that it
// is not known.
func (s *StatusLine) Bytes(done, total int64) { s.bytes, s.total = done, total }

// Lines implements [Renderer].
func (s *StatusLine) Lines([]Line) {}

// Exit implements [Renderer].
func (s *StatusLine) Exit(x Exit) {
	s.tally.Count(x.Status)
	delete(s.running, x.Index)
	// What was begun first is kept at the front, for that is the slowest host.
	for len(s.begun) > 0 && !s.running[s.begun[0].index] {
		s.begun = s.begun[1:]
	}
}

// End implements [Renderer]. It takes the line away.
func (s *StatusLine) End(End) error {
	s.Screen.setStatus("")
	return nil
}

// Running returns the hosts that were begun and have not ended, longest first.
func (s *StatusLine) Running() []string {
	var names []string
	for _, b := range s.begun {
		if s.running[b.index] {
			names = append(names, b.host)
		}
	}
	return names
}

// Tick draws the line as it is at now, unless it was drawn just before.
func (s *StatusLine) Tick(now time.Time) {
	every := s.Every
	if every == 0 {
		every = 100 * time.Millisecond
	}
	if !s.Screen.StderrTTY || now.Sub(s.shown) < every {
		return
	}
	s.shown = now
	// The last column stays free: writing to it makes some terminals wrap.
	s.Screen.setStatus(cut(s.text(now), s.Screen.width()-1))
}

func (s *StatusLine) text(now time.Time) string {
	fields := []string{s.counts()}
	elapsed := now.Sub(s.start.Time)
	if s.bytes > 0 {
		fields = append(fields, s.copied(elapsed))
	}
	if rate := float64(s.tally.Hosts) / elapsed.Seconds(); elapsed >= time.Second && s.tally.Hosts > 0 {
		fields = append(fields, rateText(rate))
		if left := s.start.Hosts - s.tally.Hosts; left > 0 {
			fields = append(fields, "about "+coarse(time.Duration(float64(left)/rate*float64(time.Second)))+" left")
		}
	}
	if len(s.begun) > 0 {
		b := s.begun[0]
		fields = append(fields, "slowest "+Sanitize(b.host)+" "+coarse(now.Sub(b.at)))
	}
	return strings.Join(fields, " | ")
}

func rateText(perSecond float64) string {
	switch {
	case perSecond >= 10:
		return fmt.Sprintf("%.0f hosts/s", perSecond)
	case perSecond >= 1:
		return fmt.Sprintf("%.1f hosts/s", perSecond)
	}
	return fmt.Sprintf("%.1f hosts/min", perSecond*60)
}

// coarse is duration without tenths, which would only flicker.
func coarse(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	}
	return duration(d)
}

func (s *StatusLine) counts() string {
	t := s.tally
	done := fmt.Sprintf("%d done", t.Hosts)
	if s.start.Hosts > 0 {
		done = fmt.Sprintf("%d/%d done", t.Hosts, s.start.Hosts)
	}
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{
		{t.OK, "ok"}, {t.Failed, "failed"}, {t.Timeout, "timed out"},
		{t.Unreachable, "unreachable"}, {t.Cancelled, "cancelled"},
		{t.NotRun, "not run"}, {len(s.running), "running"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return strings.Join(slices.Concat([]string{done}, parts), ", ")
}

// copied tells the bytes, their rate and, where the total is known, the end.
func (s *StatusLine) copied(elapsed time.Duration) string {
	text := size(s.bytes)
	if s.total > 0 {
		text += " of " + size(s.total)
	}
	if elapsed >= time.Second {
		text += ", " + size(int64(float64(s.bytes)/elapsed.Seconds())) + "/s"
	}
	return text
}

// size writes n bytes for people: "512 B", "1.5 KiB", "20 MiB".
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1023.5 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %ciB", f, units[i])
	}
	return fmt.Sprintf("%.0f %ciB", f, units[i])
}

package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

// console is the terminal, or what stands in its place, as a run's output, its
// status line, its log and its questions share it. Its methods are safe for
// concurrent use. While a question stands there output waits, and with it the
// hosts; what Shoal says is kept for afterwards.
type console struct {
	mu       sync.Mutex
	answered sync.Cond
	asking   atomic.Bool         // written with mu held
	late     []string            // said while a question stood there
	mask     func(string) string // takes out what must not be shown; nil for nothing
	screen   *render.Screen
	status   *render.StatusLine

	noteMu sync.Mutex     // apart from mu, so that no host waits for the screen
	index  map[string]int // of the hosts of the run
	notes  []note
}

// note says that work on a host began.
type note struct {
	host  string
	index int
	at    time.Time
}

func newConsole(s *render.Screen) *console {
	c := &console{screen: s, status: &render.StatusLine{Screen: s}}
	c.answered.L = &c.mu
	return c
}

// show calls f with the screen to itself.
func (c *console) show(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.asking.Load() {
		c.answered.Wait()
	}
	c.takeNotes()
	f()
}

// say writes a line of Shoal's own, at once or after the question that stands
// there.
func (c *console) say(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mask != nil {
		line = c.mask(line)
	}
	if c.asking.Load() {
		c.late = append(c.late, line)
		return
	}
	c.screen.Say(line)
}

// hold keeps the screen free for a question until release.
func (c *console) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking.Store(true)
	c.screen.Hold()
}

func (c *console) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking.Store(false)
	for _, line := range c.late {
		c.screen.Say(line)
	}
	c.late = nil
	c.screen.Release()
	c.answered.Broadcast()
}

// renew readies the console for another run.
func (c *console) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = &render.StatusLine{Screen: c.screen}
	c.noteMu.Lock()
	defer c.noteMu.Unlock()
	c.index, c.notes = nil, nil
}

// noteHosts says which hosts the run has.
func (c *console) noteHosts(hosts []shoal.Host) {
	c.noteMu.Lock()
	defer c.noteMu.Unlock()
	c.index = make(map[string]int, len(hosts))
	for i, h := range hosts {
		c.index[h.Name] = i
	}
}

// noteBegin notes that work on a host begins, if it is one of the run and no jump
// host.
func (c *console) noteBegin(host string) {
	c.noteMu.Lock()
	defer c.noteMu.Unlock()
	if i, ok := c.index[host]; ok {
		c.notes = append(c.notes, note{host, i, time.Now()})
	}
}

// takeNotes hands the notes to the status line. mu is held.
func (c *console) takeNotes() {
	c.noteMu.Lock()
	notes := c.notes
	c.notes = nil
	c.noteMu.Unlock()
	for _, n := range notes {
		c.status.Begin(n.host, n.index, n.at)
	}
}

// tick redraws the status line a few times a second, until stop is called,
// which waits for that. There is none where stderr is no terminal.
func (c *console) tick() (stop func()) {
	if !c.screen.StderrTTY {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				c.redraw(now)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

func (c *console) redraw(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asking.Load() {
		return
	}
	if cols, _, ok := terminalSize(c.screen.Stderr); ok {
		c.screen.Width = cols
	}
	c.takeNotes()
	c.status.Tick(now)
}

// progress says how far the run is and what is running.
func (c *console) progress(total int, tally *render.End) {
	c.show(func() {
		if tally.Hosts == total {
			return
		}
		running := c.status.Running()
		text := fmt.Sprintf("%d of %d hosts done", tally.Hosts, total)
		if len(running) > 0 {
			text += fmt.Sprintf(", %d running: %s", len(running), fold(running))
		}
		if waiting := total - tally.Hosts - len(running); waiting > 0 {
			text += fmt.Sprintf(", %d waiting", waiting)
		}
		c.screen.Say(text)
		c.screen.Hint("^C again within two seconds ends the run, on the hosts too; what came is kept")
	})
}

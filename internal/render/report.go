package render

import "fmt"

// Report says on standard error what failed and how the run went: a line for
// each of the first few failures of a kind as they happen, at the end one line
// for all others that failed alike, and the summary. Alone it is the quiet
// output; beside [Live] or [Fold], after it in a [Tee], the end of theirs.
type Report struct {
	Screen *Screen

	// Early is how many hosts that failed alike are shown as they fail. The
	// others share one line at the end. Zero means 3, a negative number none.
	Early int

	label    func(*Exit) string // what the summary calls it; nil for the usual
	tally    End
	sets     map[Status]map[string][]string // by status and label: who ended so
	failures map[failure]*alike
	order    []*alike // in the order first seen
	causes   map[failure]int
	hinted   map[string]bool
	open     []string // ended, but left its output open
	cut      []string // output was cut at a limit
}

// failure identifies hosts that failed alike.
type failure struct {
	status  Status
	kind    string
	pattern string
}

// alike gathers them.
type alike struct {
	first   Exit
	text    string // the cause, the same for all of them
	shown   int
	waiting []string // to be shown at the end
}

// maxCauses bounds the distinct causes of one status and kind. Further ones
// count as one, for a host can make every message different.
const maxCauses = 10

// Start implements [Renderer].
func (r *Report) Start(Start) {}

// Lines implements [Renderer].
func (r *Report) Lines([]Line) {}

// Exit implements [Renderer].
func (r *Report) Exit(x Exit) {
	r.tally.Count(x.Status)
	if x.OutputOpen {
		r.open = append(r.open, x.Host)
	}
	if x.Truncated {
		r.cut = append(r.cut, x.Host)
	}
	if x.Status == OK {
		return
	}
	r.add(&x)
	if x.Status == NotRun {
		return
	}
	a := r.alike(&x)
	if x.Status == Cancelled || a.shown >= r.early() {
		a.waiting = append(a.waiting, x.Host)
		return
	}
	a.shown++
	r.show(&x, x.Host, cause(&x))
	r.Screen.flush()
}

func (r *Report) early() int {
	if r.Early == 0 {
		return 3
	}
	return r.Early
}

// add puts a host into the sets of the summary.
func (r *Report) add(x *Exit) {
	if r.sets == nil {
		r.sets = make(map[Status]map[string][]string)
	}
	s := category(x.Status)
	if r.sets[s] == nil {
		r.sets[s] = make(map[string][]string)
	}
	label := summaryLabel(x)
	if r.label != nil && x.Status != Cancelled && x.Status != NotRun {
		label = r.label(x)
	}
	r.sets[s][label] = append(r.sets[s][label], x.Host)
}

// alike returns the group of hosts that failed as x did.
func (r *Report) alike(x *Exit) *alike {
	if r.failures == nil {
		r.failures = make(map[failure]*alike)
		r.causes = make(map[failure]int)
	}
	key := failure{status: x.Status, pattern: pattern(cause(x), x.Host)}
	if x.Err != nil {
		key.kind = x.Err.Kind
	}
	if a := r.failures[key]; a != nil {
		if a.text != cause(x) {
			a.text = key.pattern
		}
		return a
	}
	a := &alike{first: *x, text: cause(x)}
	if kind := (failure{status: x.Status, kind: key.kind}); r.causes[kind] < maxCauses {
		r.causes[kind]++
	} else if key = kind; r.failures[key] != nil {
		return r.failures[key]
	} else {
		a.text = "various causes, like: " + a.text
		a.shown = r.early() // the text is for the end
	}
	r.failures[key] = a
	r.order = append(r.order, a)
	return a
}

// show writes a failure, and its hint where that was not given yet.
func (r *Report) show(x *Exit, names, text string) {
	s := r.Screen
	s.say("shoal: "+Sanitize(names)+":", " "+text, red)
	h := hint(x)
	if h == "" || r.hinted[h] {
		return
	}
	if r.hinted == nil {
		r.hinted = make(map[string]bool)
	}
	r.hinted[h] = true
	s.say("  hint: ", h, "")
}

// End implements [Renderer]. It shows the failures that wait, and the summary.
func (r *Report) End(e End) error {
	r.waiting()
	r.note(r.open, "ended, but left the output open: a process in the background may still run")
	r.note(r.cut, "output was cut at the limit")
	if e.Stopped != "" {
		r.Screen.say("shoal: ", e.Stopped, "")
	}
	for _, line := range r.summary(e) {
		r.Screen.line(line)
	}
	return r.Screen.end()
}

// waiting shows the failures that wait.
func (r *Report) waiting() {
	for _, a := range r.order {
		if len(a.waiting) > 0 {
			r.show(&a.first, others(a), a.text)
		}
	}
}

// maxNames bounds, in columns, the names before one failure.
const maxNames = 2000

// others names the hosts of a that were not shown one by one.
func others(a *alike) string {
	names := namesWithin(a.waiting, maxNames)
	switch {
	case a.shown > 0:
		return fmt.Sprintf("%s (%d more)", names, len(a.waiting))
	case len(a.waiting) > 1:
		return fmt.Sprintf("%s (%d)", names, len(a.waiting))
	}
	return names
}

func (r *Report) note(names []string, text string) {
	if len(names) > 0 {
		r.Screen.say("shoal: ", countedNames(names)+": "+text, "")
	}
}

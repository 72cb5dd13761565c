package runs

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoal-ssh/shoal/internal/filelock"
	"github.com/shoal-ssh/shoal/internal/render"
)

// What is kept where a [Journal] does not say otherwise.
const (
	DefaultKeep = 200       // runs
	DefaultSize = 256 << 20 // bytes of all runs together
	DefaultRun  = 64 << 20  // bytes of one run
)

// Journal is a folder of runs. The zero Journal is the user's, with the default
// limits. It is safe for concurrent use, and by several programs at once.
type Journal struct {
	Dir     string // empty for that of [DefaultDir]
	Keep    int    // how many runs are kept; 0 means [DefaultKeep]
	Size    int64  // how many bytes all runs may have; 0 means [DefaultSize]
	RunSize int64  // how many bytes of output one run may have; 0 means [DefaultRun]
}

// State says what became of the program that made a run.
type State string

// The states of a run.
const (
	Ended       State = "ended"
	Running     State = "running"     // it goes on in another program
	Interrupted State = "interrupted" // the program ended before the run did
	Unreadable  State = "unreadable"  // the file is none of this version's
)

// Run is what is known of a run at a glance.
type Run struct {
	ID    string // the identifier, a ULID
	State State
	Start render.Start // zero where the program ended before it could write that
	End   render.End   // of a run that did not end, what was counted until then
	Bytes int64        // of its file
	Err   error        // why it is unreadable

	journal *Journal
}

// Time returns when the run began.
func (r *Run) Time() time.Time {
	if !r.Start.Time.IsZero() {
		return r.Start.Time
	}
	id, err := ulid.ParseStrict(r.ID)
	if err != nil {
		return time.Time{}
	}
	return id.Timestamp()
}

// Short returns the end of the identifier, which tells runs apart: the identifiers
// of one day begin alike.
func (r *Run) Short() string { return r.ID[len(r.ID)-shortLen:] }

const shortLen = 6

const extension = ".jsonl"

// idOf returns the run whose file has that name.
func idOf(name string) (id string, ok bool) {
	id, ok = strings.CutSuffix(name, extension)
	if !ok {
		return "", false
	}
	_, err := ulid.ParseStrict(id)
	return id, err == nil && id == strings.ToUpper(id)
}

// ids returns the runs, the last one first.
func ids(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if id, ok := idOf(e.Name()); ok && e.Type().IsRegular() {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(b, a) })
	return all, nil
}

// List returns the last runs, the very last one first; at most n, or all where n
// is 0. A folder that is missing has none.
func (j *Journal) List(ctx context.Context, n int) ([]Run, error) {
	root, err := j.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	all, err := ids(root)
	if err != nil {
		return nil, err
	}
	var runs []Run
	for _, id := range all {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if n > 0 && len(runs) == n {
			break
		}
		r, err := j.read(root, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another program has removed it meanwhile
		}
		if err != nil {
			r = Run{ID: id, State: Unreadable, Err: err, journal: j}
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// NotFoundError says that a word stands for no run, or for several.
type NotFoundError struct {
	Word string
	Like []string // the identifiers it could stand for; nil where there is none
	None bool     // there are no runs at all
}

func (e *NotFoundError) Error() string {
	switch {
	case e.None:
		return "the journal has no runs"
	case len(e.Like) > 0:
		return fmt.Sprintf("%q could be any of %d runs", e.Word, len(e.Like))
	}
	return fmt.Sprintf("the journal has no run %q", e.Word)
}

// minWord is how many letters of an identifier are needed at least.
const minWord = 4

// Find returns the run that a word stands for: "last", "last-1" for the one before
// it and so on, or the beginning or the end of an identifier, four letters of it
// at least, in either case. The error is a [*NotFoundError] where there is none.
func (j *Journal) Find(word string) (*Run, error) {
	root, err := j.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{Word: word, None: true}
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	all, err := ids(root)
	if err != nil {
		return nil, err
	}
	id, err := choose(all, word)
	if err != nil {
		return nil, err
	}
	r, err := j.read(root, id)
	return &r, err
}

func choose(all []string, word string) (string, error) {
	if len(all) == 0 {
		return "", &NotFoundError{Word: word, None: true}
	}
	if back, ok := strings.CutPrefix(strings.ToLower(word), "last"); ok {
		n := 0
		if back != "" {
			number, isBack := strings.CutPrefix(back, "-")
			var err error
			if n, err = strconv.Atoi(number); err != nil || !isBack || n < 0 {
				return "", &NotFoundError{Word: word}
			}
		}
		if n >= len(all) {
			return "", &NotFoundError{Word: word}
		}
		return all[n], nil
	}
	var like []string
	for _, id := range all {
		upper := strings.ToUpper(word)
		if len(word) >= minWord && (strings.HasPrefix(id, upper) || strings.HasSuffix(id, upper)) {
			like = append(like, id)
		}
	}
	if len(like) == 1 {
		return like[0], nil
	}
	return "", &NotFoundError{Word: word, Like: like}
}

// tailSize is where the end of a run is looked for. It has a few hundred bytes.
const tailSize = 4 << 10

// read reads the first and the last line of a run's file, and all of it only where
// the last one is not the end.
func (j *Journal) read(root *os.Root, id string) (Run, error) {
	r := Run{ID: id, State: Ended, journal: j}
	f, err := openFile(root, id+extension)
	if err != nil {
		return r, err
	}
	defer f.Close()
	// In this order: whoever writes lets go of it behind the end only.
	free, lockErr := filelock.TryShared(f)
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	r.Bytes = info.Size()
	var seen glance
	first, err := bufio.NewReader(f).ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) { // a long set of hosts
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			first, err = bufio.NewReader(f).ReadBytes('\n')
		}
	}
	if err == nil {
		last, tailErr := lastLine(f, r.Bytes)
		if tailErr != nil {
			return r, tailErr
		}
		err = render.Replay(io.MultiReader(bytes.NewReader(first), bytes.NewReader(last)), &seen)
		if errors.Is(err, render.ErrNoEnd) {
			seen = glance{}
			err = render.Replay(&withoutOutput{r: bufio.NewReader(io.NewSectionReader(f, 0, r.Bytes))}, &seen)
		}
	} else if errors.Is(err, io.EOF) { // torn in its first line
		err = render.Replay(bytes.NewReader(first), &seen)
	}
	r.Start, r.End = seen.start, seen.end
	switch {
	case errors.Is(err, render.ErrNoEnd) && !free && lockErr == nil:
		r.State = Running
	case errors.Is(err, render.ErrNoEnd):
		r.State = Interrupted
	case err != nil:
		r.State, r.Err = Unreadable, err
	}
	return r, nil
}

// lastLine returns the last line of a file, where that is short and whole and not
// the only one.
func lastLine(f *os.File, size int64) ([]byte, error) {
	tail := make([]byte, min(size, tailSize))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.HasSuffix(tail, []byte("\n")) {
		return nil, nil
	}
	begin := bytes.LastIndexByte(tail[:len(tail)-1], '\n')
	if begin < 0 {
		return nil, nil // long, or the first too
	}
	return tail[begin+1:], nil
}

// glance keeps how a run began and ended.
type glance struct {
	start render.Start
	end   render.End
}

func (g *glance) Start(s render.Start) { g.start = s }
func (g *glance) Lines([]render.Line)  {}
func (g *glance) Exit(render.Exit)     {}
func (g *glance) End(e render.End) error {
	g.end = e
	return nil
}

// Replay tells the run to a renderer. The error is [render.ErrNoEnd] where the run
// did not end; what there is of it was told then.
func (r *Run) Replay(to render.Renderer) error {
	return r.replay(to, func(f io.Reader) io.Reader { return bufio.NewReaderSize(f, 64<<10) })
}

// replayExits is Replay without the output of the hosts, which takes most of its
// time.
func (r *Run) replayExits(to render.Renderer) error {
	return r.replay(to, func(f io.Reader) io.Reader { return &withoutOutput{r: bufio.NewReaderSize(f, 64<<10)} })
}

func (r *Run) replay(to render.Renderer, read func(io.Reader) io.Reader) error {
	root, err := r.journal.open()
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := openFile(root, r.ID+extension)
	if err != nil {
		return err
	}
	defer f.Close()
	return render.Replay(read(f), to)
}

// withoutOutput reads a record but for its lines of output.
type withoutOutput struct {
	r      *bufio.Reader
	rest   []byte // of what is passed on
	passes bool   // so is what comes up to the next newline
	within bool   // a line is begun with
}

// outputPrefix is how [render.JSONL] begins a line of output.
var outputPrefix = []byte(`{"v":1,"ev":"line",`)

func (w *withoutOutput) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		piece, err := w.r.ReadSlice('\n')
		if !w.within {
			w.passes = !bytes.HasPrefix(piece, outputPrefix)
		}
		w.within = errors.Is(err, bufio.ErrBufferFull)
		if w.passes {
			w.rest = piece
		}
		if err != nil && !w.within {
			n := copy(p, w.rest)
			w.rest = w.rest[n:]
			if len(w.rest) > 0 {
				return n, nil // and the error again behind it
			}
			return n, err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

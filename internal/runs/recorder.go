package runs

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/shoal-ssh/shoal/internal/filelock"
	"github.com/shoal-ssh/shoal/internal/render"
)

// Recorder writes one run into the journal. It is a [render.Renderer] that never
// fails: where the journal cannot be written, Warn is told so once and the rest of
// the run is not kept.
//
// Output beyond the limit of a run is left out, and the exits of the hosts that it
// came from say that it was cut. Half of the limit is for whoever comes first; of
// the other half each host has an equal share, so that a loud one does not leave
// the others without a word.
type Recorder struct {
	Journal *Journal
	Warn    func(error)

	file   *os.File
	json   render.JSONL
	failed bool
	size   int64   // of output in the first half of the limit
	share  int64   // of each host in the other half
	hosts  []int64 // how much of it each has; -1 where output was left out
	kept   []render.Line
}

// Start begins the record, and removes runs that are too many.
func (r *Recorder) Start(e render.Start) {
	if err := r.create(e.Run); err != nil {
		r.fail(err)
		return
	}
	r.share = r.Journal.runSize() / 2 / int64(max(e.Hosts, 1))
	r.json.W = r
	r.json.Start(e)
}

// create makes the file, and removes runs that are too many.
func (r *Recorder) create(id string) error {
	if _, err := ulid.ParseStrict(id); err != nil {
		return fmt.Errorf("run %q: %w", id, err)
	}
	root, err := r.Journal.make()
	if err != nil {
		return err
	}
	defer root.Close()
	// O_EXCL follows no link and takes over no file.
	r.file, err = root.OpenFile(id+extension, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if _, err := filelock.Try(r.file); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := r.Journal.prune(root, id); err != nil {
		r.Warn(fmt.Errorf("the journal keeps too much: %w", err))
	}
	return nil
}

// Write writes to the file until that fails.
func (r *Recorder) Write(p []byte) (int, error) {
	if r.file == nil {
		return len(p), nil
	}
	n, err := r.file.Write(p)
	if err != nil {
		r.fail(err)
	}
	return n, err
}

// fail gives up.
func (r *Recorder) fail(err error) {
	if !r.failed {
		r.failed = true
		r.Warn(fmt.Errorf("this run is not kept in the journal: %w", err))
	}
	r.close()
}

func (r *Recorder) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Lines writes those lines that the limit has room for.
func (r *Recorder) Lines(batch []render.Line) {
	if r.file == nil {
		return
	}
	r.kept = r.kept[:0]
	for i := range batch {
		if r.room(&batch[i]) {
			r.kept = append(r.kept, batch[i])
		}
	}
	if len(r.kept) > 0 {
		r.json.Lines(r.kept)
	}
	clear(r.kept)
}

// lineBytes is about what a line has beside its text and its host.
const lineBytes = 120

// room counts a line in, or leaves it out along with all that the host still has
// to say.
func (r *Recorder) room(n *render.Line) bool {
	if n.Index >= len(r.hosts) {
		r.hosts = append(r.hosts, make([]int64, n.Index+1-len(r.hosts))...)
	}
	used := &r.hosts[n.Index]
	bytes := int64(len(n.Text) + len(n.Host) + lineBytes)
	switch {
	case *used < 0:
		return false
	case r.size+bytes <= r.Journal.runSize()/2:
		r.size += bytes
		return true
	case *used+bytes > r.share:
		*used = -1
		return false
	}
	*used += bytes
	return true
}

// Exit writes how a host ended.
func (r *Recorder) Exit(x render.Exit) {
	if r.file == nil {
		return
	}
	if x.Index < len(r.hosts) && r.hosts[x.Index] < 0 {
		x.Truncated = true
	}
	r.json.Exit(x)
}

// End writes how the run ended, and returns nil.
func (r *Recorder) End(e render.End) error {
	if r.file != nil {
		_ = r.json.End(e) // it was warned of
	}
	r.close()
	return nil
}

func (j *Journal) runSize() int64 {
	if j.RunSize > 0 {
		return j.RunSize
	}
	return DefaultRun
}

// prune removes the oldest runs where there are too many or they are too large,
// but the one that has just begun and those that go on.
func (j *Journal) prune(root *os.Root, newest string) error {
	all, err := ids(root)
	if err != nil {
		return err
	}
	keep, size := j.Keep, j.Size
	if keep <= 0 {
		keep = DefaultKeep
	}
	if size <= 0 {
		size = DefaultSize
	}
	all = slices.DeleteFunc(all, func(id string) bool { return id == newest })
	n := 1
	var errs []error
	for _, id := range all {
		info, err := root.Lstat(id + extension)
		if err != nil {
			continue // another program was quicker
		}
		if n++; n <= keep && info.Size() <= size {
			size -= info.Size()
			continue
		}
		size = min(size, 0) // nor any older one
		if err := remove(root, id+extension); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// remove removes the file of a run that does not go on.
func remove(root *os.Root, name string) error {
	f, err := openFile(root, name)
	if err != nil {
		return nil // gone already, or none of ours
	}
	defer f.Close()
	if free, err := filelock.Try(f); !free && err == nil {
		return nil
	}
	return root.Remove(name) // Go opens files so that Windows lets them go
}

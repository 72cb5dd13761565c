package render

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files writes the output of each host to a file of its own, named by the host,
// byte for byte as it came. Every host has its files at its end at the latest,
// empty where nothing came, so that none of an earlier run is taken for it.
//
// In a name stands "_" for slashes, for what [Sanitize] would not let onto a
// terminal and, on Windows, for what its files cannot be called; a name that is
// taken gets a number. Nothing outside of the folders is written, not through a
// symbolic link either.
//
// Files that cannot be written do not stop the run; End returns the first error.
type Files struct {
	Dir    string // for standard output; empty for none
	ErrDir string // for standard error; empty for none

	// Open is how many files may be open at once. Zero means 256.
	Open int

	roots [2]*os.Root
	names map[int]string  // by host
	taken map[string]bool // in lower case, since some systems do not tell
	made  map[int]bool    // by streamKey
	open  map[int]*os.File
	buf   []byte
	err   error
}

// Prepare makes the folders. It is called before Start, and its error is a
// reason not to begin.
func (f *Files) Prepare() error {
	for to, dir := range []string{toStdout: f.Dir, toStderr: f.ErrDir} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		f.roots[to] = root
		probe, err := os.CreateTemp(dir, ".shoal-*") // better known now than at the end
		if err != nil {
			return fmt.Errorf("the folder %s cannot be written to: %w", dir, err)
		}
		probe.Close()
		os.Remove(probe.Name())
	}
	return nil
}

// Start implements [Renderer].
func (f *Files) Start(Start) {
	f.names = make(map[int]string)
	f.taken = make(map[string]bool)
	f.made = make(map[int]bool)
	f.open = make(map[int]*os.File)
}

// Lines implements [Renderer].
func (f *Files) Lines(batch []Line) {
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].Index == batch[0].Index && batch[n].Stderr == batch[0].Stderr {
			n++
		}
		f.write(batch[:n])
		batch = batch[n:]
	}
}

// write writes lines of one host and stream.
func (f *Files) write(lines []Line) {
	first := &lines[0]
	file := f.file(first.Host, first.Index, first.Stderr)
	if file == nil {
		return
	}
	f.buf = f.buf[:0]
	for i := range lines {
		f.buf = lines[i].appendEnd(append(f.buf, lines[i].Text...))
	}
	if _, err := file.Write(f.buf); err != nil {
		f.failed(err)
	}
}

func (f *Files) failed(err error) {
	if f.err == nil {
		f.err = err
	}
}

// file returns the open file of a host and stream; nil where there is none.
func (f *Files) file(host string, index int, stderr bool) *os.File {
	key, to := streamKey(index, stderr), toStdout
	if stderr {
		to = toStderr
	}
	if f.roots[to] == nil {
		return nil
	}
	if file := f.open[key]; file != nil {
		return file
	}
	if len(f.open) >= cmp.Or(f.Open, 256) {
		f.closeAll()
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if f.made[key] {
		flags = os.O_WRONLY | os.O_APPEND
	}
	f.made[key] = true
	file, err := f.roots[to].OpenFile(f.name(host, index), flags, 0o666)
	if err != nil {
		if pe, ok := err.(*fs.PathError); ok {
			err = fmt.Errorf("%s: %w", filepath.Join(f.roots[to].Name(), pe.Path), pe.Err)
		}
		f.failed(err)
		return nil
	}
	f.open[key] = file
	return file
}

// name returns what the files of a host are called.
func (f *Files) name(host string, index int) string {
	if name, ok := f.names[index]; ok {
		return name
	}
	base := fileName(host, filepath.Separator)
	name := base
	for n := 2; f.taken[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s.%d", base, n)
	}
	f.taken[strings.ToLower(name)] = true
	f.names[index] = name
	return name
}

// fileName makes a name within a folder of a host's name, on a system with that
// separator.
func fileName(host string, separator rune) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == '\t' || separator == '\\' && strings.ContainsRune(`:*?"<>|`, r) {
			return '_'
		}
		return r
	}, Sanitize(host))
	if name == "." || separator == '\\' && strings.TrimRight(name, ". ") != name {
		name += "_"
	}
	if !filepath.IsLocal(name) { // "..", nothing, and devices of Windows
		name = "_" + name
	}
	return name
}

func (f *Files) closeAll() {
	for key := range f.open {
		f.close(key)
	}
}

func (f *Files) close(key int) {
	if file := f.open[key]; file != nil {
		if err := file.Close(); err != nil {
			f.failed(err)
		}
		delete(f.open, key)
	}
}

// Exit implements [Renderer].
func (f *Files) Exit(x Exit) {
	for _, stderr := range []bool{false, true} {
		key := streamKey(x.Index, stderr)
		if !f.made[key] {
			f.file(x.Host, x.Index, stderr)
		}
		f.close(key)
	}
}

// End implements [Renderer].
func (f *Files) End(End) error {
	f.closeAll()
	for to, root := range f.roots {
		if root != nil {
			root.Close()
			f.roots[to] = nil
		}
	}
	return f.err
}

package inventory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-ssh/shoal/hostlist"
)

// maxIncludes bounds how many files may include each other in a row.
const maxIncludes = 16

// HostsFile yields the hosts of a hosts file of pssh or pdsh, as
// [hostlist.ReadHosts] reads it. Besides, a line "#include FILE" stands for the hosts
// of another file, whose name is taken from the folder of the file that names it.
//
// A line that cannot be read yields a [*FileError], and the others are read all the
// same.
func HostsFile(name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		(&hostsFile{yield: yield}).file(name, nil)
	}
}

// ReadHostsFile is [HostsFile] for a stream, which errors call name. Files that it
// includes are taken from the working folder.
func ReadHostsFile(name string, r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		(&hostsFile{yield: yield}).read(name, ".", r, nil)
	}
}

// hostsFile yields the hosts of files.
type hostsFile struct {
	yield  func(string, error) bool
	groups DSH // what #include may name besides files
}

// file returns false when yield did.
func (h *hostsFile) file(name string, above []string) bool {
	f, err := os.Open(name)
	if err != nil {
		return h.yield("", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return h.yield("", &FileError{File: name, Err: errors.New("is a folder")})
	}
	return h.read(name, filepath.Dir(name), f, append(above, name))
}

func (h *hostsFile) read(name, dir string, r io.Reader, above []string) bool {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		n++
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\uFEFF")
		}
		if words := strings.Fields(text); len(words) == 2 && words[0] == "#include" {
			if !h.include(name, dir, n, words[1], above) {
				return false
			}
			continue
		}
		for host, err := range hostlist.ReadHosts(strings.NewReader(text)) {
			if e, ok := errors.AsType[*hostlist.LineError](err); ok {
				err = &FileError{File: name, Line: n, Err: e.Err}
			}
			if !h.yield(host, err) {
				return false
			}
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = errors.New("longer than 1 MiB")
	}
	if err != nil {
		return h.yield("", &FileError{File: name, Line: n + 1, Err: err})
	}
	return true
}

// include reads the file that line n of another names.
func (h *hostsFile) include(name, dir string, n int, file string, above []string) bool {
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, file)
	}
	if _, err := os.Stat(path); err != nil && filepath.Base(file) == file {
		if group, ok := h.groups.find(file); ok {
			path = group
		}
	}
	if slices.Contains(above, path) {
		return h.yield("", &FileError{File: name, Line: n, Err: fmt.Errorf("#include %s: the file includes itself", file)})
	}
	if len(above) >= maxIncludes {
		return h.yield("", &FileError{File: name, Line: n, Err: fmt.Errorf("#include %s: more than %d files within each other", file, maxIncludes)})
	}
	if _, err := os.Stat(path); err != nil {
		return h.yield("", &FileError{File: name, Line: n, Err: fmt.Errorf("#include: %w", err)})
	}
	return h.file(path, above)
}

// readHosts reads a whole file of a group.
func readHosts(file string, groups DSH) ([]string, error) {
	var hosts []string
	var err error
	(&hostsFile{groups: groups, yield: func(host string, e error) bool {
		hosts, err = append(hosts, host), e
		return e == nil
	}}).file(file, nil)
	if err != nil {
		return nil, err
	}
	return hosts, nil
}

// OpenHosts opens a hosts file with each line "#include FILE" replaced by the hosts
// of that file, as one line: for [hostlist.Parser.Open]. Mistakes in what is included
// are errors at once.
func OpenHosts(name string) (io.ReadCloser, error) {
	text, _, err := readFile(name)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) != 2 || words[0] != "#include" {
			out.WriteString(line)
			continue
		}
		var hosts []string
		h := hostsFile{yield: func(host string, e error) bool {
			hosts, err = append(hosts, host), e
			return e == nil
		}}
		if !h.include(name, filepath.Dir(name), n, words[1], []string{name}) {
			return nil, err
		}
		out.WriteString(strings.Join(hosts, ",") + "\n")
	}
	return io.NopCloser(strings.NewReader(out.String())), nil
}

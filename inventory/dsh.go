package inventory

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DSH is dsh's way to write groups down, which pdsh reads too: in each folder a file
// group/NAME with the members of the group NAME, and a file machines.list with every
// host. The files have the form that [ReadHostsFile] reads; #include may name another
// group. A group of an earlier folder hides one of a later folder. Files are read
// when they are wanted.
type DSH []string

// DSHFolders returns ~/.dsh and /etc/dsh.
func DSHFolders() DSH {
	dirs := DSH{"/etc/dsh"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = DSH{filepath.Join(home, ".dsh"), "/etc/dsh"}
	}
	return dirs
}

// Group reads the file of a group.
func (d DSH) Group(ctx context.Context, name string) ([]string, error) {
	if file, ok := d.find(name); ok {
		return readHosts(file, d)
	}
	names, err := d.Names(ctx)
	if err != nil {
		return nil, err
	}
	return nil, &UnknownGroupError{Name: name, Known: names}
}

// find returns the file of a group.
func (d DSH) find(name string) (string, bool) {
	if !isGroupFile(name) || filepath.Base(name) != name {
		return "", false
	}
	for _, dir := range d {
		file := filepath.Join(dir, "group", name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, true
		}
	}
	return "", false
}

func isGroupFile(name string) bool {
	return name != "" && name[0] != '.' && !strings.HasSuffix(name, "~")
}

// All reads the first machines.list, or all groups where there is none.
func (d DSH) All(ctx context.Context) ([]string, error) {
	for _, dir := range d {
		hosts, err := readHosts(filepath.Join(dir, "machines.list"), d)
		if !errors.Is(err, fs.ErrNotExist) {
			return hosts, err
		}
	}
	names, err := d.Names(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range names {
		members, err := d.Group(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, members...)
	}
	return unique(all), nil
}

// Names lists the folders.
func (d DSH) Names(context.Context) ([]string, error) {
	var names []string
	for _, dir := range d {
		entries, err := os.ReadDir(filepath.Join(dir, "group"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if isGroupFile(e.Name()) && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// exists reports whether there are any groups or machines.
func (d DSH) exists() bool {
	return slices.ContainsFunc(d, func(dir string) bool {
		_, group := os.Stat(filepath.Join(dir, "group"))
		_, all := os.Stat(filepath.Join(dir, "machines.list"))
		return group == nil || all == nil
	})
}

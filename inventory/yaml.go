package inventory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds a YAML document with its aliases in place, so that a short one
// cannot stand for an endless one.
const maxNodes = 2_000_000

// readFile reads a whole file.
func readFile(name string) (string, fs.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if info.IsDir() {
		return "", nil, &FileError{File: name, Err: errors.New("is a folder")}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	if err != nil {
		return "", nil, &FileError{File: name, Err: err}
	}
	return strings.TrimPrefix(string(text), "\uFEFF"), info, nil
}

// parseYAML returns the mapping that a document is; an empty one where it is empty.
func parseYAML(file, text string) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.NewDecoder(strings.NewReader(text)).Decode(&doc); err != nil && err != io.EOF {
		return nil, &FileError{File: file, Err: errors.New(strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	}
	root := deref(doc.Content[0])
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, yamlError(file, root, errors.New("want a mapping, as in name: value"))
	}
	left := maxNodes
	if !countNodes(root, &left, nil) {
		return nil, yamlError(file, root, errors.New("its aliases make it endless"))
	}
	return root, nil
}

// countNodes takes the nodes from left, and reports whether that was enough.
func countNodes(n *yaml.Node, left *int, above []*yaml.Node) bool {
	if *left--; *left < 0 {
		return false
	}
	if n.Kind == yaml.AliasNode {
		if slices.Contains(above, n.Alias) {
			return false
		}
		return countNodes(n.Alias, left, append(above, n.Alias))
	}
	for _, c := range n.Content {
		if !countNodes(c, left, above) {
			return false
		}
	}
	return true
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// pairs yields the keys and values of a mapping; those of a merge key ("<<") before
// its own.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		own := make(map[string]bool)
		for i := 0; i+1 < len(n.Content); i += 2 {
			own[deref(n.Content[i]).Value] = true
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Tag != "!!merge" {
				continue
			}
			merged := []*yaml.Node{deref(n.Content[i+1])}
			if merged[0].Kind == yaml.SequenceNode {
				merged = merged[0].Content
			}
			for _, m := range merged {
				if m = deref(m); m.Kind != yaml.MappingNode {
					continue
				}
				for k, v := range pairs(m) {
					if own[k.Value] {
						continue
					}
					own[k.Value] = true // the first of several merged ones counts
					if !yield(k, v) {
						return
					}
				}
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Tag != "!!merge" && !yield(deref(k), deref(n.Content[i+1])) {
				return
			}
		}
	}
}

func yamlError(file string, n *yaml.Node, err error) error {
	return &FileError{File: file, Line: n.Line, Err: err}
}

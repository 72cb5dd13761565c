package shoal_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

// conform names the rows of testdata/conformance.txt whose behaviour a test
// shows. docs/conformance.md is made from these calls.
func conform(t *testing.T, rows ...string) {
	t.Helper()
	for _, row := range rows {
		t.Log("conforms to " + row)
	}
}

// docs/conformance.md is what the tests say, every row has a test or a reason
// why not, and no test names a row that is not there. After a change:
//
//	go test -run TestConformance -update .
func TestConformance(t *testing.T) {
	rows, err := os.ReadFile("testdata/conformance.txt")
	if err != nil {
		t.Fatal(err)
	}
	tests := conformCalls(t)
	var doc bytes.Buffer
	doc.WriteString(`# Conformance

What the users of parallel-ssh 2.x rely on, row by row as its own tests have it,
and the tests here that show the same behaviour. Made by
` + "`go test -run TestConformance -update .`" + ` from the tests themselves; do not edit.

The rows' numbers are sections of that suite: 3.1 is its parallel client on
libssh2, 3.2 the single one, 3.3 its tunnels, 3.4 and 3.5 the two clients on
libssh, 3.6 its unit tests; 3.7 is what it leaves out.

| row | tests here |
|---|---|
`)
	counts := map[string]int{}
	for text := bufio.NewScanner(bytes.NewReader(rows)); text.Scan(); {
		row, reason, hasReason := strings.Cut(text.Text(), " | ")
		if row == "" || row[0] == '#' {
			continue
		}
		names := tests[row]
		delete(tests, row)
		slices.Sort(names)
		names = slices.Compact(names)
		switch {
		case len(names) > 0 && hasReason:
			t.Errorf("%s has a test: take its reason out", row)
		case len(names) > 0:
			counts["shown"]++
			fmt.Fprintf(&doc, "| %s | %s |\n", row, strings.Join(names, ", "))
		case hasReason:
			counts[reason]++
			fmt.Fprintf(&doc, "| %s | – %s |\n", row, reason)
		default:
			t.Errorf("%s has no test", row)
		}
	}
	for row, names := range tests {
		t.Errorf("%s, which %s names, is no row", row, names)
	}
	fmt.Fprintf(&doc, "\n%d rows are shown by tests. The others:\n\n", counts["shown"])
	delete(counts, "shown")
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&doc, "- %d: %s\n", counts[reason], reason)
	}
	path := filepath.Join("docs", "conformance.md")
	if *update {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, doc.Bytes()) {
		t.Errorf("%s is not what the tests say (%v): go test -run TestConformance -update .", path, err)
	}
}

// conformCalls returns the tests by the rows that they name.
func conformCalls(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]string{}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "conform" {
					return true
				}
				for _, arg := range call.Args[1:] {
					row, err := strconv.Unquote(arg.(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					tests[row] = append(tests[row], f.Name.Name)
				}
				return true
			})
		}
	}
	return tests
}

package shoal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/sshtest"
)

// docs/reliability.md has every row, and the tests that it names are there.
func TestReliability(t *testing.T) {
	doc, err := os.ReadFile("docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := allTests(t)
	rows := map[string]bool{"123": true, "124": true, "125": true, "126": true, "127": true, "128": true, "S28": true, "S29": true}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !regexp.MustCompile(`^ S?\d+ $`).MatchString(cells[0]) {
			continue
		}
		row := strings.TrimSpace(cells[0])
		if rows[row] {
			t.Errorf("row %s is there twice", row)
		}
		rows[row] = true
		for name := range strings.SplitSeq(strings.TrimSpace(cells[len(cells)-1]), ", ") {
			if strings.HasPrefix(name, "–") || name == "open" {
				break
			}
			if !tests[name] {
				t.Errorf("row %s: there is no test %s", row, name)
			}
		}
	}
	for i := range 128 {
		if row := strconv.Itoa(i + 1); !rows[row] {
			t.Errorf("row %s is missing", row)
		}
	}
	for i := range 35 {
		if row := "S" + strconv.Itoa(i+1); !rows[row] {
			t.Errorf("row %s is missing", row)
		}
	}
}

// allTests returns the names of the repository's tests, fuzz targets, scripts
// and faults.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	for _, kind := range sshtest.AllFaults() {
		tests["TestFaults/"+string(kind)] = true
	}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".txtar") {
			return err
		}
		tests[filepath.Base(path)] = true
		text, err := os.ReadFile(path)
		for _, match := range function.FindAllSubmatch(text, -1) {
			tests[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

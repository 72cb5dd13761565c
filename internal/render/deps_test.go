package render_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports keeps the package below the command and beside the library: it
// knows the text of host sets and nothing else of Shoal.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		path, ours := strings.CutPrefix(dep, "github.com/shoal-ssh/shoal")
		if ours && path != "/hostlist" && path != "/internal/nearest" && path != "/internal/render" || strings.HasPrefix(dep, "golang.org/x/crypto") {
			t.Errorf("imports %s", dep)
		}
	}
}

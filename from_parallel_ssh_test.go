package shoal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// prelude is what the pieces of docs/from-parallel-ssh.md are compiled with.
const prelude = `package shoal_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/kerberos"
)

var _ = []any{kerberos.Auth, errors.New, io.EOF, slog.Default, os.Args, slices.Sort[[]int], time.Now, shoal.Hosts}

`

const parameters = `(ctx context.Context, client *shoal.Client, hosts iter.Seq[shoal.Host], host shoal.Host, conn *shoal.Conn,
	proc *shoal.Proc, procs []*shoal.Proc, out shoal.Output, sh *shoal.Shell, err error)`

// Every row with Go in docs/from-parallel-ssh.md compiles.
func TestFromParallelSSH(t *testing.T) {
	doc, err := os.ReadFile("docs/from-parallel-ssh.md")
	if err != nil {
		t.Fatal(err)
	}
	var source bytes.Buffer
	source.WriteString(prelude)
	rows := 0
	for i, line := range strings.Split(string(doc), "\n") {
		code, ok := goColumn(line)
		if !ok {
			continue
		}
		rows++
		// Variables that a row declares are used for the compiler's sake.
		fmt.Fprintf(&source, "func row%d%s {\n{\n//line docs/from-parallel-ssh.md:%d\n%s\n%s\n}\n}\n", i+1, parameters, i+1, code, uses(code))
	}
	if rows < 60 {
		t.Errorf("found %d rows with Go, want at least 60", rows)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "rows.go")
	if err := os.WriteFile(file, source.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(here, "zz_from_parallel_ssh_rows_test.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{name: file}})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-o", os.DevNull, "-overlay", overlayFile, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// goColumn returns the code in the second column of a table's row.
func goColumn(line string) (string, bool) {
	const bar = "\x00"
	cells := strings.Split(strings.ReplaceAll(line, `\|`, bar), "|")
	if len(cells) != 5 {
		return "", false
	}
	code := strings.TrimSpace(cells[2])
	if len(code) < 3 || code[0] != '`' || strings.HasPrefix(code, "`iter.") {
		return "", false
	}
	return strings.ReplaceAll(strings.Trim(code, "`"), bar, "|"), true
}

// uses assigns the variables that the code declares at its top level to blanks.
func uses(code string) string {
	var b strings.Builder
	for statement := range strings.SplitSeq(code, "; ") {
		names, _, ok := strings.Cut(statement, " := ")
		if !ok || strings.ContainsAny(names, " {(") && !strings.Contains(names, ", ") || strings.HasPrefix(names, "for ") || strings.HasPrefix(names, "if ") {
			break
		}
		fmt.Fprintf(&b, "_ = []any{%s}\n", names)
	}
	if name, ok := strings.CutPrefix(code, "var "); ok {
		fmt.Fprintf(&b, "_ = %s\n", strings.Fields(name)[0])
	}
	return b.String()
}

package render_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/render"
)

// documents are the outputs made at the end of a run.
var documents = map[string]func(io.Writer) render.Renderer{
	"json":  func(w io.Writer) render.Renderer { return &render.JSON{W: w} },
	"csv":   func(w io.Writer) render.Renderer { return &render.CSV{W: w} },
	"junit": func(w io.Writer) render.Renderer { return &render.JUnit{W: w} },
}

func TestDocumentsGolden(t *testing.T) {
	for name, to := range documents {
		for run, play := range map[string]func(render.Renderer) error{"mixed": mixed, "complete": complete} {
			var out bytes.Buffer
			if err := play(to(&out)); err != nil {
				t.Errorf("End: %v", err)
			}
			golden(t, name+"-"+run, out.Bytes(), nil)
		}
	}
}

type document struct {
	V       int
	Run     string
	Hosts   int
	Results []struct {
		Host, Status         string
		RC                   *int
		Stdout, Stderr       string
		Out64                string `json:"stdout_b64"`
		MS                   map[string]int
		Error                *struct{ Stage, Kind, Msg string }
		Truncated, OutputCut bool
	}
	End struct{ Hosts, OK, Exit int }
}

// TestJSONExact wants every byte back, also of what was in a file meanwhile.
func TestJSONExact(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	var out bytes.Buffer
	r := begin(&render.JSON{W: &out, Memory: 100, TempDir: t.TempDir()}, "true", names("n", 3)...)
	texts := []string{string(all), strings.Repeat("é\n", 1000), "no newline"}
	for i, text := range texts {
		r.out(r.hosts[i], text).errs(r.hosts[i], "e\n").ok(r.hosts[i])
	}
	if err := r.done(0); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Results) != 3 || d.Hosts != 3 || d.End.OK != 3 {
		t.Fatalf("got %+v", d)
	}
	for i, h := range d.Results {
		got := h.Stdout
		if h.Out64 != "" {
			raw, err := base64.StdEncoding.DecodeString(h.Out64)
			if err != nil {
				t.Error(err)
			}
			got = string(raw)
		}
		if got != texts[i] || h.Stderr != "e\n" || h.Host != r.hosts[i] {
			t.Errorf("host %s: got %.50q", h.Host, got)
		}
	}
}

// TestDocumentsKeepPartial has hosts that had no exit, as in a record that was
// cut off.
func TestDocumentsKeepPartial(t *testing.T) {
	for name, to := range documents {
		var out bytes.Buffer
		r := begin(to(&out), "true", "n1")
		r.out("n1", "half")
		if err := r.done(0); err != nil || !strings.Contains(out.String(), "half") || !strings.Contains(out.String(), "its end was not seen") {
			t.Errorf("%s: got %v and %s", name, err, out.String())
		}
	}
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

func TestDocumentsWriteErrors(t *testing.T) {
	for name, to := range documents {
		if err := mixed(to(failing{io.ErrShortWrite})); !errors.Is(err, io.ErrShortWrite) || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: got %v", name, err)
		}
		if err := mixed(to(failing{syscall.EPIPE})); err != nil {
			t.Errorf("%s: a closed pipe: got %v", name, err)
		}
		if err := mixed(to(nil)); err != nil {
			t.Errorf("%s: no writer: got %v", name, err)
		}
	}
}

// TestCSVFormulas wants nothing that a spreadsheet takes for a formula, and
// numbers as they are.
func TestCSVFormulas(t *testing.T) {
	texts := map[string]string{
		"=1+1\n": "'=1+1", "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0", "@SUM(A1)": "'@SUM(A1)", "-2+3": "'-2+3",
		"\t=1": "'\t=1", "\r=1": `\x0d=1`, "-60\n": "-60", "+1.5": "+1.5", "": "", "a\n=b\n": "a\n=b",
		"say \"hi\", you\n": `say "hi", you`, "\x1b[31m": `\x1b[31m`,
	}
	for text, want := range texts {
		var out bytes.Buffer
		r := begin(&render.CSV{W: &out}, "true", "n1")
		if err := r.out("n1", text).ok("n1").done(0); err != nil {
			t.Error(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][5] != want {
			t.Errorf("%q: got %q, %v; want %q", text, rows, err, want)
		}
	}
}

type suite struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Cases    []struct {
		Name    string  `xml:"name,attr"`
		Failure *string `xml:"failure"`
		Error   *string `xml:"error"`
		Skipped *string `xml:"skipped"`
		Out     string  `xml:"system-out"`
	} `xml:"testcase"`
}

// TestJUnitValid wants XML that a strict reader takes, whatever hosts wrote, and
// numbers that agree with the cases.
func TestJUnitValid(t *testing.T) {
	for name, play := range map[string]func(render.Renderer) error{"mixed": mixed, "complete": complete, "many": many, "hostile": hostile} {
		var out bytes.Buffer
		if err := play(&render.JUnit{W: &out}); err != nil {
			t.Error(err)
		}
		var s suite
		if err := xml.Unmarshal(out.Bytes(), &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := suite{Tests: len(s.Cases)}
		for _, c := range s.Cases {
			if c.Failure != nil {
				got.Failures++
			}
			if c.Error != nil {
				got.Errors++
			}
			if c.Skipped != nil {
				got.Skipped++
			}
		}
		if got.Tests != s.Tests || got.Failures != s.Failures || got.Errors != s.Errors || got.Skipped != s.Skipped {
			t.Errorf("%s: the cases are %+v and the suite says %+v", name, got, s)
		}
	}
}

// hostile is a run of hosts that try to be taken for what they are not.
func hostile(r render.Renderer) error {
	t := begin(r, "</title><script>alert(1)</script>", "a", "b<script>alert(2)</script>", "c]]>")
	t.out("a", "</pre><script>alert(3)</script>\x00\ufffe\ufeff\u202e\xff ]]> <!-- &amp; \n")
	t.errs("a", `"><img src=x onerror=alert(4)>`+"\n").ok("a")
	p := render.Problem{Stage: "auth", Kind: "auth-failed", Msg: "</td><script>alert(5)</script>", Hint: "<b>"}
	t.problem(render.Auth, p, t.hosts[1])
	t.out("c]]>", "half").exit(render.Exit{Status: render.Signal, Signal: "<KILL>", Stages: []render.Stage{{Name: "<s>", Took: time.Second}}}, "c]]>")
	return t.done(3)
}

// TestJUnitViolations wants hosts that are not as they should be to fail.
func TestJUnitViolations(t *testing.T) {
	var out bytes.Buffer
	same := &render.Same{Screen: new(render.Screen)}
	expect := &render.Expect{Screen: new(render.Screen), Match: func(s string) bool { return s != "z\n" }}
	j := &render.JUnit{W: &out, Checks: []render.Check{same, expect}}
	r := begin(render.Tee{j, same, expect}, "true", names("n", 4)...)
	r.out("n1", "x\n").out("n2", "x\n").out("n3", "y\n").out("n4", "z\n").ok(r.hosts...)
	if err := r.done(7); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`failures="2"`, `name="n3" classname="true" time="0.000"><failure message="not the same as most hosts"`,
		`name="n4" classname="true" time="0.000"><failure message="stdout is not as expected"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want %s in it", out.String(), want)
		}
	}
}

// TestOnly wants the output of hosts that ended as asked, whole, and a report
// that counts all of them.
func TestOnly(t *testing.T) {
	for _, ok := range []bool{true, false} {
		s, stdout, stderr := screen(80)
		o := &render.Only{To: &render.Live{Screen: s}, OK: ok, Memory: 50, TempDir: t.TempDir()}
		if err := mixed(render.Tee{o, &render.Report{Screen: s}}); err != nil {
			t.Errorf("End: %v", err)
		}
		golden(t, fmt.Sprintf("only-%v", ok), stdout.Bytes(), stderr.Bytes())
	}
	var all, only bytes.Buffer // the same objects, in another order
	if err := complete(&render.JSON{W: &all}); err != nil {
		t.Error(err)
	}
	if err := complete(render.Tee{&render.Only{To: &render.JSON{W: &only}}, &render.Only{To: render.Tee{}, OK: true}}); err != nil {
		t.Error(err)
	}
	var a, b document
	if err := errors.Join(json.Unmarshal(all.Bytes(), &a), json.Unmarshal(only.Bytes(), &b)); err != nil {
		t.Fatal(err)
	}
	if len(a.Results) != 3 || len(b.Results) != 2 || b.Results[1].Host != a.Results[2].Host {
		t.Errorf("got %+v of %+v", b.Results, a.Results)
	}
}

func timed(r render.Renderer) error {
	hosts := []string{"web1.example.com", "a-very-long-name-of-a-host.in.a.very.long.domain.example.com", "größe", "db1", "db2"}
	t := begin(r, "true", hosts...)
	stages := func(run time.Duration, names ...string) (all []render.Stage) {
		for i, n := range names {
			all = append(all, render.Stage{Name: n, Took: time.Duration(i*i*i) * time.Millisecond})
		}
		return append(all, render.Stage{Name: "run", Took: run})
	}
	for i, h := range hosts[:4] {
		took := []time.Duration{380 * time.Millisecond, 12340 * time.Millisecond, 7 * time.Minute, 2 * time.Hour}[i]
		x := render.Exit{Status: render.OK, Stages: stages(took, "dns", "tcp", "kex", "hostkey", "auth", "start")}
		if h == "größe" {
			x.Status, x.Stages = render.Timeout, stages(took, "kex", "auth", "start")
		}
		t.exit(x, h)
	}
	t.exit(render.Exit{Status: render.Unreachable}, "db2")
	return t.done(3)
}

func TestTimingsGolden(t *testing.T) {
	for _, width := range []int{80, 200} {
		s, stdout, stderr := screen(width)
		if err := timed(&render.Timings{Screen: s}); err != nil {
			t.Errorf("End: %v", err)
		}
		golden(t, fmt.Sprintf("timings-%d", width), stdout.Bytes(), stderr.Bytes())
		for line := range strings.Lines(stderr.String()) {
			if n := len([]rune(line)) - 1; n >= width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

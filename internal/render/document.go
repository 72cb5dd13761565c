package render

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// JSON writes at the end of a run one JSON document (RFC 8259): what the start
// of [JSONL] has, "results" with what its exits have and beside that the output,
// and "end" with the numbers. Output is exact: it is in "stdout" and "stderr"
// where it is UTF-8, and else in "stdout_b64" and "stderr_b64".
type JSON struct {
	W       io.Writer // nil discards
	Memory  int64     // of output held before it moves to a file; 0 means 64 MiB
	TempDir string    // for that file; empty means the system's

	gather gather
}

// Start implements [Renderer].
func (j *JSON) Start(e Start) { j.gather.begin(e, j.Memory, j.TempDir) }

// Lines implements [Renderer].
func (j *JSON) Lines(batch []Line) { j.gather.lines(batch) }

// Exit implements [Renderer].
func (j *JSON) Exit(x Exit) { j.gather.end(x) }

// End implements [Renderer]. Every host is one line of the document.
func (j *JSON) End(e End) error {
	o := JSONL{W: j.W}
	o.buf = append(o.buf, `{"v":1,`...)
	o.text("run", j.gather.start.Run)
	o.opening(j.gather.start)
	o.key("results")
	o.buf = append(o.buf, '[')
	for i, h := range j.gather.all() {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = append(o.buf, '\n', '{')
		o.ending(&h.exit)
		o.exact("stdout", "stdout_b64", j.gather.output(h, toStdout))
		o.exact("stderr", "stderr_b64", j.gather.output(h, toStderr))
		o.buf[len(o.buf)-1] = '}'
		if len(o.buf) >= flushSize {
			o.flush()
		}
	}
	o.buf = append(o.buf, '\n', ']', ',')
	o.key("end")
	o.buf = append(o.buf, '{')
	o.totals(e)
	o.closeInner()
	o.close()
	o.flush()
	return errors.Join(j.gather.close(), written("json", o.err))
}

// written is the error of an output of that format, unless its reader is gone.
func written(format string, err error) error {
	if err == nil || brokenPipe(err) {
		return nil
	}
	return fmt.Errorf("%s: %w", format, err)
}

// CSV writes at the end of a run a row for each host (RFC 4180), under the names
// of the columns: host, status, rc, signal, seconds, stdout, stderr, error. The
// seconds are those that the host was worked on.
//
// It is made for spreadsheets, and hosts must not run formulas there: a cell
// that begins with =, +, -, @ or a tab, and is no number, has an apostrophe
// before that. Output has no final newline, and what [Sanitize] would not let
// onto a terminal is as it shows it.
type CSV struct {
	W       io.Writer // nil discards
	Memory  int64     // as in [JSON]
	TempDir string    // as in JSON

	gather gather
}

// Start implements [Renderer].
func (c *CSV) Start(e Start) { c.gather.begin(e, c.Memory, c.TempDir) }

// Lines implements [Renderer].
func (c *CSV) Lines(batch []Line) { c.gather.lines(batch) }

// Exit implements [Renderer].
func (c *CSV) Exit(x Exit) { c.gather.end(x) }

// End implements [Renderer].
func (c *CSV) End(End) error {
	w := csv.NewWriter(writerOr(c.W))
	err := w.Write([]string{"host", "status", "rc", "signal", "seconds", "stdout", "stderr", "error"})
	for _, h := range c.gather.all() {
		x := &h.exit
		row := []string{
			x.Host, string(x.Status), rcText(x), x.Signal, seconds(x.took()),
			c.gather.output(h, toStdout), c.gather.output(h, toStderr), "",
		}
		if x.Err != nil {
			row[7] = cause(x)
		}
		for i := range row {
			row[i] = cell(row[i])
		}
		if err == nil {
			err = w.Write(row)
		}
	}
	w.Flush()
	return errors.Join(c.gather.close(), written("csv", errors.Join(err, w.Error())))
}

func writerOr(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

func rcText(x *Exit) string {
	if x.RC == nil {
		return ""
	}
	return strconv.Itoa(*x.RC)
}

// seconds writes d to the millisecond.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// cell makes text harmless for a spreadsheet.
func cell(text string) string {
	text = sanitizeLines(strings.TrimSuffix(text, "\n"))
	if text == "" || !strings.ContainsRune("=+-@\t", rune(text[0])) {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	return "'" + text
}

// JUnit writes at the end of a run its hosts as the test cases of one suite, in
// the XML that continuous integration reads. A command that failed, or a host
// that violates one of Checks, is a failure; a host that was not reached, timed
// out or was cancelled is an error; a host never begun is skipped. What XML
// cannot hold is as [Sanitize] shows it.
type JUnit struct {
	W       io.Writer // nil discards
	Checks  []Check   // told of the same run
	Memory  int64     // as in [JSON]
	TempDir string    // as in JSON

	gather gather
}

// Check finds out whether hosts are as they should be: [Same] or [Expect].
type Check interface {
	Renderer
	Violated() bool
	violations() (hosts []string, why string)
}

// Start implements [Renderer].
func (j *JUnit) Start(e Start) { j.gather.begin(e, j.Memory, j.TempDir) }

// Lines implements [Renderer].
func (j *JUnit) Lines(batch []Line) { j.gather.lines(batch) }

// Exit implements [Renderer].
func (j *JUnit) Exit(x Exit) { j.gather.end(x) }

type testSuite struct {
	XMLName   xml.Name `xml:"testsuite"`
	Name      string   `xml:"name,attr"`
	Tests     int      `xml:"tests,attr"`
	Failures  int      `xml:"failures,attr"`
	Errors    int      `xml:"errors,attr"`
	Skipped   int      `xml:"skipped,attr"`
	Time      string   `xml:"time,attr"`
	Timestamp string   `xml:"timestamp,attr"`
}

type testCase struct {
	XMLName   xml.Name `xml:"testcase"`
	Name      string   `xml:"name,attr"`
	ClassName string   `xml:"classname,attr"`
	Time      string   `xml:"time,attr"`
	Failure   *outcome `xml:"failure"`
	Error     *outcome `xml:"error"`
	Skipped   *outcome `xml:"skipped"`
	Out       string   `xml:"system-out,omitempty"`
	Err       string   `xml:"system-err,omitempty"`
}

type outcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
}

// End implements [Renderer].
func (j *JUnit) End(e End) error {
	wrong := make(map[string]string)
	for _, c := range j.Checks {
		hosts, why := c.violations()
		for _, h := range hosts {
			wrong[h] = why
		}
	}
	all := j.gather.all()
	command := Sanitize(j.gather.start.Command)
	suite := testSuite{Name: command, Tests: len(all), Time: seconds(e.Took), Timestamp: j.gather.start.Time.UTC().Format("2006-01-02T15:04:05")}
	for _, h := range all {
		c := caseOf(&h.exit, wrong)
		suite.Failures += count(c.Failure)
		suite.Errors += count(c.Error)
		suite.Skipped += count(c.Skipped)
	}
	var buf bytes.Buffer
	buf.WriteString(xml.Header)
	opening, err := xml.Marshal(suite)
	buf.Write(bytes.TrimSuffix(opening, []byte("</testsuite>")))
	w := writerOr(j.W)
	for _, h := range all {
		c := caseOf(&h.exit, wrong)
		c.ClassName = command
		c.Out, c.Err = sanitizeLines(j.gather.output(h, toStdout)), sanitizeLines(j.gather.output(h, toStderr))
		element, e := xml.Marshal(c)
		err = errors.Join(err, e)
		buf.WriteByte('\n')
		buf.Write(bytes.ReplaceAll(element, []byte("&#xA;"), newline)) // no attribute has one
		if buf.Len() >= flushSize && err == nil {
			_, err = buf.WriteTo(w)
		}
	}
	buf.WriteString("\n</testsuite>\n")
	if err == nil {
		_, err = buf.WriteTo(w)
	}
	return errors.Join(j.gather.close(), written("junit", err))
}

func count(o *outcome) int {
	if o == nil {
		return 0
	}
	return 1
}

// caseOf is a host as a test case, but for its output.
func caseOf(x *Exit, wrong map[string]string) testCase {
	c := testCase{Name: Sanitize(x.Host), Time: seconds(x.took())}
	o := &outcome{Message: cause(x), Type: string(x.Status)}
	switch {
	case x.Status == NotRun:
		c.Skipped = o
	case x.Status == Failed, x.Status == Signal:
		c.Failure = o
	case x.Status != OK:
		c.Error = o
	case wrong[x.Host] != "":
		c.Failure = &outcome{Message: wrong[x.Host], Type: "violated"}
	}
	return c
}

// violations implements [Check].
func (s *Same) violations() (hosts []string, why string) {
	all := s.sorted()
	for i := 1; i < len(all); i++ {
		hosts = append(hosts, all[i].names...)
	}
	return hosts, "not the same as most hosts"
}

// violations implements [Check].
func (e *Expect) violations() (hosts []string, why string) {
	return slices.Clone(e.other), "stdout is not as expected"
}

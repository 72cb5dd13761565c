package render_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// What stopped a run stands before its summary, and in its record.
func TestStopped(t *testing.T) {
	const why = "stopped by --max-fail: 1 of 0 allowed failed; 1 host not run (web2)"
	var record, again bytes.Buffer
	j := &render.JSONL{W: &record}
	r := begin(j, "true", "web1", "web2").rc(1, "web1").exit(render.Exit{Status: render.NotRun}, "web2")
	r.end.Stopped = why
	if err := r.done(5); err != nil {
		t.Fatal(err)
	}
	s, _, stderr := screen(80)
	views := render.Tee{&render.JSONL{W: &again}, &render.Report{Screen: s}}
	if err := render.Replay(bytes.NewReader(record.Bytes()), views); err != nil {
		t.Fatal(err)
	}
	if again.String() != record.String() || !strings.Contains(record.String(), `,"stopped":"`+why+`"}`) {
		t.Errorf("recorded\n%s\nand again\n%s", record.String(), again.String())
	}
	want := "shoal: web1: exit 1\nshoal: " + why + "\n2 hosts: 1 failed (exit 1: web1), 1 not run (web2) in 4.2 s\n"
	if got := stderr.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

package render_test

import (
	"fmt"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// many is a run of 1,000 hosts of which hundreds fail alike.
func many(r render.Renderer) error {
	hosts := append(append(names("web", 700), names("db", 200)...), names("gw", 100)...)
	t := begin(r, "true", hosts...)
	t.ok(hosts[:500]...)
	for i, h := range hosts[500:700] {
		t.rc(1+i%3, h)
	}
	late := render.Problem{Stage: "connect", Kind: "timeout", Msg: "timed out after 10 s"}
	t.problem(render.Timeout, late, hosts[700:800]...)
	for i, h := range hosts[800:900] {
		t.problem(render.Unreachable, render.Problem{
			Stage: "connect", Kind: "refused", Msg: fmt.Sprintf("dial tcp 10.0.0.%d:22: connection refused", i),
		}, h)
	}
	for i, h := range hosts[900:950] {
		t.problem(render.HostKey, render.Problem{
			Stage: "kex", Kind: "hostkey-unknown", Msg: fmt.Sprintf("unknown key SHA256:%040d for %s", i, h),
		}, h)
	}
	for i, h := range hosts[950:990] {
		t.problem(render.Auth, render.Problem{
			Stage: "auth", Kind: "auth-failed", Msg: fmt.Sprintf("server says %q", fmt.Sprint("ticket", i)),
		}, h)
	}
	t.exit(render.Exit{Status: render.Cancelled, Remote: render.Killed}, hosts[990:995]...)
	t.exit(render.Exit{Status: render.NotRun}, hosts[995:]...)
	return t.done(3)
}

// TestManyFailures wants failures that are alike folded, and the summary kept
// to three lines of the screen.
func TestManyFailures(t *testing.T) {
	for _, width := range []int{40, 80, 200, 0} {
		s, stdout, stderr := screen(width)
		if err := many(&render.Report{Screen: s}); err != nil {
			t.Errorf("End: %v", err)
		}
		golden(t, fmt.Sprintf("many-%d", width), stdout.Bytes(), stderr.Bytes())
	}
}

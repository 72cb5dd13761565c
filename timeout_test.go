package shoal_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// A command that takes longer than its Timeout is ended, its output stays, and
// hosts that are done sooner do not notice.
func TestCommandTimeout(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Faults: func(host int) sshtest.Fault {
		return []sshtest.Fault{{}, {Kind: sshtest.ExecHang}}[host]
	}})
	c := newClient(t, f)
	for r := range c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "echo out", Timeout: 100 * time.Millisecond}) {
		he, ok := errors.AsType[*shoal.HostError](r.Err)
		switch {
		case r.Index == 0 && (r.Err != nil || r.Value.Text() != "out\n"):
			t.Errorf("good host: got %q, %v", r.Value.Text(), r.Err)
		case r.Index == 1 && (!ok || he.Kind != shoal.KindTimeout || he.Stage != shoal.StageRun):
			t.Errorf("slow host: got %v, want a timeout", r.Err)
		}
	}
	out, err := shoal.Gather(c.Run(testContext(t), slices.Values([]shoal.Host{{Name: "a", Addr: f.Host(0).Addr}}),
		shoal.Command{Line: "echo begun; sleep 1000", Timeout: 100 * time.Millisecond}))
	if !errors.Is(err, shoal.ErrTimeout) || out[0].Value.Text() != "begun\n" {
		t.Errorf("got %q, %v; want what came before a timeout", out[0].Value.Text(), err)
	}
}

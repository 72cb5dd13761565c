package rollout_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/rollout"
)

// On a real server: a check runs when its whole batch has ended and before the
// next one begins, and what fails ends the rollout there.
func TestOpenSSH(t *testing.T) {
	opensshtest.Need(t, "sshd")
	s := opensshtest.Start(t, opensshtest.Config{})
	c := &shoal.Client{Host: shoal.Host{
		User: s.User, Auth: []shoal.Auth{shoal.KeyFile(s.KeyFile)}, HostKeys: &shoal.KnownHosts{Files: []string{s.KnownHosts}},
	}}
	defer c.Close()
	var hosts []shoal.Host
	for i := range 9 {
		hosts = append(hosts, shoal.Host{Name: fmt.Sprintf("h%d", i), Addr: s.Addr})
	}
	log := filepath.Join(t.TempDir(), "log")
	p := rollout.Plan{
		Canary: 1, Batches: []rollout.Size{{Hosts: 3}},
		Check: shoal.Command{For: func(h shoal.Host) (string, error) {
			return fmt.Sprintf("echo check >>%[1]s; grep -q %[2]s %[1]s && test %[2]s != h5", shoal.Quote(log), h.Name), nil
		}},
	}
	cmd := shoal.Command{For: func(h shoal.Host) (string, error) {
		return fmt.Sprintf("echo %s >>%s", h.Name, shoal.Quote(log)), nil
	}}
	results, _ := shoal.Gather(p.Run(t.Context(), c, slices.Values(hosts), cmd))
	for i, r := range results {
		e, ofCheck := errors.AsType[*rollout.CheckError](r.Err)
		switch {
		case i < 7 && i != 5 && r.Err != nil:
			t.Errorf("%s: %v", r.Host.Name, r.Err)
		case i == 5 && (!ofCheck || e.Host != "h5" || errors.Is(r.Err, shoal.ErrNotRun)):
			t.Errorf("%s: %v", r.Host.Name, r.Err)
		case i >= 7 && (!ofCheck || e.Host != "h5" || !errors.Is(r.Err, shoal.ErrNotRun)):
			t.Errorf("%s: %v", r.Host.Name, r.Err)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line != "check" {
			line = "run"
		}
		order = append(order, line)
	}
	if got := fmt.Sprint(order); got != "[run check run run run check check check run run run check check check]" {
		t.Errorf("got %s", got)
	}
}

package shoal_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// A host that is to have the agent lists its keys and lets them sign; any other
// host, and a jump host on the way, has none.
func TestForwardAgent(t *testing.T) {
	conform(t, "3.1 test_disable_agent_forward", "3.2 test_agent_fwd")
	opensshtest.Need(t, "ssh-agent", "ssh-add")
	c, h, s := openssh(t)
	socket := startAgent(t)
	add := exec.Command("ssh-add", "-q", s.KeyFile)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	var log bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	list := shoal.Command{Line: `echo "${SSH_AUTH_SOCK:-none}"; ssh-add -l`}
	run := func(h shoal.Host) (string, error) {
		results, err := shoal.Gather(c.Run(testContext(t), seq(h), list))
		return results[0].Value.Text(), err
	}
	got, err := run(h)
	wantExit(t, err, 2)
	if got != "none\n" {
		t.Errorf("not asked for: %q", got)
	}
	with := h
	with.ForwardAgent = shoal.AgentSocket(socket)
	for range 2 {
		if got, err := run(with); err != nil || !strings.Contains(got, "ED25519") && !strings.Contains(got, "RSA") {
			t.Errorf("asked for: %q, %v", got, err)
		}
	}
	if n := strings.Count(log.String(), "the SSH agent is forwarded"); n != 1 {
		t.Errorf("%d warnings, want one: %s", n, log.String())
	}
	if got, _ := run(h); got != "none\n" {
		t.Errorf("not asked for any more: %q", got)
	}
	behind := h
	behind.Via = []shoal.Host{{Name: h.Name, ForwardAgent: shoal.AgentSocket(socket)}}
	if got, _ := run(behind); got != "none\n" {
		t.Errorf("asked for by the jump host: %q", got)
	}
	behind.Via, behind.ForwardAgent = []shoal.Host{h}, shoal.AgentSocket(socket)
	if got, err := run(behind); err != nil || strings.HasPrefix(got, "none") {
		t.Errorf("through a jump host: %q, %v", got, err)
	}
}

// The agent is never forwarded to all hosts at once, nor what is no agent, nor to
// a server that takes it without being asked.
func TestForwardAgentRefused(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.ProbeClient})})
	c := newClient(t, f)
	c.Host.ForwardAgent = shoal.Agent()
	_, err := c.Conn(testContext(t), hostOf(f, 0))
	if he := wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid); !strings.Contains(he.Error(), "one by one") {
		t.Error(he)
	}
	c = newClient(t, f)
	h := hostOf(f, 0)
	h.ForwardAgent = shoal.Password("secret")
	_, err = c.Conn(testContext(t), h)
	if he := wantHostError(t, err, shoal.StagePrepare, shoal.KindInvalid); strings.Contains(he.Error(), "secret") {
		t.Error(he)
	}
	forwardFrom(t, newClient(t, f), hostOf(f, 0)) // open until all is probed
	for _, typ := range []string{"auth-agent@openssh.com", "x11", "forwarded-tcpip", "session"} {
		probe, err := f.WaitEvent(testContext(t), func(e sshtest.Event) bool {
			return e.Kind == sshtest.EventProbe && e.Detail == typ
		})
		if err != nil || probe.OK {
			t.Errorf("%s: %+v, %v, want a refusal", typ, probe, err)
		}
	}
	if _, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "true"})); err != nil {
		t.Error(err) // the probes are refused, and that is all
	}
}

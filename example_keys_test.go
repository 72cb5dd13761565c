package shoal_test

import (
	"context"
	"fmt"

	"github.com/shoal-ssh/shoal"
)

// A certificate that does not lie beside its key, whose private half only the
// agent has.
func ExampleCertificates() {
	client := &shoal.Client{Host: shoal.Host{Auth: []shoal.Auth{
		shoal.Certificates(shoal.Identities(shoal.Agent(), true, "~/.ssh/id_ed25519.pub"), "~/.ssh/deploy-cert.pub"),
	}}}
	defer client.Close()
	for r := range client.Run(context.Background(), shoal.Hosts("web1", "web2"), shoal.Command{Line: "uptime"}) {
		fmt.Println(r.Host.Name, r.Value.Text(), r.Err)
	}
}

// Host keys that were lost are refused whatever known_hosts says.
func ExampleKnownHosts_revoked() {
	client := &shoal.Client{Host: shoal.Host{HostKeys: &shoal.KnownHosts{Revoked: "/etc/ssh/revoked_host_keys"}}}
	defer client.Close()
	for r := range client.Run(context.Background(), shoal.Hosts("web1"), shoal.Command{Line: "uptime"}) {
		fmt.Println(r.Value.Text(), r.Err)
	}
}

// The user's ssh_config; with a terminal where it has RequestTTY force or yes.
func ExampleSSHConfig_terminal() {
	config := &shoal.SSHConfig{
		PTY:  func(force bool) *shoal.PTY { return &shoal.PTY{Term: "xterm-256color"} },
		Warn: func(err error) { fmt.Println("warning:", err) },
	}
	client := &shoal.Client{Complete: config.Complete}
	defer client.Close()
	for r := range client.Run(context.Background(), shoal.Hosts("web1"), shoal.Command{Line: "top -b -n 1"}) {
		fmt.Println(r.Value.Text(), r.Err)
	}
}

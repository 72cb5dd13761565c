package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/kerberos"
)

// The user's ticket logs in to all hosts; where there is none, the keys do.
func Example() {
	client := &shoal.Client{}
	defer client.Close()
	client.Host.Auth = append([]shoal.Auth{kerberos.Auth(kerberos.Config{})}, shoal.DefaultAuth()...)
	for r := range client.Run(context.Background(), shoal.Hosts("web1.example.com", "web2.example.com"), shoal.Command{Line: "uptime"}) {
		if errors.Is(r.Err, kerberos.ErrNoTicket) {
			log.Fatal("run kinit first: ", r.Err)
		}
		fmt.Print(r.Host.Name, ": ", r.Value.Text())
	}
}

// A service logs in with its keytab, and hands the hosts a ticket with which they
// can go on to a file server.
func ExampleAuth() {
	auth := kerberos.Auth(kerberos.Config{
		Principal: "backup@EXAMPLE.COM",
		Keytab:    "/etc/backup.keytab",
		Delegate:  true,
	})
	client := &shoal.Client{Host: shoal.Host{User: "backup", Auth: []shoal.Auth{auth}}}
	defer client.Close()
}

// Hosts whose ssh_config has GSSAPIAuthentication log in with Kerberos.
func ExampleAuth_sshConfig() {
	config := &shoal.SSHConfig{GSSAPI: func(g shoal.GSSAPISettings) shoal.Auth {
		return kerberos.Auth(kerberos.Config{Principal: g.ClientIdentity, ServerName: g.ServerIdentity, Delegate: g.Delegate})
	}}
	client := &shoal.Client{Complete: config.Complete}
	defer client.Close()
}

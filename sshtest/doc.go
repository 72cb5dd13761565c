// Package sshtest runs fleets of SSH and SFTP servers inside a Go program, for
// tests and demonstrations.
//
//	fleet := sshtest.New(t, sshtest.Config{Hosts: 3})
//	for _, h := range fleet.Hosts() {
//		// connect to h.Addr as sshtest.DefaultUser with fleet.ClientSigner(),
//		// or let ssh do it with fleet.KnownHosts() and fleet.ClientKeyPEM()
//	}
package sshtest

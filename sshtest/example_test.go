package sshtest_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

func ExampleStart() {
	fleet, err := sshtest.Start(sshtest.Config{Hosts: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()
	for _, host := range fleet.Hosts() {
		client, err := ssh.Dial("tcp", host.Addr, &ssh.ClientConfig{
			User:            sshtest.DefaultUser,
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(fleet.ClientSigner())},
			HostKeyCallback: ssh.FixedHostKey(host.HostKey),
		})
		if err != nil {
			log.Fatal(err)
		}
		session, err := client.NewSession()
		if err != nil {
			log.Fatal(err)
		}
		out, err := session.Output("hostname")
		fmt.Printf("%s%v\n", out, err)
		client.Close()
	}
	// Output:
	// host0
	// <nil>
	// host1
	// <nil>
	// host2
	// <nil>
}

func ExampleHandler() {
	greet := func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
		if s.Command == "greet" {
			fmt.Fprintf(s.Stdout, "hello %s, this is %s\n", s.User, s.Host.Name)
			return sshtest.ExitStatus{Code: 3}
		}
		return sshtest.Builtin(ctx, s)
	}
	fleet, err := sshtest.Start(sshtest.Config{InMemory: true, Handler: greet})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()
	nc, err := fleet.Dial(context.Background(), "tcp", "host0")
	if err != nil {
		log.Fatal(err)
	}
	conn, channels, requests, err := ssh.NewClientConn(nc, "host0", &ssh.ClientConfig{
		User:            sshtest.DefaultUser,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(fleet.ClientSigner())},
		HostKeyCallback: ssh.FixedHostKey(fleet.Host(0).HostKey),
	})
	if err != nil {
		log.Fatal(err)
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	out, err := session.Output("greet")
	fmt.Print(string(out))
	fmt.Println(err)
	// Output:
	// hello tester, this is host0
	// Process exited with status 3
}

func ExampleFleet_WaitEvent() {
	fleet, err := sshtest.Start(sshtest.Config{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()
	nc, err := fleet.Dial(context.Background(), "tcp", "host0")
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(nc, "SSH-2.0-Hello\r\n")
	nc.Close()
	event, err := fleet.WaitEvent(context.Background(), func(e sshtest.Event) bool {
		return e.Kind == sshtest.EventClose
	})
	fmt.Println(event.Kind, event.Host, err)
	// Output: close 0 <nil>
}

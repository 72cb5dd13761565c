package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// fleet starts three embedded hosts and a client that may log in to them.
func fleet() (*shoal.Client, []shoal.Host, func()) {
	f, err := sshtest.Start(sshtest.Config{Hosts: 3, Shell: "/bin/sh", Name: func(i int) string { return fmt.Sprintf("web%d", i+1) }})
	if err != nil {
		panic(err)
	}
	client := &shoal.Client{Host: shoal.Host{User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(f.ClientSigner())}}}
	var hosts []shoal.Host
	for _, h := range f.Hosts() {
		hosts = append(hosts, shoal.Host{Name: h.Name, Addr: h.Addr, HostKeys: shoal.PinnedHostKeys(h.HostKey)})
	}
	return client, hosts, func() { client.Close(); f.Close() }
}

func ExampleClient_Run() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	// Gather waits for all and puts the results into the order of the hosts.
	results, err := shoal.Gather(client.Run(ctx, slices.Values(hosts), shoal.Command{Line: "echo up; test $SHOAL"}))
	for _, r := range results {
		fmt.Printf("%s: %s", r.Host.Name, r.Value.Text())
	}
	fmt.Println(err)
	// Output:
	// web1: up
	// web2: up
	// web3: up
	// web1: exit status 1
	// web2: exit status 1
	// web3: exit status 1
}

func ExampleClient_Lines() {
	client, hosts, done := fleet()
	defer done()

	for line, err := range client.Lines(context.Background(), slices.Values(hosts[:1]), shoal.Command{Line: "seq 3; exit 4"}) {
		if err != nil {
			fmt.Println(line.Host, "failed:", err)
			continue
		}
		fmt.Println(line.Host, line.Text)
	}
	// Output:
	// web1 1
	// web1 2
	// web1 3
	// web1 failed: exit status 4
}

func ExampleClient_Start() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	var procs []*shoal.Proc
	for r := range client.Start(ctx, slices.Values(hosts), shoal.Command{Line: "read name; echo hello $name"}) {
		if r.Err != nil {
			fmt.Println(r.Err)
			continue
		}
		fmt.Fprintln(r.Value.Stdin, r.Host.Name)
		procs = append(procs, r.Value)
	}
	if err := shoal.Join(ctx, procs...); err != nil {
		fmt.Println(err)
	}
	for _, p := range procs {
		text, _ := io.ReadAll(p.Stdout)
		fmt.Printf("%s", text)
	}
	// Unordered output:
	// hello web1
	// hello web2
	// hello web3
}

// A deadline tells the finished commands from the unfinished, which go on.
func ExampleJoin() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	quick, _ := client.Conn(ctx, hosts[0])
	slow, _ := client.Conn(ctx, hosts[1])
	a, _ := quick.Start(ctx, shoal.Command{Line: "true"})
	b, _ := slow.Start(ctx, shoal.Command{Line: "read line"})
	_ = a.Wait(ctx)

	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if late, ok := errors.AsType[*shoal.TimeoutError](shoal.Join(short, a, b)); ok {
		fmt.Println(len(late.Finished), "finished,", len(late.Unfinished), "not")
	}
	b.Stdin.Close()
	fmt.Println(shoal.Join(ctx, a, b))
	// Output:
	// 1 finished, 1 not
	// <nil>
}

// A deadline for reading loses nothing: the next loop goes on.
func ExampleStream_Lines() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	conn, _ := client.Conn(ctx, hosts[0])
	proc, _ := conn.Start(ctx, shoal.Command{Line: "echo first; read x; echo second"})
	for line, err := range proc.Stdout.Lines(ctx) {
		fmt.Println(line, err)
		break
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	for _, err := range proc.Stdout.Lines(short) {
		fmt.Println(err)
	}
	proc.Stdin.Close()
	for line, err := range proc.Stdout.Lines(ctx) {
		fmt.Println(line, err)
	}
	// Output:
	// first <nil>
	// context deadline exceeded
	// second <nil>
}

func ExampleEach() {
	client, hosts, done := fleet()
	defer done()

	results, err := shoal.Gather(shoal.Each(context.Background(), client, slices.Values(hosts),
		func(ctx context.Context, c *shoal.Conn) (int, error) {
			out, err := c.Run(ctx, shoal.Command{Line: "hostname | wc -c"})
			var n int
			fmt.Sscan(out.Text(), &n)
			return n, err
		}))
	fmt.Println(len(results), results[0].Value > 0, err)
	// Output: 3 true <nil>
}

// Arguments travel inside the hosts; %q quotes for the remote shell.
func ExampleFormat() {
	client, hosts, done := fleet()
	defer done()

	hosts[0].Vars = map[string]any{"n": 1, "text": "it's one"}
	hosts[1].Vars = map[string]any{"n": 2, "text": "it's two"}
	cmd := shoal.Command{For: shoal.Format("echo %(n)03d %(text)q")}
	results, _ := shoal.Gather(client.Run(context.Background(), slices.Values(hosts[:2]), cmd))
	for _, r := range results {
		fmt.Print(r.Value.Text())
	}
	// Output:
	// 001 it's one
	// 002 it's two
}

func ExampleConn_Shell() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	conn, _ := client.Conn(ctx, hosts[0])
	sh, err := conn.Shell(ctx, shoal.ShellOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sh.Close()
	sh.Run(ctx, "cd /; v=kept")
	out, err := sh.Run(ctx, "pwd; echo $v; false")
	fmt.Printf("%s%v\n", out.Text(), err)
	// Output:
	// /
	// kept
	// exit status 1
}

func ExampleClient_Conn() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	conn, err := client.Conn(ctx, hosts[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	out, err := conn.Run(ctx, shoal.Command{Line: "kill -TERM $$"})
	if exit, ok := errors.AsType[*shoal.ExitError](err); ok {
		fmt.Println(exit.Signal, out.Code)
	}
	// Output: TERM -1
}

func ExampleHosts() {
	for h := range shoal.Hosts("web1", "deploy@db1:2222", "[2001:db8::1]:22") {
		fmt.Printf("%s: user %q, address %s, port %d\n", h.Name, h.User, h.Addr, h.Port)
	}
	// Output:
	// web1: user "", address web1, port 0
	// deploy@db1:2222: user "deploy", address db1, port 2222
	// [2001:db8::1]:22: user "", address 2001:db8::1, port 22
}

// Hosts behind a jump host, over one connection to it.
func ExampleHost_via() {
	client, hosts, done := fleet()
	defer done()
	gate := hosts[0]
	client.Host.Via = []shoal.Host{gate}

	results, err := shoal.Gather(client.Run(context.Background(), slices.Values(hosts[1:]), shoal.Command{Line: "echo up"}))
	for _, r := range results {
		fmt.Printf("%s via %s: %s", r.Host.Name, r.Host.Via[0].Name, r.Value.Text())
	}
	fmt.Println(err)
	// Output:
	// web2 via web1: up
	// web3 via web1: up
	// <nil>
}

// Hosts with the settings that the user's ssh_config has for them.
func ExampleSSHConfig() {
	config := &shoal.SSHConfig{
		Options: []string{"Port=2222", "ServerAliveInterval=30"}, // as ssh -o
		File:    "none",
	}
	client := &shoal.Client{Complete: config.Complete}
	defer client.Close()

	h, err := config.Complete(shoal.Host{Name: "web1"})
	fmt.Println(h.Addr, h.Port, h.KeepAlive, err)
	// Output: web1 2222 30s <nil>
}

// Hosts that only a proxy reaches.
func ExampleProxyDial() {
	dial, err := shoal.ProxyDial("socks5://me:secret@proxy.example.com:1080")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &shoal.Client{Dial: dial}
	defer client.Close()

	_, err = shoal.ProxyDial("ftp://me:secret@proxy.example.com:21")
	fmt.Println(err)
	// Output: proxy proxy.example.com:21: the scheme "ftp" is not socks5, http or https
}

func ExampleClient_ScanHostKeys() {
	client, hosts, done := fleet()
	defer done()
	known := &shoal.KnownHosts{Files: []string{os.DevNull}} // keeps what it learns in memory

	for r := range client.ScanHostKeys(context.Background(), slices.Values(hosts[:1])) {
		keys, err := known.Compare(r.Value.Addr, r.Value.Keys...)
		if err := errors.Join(r.Err, err); err != nil {
			fmt.Println(err)
			continue
		}
		for _, k := range keys {
			fmt.Println(r.Host.Name, k.Type(), k.State)
		}
		// Once a person has compared k.Fingerprint() with the host's own:
		if _, err := known.Learn(r.Value.Addr, r.Value.Keys...); err != nil {
			fmt.Println(err)
		}
		keys, _ = known.Compare(r.Value.Addr, r.Value.Keys...)
		fmt.Println(r.Host.Name, keys[0].Type(), keys[0].State)
	}
	// Output:
	// web1 ssh-ed25519 new
	// web1 ssh-ed25519 known
}

func ExampleConn_Dial() {
	client, hosts, done := fleet()
	defer done()
	ctx := context.Background()

	conn, err := client.Conn(ctx, hosts[0])
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	far, err := conn.Dial(ctx, "tcp", hosts[1].Addr) // as seen from the host
	if err != nil {
		panic(err)
	}
	defer far.Close()
	greeting := make([]byte, len("SSH-2.0"))
	if _, err := io.ReadFull(far, greeting); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", greeting)
	// Output: SSH-2.0
}

// A SOCKS server here, whose connections the host makes: ssh -D.
func ExampleConn_ForwardDynamic() {
	client, hosts, done := fleet()
	defer done()
	ctx, cancel := context.WithCancel(context.Background())

	conn, err := client.Conn(ctx, hosts[0])
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- conn.ForwardDynamic(ctx, l) }()
	// curl --socks5-hostname … goes through the host now.
	cancel()
	fmt.Println(<-ended)
	// Output: context canceled
}

// What connects to the listener on the host is passed on to a server here: ssh -R.
func ExampleConn_Listen() {
	var conn *shoal.Conn // of Client.Conn
	serve := func(ctx context.Context) error {
		l, err := conn.Listen(ctx, "tcp", "127.0.0.1:8080")
		if err != nil {
			return err
		}
		return conn.ForwardRemote(ctx, l, "tcp", "127.0.0.1:80")
	}
	_ = serve
}

package shoal_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// fileFleet starts two embedded hosts, each with an empty folder.
func fileFleet() (*shoal.Client, []shoal.Host, func()) {
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		panic(err)
	}
	f, err := sshtest.Start(sshtest.Config{
		Hosts: 2, Name: func(i int) string { return fmt.Sprintf("web%d", i+1) },
		SFTP: func(i int) string {
			folder := filepath.Join(dir, strconv.Itoa(i))
			os.MkdirAll(folder, 0o755)
			return folder
		},
	})
	if err != nil {
		panic(err)
	}
	client := &shoal.Client{Host: shoal.Host{User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(f.ClientSigner())}}}
	var hosts []shoal.Host
	for _, h := range f.Hosts() {
		hosts = append(hosts, shoal.Host{Name: h.Name, Addr: h.Addr, HostKeys: shoal.PinnedHostKeys(h.HostKey)})
	}
	return client, hosts, func() { client.Close(); f.Close(); os.RemoveAll(dir) }
}

// One local file goes to many hosts.
func ExampleClient_Put() {
	c, hosts, done := fileFleet()
	defer done()
	results, err := shoal.Gather(c.Put(context.Background(), slices.Values(hosts), shoal.Copy{
		Reader: strings.NewReader("maintenance at noon\n"),
		To:     "/etc/motd", // missing folders are made
	}))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Host.Name, r.Value.Bytes, "bytes")
	}
	// Output:
	// web1 20 bytes
	// web2 20 bytes
}

// Files of many hosts get names that tell them apart.
func ExampleClient_Get() {
	c, hosts, done := fileFleet()
	defer done()
	dir, err := os.MkdirTemp("", "logs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for r := range c.Put(context.Background(), slices.Values(hosts), shoal.Copy{Reader: strings.NewReader("x"), To: "/var/app.log"}) {
		if r.Err != nil {
			log.Fatal(r.Err)
		}
	}
	if _, err := shoal.Gather(c.Get(context.Background(), slices.Values(hosts), shoal.Copy{From: "/var/*.log", To: dir})); err != nil {
		log.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range files {
		fmt.Println(f.Name())
	}
	// Output:
	// app.log_web1
	// app.log_web2
}

// A directory on every host becomes equal to a local one. A dry run says what that
// would do.
func ExampleCopy_delete() {
	c, hosts, done := fileFleet()
	defer done()
	site := shoal.Copy{
		FS:   fstest.MapFS{"site/index.html": {Data: []byte("new")}, "site/draft.tmp": {}},
		From: "site/.", To: "/srv/www", Recursive: true, Preserve: true,
		Unchanged: shoal.SkipSameAge, Exclude: []string{"*.tmp"}, Delete: true, DryRun: true,
	}
	for _, name := range []string{"index.html", "old.html"} {
		if _, err := shoal.Gather(c.Put(context.Background(), slices.Values(hosts), shoal.Copy{Reader: strings.NewReader("x"), To: "/srv/www/" + name})); err != nil {
			log.Fatal(err)
		}
	}
	results, err := shoal.Gather(c.Put(context.Background(), slices.Values(hosts), site))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Host.Name, r.Value.Changes)
	}
	// Output:
	// web1 [~ /srv/www/index.html - /srv/www/old.html]
	// web2 [~ /srv/www/index.html - /srv/www/old.html]
}

// For hosts behind a thin line: the image goes over it once. The hosts must be able to
// log in to each other.
func ExampleCopy_tree() {
	var c shoal.Client
	defer c.Close()
	var relayed int64
	for r := range c.Put(context.Background(), shoal.Hosts("node1", "node2", "node3"), shoal.Copy{From: "image.tar", To: "/srv/", Tree: 4}) {
		if r.Err != nil {
			log.Print(r.Err)
		}
		relayed += r.Value.Relayed
	}
	fmt.Println(relayed, "bytes came from other hosts")
}

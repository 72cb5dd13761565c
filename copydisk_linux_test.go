package shoal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
)

// A full disk, here or there, is an error of the copy that meets it. The old file
// stays, nothing is left beside it, and other hosts have theirs.
func TestFullDisk(t *testing.T) {
	opensshtest.Need(t, "sftp-server", "unshare", "mount")
	small := os.Getenv("SHOAL_TEST_SMALL_DISK")
	if small == "" { // again, where this process may mount a disk of 1 MiB
		small = t.TempDir()
		if err := exec.Command("unshare", "-rm", "true").Run(); err != nil {
			opensshtest.LeaveOut(t, "a namespace of its own (unshare -rm)")
		}
		cmd := exec.Command("unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=1m tmpfs "$1" && exec "$0" -test.run '^TestFullDisk$' -test.v`, os.Args[0], small)
		cmd.Env = append(os.Environ(), "SHOAL_TEST_SMALL_DISK="+small)
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFullDisk")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	server, err := opensshtest.LookPath("sftp-server")
	if err != nil {
		t.Fatal(err)
	}
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Subsystems: map[string]sshtest.Handler{"sftp": func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
		cmd := exec.Command(server)
		cmd.Stdin, cmd.Stdout = s.Stdin, s.Stdout
		cmd.Run()
		return sshtest.ExitStatus{}
	}}})
	c, large := newClient(t, f), t.TempDir()
	from := mustWrite(t, large+"/from", randomData(3<<20), 0o644)
	for name, way := range map[string]struct {
		copy func(*shoal.Client, context.Context, shoal.Copy) ([]shoal.Result[shoal.Copied], error)
		kind shoal.Kind
	}{
		"put": {func(c *shoal.Client, ctx context.Context, cp shoal.Copy) ([]shoal.Result[shoal.Copied], error) {
			return shoal.Gather(c.Put(ctx, hostsOf(f), cp))
		}, shoal.KindRemoteIO},
		"get": {func(c *shoal.Client, ctx context.Context, cp shoal.Copy) ([]shoal.Result[shoal.Copied], error) {
			return shoal.Gather(c.Get(ctx, hostsOf(f), cp))
		}, shoal.KindLocalIO},
	} {
		dirs := []string{small, filepath.Join(large, name)}
		for _, dir := range dirs {
			mustWrite(t, dir+"/to", []byte("old"), 0o644)
		}
		results, _ := way.copy(c, testContext(t), shoal.Copy{For: func(h shoal.Host) (string, string, error) {
			if h.Name == f.Host(0).Name {
				return from, small + "/to", nil
			}
			return from, dirs[1] + "/to", nil
		}})
		he, ok := errors.AsType[*shoal.HostError](results[0].Err)
		if !ok || he.Kind != way.kind || he.Stage != shoal.StageTransfer || way.kind == shoal.KindLocalIO && !errors.Is(he, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, results[0].Err)
		}
		if results[1].Err != nil {
			t.Errorf("%s: the other host: %v", name, results[1].Err)
		}
		sameTree(t, treeOf(t, small), map[string]string{"to": "3 cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4"})
		sameTree(t, treeOf(t, dirs[1]), map[string]string{"to": treeOf(t, large)["from"]})
	}
}

// Other errors of the local side leave nothing either.
func TestLocalErrors(t *testing.T) {
	t.Parallel()
	conn, dir := opensshConn(t), t.TempDir()
	from := mustWrite(t, dir+"/from", randomData(1<<20), 0o644)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for name, test := range map[string]struct {
		cp   shoal.Copy
		want error
	}{
		"writer":    {shoal.Copy{From: from, Writer: full}, syscall.ENOSPC},
		"long name": {shoal.Copy{From: from, To: dir + "/to/" + strings.Repeat("x", 300)}, syscall.ENAMETOOLONG},
		"file":      {shoal.Copy{From: from, To: from + "/to"}, syscall.ENOTDIR},
		"read-only": {shoal.Copy{From: from, To: "/proc/to"}, nil},
	} {
		_, err := conn.Get(testContext(t), test.cp)
		he, ok := errors.AsType[*shoal.HostError](err)
		if !ok || he.Kind != shoal.KindLocalIO || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tree := treeOf(t, dir)
	delete(tree, "to")
	sameTree(t, tree, map[string]string{"from": fmt.Sprint(tree["from"])})
}

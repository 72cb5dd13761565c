package sshtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

func sftpClient(t *testing.T, f *sshtest.Fleet, host int) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClient(login(t, f, host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func putFile(t *testing.T, c *sftp.Client, name, content string) {
	t.Helper()
	w, err := c.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func getFile(t *testing.T, c *sftp.Client, name string) string {
	t.Helper()
	r, err := c.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSFTPIsOffByDefault(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true})
	if c, err := sftp.NewClient(login(t, f, 0)); err == nil {
		c.Close()
		t.Error("there is an SFTP server")
	}
}

func TestSFTP(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	f := sshtest.New(t, sshtest.Config{Hosts: 2, InMemory: true, SFTP: func(host int) string { return dirs[host] }})
	c := sftpClient(t, f, 1)
	putFile(t, c, "a.txt", "hello")
	if b, err := os.ReadFile(filepath.Join(dirs[1], "a.txt")); string(b) != "hello" || err != nil {
		t.Errorf("on disk: got %q, %v, want %q", b, err, "hello")
	}
	if _, err := sftpClient(t, f, 0).Stat("/a.txt"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("on the other host: got %v, want none", err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"mkdir", func() error { return c.Mkdir("/d") }},
		{"rename", func() error { return c.Rename("a.txt", "d/b.txt") }},
		{"symlink", func() error { return c.Symlink("b.txt", "/d/link") }},
		{"hard link", func() error { return c.Link("/d/b.txt", "/d/hard") }},
		{"chmod", func() error { return c.Chmod("/d/b.txt", 0o640) }},
		{"chtimes", func() error { return c.Chtimes("/d/b.txt", time.Unix(1e9, 0), time.Unix(1e9, 0)) }},
		{"truncate", func() error { return c.Truncate("/d/b.txt", 4) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if got := getFile(t, c, "/d/link"); got != "hell" {
		t.Errorf("through the link: got %q, want %q", got, "hell")
	}
	if to, err := c.ReadLink("/d/link"); to != "b.txt" || err != nil {
		t.Errorf("link: got %q, %v, want %q", to, err, "b.txt")
	}
	info, err := c.Stat("/d/b.txt")
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got %v, %v, want mode 0640", info, err)
	}
	list, err := c.ReadDir("/d")
	var names []string
	for _, info := range list {
		names = append(names, info.Name())
	}
	if want := []string{"b.txt", "hard", "link"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("list: got %q, %v, want %q", names, err, want)
	}
}

func TestSFTPRename(t *testing.T) {
	dir := t.TempDir()
	f := sshtest.New(t, sshtest.Config{InMemory: true, SFTP: func(int) string { return dir }})
	c := sftpClient(t, f, 0)
	putFile(t, c, "new", "new")
	putFile(t, c, "old", "old")
	if err := c.Rename("new", "old"); err == nil {
		t.Error("rename replaced a file")
	}
	if err := c.PosixRename("new", "old"); err != nil || getFile(t, c, "old") != "new" {
		t.Errorf("posix-rename: %v, or not replaced", err)
	}
}

func TestSFTPStaysInItsFolder(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	f := sshtest.New(t, sshtest.Config{InMemory: true, SFTP: func(int) string { return dir }})
	c := sftpClient(t, f, 0)
	for _, name := range []string{"out/secret", "../" + filepath.Base(outside) + "/secret", filepath.Join(outside, "secret")} {
		if r, err := c.Open(name); err == nil {
			r.Close()
			t.Errorf("%s can be read", name)
		}
	}
	if w, err := c.Create("out/new"); err == nil {
		w.Close()
		t.Error("a file can be made outside")
	}
}

func TestSFTPWholeFileSystem(t *testing.T) {
	dir := t.TempDir()
	f := sshtest.New(t, sshtest.Config{InMemory: true, SFTP: func(int) string { return "/" }})
	c := sftpClient(t, f, 0)
	name := filepath.ToSlash(filepath.Join(dir, "x"))
	putFile(t, c, name, "y")
	if got := getFile(t, c, name); got != "y" {
		t.Errorf("got %q, want %q", got, "y")
	}
}

func TestSubsystem(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, Subsystems: map[string]sshtest.Handler{
		"echo": func(_ context.Context, s *sshtest.Session) sshtest.ExitStatus {
			io.Copy(s.Stdout, s.Stdin)
			return sshtest.ExitStatus{Code: uint32(len(s.Subsystem))}
		},
	}})
	ch, requests, err := login(t, f, 0).OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"echo"})); !ok || err != nil {
		t.Fatalf("got %t, %v, want the subsystem started", ok, err)
	}
	io.WriteString(ch, "abc")
	ch.CloseWrite()
	if out, err := io.ReadAll(ch); string(out) != "abc" || err != nil {
		t.Errorf("got %q, %v, want %q", out, err, "abc")
	}
	exit := <-requests
	if want := []byte{0, 0, 0, 4}; exit.Type != "exit-status" || !bytes.Equal(exit.Payload, want) {
		t.Errorf("got %s %v, want exit-status %v", exit.Type, exit.Payload, want)
	}
	if err := session(t, login(t, f, 0)).RequestSubsystem("nosuch"); err == nil {
		t.Error("an unknown subsystem was started")
	}
}

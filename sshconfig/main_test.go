package sshconfig_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-ssh/shoal/sshconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config")
	text := "Host web*\n  HostName %h.example.com\n  User deploy\n  ProxyJump gate:2222\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	config, err := sshconfig.Load(sshconfig.Options{File: file})
	if err != nil {
		fmt.Println(err)
		return
	}
	web1, err := config.Resolve(sshconfig.Target{Host: "web1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(web1.User(), web1.HostName(), web1.Port(), web1.ProxyJump())
	// Output: deploy web1.example.com 22 [gate:2222]
}

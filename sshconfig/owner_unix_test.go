//go:build unix

package sshconfig_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/sshconfig"
)

// The user's file, and those that it includes, must be nobody else's to write,
// as ssh demands; a file that was asked for may be any.
func TestOwner(t *testing.T) {
	home := t.TempDir()
	config, included := filepath.Join(home, ".ssh", "config"), filepath.Join(home, ".ssh", "more")
	err := errors.Join(
		os.Mkdir(filepath.Dir(config), 0o700),
		os.WriteFile(config, []byte("Include more\n"), 0o600),
		os.WriteFile(included, []byte("User me\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{config, included} {
		for _, mode := range []os.FileMode{0o620, 0o602} {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			_, err := sshconfig.Load(sshconfig.Options{Home: home})
			if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "chmod go-w") {
				t.Errorf("%s with mode %o: %v", file, mode, err)
			}
			if _, err := sshconfig.Load(sshconfig.Options{Home: home, File: file}); err != nil && file == config {
				t.Errorf("%s with mode %o, asked for: %v", file, mode, err)
			}
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sshconfig.Load(sshconfig.Options{Home: home}); err != nil {
		t.Error(err)
	}
	if os.Getuid() != 0 {
		return // only root gives files away
	}
	if err := os.Chown(config, 12345, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := sshconfig.Load(sshconfig.Options{Home: home}); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("another user's file: %v", err)
	}
}

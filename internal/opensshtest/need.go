package opensshtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Need says that the test needs outside programs, such as "sshd" or
// "ssh-keygen". When one is missing the test is skipped and says what is left
// out. With a non-empty SHOAL_REQUIRE_ALL in the environment it fails instead,
// so that a complete run cannot lose tests unseen.
func Need(tb testing.TB, programs ...string) {
	tb.Helper()
	for _, program := range programs {
		if _, err := LookPath(program); err == nil {
			continue
		}
		LeaveOut(tb, program)
	}
}

// LeaveOut skips the test for want of what it needs, or fails it as [Need] does.
func LeaveOut(tb testing.TB, needs string) {
	tb.Helper()
	if os.Getenv("SHOAL_REQUIRE_ALL") != "" {
		tb.Fatalf("needs %s", needs)
	}
	tb.Skipf("left out: needs %s", needs)
}

// LookPath finds a program as [exec.LookPath] does, and also in the folders for
// system programs, which the PATH of plain users often leaves out. There is no
// sshd to be found on Windows: what is there does not run as this package needs.
func LookPath(program string) (string, error) {
	if program == "sshd" && runtime.GOOS == "windows" {
		return "", fmt.Errorf("sshd: %w", exec.ErrNotFound)
	}
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin",
		"/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh"} {
		if path, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return path, nil
		}
	}
	return "", err
}

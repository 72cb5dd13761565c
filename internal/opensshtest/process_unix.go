//go:build unix

package opensshtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// prepare makes the folder that sshd insists on when it runs as root, and that
// is missing in containers where no sshd was ever started as a service.
func prepare() error {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		return nil
	}
	return os.MkdirAll("/run/sshd", 0o755)
}

// runOnThread starts cmd, reports that, waits for its end and closes exited. It
// keeps its thread all the while: the signal of [procAttr] comes with the end
// of the thread that started the program.
func runOnThread(cmd *exec.Cmd, started chan<- error, exited chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait() // a server that was killed has no other end
		close(exited)
	}
}

func stop(pid int) error { return ignoreGone(syscall.Kill(pid, syscall.SIGSTOP)) }

func kill(pid int) error { return ignoreGone(syscall.Kill(pid, syscall.SIGKILL)) }

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// killChildren kills all descendants of a process. sshd gives each session a
// process group of its own, so that killing by group would miss them. All are
// stopped before the first is killed: an orphan could not be found any more.
func killChildren(pid int) {
	seen := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for child, parent := range parents() {
			if seen[parent] && !seen[child] {
				seen[child], grown = true, true
				_ = stop(child)
			}
		}
	}
	delete(seen, pid)
	for child := range seen {
		_ = kill(child)
	}
}

// parents maps the processes of this machine to their parents.
func parents() map[int]int {
	found := make(map[int]int)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it ended meanwhile
		}
		// "pid (name) state ppid": the name may hold anything, ")" included.
		var child, parent int
		var state string
		i := strings.LastIndexByte(string(text), ')')
		if _, err := fmt.Sscan(string(text), &child); err != nil || i < 0 {
			continue
		}
		if _, err := fmt.Sscan(string(text[i+1:]), &state, &parent); err == nil {
			found[child] = parent
		}
	}
	if len(found) > 0 {
		return found
	}
	list, _ := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	for line := range strings.Lines(string(list)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err == nil {
			found[child] = parent
		}
	}
	return found
}

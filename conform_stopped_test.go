//go:build unix

package shoal_test

import (
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
)

// A real server that is stopped, so that its kernel still acknowledges and it says
// nothing, is lost by keep-alives; what came before is kept, and another server
// does not notice.
func TestStoppedServer(t *testing.T) {
	t.Parallel()
	c, h, _ := openssh(t)
	c.Host.KeepAlive, c.Host.KeepAliveMax = 200*time.Millisecond, 2
	other, otherHost, _ := openssh(t)
	ctx := testContext(t)
	beside := start(t, connect(t, other, otherHost), shoal.Command{Line: "read x; echo $x"})
	// The shell's parent is the session's server.
	p := start(t, connect(t, c, h), shoal.Command{Line: "echo $PPID; sleep 60"})
	pid, err := strconv.Atoi(strings.TrimSpace(nextLine(t, p.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}()
	he := wantHostError(t, p.Wait(ctx), shoal.StageRun, shoal.KindLost)
	if !he.MayRun || !strings.Contains(he.Error(), "no sign of life") {
		t.Error(he)
	}
	io.WriteString(beside.Stdin, "well\n")
	if got := nextLine(t, beside.Stdout); got != "well" {
		t.Errorf("the other: %q", got)
	}
	wantExit(t, beside.Wait(ctx), 0)
}

package openssh_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/openssh"
)

// A program that is killed leaves no ssh behind.
func TestCrash(t *testing.T) {
	if config := os.Getenv("SHOAL_TEST_CONFIG"); config != "" {
		c := &shoal.Client{Transport: &openssh.Transport{Args: []string{"-F", config}}}
		_, err := c.Conn(context.Background(), shoal.Host{Name: os.Getenv("SHOAL_TEST_HOST"), User: os.Getenv("SHOAL_TEST_USER")})
		fmt.Println("connected:", err)
		select {}
	}
	servers := start(t, 1)
	s := use(t, servers)
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), "SHOAL_TEST_CONFIG="+s.config, "SHOAL_TEST_HOST="+servers[0].Addr, "SHOAL_TEST_USER="+servers[0].User)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "connected: <nil>\n" {
		t.Errorf("%q, %v", line, err)
	}
	if n := len(processes(t, s.tmp)); n != 1 {
		t.Errorf("%d processes of ssh, want 1", n)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for ctx := testContext(t); len(processes(t, s.tmp)) > 0; {
		select {
		case <-ctx.Done():
			t.Fatal("ssh goes on")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if left, _ := os.ReadDir(s.tmp); len(left) == 1 { // the folder stays, empty
		os.Remove(s.tmp + "/" + left[0].Name())
	}
}

package sshagent

import (
	"testing"

	"github.com/Microsoft/go-winio"
)

func TestPipe(t *testing.T) {
	l, err := winio.ListenPipe(`\\.\pipe\shoal-sshagent-test`, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			answering(frame(listReply(0)...))(conn)
		}
	}()
	if got := signers(t, fromEnv(t, "//./pipe/shoal-sshagent-test", Options{})); len(got) != 0 {
		t.Errorf("got %d signers, want none", len(got))
	}
}

//go:build unix

package openssh

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/shoal-ssh/shoal"
)

// packet is a message as a ControlMaster in proxy mode has it.
func packet(message byte, rest ...byte) []byte {
	return append([]byte{0, 0, 0, byte(2 + len(rest)), 0, message}, rest...)
}

// Close waits for the answer to the opening of a channel.
func TestJoinedClose(t *testing.T) {
	near, far := net.Pipe()
	j := &joined{Conn: near}
	read := make(chan error, 1)
	go func() { // as x/crypto/ssh does
		_, err := j.Read(make([]byte, 64))
		read <- err
	}()
	go j.Write(packet(msgChannelOpen, 1, 2, 3))
	if _, err := io.ReadFull(far, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { j.Close(); close(closed) }()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the reader got %v", err)
	}
	if _, err := j.Write(packet(98)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the writer got %v", err)
	}
	select {
	case <-closed:
		t.Error("closed without the answer")
	default:
	}
	for _, b := range append(packet(94, 1, 2), packet(msgChannelOpenConfirmation, 1)...) {
		if _, err := far.Write([]byte{b}); err != nil {
			break // it need not read all of the last packet
		}
	}
	<-closed
}

// However a stream is cut into reads, each answer in it is counted once.
func FuzzWatch(f *testing.F) {
	f.Add([]byte{3, 1, 7}, byte(2))
	f.Fuzz(func(t *testing.T, sizes []byte, cut byte) {
		var stream []byte
		want := 0
		for i, size := range sizes {
			message := byte(msgChannelOpen + i%10)
			if message == msgChannelOpenConfirmation || message == msgChannelOpenFailure {
				want--
			}
			stream = append(stream, packet(message, make([]byte, size/2)...)...)
		}
		j := new(joined)
		for len(stream) > 0 {
			n := min(int(cut)+1, len(stream))
			j.watch(stream[:n])
			stream = stream[n:]
		}
		if j.opening != want {
			t.Errorf("counted %d, want %d", j.opening, want)
		}
	})
}

// Whatever ssh and a server's banner say, a kind and words come of it.
func FuzzFailure(f *testing.F) {
	f.Add("ssh: connect to host x port 22: Connection refused\r\n")
	f.Add("@@@@@\n@ WARNING: REVOKED HOST KEY DETECTED! @\nHost key verification failed.\n")
	f.Fuzz(func(t *testing.T, text string) {
		he := failure(shoal.Host{Name: "h", Via: []shoal.Host{{Name: "j", Addr: "j"}}}, text, io.EOF)
		if he.Kind == "" || he.Stage == "" || he.Err == nil {
			t.Errorf("%q: %+v", text, he)
		}
	})
}

func TestPrompts(t *testing.T) {
	for prompt, want := range map[string]shoal.Question{
		"root@web1's password: ":                       {Kind: shoal.AskPassword},
		"Enter passphrase for key '/a b/id': ":         {Kind: shoal.AskPassphrase, Path: "/a b/id"},
		"Enter passphrase for /a/id: ":                 {Kind: shoal.AskPassphrase, Path: "/a/id"},
		"(root@web1) Verification code: ":              {Kind: shoal.AskInteractive},
		"Continue (yes/no/[fingerprint])? ":            {Kind: shoal.AskInteractive, Echo: true},
		"Please type 'yes', 'no' or the fingerprint: ": {Kind: shoal.AskInteractive, Echo: true},
	} {
		want.Prompt, want.Host, want.User = prompt, "h", "u"
		if got := question(shoal.Host{Name: "h", User: "u"}, prompt); got != want {
			t.Errorf("%q: %+v, want %+v", prompt, got, want)
		}
	}
	if got := printable("a\x1b[31m\nb\x00"); bytes.ContainsAny([]byte(got), "\x1b\x00") || got != "a\ufffd[31m\nb\ufffd" {
		t.Errorf("%q", got)
	}
}

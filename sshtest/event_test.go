package sshtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

func TestEvents(t *testing.T) {
	inBubble(t, sshtest.Config{}, func(t *testing.T, f *sshtest.Fleet) {
		c := login(t, f, 0)
		s := session(t, c)
		if err := s.Setenv("A", "b"); err != nil {
			t.Fatal(err)
		}
		if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Start("sleep 5; exit 3"); err != nil {
			t.Fatal(err)
		}
		s.WindowChange(25, 90)
		synctest.Wait()
		s.Signal(ssh.SIGTERM)
		s.Wait()
		c.Close()
		synctest.Wait()
		type brief struct {
			kind   sshtest.EventKind
			detail string
		}
		want := []brief{
			{sshtest.EventConnect, "127.0.0.1:1024"}, {sshtest.EventHandshake, "SSH-2.0-Go"},
			{sshtest.EventAuth, ""}, {sshtest.EventKeyOffer, ""}, {sshtest.EventAuth, ""}, {sshtest.EventLogin, ""},
			{sshtest.EventSession, ""}, {sshtest.EventEnv, "A=b"}, {sshtest.EventPTY, "xterm 80x24"},
			{sshtest.EventExec, "sleep 5; exit 3"}, {sshtest.EventResize, "90x25"}, {sshtest.EventSignal, "TERM"},
			{sshtest.EventExit, "signal TERM"}, {sshtest.EventClose, ""},
		}
		events := f.Events()
		for i, e := range events {
			if i >= len(want) || want[i] != (brief{e.Kind, e.Detail}) {
				t.Errorf("event %d: got %s %q", i, e.Kind, e.Detail)
			}
		}
		if len(events) != len(want) {
			t.Errorf("got %d events, want %d", len(events), len(want))
		}
	})
}

func TestWaitEvent(t *testing.T) {
	inBubble(t, sshtest.Config{Hosts: 2}, func(t *testing.T, f *sshtest.Fleet) {
		onSecond := func(e sshtest.Event) bool { return e.Kind == sshtest.EventLogin && e.Host == 1 }
		got := make(chan sshtest.Event, 1)
		go func() {
			e, _ := f.WaitEvent(t.Context(), onSecond)
			got <- e
		}()
		login(t, f, 0)
		synctest.Wait()
		select {
		case e := <-got:
			t.Errorf("got %+v too soon", e)
		default:
		}
		login(t, f, 1)
		if e := <-got; e.Host != 1 || e.Conn != 2 {
			t.Errorf("got %+v, want the login to host 1", e)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := f.WaitEvent(ctx, func(sshtest.Event) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestEventLimit(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, EventLimit: 8})
	for range 3 {
		login(t, f, 0)
	}
	e, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool { return e.Kind == sshtest.EventLogin && e.Conn == 3 })
	if err != nil || e.Conn != 3 {
		t.Errorf("got %+v, %v, want the last login", e, err)
	}
	if n := len(f.Events()); n > 8 {
		t.Errorf("%d events are kept, want at most 8", n)
	}
}

func TestEventsOff(t *testing.T) {
	f := sshtest.New(t, sshtest.Config{InMemory: true, EventLimit: -1})
	login(t, f, 0)
	if n := len(f.Events()); n != 0 {
		t.Errorf("got %d events, want none", n)
	}
	if _, err := f.WaitEvent(t.Context(), func(sshtest.Event) bool { return true }); err == nil {
		t.Error("waiting for an event that cannot come succeeded")
	}
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
	"github.com/shoal-ssh/shoal/rollout"
)

func TestExitOf(t *testing.T) {
	for _, c := range []struct {
		err    error
		status render.Status
		remote render.Remote
	}{
		{nil, render.OK, ""},
		{&shoal.ExitError{Code: 3}, render.Failed, ""},
		{&shoal.ExitError{Code: -1, Signal: "TERM"}, render.Signal, ""},
		{&shoal.HostError{Stage: shoal.StageResolve, Kind: shoal.KindDNS}, render.Unreachable, ""},
		{&shoal.HostError{Stage: shoal.StageConnect, Kind: shoal.KindTimeout}, render.Timeout, ""},
		{&shoal.HostError{Stage: shoal.StageConnect, Kind: shoal.KindLocalIO}, render.Unreachable, ""},
		{&shoal.HostError{Stage: shoal.StageHostKey, Kind: shoal.KindHostKeyRevoked}, render.HostKey, ""},
		{&shoal.HostError{Stage: shoal.StageAuth, Kind: shoal.KindTooManyKeys}, render.Auth, ""},
		{&shoal.HostError{Stage: shoal.StageChannel, Kind: shoal.KindChannelRefused}, render.Unreachable, ""},
		{&shoal.HostError{Stage: shoal.StageExec, Kind: shoal.KindTimeout, MayRun: true}, render.Timeout, render.MayStillRun},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindTimeout}, render.Timeout, render.Killed},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindCancelled, MayRun: true}, render.Cancelled, render.MayStillRun},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindCancelled}, render.Cancelled, render.Killed},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindLost, MayRun: true}, render.Lost, render.MayStillRun},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindLost}, render.Lost, ""},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindSudo}, render.Failed, ""},
		{&shoal.HostError{Stage: shoal.StageRun, Kind: shoal.KindNoExitStatus}, render.Failed, ""},
		{&shoal.HostError{Stage: shoal.StagePrepare, Kind: shoal.KindNotRun}, render.NotRun, ""},
		{&shoal.HostError{Stage: shoal.StagePrepare, Kind: shoal.KindNotRun, Err: &rollout.CheckError{Host: "web2", Err: &shoal.ExitError{Code: 7}}}, render.NotRun, ""},
		{&rollout.CheckError{Host: "web1", Err: &shoal.ExitError{Code: 7}}, render.Failed, ""},
		{&rollout.CheckError{Host: "web1", Err: &shoal.HostError{Stage: shoal.StageConnect, Kind: shoal.KindRefused}}, render.Failed, ""},
		{errors.New("neither of the two"), render.Lost, ""},
	} {
		r := shoal.Result[shoal.Output]{Host: shoal.Host{Name: "web1"}, Err: c.err}
		x := exitOf(&r, time.Second)
		if x.Host != "web1" || x.Status != c.status || x.Remote != c.remote {
			t.Errorf("%v: got %s, remote %q; want %s, %q", c.err, x.Status, x.Remote, c.status, c.remote)
		}
		if (x.RC != nil) != (c.status == render.OK || c.err != nil && x.Err == nil && x.Signal == "") {
			t.Errorf("%v: got exit status %v", c.err, x.RC)
		}
	}
}

func TestPlainText(t *testing.T) {
	dial := func(ip byte, err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, ip), Port: 22}, Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("as it is"), "as it is"},
		{dial(1, syscall.ECONNREFUSED), "connection refused (10.0.0.1:22)"},
		{errors.Join(dial(1, syscall.ECONNREFUSED)), "connection refused (10.0.0.1:22)"},
		{errors.Join(dial(1, syscall.ECONNREFUSED), dial(2, syscall.EHOSTUNREACH)), "connection refused (10.0.0.1:22); no route to host (10.0.0.2:22)"},
		{fmt.Errorf("%w after it said 0", dial(1, syscall.ECONNRESET)), "connection reset by peer (10.0.0.1:22) after it said 0"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no address")}, "dial tcp: no address"},
		{&fs.PathError{Op: "open", Path: "key", Err: syscall.ENOENT}, "open key: no such file or directory"},
	} {
		if got := plainText(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestPlainDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond: "0.3 s", 30 * time.Second: "30 s", 90 * time.Second: "90 s",
		5 * time.Minute: "5 min", 2 * time.Hour: "2 h",
	} {
		if got := plainDuration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

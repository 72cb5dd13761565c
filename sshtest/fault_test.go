package sshtest_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal/sshtest"
	"golang.org/x/crypto/ssh"
)

// An outcome is what a plain client sees of one command.
type outcome struct {
	stage  string // how far it got: dial, login, session, start, wait
	err    error
	stdout string
	took   time.Duration
}

// budget is when the client gives up and closes the connection.
const budget = 30 * time.Second

// try connects to the first host and runs a command, within the budget.
func try(f *sshtest.Fleet, command string, auth ...ssh.AuthMethod) (o outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	began := time.Now()
	defer func() { o.took = time.Since(began) }()
	nc, err := f.Dial(ctx, "tcp", f.Host(0).Addr)
	if err != nil {
		return outcome{stage: "dial", err: err}
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	defer nc.Close()
	cc, channels, requests, err := ssh.NewClientConn(nc, f.Host(0).Addr, clientConfig(f, 0, auth...))
	if err != nil {
		return outcome{stage: "login", err: err}
	}
	c := ssh.NewClient(cc, channels, requests)
	defer c.Wait()
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		return outcome{stage: "session", err: err}
	}
	out := &boundedBuffer{limit: 1 << 20, full: func() { nc.Close() }}
	s.Stdout = out
	if err := s.Start(command); err != nil {
		return outcome{stage: "start", err: err}
	}
	err = s.Wait()
	return outcome{stage: "wait", err: err, stdout: string(out.data)}
}

// A boundedBuffer gives up when it is full.
type boundedBuffer struct {
	data  []byte
	limit int
	full  func()
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > b.limit {
		b.full()
		return 0, io.ErrShortWrite
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// inBubble runs a test on a fake clock with a fleet of one host.
func inBubble(t *testing.T, cfg sshtest.Config, test func(t *testing.T, f *sshtest.Fleet)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.InMemory = true
		f := sshtest.New(t, cfg)
		test(t, f)
	})
}

func faulty(fault sshtest.Fault) sshtest.Config {
	return sshtest.Config{Faults: func(int) sshtest.Fault { return fault }}
}

func TestFaults(t *testing.T) {
	const noStatus = "without exit status"
	tests := []struct {
		kind   sshtest.FaultKind
		stage  string // how far a plain client gets
		err    string // part of its error, "any" for any, "" for none
		n      int64  // Fault.N
		hangs  bool   // whether it is stuck until it closes the connection itself
		stdout string
	}{
		{kind: sshtest.Refuse, stage: "dial", err: "connection refused"},
		{kind: sshtest.TCPSilent, stage: "login", err: "any", hangs: true},
		{kind: sshtest.TCPClose, stage: "login", err: "EOF"},
		{kind: sshtest.TCPReset, stage: "login", err: "reset"},
		{kind: sshtest.Throttled, stage: "login", err: "EOF"},
		{kind: sshtest.BannerHTTP, stage: "login", err: "EOF"},
		{kind: sshtest.BannerGarbage, stage: "login", err: "EOF"},
		{kind: sshtest.BannerSlow, stage: "login", err: "any", hangs: true},
		{kind: sshtest.BannerLines, stage: "login", err: "overflow"},
		{kind: sshtest.BannerPreamble, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.BannerGiant, stage: "login", err: "overflow"},
		{kind: sshtest.BannerEscape, stage: "login", err: "any", hangs: true},
		{kind: sshtest.BannerSSH1, stage: "login", err: "any", hangs: true},
		{kind: sshtest.Banner199, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.BannerLF, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.BannerSilent, stage: "login", err: "any", hangs: true},
		{kind: sshtest.BannerClose, stage: "login", err: "EOF"},
		{kind: sshtest.BannerReset, stage: "login", err: "handshake failed"},
		{kind: sshtest.KexInitSilent, stage: "login", err: "any", hangs: true},
		{kind: sshtest.NewKeysSilent, stage: "login", err: "any", hangs: true},
		{kind: sshtest.KexNoMatch, stage: "login", err: "no common algorithm"},
		{kind: sshtest.KexGarbage, stage: "login", err: "packet too large"},
		{kind: sshtest.KexLengthHuge, stage: "login", err: "packet too large"},
		{kind: sshtest.KexLengthZero, stage: "login", err: "packet too small"},
		{kind: sshtest.KexBadSig, stage: "login", err: "signature"},
		{kind: sshtest.KexPaddingLie, stage: "login", err: "any"},
		{kind: sshtest.KexAlgoBomb, stage: "login", err: "no common algorithm"},
		{kind: sshtest.KexZeroPoint, stage: "login", err: "any"},
		{kind: sshtest.KexIgnore, stage: "login", err: "unexpected message type 2"},
		{kind: sshtest.RekeyFlood, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ServiceSilent, stage: "login", err: "any", hangs: true},
		{kind: sshtest.AuthSilent, stage: "login", err: "any", hangs: true},
		{kind: sshtest.AuthSilentKey, stage: "login", err: "any", hangs: true},
		{kind: sshtest.AuthFailAll, stage: "login", err: "unable to authenticate"},
		{kind: sshtest.AuthNoneOK, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.AuthKbdintLoop, stage: "login", err: "any", hangs: true},
		{kind: sshtest.AuthBannerFlood, n: 1000, stage: "login", err: "any", hangs: true},
		{kind: sshtest.IgnoreFlood, n: 1000, stage: "login", err: "any", hangs: true},
		{kind: sshtest.DebugFlood, n: 1000, stage: "login", err: "any", hangs: true},
		{kind: sshtest.AuthKeyOther, stage: "login", err: "unable to authenticate"},
		{kind: sshtest.AuthSuccessSoon, stage: "session", err: "any"},
		{kind: sshtest.AuthDisconnect, stage: "login", err: "reason 11"},
		{kind: sshtest.AuthBannerGiant, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.AfterAuthClose, stage: "session", err: "any"},
		{kind: sshtest.AfterAuthReset, stage: "session", err: "any"},
		{kind: sshtest.AfterAuthLeave, stage: "session", err: "any"},
		{kind: sshtest.AfterAuthSilent, stage: "session", err: "unexpected packet", hangs: true},
		{kind: sshtest.AfterAuthFreeze, stage: "session", err: "unexpected packet", hangs: true},
		{kind: sshtest.KeepAliveSilent, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.GlobalSilent, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ProbeClient, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ChanOpenSilent, stage: "session", err: "unexpected packet", hangs: true},
		{kind: sshtest.ChanOpenFlood, n: 1000, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.GlobalFlood, n: 1000, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ReplyFlood, n: 1000, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ChanOpenRefused, stage: "session", err: "resource shortage"},
		{kind: sshtest.DataBeforeConfirm, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ConfirmTwice, stage: "start", err: "any"},
		{kind: sshtest.ChanReplyFlood, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.UnknownChannel, stage: "start", err: "any"},
		{kind: sshtest.UnknownMessage, stage: "start", err: "any"},
		{kind: sshtest.EmptyPayload, stage: "start", err: "any"},
		{kind: sshtest.WindowZero, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.MaxPacketZero, stage: "session", err: "any"},
		{kind: sshtest.MaxPacketOne, stage: "session", err: "any"},
		{kind: sshtest.ExecSilent, stage: "start", err: "EOF", hangs: true},
		{kind: sshtest.ExecRefused, stage: "start", err: "failed"},
		{kind: sshtest.ExecHang, stage: "wait", err: noStatus, hangs: true},
		{kind: sshtest.StdinNeverRead, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecSlow, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecEOFNoStatus, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.ExecCloseNoEOF, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.ExecStatusReset, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecStatusFreeze, stage: "wait", stdout: "hello\n", hangs: true},
		{kind: sshtest.ExecStatusNoEOF, stage: "wait", stdout: "hello\n", hangs: true},
		{kind: sshtest.ExecStatusNoClose, stage: "wait", stdout: "hello\n", hangs: true},
		{kind: sshtest.ExecStatusFirst, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecStatusShort, stage: "wait", err: "malformed exit-status", stdout: "hello\n"},
		{kind: sshtest.ExecSignal, stage: "wait", err: "signal TERM", stdout: "hello\n"},
		{kind: sshtest.ExecSignalUnknown, stage: "wait", err: "signal BOOM", stdout: "hello\n"},
		{kind: sshtest.ExecSignalMalformed, stage: "wait", err: "unmarshal", stdout: "hello\n"},
		{kind: sshtest.ExecExtFlood, n: 5 << 20, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecInfinite, stage: "wait", err: noStatus, stdout: "all work"},
		{kind: sshtest.ExecNoNewline, n: 2 << 20, stage: "wait", err: noStatus, stdout: "xxxxxxxx"},
		{kind: sshtest.ExecResetMid, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.ExecCloseMid, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.ExecFreezeMid, stage: "wait", err: noStatus, stdout: "hello\n", hangs: true},
		{kind: sshtest.ExecTruncatedPacket, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.BadMAC, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.ExecUnimplemented, stage: "start", err: "any"},
		{kind: sshtest.ExecDataAfterEOF, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecDataAfterClose, stage: "wait", stdout: "hello\n"},
		{kind: sshtest.ExecWindowOverrun, stage: "wait", err: noStatus, stdout: "\x00\x00\x00"},
		{kind: sshtest.ExecHugePacket, stage: "wait", err: noStatus},
		{kind: sshtest.ExecDataLenLie, stage: "wait", err: noStatus},
		{kind: sshtest.ExecDisconnectMid, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.RekeySilent, stage: "wait", err: noStatus, stdout: "hello\n", hangs: true},
		{kind: sshtest.RekeyDataFlood, stage: "wait", err: noStatus, stdout: "hello\n"},
		{kind: sshtest.RekeyNewHostKey, stage: "wait", err: noStatus, stdout: "hello\n"},
	}
	var covered []sshtest.FaultKind
	for _, test := range tests {
		covered = append(covered, test.kind)
		t.Run(string(test.kind), func(t *testing.T) {
			cfg := faulty(sshtest.Fault{Kind: test.kind, N: test.n})
			auth := []ssh.AuthMethod(nil)
			if test.kind == sshtest.AuthKbdintLoop {
				cfg.Users = []sshtest.User{{Name: sshtest.DefaultUser, Interactive: [][]sshtest.Prompt{{{Text: "OTP: ", Answer: "1"}}}}}
				auth = append(auth, ssh.KeyboardInteractive(answerSlowly))
			}
			inBubble(t, cfg, func(t *testing.T, f *sshtest.Fleet) {
				o := try(f, "echo hello", auth...)
				if o.stage != test.stage || (o.took >= budget) != test.hangs || !strings.HasPrefix(o.stdout, test.stdout) {
					t.Errorf("got stage %q after %v with output %q, want stage %q, hang: %t, output %q", o.stage, o.took, o.stdout[:min(len(o.stdout), 20)], test.stage, test.hangs, test.stdout)
				}
				if !matches(o.err, test.err) {
					t.Errorf("got error %v, want %q", o.err, test.err)
				}
			})
		})
	}
	if all := sshtest.AllFaults(); !slices.Equal(covered, all) {
		t.Errorf("this test covers %q, want %q", covered, all)
	}
}

// answerSlowly keeps a loop of prompts from spinning on a fake clock.
func answerSlowly(_, _ string, questions []string, _ []bool) ([]string, error) {
	time.Sleep(time.Second)
	return make([]string, len(questions)), nil
}

// matches reports whether err contains text, is any error, or is nil if text is
// empty.
func matches(err error, text string) bool {
	if err == nil || text == "" {
		return err == nil && text == ""
	}
	return text == "any" || strings.Contains(err.Error(), text)
}

func TestFaultTimes(t *testing.T) {
	fault := sshtest.Fault{Kind: sshtest.TCPReset, Times: 2}
	inBubble(t, faulty(fault), func(t *testing.T, f *sshtest.Fleet) {
		for i, want := range []string{"login", "login", "wait", "wait"} {
			if o := try(f, "true"); o.stage != want {
				t.Errorf("connection %d: got as far as %q (%v), want %q", i, o.stage, o.err, want)
			}
		}
	})
}

func TestCutKeepsWhatCameBefore(t *testing.T) {
	for _, kind := range []sshtest.FaultKind{
		sshtest.ExecResetMid, sshtest.ExecCloseMid, sshtest.ExecFreezeMid, sshtest.ExecTruncatedPacket, sshtest.BadMAC,
	} {
		t.Run(string(kind), func(t *testing.T) {
			inBubble(t, faulty(sshtest.Fault{Kind: kind, N: 1000}), func(t *testing.T, f *sshtest.Fleet) {
				if o := try(f, "yes 100000"); o.stdout != strings.Repeat("y\n", 500) {
					t.Errorf("got %d bytes, want 1000", len(o.stdout))
				}
			})
		})
	}
}

func TestProbeIsLogged(t *testing.T) {
	inBubble(t, faulty(sshtest.Fault{Kind: sshtest.ProbeClient}), func(t *testing.T, f *sshtest.Fleet) {
		login(t, f, 0)
		for _, typ := range []string{"auth-agent@openssh.com", "x11", "forwarded-tcpip", "session"} {
			e, err := f.WaitEvent(t.Context(), func(e sshtest.Event) bool {
				return e.Kind == sshtest.EventProbe && e.Detail == typ
			})
			if err != nil || e.OK {
				t.Errorf("%s: got %+v, %v, want a refusal", typ, e, err)
			}
		}
	})
}

func TestKeepAlive(t *testing.T) {
	for _, test := range []struct {
		kind     sshtest.FaultKind
		request  string
		answered bool
	}{
		{"", "keepalive@openssh.com", true},
		{sshtest.KeepAliveSilent, "keepalive@openssh.com", false},
		{sshtest.KeepAliveSilent, "other@example.com", true},
		{sshtest.GlobalSilent, "other@example.com", false},
	} {
		t.Run(string(test.kind)+" "+test.request, func(t *testing.T) {
			inBubble(t, faulty(sshtest.Fault{Kind: test.kind}), func(t *testing.T, f *sshtest.Fleet) {
				c := login(t, f, 0)
				stop := time.AfterFunc(budget, func() { c.Close() })
				defer stop.Stop()
				_, _, err := c.SendRequest(test.request, true, nil)
				if answered := err == nil; answered != test.answered {
					t.Errorf("got answer: %t, want %t", answered, test.answered)
				}
			})
		})
	}
}

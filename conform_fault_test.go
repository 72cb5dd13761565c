package shoal_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// faultTest is what must come of a fault of the fleet, where the host is told
// to print four bytes. The zero value is success with them.
type faultTest struct {
	n        int64  // of the fault
	password bool   // log in with one
	stdin    string // of the command

	stage    shoal.Stage
	kind     shoal.Kind
	took     time.Duration // at least, up to a second more; 0 where it depends
	mayRun   bool
	says     string // part of the error
	output   int64  // bytes; 0 with an error means none, else 4
	signal   string
	stillOut bool // OutputOpen
}

// faultTests are all faults but ExecInfinite, which has no end on a clock that
// stands still while bytes come: see TestEndlessOutput.
var faultTests = map[sshtest.FaultKind]faultTest{
	// The network and the identification.
	sshtest.Refuse:         {stage: shoal.StageConnect, kind: shoal.KindRefused},
	sshtest.TCPSilent:      {stage: shoal.StageBanner, kind: shoal.KindTimeout, took: 15 * time.Second},
	sshtest.TCPClose:       {stage: shoal.StageBanner, kind: shoal.KindThrottled},
	sshtest.TCPReset:       {stage: shoal.StageBanner, kind: shoal.KindThrottled},
	sshtest.Throttled:      {stage: shoal.StageBanner, kind: shoal.KindThrottled, says: `"Not allowed at this time"`},
	sshtest.BannerHTTP:     {stage: shoal.StageBanner, kind: shoal.KindNotSSH, says: `"HTTP/1.1 400 Bad Request"`},
	sshtest.BannerGarbage:  {stage: shoal.StageBanner, kind: shoal.KindNotSSH},
	sshtest.BannerSlow:     {stage: shoal.StageBanner, kind: shoal.KindTimeout, took: 15 * time.Second},
	sshtest.BannerLines:    {stage: shoal.StageBanner, kind: shoal.KindNotSSH},
	sshtest.BannerPreamble: {},
	sshtest.BannerGiant:    {stage: shoal.StageBanner, kind: shoal.KindNotSSH},
	sshtest.BannerEscape:   {stage: shoal.StageBanner, kind: shoal.KindNotSSH, says: `\x1b[31mred`},
	sshtest.BannerSSH1:     {stage: shoal.StageBanner, kind: shoal.KindNotSSH, says: "another protocol version"},
	sshtest.Banner199:      {},
	sshtest.BannerLF:       {},
	sshtest.BannerSilent:   {stage: shoal.StageKex, kind: shoal.KindTimeout, took: 15 * time.Second},
	sshtest.BannerClose:    {stage: shoal.StageKex, kind: shoal.KindLost},
	sshtest.BannerReset:    {stage: shoal.StageKex, kind: shoal.KindLost},

	// The key exchange.
	sshtest.KexInitSilent: {stage: shoal.StageKex, kind: shoal.KindTimeout, took: 15 * time.Second},
	sshtest.NewKeysSilent: {stage: shoal.StageKex, kind: shoal.KindTimeout, took: 15 * time.Second},
	sshtest.KexNoMatch:    {stage: shoal.StageKex, kind: shoal.KindNoAlgorithm, says: "we offered"},
	sshtest.KexGarbage:    {stage: shoal.StageKex, kind: shoal.KindProtocol},
	sshtest.KexLengthHuge: {stage: shoal.StageKex, kind: shoal.KindProtocol},
	sshtest.KexLengthZero: {stage: shoal.StageKex, kind: shoal.KindProtocol},
	sshtest.KexBadSig:     {stage: shoal.StageKex, kind: shoal.KindProtocol, says: "signature"},
	sshtest.KexPaddingLie: {stage: shoal.StageKex, kind: shoal.KindProtocol},
	sshtest.KexAlgoBomb:   {stage: shoal.StageKex, kind: shoal.KindNoAlgorithm},
	sshtest.KexZeroPoint:  {stage: shoal.StageKex, kind: shoal.KindProtocol},
	sshtest.KexIgnore:     {stage: shoal.StageKex, kind: shoal.KindProtocol},
	sshtest.RekeyFlood:    {},

	// The login. A flood ends by its bytes or, like silence, by the time.
	sshtest.ServiceSilent:   {stage: shoal.StageAuth, kind: shoal.KindTimeout, took: 30 * time.Second},
	sshtest.AuthSilent:      {stage: shoal.StageAuth, kind: shoal.KindTimeout, took: 30 * time.Second},
	sshtest.AuthSilentKey:   {stage: shoal.StageAuth, kind: shoal.KindTimeout, took: 30 * time.Second},
	sshtest.AuthFailAll:     {stage: shoal.StageAuth, kind: shoal.KindAuthFailed, says: "the server accepts publickey"},
	sshtest.AuthNoneOK:      {},
	sshtest.AuthKbdintLoop:  {password: true, stage: shoal.StageAuth, kind: shoal.KindAuthFailed, says: "keeps asking"},
	sshtest.AuthBannerFlood: {n: 2000, stage: shoal.StageAuth, kind: shoal.KindProtocol, says: "over 1 MiB before the login"},
	sshtest.IgnoreFlood:     {n: 100, stage: shoal.StageAuth, kind: shoal.KindTimeout, took: 30 * time.Second},
	sshtest.DebugFlood:      {n: 100, stage: shoal.StageAuth, kind: shoal.KindTimeout, took: 30 * time.Second},
	sshtest.AuthKeyOther:    {stage: shoal.StageAuth, kind: shoal.KindAuthFailed},
	sshtest.AuthSuccessSoon: {stage: shoal.StageChannel, kind: shoal.KindProtocol},
	sshtest.AuthDisconnect:  {stage: shoal.StageAuth, kind: shoal.KindAuthFailed, says: `"bye\r\n\x1b[32m[host2] OK`},
	sshtest.AuthBannerGiant: {},
	sshtest.AfterAuthClose:  {stage: shoal.StageChannel, kind: shoal.KindLost},
	sshtest.AfterAuthReset:  {stage: shoal.StageChannel, kind: shoal.KindLost},
	sshtest.AfterAuthLeave:  {stage: shoal.StageChannel, kind: shoal.KindLost, says: "disconnect, reason 11"},
	sshtest.AfterAuthSilent: {stage: shoal.StageChannel, kind: shoal.KindTimeout, took: 10 * time.Second},
	sshtest.AfterAuthFreeze: {stage: shoal.StageChannel, kind: shoal.KindTimeout, took: 10 * time.Second},
	sshtest.KeepAliveSilent: {},
	sshtest.GlobalSilent:    {},
	sshtest.ProbeClient:     {},
	sshtest.ChanOpenSilent:  {stage: shoal.StageChannel, kind: shoal.KindTimeout, took: 10 * time.Second},
	sshtest.ChanOpenFlood:   {n: 1000},
	sshtest.GlobalFlood:     {n: 1000},
	sshtest.ReplyFlood:      {n: 1000},
	sshtest.ChanOpenRefused: {stage: shoal.StageChannel, kind: shoal.KindChannelRefused, says: `no \x1b[31mroom\x0d\x0a[host2] OK`},

	// Channels. Where x/crypto/ssh ends the connection nothing is known of the
	// command.
	sshtest.DataBeforeConfirm: {},
	sshtest.ConfirmTwice:      {stage: shoal.StageExec, kind: shoal.KindProtocol, mayRun: true},
	sshtest.ChanReplyFlood:    {},
	sshtest.UnknownChannel:    {stage: shoal.StageExec, kind: shoal.KindProtocol, mayRun: true, says: "4242"},
	sshtest.UnknownMessage:    {stage: shoal.StageExec, kind: shoal.KindProtocol, mayRun: true, says: "200"},
	sshtest.EmptyPayload:      {stage: shoal.StageExec, kind: shoal.KindProtocol, mayRun: true},
	sshtest.WindowZero:        {stdin: "x", stage: shoal.StageRun, kind: shoal.KindTimeout, took: 2 * time.Minute},
	sshtest.MaxPacketZero:     {stage: shoal.StageChannel, kind: shoal.KindProtocol},
	sshtest.MaxPacketOne:      {stage: shoal.StageChannel, kind: shoal.KindProtocol}, // x/crypto/ssh wants 9 bytes

	// Commands.
	sshtest.ExecSilent:          {stage: shoal.StageExec, kind: shoal.KindTimeout, took: 10 * time.Second, mayRun: true},
	sshtest.ExecRefused:         {stage: shoal.StageExec, kind: shoal.KindExecRefused},
	sshtest.ExecHang:            {stage: shoal.StageRun, kind: shoal.KindTimeout, took: 2 * time.Minute, mayRun: true},
	sshtest.StdinNeverRead:      {stdin: strings.Repeat("x", 4<<20), stage: shoal.StageRun, kind: shoal.KindTimeout, took: 2 * time.Minute},
	sshtest.ExecSlow:            {took: 4 * time.Second},
	sshtest.ExecEOFNoStatus:     {stage: shoal.StageRun, kind: shoal.KindNoExitStatus, output: 4},
	sshtest.ExecCloseNoEOF:      {stage: shoal.StageRun, kind: shoal.KindNoExitStatus, output: 4},
	sshtest.ExecStatusReset:     {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, says: "after the command said exit status 0"},
	sshtest.ExecStatusFreeze:    {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, took: 10 * time.Second, says: "no sign of life after the command said exit status 0"},
	sshtest.ExecStatusNoEOF:     {stillOut: true, took: 5 * time.Second},
	sshtest.ExecStatusNoClose:   {took: 2 * time.Second},
	sshtest.ExecStatusFirst:     {},
	sshtest.ExecStatusShort:     {stage: shoal.StageRun, kind: shoal.KindProtocol, output: 4},
	sshtest.ExecSignal:          {signal: "TERM"},
	sshtest.ExecSignalUnknown:   {signal: "unknown"},
	sshtest.ExecSignalMalformed: {signal: "unknown"},
	sshtest.ExecExtFlood:        {n: 4 << 20},
	sshtest.ExecNoNewline:       {n: 4 << 20, output: 4 << 20},
	sshtest.ExecResetMid:        {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true},
	sshtest.ExecCloseMid:        {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true},
	sshtest.ExecFreezeMid:       {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true, took: time.Minute, says: "no sign of life"},
	sshtest.ExecTruncatedPacket: {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true},
	sshtest.BadMAC:              {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true, says: "message authentication failed"},
	sshtest.ExecUnimplemented:   {stage: shoal.StageExec, kind: shoal.KindExecRefused},
	sshtest.ExecDataAfterEOF:    {output: 10}, // x/crypto/ssh does not tell when the end came
	sshtest.ExecDataAfterClose:  {stage: shoal.StageRun, kind: shoal.KindProtocol, output: 4, says: "after the command said exit status 0"},
	sshtest.ExecWindowOverrun:   {output: 2<<20 + 128<<10 + 4},
	sshtest.ExecHugePacket:      {stage: shoal.StageRun, kind: shoal.KindProtocol, mayRun: true},
	sshtest.ExecDataLenLie:      {stage: shoal.StageRun, kind: shoal.KindProtocol, mayRun: true},
	sshtest.ExecDisconnectMid:   {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true, says: "disconnect, reason 11"},
	sshtest.RekeySilent:         {stage: shoal.StageRun, kind: shoal.KindLost, output: 4, mayRun: true, took: time.Minute},
	sshtest.RekeyDataFlood:      {stage: shoal.StageRun, kind: shoal.KindProtocol, output: 4, mayRun: true},
	sshtest.RekeyNewHostKey:     {stage: shoal.StageRun, kind: shoal.KindHostKeyChanged, output: 4, mayRun: true},
}

// Every fault ends in its time, as what it is, with the output that came before,
// and delays no other host.
func TestFaults(t *testing.T) {
	for _, kind := range sshtest.AllFaults() {
		if kind == sshtest.ExecInfinite {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			tt, ok := faultTests[kind]
			if !ok {
				t.Fatal("nothing is said of this fault")
			}
			synctest.Test(t, func(t *testing.T) { tt.run(t, kind) })
		})
	}
}

func (tt faultTest) run(t *testing.T, kind sshtest.FaultKind) {
	_, c := memoryFleet(t, sshtest.Config{Hosts: 2, LoginGrace: -1, Faults: func(i int) sshtest.Fault {
		if i == 1 {
			return sshtest.Fault{}
		}
		return sshtest.Fault{Kind: kind, N: tt.n}
	}})
	if tt.password {
		c.Host.Auth = append([]shoal.Auth{shoal.Password("secret")}, c.Host.Auth...)
	}
	want := "out\n"
	cmd := shoal.Command{Line: "echo out", Timeout: 2 * time.Minute, MaxOutput: 8 << 20}
	if tt.stdin != "" {
		cmd.Line, cmd.Stdin, want = "cat", strings.NewReader(tt.stdin), tt.stdin
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for r := range c.Run(ctx, shoal.Hosts("host0", "host1"), cmd) {
		if r.Index == 0 {
			tt.check(t, r)
		} else if r.Err != nil || r.Took > time.Second || r.Value.Text() != want {
			t.Errorf("the other host: %v after %v, %d bytes", r.Err, r.Took, r.Value.OutBytes)
		}
	}
}

func (tt faultTest) check(t *testing.T, r shoal.Result[shoal.Output]) {
	t.Helper()
	if he, _ := errors.AsType[*shoal.HostError](r.Err); tt.kind != "" {
		he = wantHostError(t, r.Err, tt.stage, tt.kind)
		if he.MayRun != tt.mayRun {
			t.Errorf("may still run: %v, want %v", he.MayRun, tt.mayRun)
		}
		if he.Host != "host0" || !strings.Contains(he.Error(), tt.says) {
			t.Errorf("got %q of %s, want %q in it", he, he.Host, tt.says)
		}
	} else if he != nil {
		t.Error(r.Err)
	}
	if e, _ := errors.AsType[*shoal.ExitError](r.Err); (e == nil) != (tt.signal == "") || e != nil && e.Signal != tt.signal {
		t.Errorf("got %v, want signal %q", r.Err, tt.signal)
	}
	output := tt.output
	if tt.kind == "" {
		output = cmp.Or(output, 4)
	}
	if r.Value.OutBytes != output {
		t.Errorf("%d bytes of output, want %d", r.Value.OutBytes, output)
	}
	if r.Value.OutputOpen != tt.stillOut {
		t.Errorf("output still open: %v, want %v", r.Value.OutputOpen, tt.stillOut)
	}
	if r.Took < tt.took || tt.took > 0 && r.Took > tt.took+2*time.Second {
		t.Errorf("took %v, want %v", r.Took, tt.took)
	}
}

// Output without end is held back by whoever reads it live, and ends at
// Command.MaxOutput where nobody does.
func TestEndlessOutput(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Faults: faulty(sshtest.Fault{Kind: sshtest.ExecInfinite})})
	c := newClient(t, f)
	results, err := shoal.Gather(c.Run(testContext(t), hostsOf(f), shoal.Command{Line: "echo out", MaxOutput: 1 << 20}))
	wantHostError(t, err, shoal.StageRun, shoal.KindOutputLimit)
	if got := len(results[0].Value.Stdout); got != 1<<20 {
		t.Errorf("%d bytes are kept, want 1 MiB", got)
	}
	lines := 0
	for _, err := range c.Lines(testContext(t), hostsOf(f), shoal.Command{Line: "echo out"}) {
		if err != nil {
			t.Fatal(err)
		}
		if lines++; lines == 10_000 {
			break
		}
	}
}

package sshtest

// FaultKind names a fault.
type FaultKind string

// Faults of the network and of the version exchange (RFC 4253 §4.2). After a
// fault that says nothing more, the host still reads what the client sends.
const (
	Refuse         FaultKind = "refuse"          // no listener: connecting is refused
	TCPSilent      FaultKind = "tcp-silent"      // accepts, says nothing
	TCPClose       FaultKind = "tcp-close"       // accepts, closes (FIN)
	TCPReset       FaultKind = "tcp-rst"         // accepts, resets (RST)
	Throttled      FaultKind = "maxstartups"     // one line of text, as of sshd with too many startups, and FIN
	BannerHTTP     FaultKind = "banner-http"     // answers in HTTP
	BannerGarbage  FaultKind = "banner-garbage"  // N random-looking bytes, default 64, none a newline; then FIN
	BannerSlow     FaultKind = "banner-slow"     // the version line at one byte a second, then nothing
	BannerLines    FaultKind = "banner-lines"    // other lines before the version line: N of them, default endless; then nothing
	BannerPreamble FaultKind = "banner-preamble" // N other lines, default 1000, then a good host
	BannerGiant    FaultKind = "banner-giant"    // a first line of N bytes, default 10 MiB; then FIN
	BannerEscape   FaultKind = "banner-escape"   // terminal escapes in the version line, then nothing
	BannerSSH1     FaultKind = "banner-ssh1"     // protocol version 1.5
	Banner199      FaultKind = "banner-199"      // version 1.99 (RFC 4253 §5.1), else good
	BannerLF       FaultKind = "banner-halfcr"   // a version line that ends with LF alone, else good
	BannerSilent   FaultKind = "banner-silent"   // the version line, then nothing
	BannerClose    FaultKind = "banner-close"    // the version line, then FIN
	BannerReset    FaultKind = "banner-rst"      // the version line, then RST
)

// Faults of the key exchange (RFC 4253 §7).
const (
	KexInitSilent FaultKind = "kexinit-silent"    // nothing after KEXINIT
	NewKeysSilent FaultKind = "newkeys-silent"    // the reply to the key exchange, but no NEWKEYS
	KexNoMatch    FaultKind = "kex-no-match"      // only algorithms that no client wants
	KexGarbage    FaultKind = "kex-garbage"       // noise instead of packets
	KexLengthHuge FaultKind = "kex-length-huge"   // a packet that claims 4 GiB
	KexLengthZero FaultKind = "kex-length-zero"   // a packet that claims no bytes
	KexBadSig     FaultKind = "kex-bad-sig"       // the host key's signature is wrong
	KexPaddingLie FaultKind = "kex-padding-lie"   // a packet whose padding is longer than the packet
	KexAlgoBomb   FaultKind = "kex-algo-bomb"     // N names of algorithms, default 20,000, and then nothing
	KexZeroPoint  FaultKind = "kex-zero-point"    // the server's public value is all zeros
	KexIgnore     FaultKind = "kex-ignore-inject" // an IGNORE in the first key exchange, which strict key exchange forbids
	RekeyFlood    FaultKind = "rekey-flood"       // a new key exchange every few packets, else good
)

// Faults of the login (RFC 4252).
const (
	ServiceSilent   FaultKind = "service-silent"         // no answer to the service request
	AuthSilent      FaultKind = "auth-silent"            // no answer to the first attempt
	AuthSilentKey   FaultKind = "auth-silent-key"        // no answer to the first key
	AuthFailAll     FaultKind = "auth-fail-all"          // every attempt fails
	AuthNoneOK      FaultKind = "auth-none-ok"           // everybody is let in without proof, as DefaultUser
	AuthKbdintLoop  FaultKind = "auth-kbdint-loop"       // keyboard-interactive asks for ever
	AuthBannerFlood FaultKind = "auth-banner-flood"      // N banners of 900 bytes, default 20,000, then nothing
	IgnoreFlood     FaultKind = "ignore-flood"           // N IGNORE messages, default 100,000, then nothing
	DebugFlood      FaultKind = "debug-flood"            // N DEBUG messages, default 100,000, then nothing
	AuthKeyOther    FaultKind = "auth-pk-ok-other"       // agrees to another key than the one offered
	AuthSuccessSoon FaultKind = "auth-success-early"     // success before the client has asked for anything; what it asked for is refused later
	AuthDisconnect  FaultKind = "auth-disconnect-escape" // DISCONNECT with a text that forges a line
	AuthBannerGiant FaultKind = "auth-banner-giant"      // a banner of N bytes of terminal escapes, default 200,000, else good
	AfterAuthClose  FaultKind = "after-auth-close"       // closes (FIN) after the login
	AfterAuthReset  FaultKind = "after-auth-rst"         // resets after the login
	AfterAuthLeave  FaultKind = "after-auth-disconnect"  // DISCONNECT after the login
	AfterAuthSilent FaultKind = "after-auth-silent"      // answers nothing after the login
	AfterAuthFreeze FaultKind = "after-auth-freeze"      // neither reads nor writes after the login, as a stopped process
	KeepAliveSilent FaultKind = "keepalive-noreply"      // no answer to keepalive@openssh.com, else good
	GlobalSilent    FaultKind = "global-silent"          // no answer to any global request, else good
	ProbeClient     FaultKind = "chan-open-probe"        // opens agent, X11 and forwarded channels that nobody asked for, else good
	ChanOpenSilent  FaultKind = "chan-open-silent"       // no answer to opening a channel
	ChanOpenFlood   FaultKind = "chan-open-flood"        // N channels, default 10,000, opened without waiting for answers, else good
	GlobalFlood     FaultKind = "global-flood"           // N global requests that want a reply, default 10,000, else good
	ReplyFlood      FaultKind = "reply-flood"            // N replies to global requests that nobody made, default 10,000, else good
	ChanOpenRefused FaultKind = "chan-open-refused"      // channels are refused, with escapes in the message
)

// Faults of channels (RFC 4254 §5), else good.
const (
	DataBeforeConfirm FaultKind = "data-before-confirm" // data on a channel before it is open
	ConfirmTwice      FaultKind = "confirm-twice"       // two confirmations of one channel
	ChanReplyFlood    FaultKind = "chan-reply-flood"    // N replies to channel requests that nobody made, default 1000
	UnknownChannel    FaultKind = "unknown-channel"     // data for a channel that is not there
	UnknownMessage    FaultKind = "unknown-message"     // a message with a number that means nothing
	EmptyPayload      FaultKind = "empty-payload"       // a packet without a message
	WindowZero        FaultKind = "window-zero"         // no window for the client's data
	MaxPacketZero     FaultKind = "maxpacket-zero"      // packets to the host may be 0 bytes long
	MaxPacketOne      FaultKind = "maxpacket-1"         // packets to the host may be 1 byte long
)

// Faults of commands, which run as usual where nothing else is said (RFC 4254
// §6). Those that end the connection make sure first that the client has
// what was sent before.
const (
	ExecSilent          FaultKind = "exec-silent"             // no answer to the request
	ExecRefused         FaultKind = "exec-refused"            // the request fails
	ExecHang            FaultKind = "exec-hang"               // accepted, then nothing; stdin is not read
	StdinNeverRead      FaultKind = "stdin-never-read"        // the command gets no stdin; the window is never opened again
	ExecSlow            FaultKind = "exec-slow"               // stdout at one byte a second
	ExecEOFNoStatus     FaultKind = "exec-eof-no-status"      // EOF and close, no exit status
	ExecCloseNoEOF      FaultKind = "exec-close-no-eof"       // close, neither exit status nor EOF
	ExecStatusReset     FaultKind = "exec-status-then-rst"    // exit status 0, then RST
	ExecStatusFreeze    FaultKind = "exec-status-then-freeze" // exit status 0, then a stopped process
	ExecStatusNoEOF     FaultKind = "exec-status-no-eof"      // the exit status, but output stays open, as of a daemon
	ExecStatusNoClose   FaultKind = "exec-status-no-close"    // exit status and EOF, but no close
	ExecStatusFirst     FaultKind = "exec-status-first"       // the exit status before the output
	ExecStatusShort     FaultKind = "exec-status-short"       // an exit status of 3 bytes
	ExecSignal          FaultKind = "exec-signal"             // exit-signal TERM
	ExecSignalUnknown   FaultKind = "exec-signal-unknown"     // exit-signal with a name and a message full of escapes
	ExecSignalMalformed FaultKind = "exec-signal-malformed"   // exit-signal whose text is longer than its packet
	ExecExtFlood        FaultKind = "exec-ext-flood"          // N bytes, default 64 MiB, on an extended stream that is not stderr, then the command
	ExecInfinite        FaultKind = "exec-infinite"           // lines of output without end, whatever the command
	ExecNoNewline       FaultKind = "exec-nonl"               // one line of N bytes, default 64 MiB, without newline, then success
	ExecResetMid        FaultKind = "exec-rst-mid"            // RST after N bytes of stdout, default 64 KiB, or at the end
	ExecCloseMid        FaultKind = "exec-fin-mid"            // FIN after N bytes
	ExecFreezeMid       FaultKind = "exec-freeze-mid"         // a stopped process after N bytes
	ExecTruncatedPacket FaultKind = "exec-truncated-packet"   // half a packet and FIN after N bytes
	BadMAC              FaultKind = "bad-mac-mid"             // a packet with a flipped bit after N bytes
	ExecUnimplemented   FaultKind = "exec-unimplemented"      // UNIMPLEMENTED instead of an answer to the request
	ExecDataAfterEOF    FaultKind = "exec-data-after-eof"     // more output after EOF
	ExecDataAfterClose  FaultKind = "exec-data-after-close"   // more output after close
	ExecWindowOverrun   FaultKind = "exec-window-overrun"     // N bytes whether or not the window allows them, default 128 KiB more than x/crypto's window, then the command
	ExecHugePacket      FaultKind = "exec-huge-data-packet"   // a packet of 200 KiB of output, then the command
	ExecDataLenLie      FaultKind = "exec-data-len-lie"       // output that claims to be longer than its packet, then nothing
	ExecDisconnectMid   FaultKind = "exec-disconnect-mid"     // DISCONNECT after N bytes of stdout, default 64 KiB, or at the end
	RekeySilent         FaultKind = "rekey-silent"            // a new key exchange begins after N bytes, then nothing
	RekeyDataFlood      FaultKind = "rekey-nonkex-flood"      // a new key exchange begins after N bytes, then 64 MiB of output instead of it
	RekeyNewHostKey     FaultKind = "rekey-new-hostkey"       // a new key exchange with another host key after N bytes, then nothing
)

// AllFaults lists every kind of fault, for tests that go through all of them.
func AllFaults() []FaultKind {
	return []FaultKind{
		Refuse, TCPSilent, TCPClose, TCPReset, Throttled, BannerHTTP, BannerGarbage, BannerSlow,
		BannerLines, BannerPreamble, BannerGiant, BannerEscape, BannerSSH1, Banner199, BannerLF,
		BannerSilent, BannerClose, BannerReset, KexInitSilent, NewKeysSilent, KexNoMatch, KexGarbage,
		KexLengthHuge, KexLengthZero, KexBadSig, KexPaddingLie, KexAlgoBomb, KexZeroPoint, KexIgnore,
		RekeyFlood, ServiceSilent, AuthSilent, AuthSilentKey, AuthFailAll, AuthNoneOK, AuthKbdintLoop,
		AuthBannerFlood, IgnoreFlood, DebugFlood, AuthKeyOther, AuthSuccessSoon, AuthDisconnect,
		AuthBannerGiant, AfterAuthClose, AfterAuthReset, AfterAuthLeave, AfterAuthSilent,
		AfterAuthFreeze, KeepAliveSilent, GlobalSilent, ProbeClient, ChanOpenSilent, ChanOpenFlood,
		GlobalFlood, ReplyFlood, ChanOpenRefused, DataBeforeConfirm, ConfirmTwice, ChanReplyFlood,
		UnknownChannel, UnknownMessage, EmptyPayload, WindowZero, MaxPacketZero, MaxPacketOne,
		ExecSilent, ExecRefused, ExecHang, StdinNeverRead, ExecSlow, ExecEOFNoStatus, ExecCloseNoEOF,
		ExecStatusReset, ExecStatusFreeze, ExecStatusNoEOF, ExecStatusNoClose, ExecStatusFirst,
		ExecStatusShort, ExecSignal, ExecSignalUnknown, ExecSignalMalformed, ExecExtFlood,
		ExecInfinite, ExecNoNewline, ExecResetMid, ExecCloseMid, ExecFreezeMid, ExecTruncatedPacket,
		BadMAC, ExecUnimplemented, ExecDataAfterEOF, ExecDataAfterClose, ExecWindowOverrun,
		ExecHugePacket, ExecDataLenLie, ExecDisconnectMid, RekeySilent, RekeyDataFlood,
		RekeyNewHostKey,
	}
}

// A Fault is what is wrong with a host. The zero value is a good host.
type Fault struct {
	Kind FaultKind
	// N is the number of bytes, lines or messages of a kind that counts
	// something; 0 means the kind's default.
	N int64
	// Times plays the fault on that many connections only, the first ones;
	// later ones are served well. 0 means always. Refuse plays always.
	Times int
}

// count is N or its default.
func (f Fault) count(normal int64) int64 {
	if f.N > 0 {
		return f.N
	}
	return normal
}

// raw reports whether the fault needs packets that x/crypto does not send.
func (f Fault) raw() bool {
	switch f.Kind {
	case IgnoreFlood, DebugFlood, AuthKeyOther, AuthSuccessSoon, AuthDisconnect, AfterAuthLeave,
		ChanOpenFlood, GlobalFlood, ReplyFlood,
		DataBeforeConfirm, ConfirmTwice, ChanReplyFlood, UnknownChannel, UnknownMessage,
		EmptyPayload, WindowZero, MaxPacketZero, MaxPacketOne,
		ExecUnimplemented, ExecDataAfterEOF, ExecDataAfterClose, ExecWindowOverrun,
		ExecHugePacket, ExecDataLenLie, ExecDisconnectMid, RekeySilent, RekeyDataFlood,
		RekeyNewHostKey:
		return true
	}
	return false
}

// nextFault returns the fault to be played on the next connection.
func (h *host) nextFault() Fault {
	if h.fault.Times > 0 && h.played >= h.fault.Times {
		return Fault{}
	}
	h.played++
	return h.fault
}

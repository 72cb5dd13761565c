package sshtest

import (
	"strings"

	"golang.org/x/crypto/ssh"
)

// playLogin sets up the faults that show while a client logs in.
func (c *conn) playLogin(sc *ssh.ServerConfig) {
	switch c.fault.Kind {
	case AuthSilent:
		sc.BannerCallback = func(ssh.ConnMetadata) string { // comes before any answer
			c.hush()
			return ""
		}
	case AuthSilentKey:
		sc.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			c.hush()
			return nil, errDenied
		}
	case AuthFailAll:
		c.failAll(sc)
	case AuthNoneOK:
		sc.NoClientAuth = true
		sc.NoClientAuthCallback = func(ssh.ConnMetadata) (*ssh.Permissions, error) {
			return permissions(&User{Name: DefaultUser}), nil
		}
	case AuthKbdintLoop:
		sc.KeyboardInteractiveCallback = askForever
	case AuthBannerFlood:
		sc.PreAuthConnCallback = c.flood
	case AuthBannerGiant:
		n := int(min(c.fault.count(200_000), 250_000)) // a packet is at most 256 KiB
		sc.BannerCallback = func(ssh.ConnMetadata) string {
			return strings.Repeat("\x1b[31m!\r\n", n/8+1)[:n]
		}
	}
}

// hush says nothing more, until the client leaves.
func (c *conn) hush() {
	c.wire.silence()
	<-c.wire.gone
}

// failAll offers the usual methods and lets none succeed.
func (c *conn) failAll(sc *ssh.ServerConfig) {
	sc.VerifiedPublicKeyCallback = nil
	if sc.PublicKeyCallback != nil {
		sc.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, errDenied
		}
	}
	if sc.PasswordCallback != nil {
		sc.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
			return nil, errDenied
		}
	}
	if sc.KeyboardInteractiveCallback != nil {
		sc.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			if _, err := askRound(ask, []Prompt{{Text: "Password: "}}); err != nil {
				return nil, err
			}
			return nil, errDenied
		}
	}
}

func askForever(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	for {
		if _, err := askRound(ask, []Prompt{{Text: "Password: "}}); err != nil {
			return nil, err
		}
	}
}

// flood sends banners until the client leaves or there were enough.
func (c *conn) flood(p ssh.ServerPreAuthConn) {
	for range c.fault.count(20_000) {
		if p.SendAuthBanner(strings.Repeat("Welcome! ", 100)+"\n") != nil {
			break
		}
	}
	c.hush()
}

// playLoggedIn plays the faults that come right after the login. It reports
// whether the connection is over.
func (c *conn) playLoggedIn() (over bool) {
	switch c.fault.Kind {
	case AfterAuthClose:
		c.wire.finish()
	case AfterAuthReset:
		c.wire.reset()
	case AfterAuthSilent:
		c.wire.silence()
		return false
	case AfterAuthFreeze:
		c.wire.freeze()
		return false
	case ProbeClient:
		c.wg.Go(c.probe)
		return false
	default:
		return false
	}
	return true
}

// probe opens channels that only a client who asked for them may accept.
func (c *conn) probe() {
	for _, typ := range []string{"auth-agent@openssh.com", "x11", "forwarded-tcpip", "session"} {
		ch, requests, err := c.ssh.OpenChannel(typ, probeData(typ))
		c.event(Event{Kind: EventProbe, User: c.user, Detail: typ, OK: err == nil})
		if err == nil {
			c.wg.Go(func() { ssh.DiscardRequests(requests) })
			ch.Close()
		}
	}
}

func probeData(typ string) []byte {
	switch typ {
	case "x11": // RFC 4254 §6.3.2
		return ssh.Marshal(struct {
			Address string
			Port    uint32
		}{"127.0.0.1", 6000})
	case "forwarded-tcpip":
		return ssh.Marshal(forward{Host: "127.0.0.1", Port: 22, Origin: "127.0.0.1", OriginPort: 1})
	}
	return nil
}

// ignores reports whether a global request gets no answer.
func (f Fault) ignores(request string) bool {
	return f.Kind == GlobalSilent || f.Kind == KeepAliveSilent && request == "keepalive@openssh.com"
}

package shoal

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// GSSAPIContext is one login by "gssapi-with-mic" (RFC 4462 §3) under way: what
// the function of a [GSSAPI] prepares.
type GSSAPIContext struct {
	// Client makes the tokens, of Kerberos 5 (RFC 4121). It is used by one
	// goroutine, and its DeleteSecContext is called at the end.
	Client ssh.GSSAPIClient
	// Target is the host in the name of the service, "host@Target" (RFC 4462
	// §3.4).
	Target string
	// Principal is who logs in, for errors.
	Principal string
}

// GSSAPI logs in by "gssapi-with-mic" (RFC 4462 §3), that is, with Kerberos. The
// package kerberos makes one; this is for programs with an implementation of
// their own.
//
// Errors call it by the name. Two with the same id are equal as far as the reuse
// of connections goes. The function is called once for each connection, with the
// name or address that is connected to, from several goroutines at once; it does
// what takes time, such as getting a ticket, and must return when the context
// ends. Its error is told where no other way to log in is accepted. A nil
// function makes the zero Auth.
func GSSAPI[ID comparable](name string, id ID, begin func(ctx context.Context, host string) (GSSAPIContext, error)) Auth {
	if begin == nil {
		return Auth{}
	}
	return Auth{kind: authGSSAPI, name: name, id: id, begin: begin}
}

const gssapiWithMIC = "gssapi-with-mic"

// gssapi begins a login; how far it came is seen when the next way to log in is
// asked for.
func (l *login) gssapi(i int, a Auth) ssh.AuthMethod {
	if !l.may(gssapiWithMIC) {
		return nil // perhaps after a partial success
	}
	l.done[i] = true
	host, _, err := l.host.address()
	var c GSSAPIContext
	if err == nil {
		c, err = a.begin(l.ctx, host)
	}
	if err == nil && c.Client == nil {
		err = errors.New("no GSS-API context")
	}
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("%s: %w", a, err))
		return nil
	}
	l.last = gssapiWithMIC
	l.exchange = &exchange{GSSAPIClient: c.Client, context: c, name: a.name, user: l.user}
	return ssh.GSSAPIWithMICAuthMethod(l.exchange, c.Target)
}

// exchange notes how far the exchange of tokens comes. x/crypto/ssh keeps what
// the server says about a refusal to itself.
type exchange struct {
	ssh.GSSAPIClient
	context    GSSAPIContext
	name, user string
	tokens     int
	signed     bool
	err        error
}

func (x *exchange) InitSecContext(target string, token []byte, delegate bool) ([]byte, bool, error) {
	x.tokens++
	if x.tokens > 1 && token == nil {
		if x.tokens > 2 {
			x.err = errors.New("the server sends no token")
			return nil, false, x.err
		}
		// The server sent an error token (RFC 4462 §3.9), which x/crypto/ssh
		// passes over; its refusal is the next message.
		return nil, true, nil
	}
	out, more, err := x.GSSAPIClient.InitSecContext(target, token, delegate)
	x.err = err
	return out, more, err
}

func (x *exchange) GetMIC(message []byte) ([]byte, error) {
	mic, err := x.GSSAPIClient.GetMIC(message)
	x.err, x.signed = err, err == nil
	return mic, err
}

// refusal says why the server did not let us in, as far as can be told.
func (x *exchange) refusal() error {
	service := "host/" + x.context.Target
	switch {
	case x.err != nil:
		return fmt.Errorf("%s: %w", x.name, x.err)
	case x.tokens == 0:
		return fmt.Errorf("%s: the server refused it from the start: it has no key of %s in its keytab, or no user %s", x.name, service, x.user)
	case !x.signed:
		return fmt.Errorf("%s: the server refused the ticket of %s for %s: its keytab lacks the key, or its clock is wrong",
			x.name, x.context.Principal, service)
	}
	return fmt.Errorf("%s: the server knows %s and does not let it log in as %s (see .k5login(5) and auth_to_local)", x.name, x.context.Principal, x.user)
}

// settle notes why the exchange before was refused, unless it was one part of a
// longer login.
func (l *login) settle(partial []string) {
	x := l.exchange
	if x == nil {
		return
	}
	l.exchange = nil
	n := 0
	for _, method := range partial {
		if method == gssapiWithMIC {
			n++
		}
	}
	if n > l.gssapiDone {
		l.gssapiDone = n
		return
	}
	l.failures++
	l.problems = append(l.problems, x.refusal())
}

package sshtest

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// DefaultUser is the name of the one user of a fleet whose Config has no Users.
const DefaultUser = "tester"

// A User may log in to every host of a fleet, by any of the methods that have
// a field set, or by all of Require.
type User struct {
	Name string
	// ClientKey authorises the fleet's generated key, [Fleet.ClientSigner].
	ClientKey bool
	// Keys are further authorised keys.
	Keys []ssh.PublicKey
	// CAs are authorities whose user certificates, with Name among the
	// principals, are accepted.
	CAs []ssh.PublicKey
	// Password is accepted by the method "password"; "" means none is.
	Password string
	// Interactive are the rounds of prompts of the method
	// "keyboard-interactive" (RFC 4256); none turns the method off.
	Interactive [][]Prompt
	// Require lists methods that must all succeed, in this order, such as
	// {"publickey", "password"}; nil means that any one method is enough.
	Require []string
}

// A Prompt is one question of keyboard-interactive and the answer it wants.
type Prompt struct {
	Text   string
	Echo   bool // whether the client may show the answer while it is typed
	Answer string
}

// String returns the name, so that printing a user shows no password.
func (u User) String() string { return u.Name }

// GoString is like String.
func (u User) GoString() string { return fmt.Sprintf("sshtest.User{Name: %q}", u.Name) }

func (u *User) check() error {
	for _, m := range u.Require {
		if !slices.Contains(u.methods(), m) {
			return fmt.Errorf("sshtest: user %q requires %q but has nothing set for it", u.Name, m)
		}
	}
	return nil
}

// methods lists what the user could log in with.
func (u *User) methods() (methods []string) {
	if u.ClientKey || len(u.Keys) > 0 || len(u.CAs) > 0 {
		methods = append(methods, "publickey")
	}
	if u.Password != "" {
		methods = append(methods, "password")
	}
	if len(u.Interactive) > 0 {
		methods = append(methods, "keyboard-interactive")
	}
	return methods
}

var (
	errDenied = errors.New("permission denied")
	errOrder  = errors.New("another method must come first")
)

// loginKey is where a Permissions value holds the *User it was made for. The
// user of a connection is taken from there and nowhere else: the key offered
// last need not be the one that logged in (CVE-2024-45337).
type loginKey struct{}

func permissions(u *User) *ssh.Permissions {
	return &ssh.Permissions{ExtraData: map[any]any{loginKey{}: u}}
}

func userOf(p *ssh.Permissions) *User {
	if p == nil {
		return nil
	}
	u, _ := p.ExtraData[loginKey{}].(*User)
	return u
}

// A login is the state of one connection's authentication; x/crypto calls it
// from one goroutine.
type login struct {
	conn *conn
	step int // methods of Require done
	key  string
}

// configure fills in the authentication part of a server's configuration.
// Every method that any user has is offered to all names, known or not.
func (l *login) configure(sc *ssh.ServerConfig) {
	first := l.callbacks(l.conn.fleet.methods)
	sc.PublicKeyCallback = first.PublicKeyCallback
	sc.PasswordCallback = first.PasswordCallback
	sc.KeyboardInteractiveCallback = first.KeyboardInteractiveCallback
	sc.VerifiedPublicKeyCallback = l.verified
	sc.MaxAuthTries = l.conn.fleet.cfg.MaxAuthTries
	if l.conn.fleet.log != nil {
		sc.AuthLogCallback = l.logged
	}
}

func (l *login) callbacks(methods []string) (c ssh.ServerAuthCallbacks) {
	for _, m := range methods {
		switch m {
		case "publickey":
			c.PublicKeyCallback = l.publicKey
		case "password":
			c.PasswordCallback = l.password
		case "keyboard-interactive":
			c.KeyboardInteractiveCallback = l.interactive
		}
	}
	return c
}

// user finds who wants in; nil if there is no such user or if the method is
// not the one that has to come next.
func (l *login) user(name, method string) (*User, error) {
	u := l.conn.fleet.users[name]
	if u == nil {
		return nil, errDenied
	}
	if u.Require != nil && u.Require[l.step] != method {
		return nil, errOrder
	}
	return u, nil
}

// passed is called when a method has succeeded: the user is in, or has to go
// on with the next method.
func (l *login) passed(u *User) (*ssh.Permissions, error) {
	l.step++
	if l.step < len(u.Require) {
		return nil, &ssh.PartialSuccessError{Next: l.callbacks(u.Require[l.step : l.step+1])}
	}
	return permissions(u), nil
}

// publicKey says whether a key would do. The client has not proved yet that
// it has the key, so nothing but the answer may follow from it.
func (l *login) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	u, err := l.user(meta.User(), "publickey")
	if err == nil && !l.authorized(u, meta, key) {
		err = errDenied
	}
	if l.conn.fleet.log != nil {
		l.key = ssh.FingerprintSHA256(key)
		l.conn.event(Event{Kind: EventKeyOffer, User: meta.User(), Key: l.key, OK: err == nil})
	}
	if err != nil {
		return nil, err
	}
	return permissions(u), nil
}

func (l *login) authorized(u *User, meta ssh.ConnMetadata, key ssh.PublicKey) bool {
	if cert, ok := key.(*ssh.Certificate); ok {
		return certAuthorized(u, meta, cert)
	}
	return l.conn.fleet.authorizedKey(u, key)
}

// authorizedKey reports whether a plain key is one of the user's.
func (f *Fleet) authorizedKey(u *User, key ssh.PublicKey) bool {
	return u.ClientKey && sameKey(key, f.client.PublicKey()) || containsKey(u.Keys, key)
}

func certAuthorized(u *User, meta ssh.ConnMetadata, cert *ssh.Certificate) bool {
	checker := ssh.CertChecker{
		IsUserAuthority: func(ca ssh.PublicKey) bool { return containsKey(u.CAs, ca) },
		UserKeyFallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, errDenied
		},
	}
	// A certificate without principals would be good for every user.
	if len(cert.ValidPrincipals) == 0 {
		return false
	}
	_, err := checker.Authenticate(meta, cert)
	return err == nil
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func containsKey(keys []ssh.PublicKey, key ssh.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return sameKey(k, key) })
}

// verified is called once the client has proved that it has the key.
func (l *login) verified(_ ssh.ConnMetadata, key ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
	u := userOf(p)
	if u == nil {
		return nil, errDenied
	}
	if l.conn.fleet.log != nil {
		l.key = ssh.FingerprintSHA256(key)
	}
	return l.passed(u)
}

func (l *login) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	u, err := l.user(meta.User(), "password")
	if err != nil {
		return nil, err
	}
	if u.Password == "" || !sameSecret(string(password), u.Password) {
		return nil, errDenied
	}
	return l.passed(u)
}

// sameSecret takes the same time wherever the two differ.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func (l *login) interactive(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	u, err := l.user(meta.User(), "keyboard-interactive")
	rounds := [][]Prompt{{{Text: "Password: "}}} // names that nobody has get a prompt too
	if err == nil && len(u.Interactive) > 0 {
		rounds = u.Interactive
	}
	good := err == nil && len(u.Interactive) > 0
	for _, round := range rounds {
		right, err := askRound(ask, round)
		if err != nil {
			return nil, err
		}
		good = good && right
	}
	if !good {
		return nil, errDenied
	}
	return l.passed(u)
}

func askRound(ask ssh.KeyboardInteractiveChallenge, round []Prompt) (right bool, err error) {
	texts, echos := make([]string, len(round)), make([]bool, len(round))
	for i, p := range round {
		texts[i], echos[i] = p.Text, p.Echo
	}
	answers, err := ask("", "", texts, echos)
	if err != nil {
		return false, err
	}
	right = len(answers) == len(round)
	for i, p := range round {
		right = right && sameSecret(answers[i], p.Answer)
	}
	return right, nil
}

// logged is told how each attempt ended.
func (l *login) logged(meta ssh.ConnMetadata, method string, err error) {
	e := Event{Kind: EventAuth, User: meta.User(), Method: method, OK: err == nil}
	if method == "publickey" {
		e.Key = l.key
	}
	if _, ok := errors.AsType[*ssh.PartialSuccessError](err); ok {
		e.Detail = "partial success"
	}
	l.conn.event(e)
}

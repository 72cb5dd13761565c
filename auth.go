package shoal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/keyfile"
	"github.com/shoal-ssh/shoal/internal/sshagent"
)

// Auth is one way to log in: [Agent], [KeyFile], [KeyBytes], [Key],
// [Password], [Ask] or [GSSAPI]. The zero Auth is invalid. Two that were made of the same
// thing are equal as far as the reuse of connections goes. Its text never holds
// a secret. Safe for concurrent use.
type Auth struct {
	kind authKind
	// name is what errors and logs call it.
	name string
	// id tells the same Auth made twice from another one; comparable.
	id any
	// load returns the keys of kinds that have keys, for the login that wants
	// them first.
	load func(*login) ([]heldKey, error)
	// secret answers for Password.
	secret string
	ask    func(context.Context, Question) (string, error)
	begin  func(ctx context.Context, host string) (GSSAPIContext, error)
}

type authKind int

const (
	_ authKind = iota
	authKeys
	authPassword
	authAsk
	authGSSAPI
)

// String names the way to log in, without any secret.
func (a Auth) String() string {
	if a.name == "" {
		return "no authentication"
	}
	return a.name
}

// GoString is String: %#v shows no secret either.
func (a Auth) GoString() string { return a.String() }

// MarshalText is String, so that encoders show no secret.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Auth) invalid() bool { return a.kind == 0 }

func (a Auth) equal(b Auth) bool { return a.kind == b.kind && a.id == b.id }

// Agent offers the keys of the user's SSH agent: the one at SSH_AUTH_SOCK, or
// on Windows the OpenSSH agent's named pipe. The agent is asked once for all
// hosts of a [Client]; it has 5 s to answer, and 30 s to sign with a security
// key, which wants to be touched. At most five keys are offered to a host, over
// all its Auth.
func Agent() Auth {
	return Auth{kind: authKeys, name: "agent", id: agentID(""), load: loadAgent("")}
}

// AgentSocket is [Agent] for the agent at a socket, or on Windows at a named
// pipe, instead of the one at SSH_AUTH_SOCK. A leading "~/" is the home folder.
func AgentSocket(path string) Auth {
	return Auth{kind: authKeys, name: "agent " + path, id: agentID(path), load: loadAgent(path)}
}

type agentID string

func loadAgent(socket string) func(*login) ([]heldKey, error) {
	return func(l *login) ([]heldKey, error) {
		path, err := expandHome(socket)
		if err != nil {
			return nil, err
		}
		agent, err := l.client.agents.at(path)
		if err != nil {
			return nil, err
		}
		signers, err := agent.Signers(l.ctx)
		return heldKeys(signers, nil), err
	}
}

// agents are a client's agents by their sockets; "" is that of the environment.
type agents struct {
	mu     sync.Mutex
	open   map[string]*sshagent.Client
	closed bool
}

func (a *agents) at(socket string) (*sshagent.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if agent := a.open[socket]; agent != nil {
		return agent, nil
	}
	if a.closed {
		return nil, errClientClosed
	}
	path := socket
	if path == "" {
		path = os.Getenv("SSH_AUTH_SOCK")
	}
	agent, err := sshagent.At(path, sshagent.Options{})
	if err != nil {
		return nil, err
	}
	if a.open == nil {
		a.open = map[string]*sshagent.Client{}
	}
	a.open[socket] = agent
	return agent, nil
}

func (a *agents) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, agent := range a.open {
		agent.Close()
	}
}

// KeyFile offers the private key in the file, in any format OpenSSH writes and
// in PKCS#8, and before it the certificate in the file of the same name with
// "-cert.pub" behind it. A leading "~/" is the home folder. The file is read
// once for all hosts of a [Client]. The passphrase of an encrypted key is given
// here or else asked for through an [Ask] in the same list. A file that others
// may read is refused, as ssh refuses it.
func KeyFile(path string, passphrase ...string) Auth {
	pass := strings.Join(passphrase, "")
	return Auth{kind: authKeys, name: "key " + path, id: [3]string{"file", path, pass},
		load: func(l *login) ([]heldKey, error) {
			file, err := expandHome(path)
			if err != nil {
				return nil, err
			}
			asker := newAsker(path, pass)
			asker.who = l // some formats tell nothing before they are decrypted
			signers, err := keyfile.LazyAll(file, asker.passphrase)
			asker.who = nil
			return heldKeys(signers, asker), err
		}}
}

// KeyBytes is [KeyFile] for a private key in memory, whose passphrase is not
// asked for.
func KeyBytes(pem []byte, passphrase ...string) Auth {
	pass := strings.Join(passphrase, "")
	return Auth{kind: authKeys, name: "key in memory", id: [2]any{sha256.Sum256(pem), pass},
		load: func(*login) ([]heldKey, error) {
			s, err := keyfile.Parse(pem, newAsker("", pass).passphrase)
			if err != nil {
				return nil, err
			}
			return heldKeys([]ssh.Signer{s}, nil), nil
		}}
}

// Key offers a key that the program holds: one in a hardware module, or a
// certificate made with [ssh.NewCertSigner]. It must be safe for concurrent
// use. Nil makes the zero Auth.
func Key(s ssh.Signer) Auth {
	if s == nil {
		return Auth{}
	}
	return Auth{kind: authKeys, name: "key " + ssh.FingerprintSHA256(s.PublicKey()), id: [2]string{"key", string(s.PublicKey().Marshal())},
		load: func(*login) ([]heldKey, error) {
			return heldKeys([]ssh.Signer{s}, nil), nil
		}}
}

// Password logs in with a password, once a connection, by the "password"
// method (RFC 4252 §8) or, where the server only has that, by answering the
// hidden prompts of "keyboard-interactive" (RFC 4256). It is never sent to a
// host whose key changed.
func Password(password string) Auth {
	return Auth{kind: authPassword, name: "password", id: [2]string{"password", password}, secret: password}
}

// QuestionKind says what an [Ask] is asked for.
type QuestionKind int

// What an Ask is asked for.
const (
	AskPassword    QuestionKind = iota // the login password
	AskPassphrase                      // the passphrase of a key file
	AskInteractive                     // a prompt of the server: a one-time code, a new password…
)

// Question is what an [Ask] answers.
type Question struct {
	Host    string       // the host, as the caller named it
	User    string       // who logs in
	Kind    QuestionKind // what is asked for
	Path    string       // the key file of a passphrase
	Prompt  string       // the server's prompt, made printable; else a suggestion
	Echo    bool         // the answer may be shown while it is typed
	Attempt int          // from 1: a higher one means that the last answer was wrong
}

// Ask logs in with what the function answers: passphrases of key files in the
// same list, the prompts of "keyboard-interactive", or else the password. It
// is called at most three times for one thing, from several goroutines at
// once, and must return when the context ends. An error ends this way to log
// in. A nil function makes the zero Auth.
func Ask(answer func(context.Context, Question) (string, error)) Auth {
	if answer == nil {
		return Auth{}
	}
	return Auth{kind: authAsk, name: "ask", id: &answer, ask: answer}
}

// heldKey is a key that is loaded, or will be when a server wants it.
type heldKey struct {
	ssh.Signer
	asker *asker
}

func heldKeys(signers []ssh.Signer, a *asker) []heldKey {
	var keys []heldKey
	for _, s := range signers {
		keys = append(keys, heldKey{s, a})
	}
	return keys
}

// asker gets the passphrase of one key file, for the login that wants it first.
type asker struct {
	path  string
	given string
	open  atomic.Bool   // nothing will be asked any more
	turn  chan struct{} // holds one token: who has it may be asked
	who   *login        // whoever has the turn
}

func newAsker(path, given string) *asker {
	a := &asker{path: path, given: given, turn: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	return a
}

// passphrase is the [keyfile.Passphrase].
func (a *asker) passphrase(attempt int) ([]byte, error) {
	if a.given != "" && attempt == 1 {
		return []byte(a.given), nil
	}
	if a.given != "" || a.who == nil {
		return nil, nil
	}
	s, err := a.who.askPassphrase(a.path, attempt)
	if a.who.ctx.Err() != nil {
		err = a.who.ctx.Err() // not the last word on the key
	}
	return []byte(s), err
}

// offer is a key as one login offers it: what goes wrong is noted there.
type offer struct {
	ssh.MultiAlgorithmSigner
	asker *asker
	login *login
}

func (o *offer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return o.SignWithAlgorithm(rand, data, "")
}

func (o *offer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	sig, err := o.sign(rand, data, algorithm)
	if err != nil {
		o.login.problems = append(o.login.problems, err)
		delete(o.login.offered, string(o.PublicKey().Marshal())) // a file may have the key that the agent does not use
	}
	return sig, err
}

func (o *offer) sign(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	a := o.asker
	if strings.HasPrefix(o.PublicKey().Type(), "sk-") {
		o.login.waits.pause() // a person has to touch it
		defer o.login.waits.resume()
	}
	if a == nil || a.open.Load() {
		return o.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	}
	o.login.waits.pause() // a person may be asked, for us or for another host
	defer o.login.waits.resume()
	select {
	case <-o.login.ctx.Done():
		return nil, context.Cause(o.login.ctx)
	case <-a.turn:
	}
	defer func() { a.turn <- struct{}{} }()
	a.who = o.login
	defer func() { a.who = nil; a.open.Store(o.login.ctx.Err() == nil) }()
	return o.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
}

// maxOffers is how many keys a connection offers. sshd ends a connection after
// six failures (MaxAuthTries), and one is kept for a password.
const maxOffers = 5

// maxAnswers is how often one thing is asked or one password sent.
const maxAnswers = 3

// login walks through the ways to log in for one connection. It is used by
// the goroutine that makes the connection alone.
type login struct {
	ctx    context.Context
	client *Client
	host   Host
	user   string
	waits  *budget // stopped while a person types
	wire   *wire

	keys      map[int][]heldKey // loaded and not yet offered, by place in host.Auth
	done      map[int]bool
	offered   map[string]bool
	answers   int
	problems  []error
	left      bool // keys were left unoffered
	failures  int  // refusals by gssapi-with-mic, which leave room for fewer keys
	over      bool // the server and we are out of step
	noSecrets bool // no password to a host with a changed key
	last      string
	allowed   []string

	exchange   *exchange // by gssapi-with-mic, under way
	gssapiDone int       // partial successes of it
}

func newLogin(ctx context.Context, hs *handshake) *login {
	return &login{ctx: ctx, client: hs.client, host: hs.host, user: hs.host.User, waits: hs.budget, wire: hs.wire,
		keys: map[int][]heldKey{}, done: map[int]bool{}, offered: map[string]bool{}, last: "none"}
}

// next is the [ssh.ClientAuthCallback]: the first way in the host's order that
// the server still accepts and that was not used up.
func (l *login) next(ctx *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.allowed = ctx.AllowedMethods
	if lost := l.wire.lost.Load(); lost != nil {
		return nil, *lost // x/crypto would go on
	}
	if p := l.wire.problem.Load(); p != nil {
		return nil, p.err
	}
	l.settle(ctx.PartialSuccessMethods)
	for i, a := range l.host.Auth {
		if l.done[i] || l.over {
			continue
		}
		if m := l.method(i, a); m != nil {
			return m, nil
		}
	}
	return nil, l.failure()
}

func (l *login) method(i int, a Auth) ssh.AuthMethod {
	switch a.kind {
	case authKeys:
		if l.may("publickey") {
			return l.key(i, a)
		}
	case authPassword:
		return l.password(i, a)
	case authAsk:
		return l.asked(i, a)
	case authGSSAPI:
		return l.gssapi(i, a)
	default:
		l.done[i] = true
	}
	return nil
}

func (l *login) may(method string) bool {
	return slices.Contains(l.allowed, method) && (l.host.Methods == nil || slices.Contains(l.host.Methods, method))
}

// key offers the next key of the Auth in place i. One key is one method call,
// so that after a partial success the others are still to be had.
func (l *login) key(i int, a Auth) ssh.AuthMethod {
	if _, ok := l.keys[i]; !ok {
		l.waits.pause() // a person may be asked, for us or for another host
		signers, err := l.client.keys.load(l.ctx, a, func() ([]heldKey, error) { return a.load(l) })
		l.waits.resume()
		if err != nil {
			l.problems = append(l.problems, fmt.Errorf("%s: %w", a, err))
		}
		l.keys[i] = signers
	}
	for len(l.keys[i]) > 0 {
		s := l.keys[i][0]
		blob := string(s.PublicKey().Marshal())
		if l.offered[blob] {
			l.keys[i] = l.keys[i][1:]
			continue
		}
		if len(l.offered)+l.failures >= maxOffers {
			l.left = true
			break
		}
		l.keys[i] = l.keys[i][1:]
		signer := l.host.Algorithms.signer(l.offer(s))
		if signer == nil {
			continue
		}
		l.offered[blob] = true
		l.noteCertificate(s.PublicKey(), time.Now())
		l.last = "publickey"
		return ssh.PublicKeys(signer)
	}
	l.done[i] = true
	return nil
}

func (l *login) offer(k heldKey) ssh.Signer {
	if m, ok := k.Signer.(ssh.MultiAlgorithmSigner); ok {
		return &offer{m, k.asker, l}
	}
	return k.Signer
}

// askPassphrase asks the first Ask of the host, if it has one.
func (l *login) askPassphrase(path string, attempt int) (string, error) {
	for _, a := range l.host.Auth {
		if a.kind == authAsk {
			return l.question(a, Question{Kind: AskPassphrase, Path: path, Attempt: attempt,
				Prompt: "Passphrase for " + path + ": "})
		}
	}
	return "", nil
}

// question asks a person, whose time does not count.
func (l *login) question(a Auth, q Question) (string, error) {
	q.Host, q.User, q.Prompt = l.host.Name, l.user, printable(q.Prompt)
	l.waits.pause()
	defer l.waits.resume()
	return a.ask(l.ctx, q)
}

func (l *login) password(i int, a Auth) ssh.AuthMethod {
	switch {
	case l.noSecrets:
		l.problems = append(l.problems, errors.New("password not sent: the host key changed"))
	case l.may("password"):
		l.done[i], l.last = true, "password"
		return ssh.Password(a.secret)
	case l.may("keyboard-interactive"):
		l.done[i], l.last = true, "keyboard-interactive"
		return ssh.KeyboardInteractive(l.challenge(i, maxAnswers, func(prompt string, echo bool) (string, error) {
			if echo {
				return "", fmt.Errorf("keyboard-interactive: the server asks %q, which a password does not answer", printable(prompt))
			}
			return a.secret, nil
		}))
	default:
		return nil // perhaps after a partial success
	}
	l.done[i] = true
	return nil
}

func (l *login) asked(i int, a Auth) ssh.AuthMethod {
	if l.noSecrets || l.answers >= maxAnswers {
		l.done[i] = true
		return nil
	}
	switch {
	case l.may("keyboard-interactive"):
		l.answers++
		l.last = "keyboard-interactive"
		return ssh.KeyboardInteractive(l.challenge(i, maxRounds, func(prompt string, echo bool) (string, error) {
			return l.question(a, Question{Kind: AskInteractive, Prompt: prompt, Echo: echo, Attempt: l.answers})
		}))
	case l.may("password"):
		l.answers++
		l.last = "password"
		return ssh.PasswordCallback(func() (string, error) {
			s, err := l.question(a, Question{Kind: AskPassword, Attempt: l.answers,
				Prompt: l.whose() + "'s password: "})
			l.refused(i, err)
			return s, err
		})
	}
	return nil
}

// whose names the account in a prompt.
func (l *login) whose() string {
	if strings.Contains(l.host.Name, "@") {
		return l.host.Name
	}
	return l.user + "@" + l.host.Name
}

// Bounds on what one keyboard-interactive request may ask (RFC 4256 §3.2).
const (
	maxPrompts = 32
	maxRounds  = 10
)

// challenge answers keyboard-interactive's prompts, in limit rounds at most.
// Where there is no answer it says nothing rather than breaking off: a server
// that waits for answers may take the next request for one.
func (l *login) challenge(i, limit int, answer func(prompt string, echo bool) (string, error)) ssh.KeyboardInteractiveChallenge {
	rounds, asked, mute := 0, 0, false
	return func(_, instruction string, prompts []string, echos []bool) ([]string, error) {
		rounds++
		if len(prompts) > 0 {
			asked++
		}
		if rounds > maxRounds || asked > limit || len(prompts) > maxPrompts {
			l.over = true
			l.problems = append(l.problems, errors.New("keyboard-interactive: the server keeps asking"))
			return nil, errOutOfStep
		}
		answers := make([]string, len(prompts))
		for n, prompt := range prompts {
			if mute {
				break
			}
			if instruction != "" {
				prompt = instruction + " " + prompt
			}
			var err error
			if answers[n], err = answer(prompt, echos[n]); err != nil {
				l.refused(i, err)
				clear(answers)
				mute = true
			}
		}
		return answers, nil
	}
}

var errOutOfStep = errors.New("keyboard-interactive: broken off")

// refused ends a way to log in whose function returned an error.
func (l *login) refused(i int, err error) {
	if err != nil {
		l.done[i] = true
		l.problems = append(l.problems, err)
	}
}

// problems are errors in one line, which [errors.Join] does not make.
type problems []error

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

func (p problems) Error() string {
	texts := make([]string, len(p))
	for i, err := range p {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (p problems) Unwrap() []error { return p }

// authError is the end of all ways to log in.
type authError struct {
	kind Kind
	msg  string
	errs []error
}

func (e *authError) Error() string {
	var s strings.Builder
	s.WriteString(e.msg)
	for _, err := range e.errs {
		s.WriteString("; " + err.Error())
	}
	return s.String()
}

func (e *authError) Unwrap() []error { return e.errs }

func (l *login) failure() error {
	e := &authError{kind: KindAuthFailed, errs: l.problems}
	var tried []string
	for _, a := range l.host.Auth {
		tried = append(tried, a.String())
	}
	e.msg = fmt.Sprintf("no method accepted for user %s (tried %s; the server accepts %s)", l.user,
		orNone(tried), printable(orNone(l.allowed)))
	if l.left {
		e.kind = KindTooManyKeys
		e.msg = fmt.Sprintf("the first %d keys were refused and the rest not offered", len(l.offered))
	} else if len(l.offered) == 0 && len(l.problems) > 0 && l.onlyAgent() {
		e.kind = KindAgent
	}
	return e
}

func (l *login) onlyAgent() bool {
	if len(l.host.Auth) != 1 {
		return false
	}
	_, ok := l.host.Auth[0].id.(agentID)
	return ok
}

func orNone(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

// keyCache reads each key once for all hosts of a client.
type keyCache struct {
	mu   sync.Mutex
	keys map[any]*loadedKey
}

type loadedKey struct {
	turn    chan struct{} // holds one token: who has it may load
	loaded  bool
	signers []heldKey
	err     error
}

// load returns the keys of a, loading them if nobody did. What a caller's own
// end cut short is not remembered.
func (k *keyCache) load(ctx context.Context, a Auth, load func() ([]heldKey, error)) ([]heldKey, error) {
	k.mu.Lock()
	if k.keys == nil {
		k.keys = map[any]*loadedKey{}
	}
	e := k.keys[a.id]
	if e == nil {
		e = &loadedKey{turn: make(chan struct{}, 1)}
		e.turn <- struct{}{}
		k.keys[a.id] = e
	}
	k.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-e.turn:
	}
	defer func() { e.turn <- struct{}{} }()
	if !e.loaded {
		e.signers, e.err = load()
		e.loaded = ctx.Err() == nil
	}
	return e.signers, e.err
}

// DefaultAuth returns the ways to log in to hosts that name none: the agent, then
// the default identity files that are there, in OpenSSH's order. Append an [Ask]
// or a [Password] to have them tried before it.
func DefaultAuth() []Auth {
	auth := []Auth{Agent()}
	for _, path := range defaultIdentities() {
		auth = append(auth, KeyFile(path))
	}
	return auth
}

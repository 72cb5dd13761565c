package shoal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/knownhosts"
)

// HostKeys decides whether the key a server proved to hold is the host's:
// [*KnownHosts], [PinnedHostKeys], or the program's own. Implementations must
// be safe for concurrent use; make them pointers, since connections are only
// shared by hosts whose HostKeys are equal.
type HostKeys interface {
	// Algorithms lists the host key algorithms to offer to the address
	// ("host:port"), most wanted first; nil means OpenSSH's order. A host of
	// which only one type of key is known must be asked for that one first.
	Algorithms(addr string) []string
	// Check returns nil where the key is the host's. It must return when the
	// context ends.
	Check(ctx context.Context, addr string, key ssh.PublicKey) error
}

// HostKeyMode says what happens to a host whose key is not known.
type HostKeyMode int

// The modes. A changed or a revoked key is refused in all of them but
// IgnoreHostKeys.
const (
	// StrictHostKeys refuses hosts whose key is not known.
	StrictHostKeys HostKeyMode = iota
	// AcceptNewHostKeys learns the key of a host that is not known.
	AcceptNewHostKeys
	// AskHostKeys asks [KnownHosts.Ask] about a host that is not known, and
	// learns the key when the answer is yes.
	AskHostKeys
	// IgnoreHostKeys verifies nothing: whoever sits between can read and
	// change everything. A host whose key changed gets no password, that for
	// sudo included, and no agent.
	IgnoreHostKeys
)

// KnownHosts verifies host keys against known_hosts files as OpenSSH does:
// plain, hashed, wildcard and negated names, [host]:port, @cert-authority and
// @revoked. The zero value is the default: the user's and the system's files,
// strictly. The files are read once, at first use. Safe for concurrent use;
// must not be changed or copied after first use.
type KnownHosts struct {
	// Files are the known_hosts files; missing ones are empty. New keys are
	// learned into the first. Nil means ~/.ssh/known_hosts,
	// ~/.ssh/known_hosts2 and the system's two.
	Files []string
	// Mode says what happens to hosts that are not known.
	Mode HostKeyMode
	// Ask answers in AskHostKeys mode; it is called for one host at a time.
	Ask func(context.Context, HostKeyQuestion) (bool, error)
	// Hash stores the names of learned hosts hashed.
	Hash bool
	// CheckIP looks the key of a host that has a name up under its IP address
	// too, as CheckHostIP in ssh_config(5): one that is known with another key is
	// refused, one that is not known is learned where Mode learns. It has no
	// effect with a jump host, a ProxyCommand, [Client.Dial] or HostKeyAlias.
	CheckIP bool
	// Revoked is a file of public keys, one a line, which no host may have and
	// no authority of its certificate, whatever the Mode (RevokedHostKeys in
	// ssh_config(5)). Where it cannot be read every host is refused; OpenSSH's
	// binary key revocation lists are not supported, and so are refused too.
	Revoked string
	// CAAlgorithms are the signature algorithms with which authorities may have
	// signed host certificates (CASignatureAlgorithms in ssh_config(5)). Nil
	// means all but those with SHA-1 and DSA, which are never accepted.
	CAAlgorithms []string

	open    sync.Once
	db      *knownhosts.DB
	revoked map[string]bool // of Revoked, by their wire form
	err     error
	asking  sync.Mutex

	mu      sync.Mutex
	unsaved []error
}

// HostKeyQuestion is what [KnownHosts.Ask] answers.
type HostKeyQuestion struct {
	Addr        string // "host:port"
	Type        string // such as "ssh-ed25519"
	Fingerprint string // "SHA256:…"
}

func (k *KnownHosts) load() (*knownhosts.DB, error) {
	k.open.Do(func() {
		files := k.Files
		if files == nil {
			files, k.err = defaultKnownHosts()
		}
		if k.err == nil {
			k.db, k.err = knownhosts.Open(files...)
		}
		if k.err == nil {
			k.db.Hash, k.db.Comment, k.db.CAAlgorithms = k.Hash, "learned by shoal", k.CAAlgorithms
		}
		if k.err == nil && k.Revoked != "" {
			k.revoked, k.err = readRevoked(k.Revoked)
		}
	})
	return k.db, k.err
}

// Warnings returns what was wrong with lines of the files, which are left out,
// and which keys were accepted but could not be stored.
func (k *KnownHosts) Warnings() []error {
	db, err := k.load()
	if err != nil {
		return []error{err}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return append(db.Warnings(), k.unsaved...)
}

// Unsaved returns which keys were accepted, for as long as k lives, but could
// not be stored; they are among the Warnings.
func (k *KnownHosts) Unsaved() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.unsaved)
}

// Algorithms implements [HostKeys]: those of known keys come first.
func (k *KnownHosts) Algorithms(addr string) []string {
	db, err := k.load()
	if err != nil {
		return nil
	}
	return db.Algorithms(addr)
}

// errNoSecrets accepts a key, but not for passwords.
var errNoSecrets = errors.New("host key not verified")

// Check implements [HostKeys].
func (k *KnownHosts) Check(ctx context.Context, addr string, key ssh.PublicKey) error {
	db, err := k.load()
	if err != nil {
		return err
	}
	if err := k.checkRevoked(addr, key); err != nil {
		return err
	}
	err = db.Check(addr, key)
	if err == nil {
		return nil
	}
	unknown, isUnknown := errors.AsType[*knownhosts.UnknownError](err)
	if k.Mode == IgnoreHostKeys {
		if isUnknown {
			return nil
		}
		return errNoSecrets
	}
	if !isUnknown || k.Mode == StrictHostKeys {
		return err
	}
	if k.Mode == AskHostKeys {
		return k.ask(ctx, db, addr, key, unknown)
	}
	return k.learn(db, addr, key)
}

// checkIP checks the key, which is the host's, under the host's IP address.
func (k *KnownHosts) checkIP(addr string, key ssh.PublicKey) error {
	err := k.db.Check(addr, key)
	_, unknown := errors.AsType[*knownhosts.UnknownError](err)
	_, certified := key.(*ssh.Certificate)
	switch {
	case err == nil, k.Mode == IgnoreHostKeys:
		return nil
	case !unknown:
		return fmt.Errorf("CheckHostIP: %w", err)
	case certified || k.Mode == StrictHostKeys:
		return nil
	}
	return k.learn(k.db, addr, key)
}

func (k *KnownHosts) ask(ctx context.Context, db *knownhosts.DB, addr string, key ssh.PublicKey, unknown error) error {
	if k.Ask == nil {
		return unknown
	}
	k.asking.Lock()
	defer k.asking.Unlock()
	if db.Check(addr, key) == nil {
		return nil // learned while we waited
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	yes, err := k.Ask(ctx, HostKeyQuestion{Addr: addr, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)})
	if err != nil {
		return err
	}
	if !yes {
		return unknown
	}
	return k.learn(db, addr, key)
}

// learn stores a key. One that cannot be stored is good for this run.
func (k *KnownHosts) learn(db *knownhosts.DB, addr string, key ssh.PublicKey) error {
	err := db.Learn(addr, key)
	if _, ok := errors.AsType[*knownhosts.NotSavedError](err); !ok {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unsaved = append(k.unsaved, err)
	return nil
}

// PinnedHostKeys accepts exactly these keys, for every host it is given to.
func PinnedHostKeys(keys ...ssh.PublicKey) HostKeys {
	return &pinned{keys: keys}
}

type pinned struct{ keys []ssh.PublicKey }

func (p *pinned) Algorithms(string) []string {
	var algorithms []string
	for _, k := range p.keys {
		algorithms = append(algorithms, keyAlgorithms(k.Type())...)
	}
	return algorithms
}

func (p *pinned) Check(_ context.Context, addr string, key ssh.PublicKey) error {
	for _, k := range p.keys {
		if slices.Equal(k.Marshal(), key.Marshal()) {
			return nil
		}
	}
	return &pinError{addr: addr, got: key, want: p.keys}
}

type pinError struct {
	addr string
	got  ssh.PublicKey
	want []ssh.PublicKey
}

func (e *pinError) Error() string {
	var want []string
	for _, k := range e.want {
		want = append(want, k.Type()+" "+ssh.FingerprintSHA256(k))
	}
	return fmt.Sprintf("host key for %s is %s %s, pinned %s", e.addr, e.got.Type(), ssh.FingerprintSHA256(e.got), orNone(want))
}

// keyAlgorithms returns the signature algorithms of a key type; of RSA only
// those with SHA-2 (RFC 8332).
func keyAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func defaultKnownHosts() ([]string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("known_hosts: %w", err)
	}
	system := "/etc/ssh"
	if dir := os.Getenv("ProgramData"); dir != "" && filepath.Separator == '\\' {
		system = filepath.Join(dir, "ssh")
	}
	return []string{
		filepath.Join(home, ".ssh", "known_hosts"),
		filepath.Join(home, ".ssh", "known_hosts2"),
		filepath.Join(system, "ssh_known_hosts"),
		filepath.Join(system, "ssh_known_hosts2"),
	}, nil
}

// expandHome replaces a leading "~/".
func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, rest), nil
}

// hostKeyKind classifies what a HostKeys answered.
func hostKeyKind(err error) Kind {
	if _, ok := errors.AsType[*knownhosts.RevokedError](err); ok {
		return KindHostKeyRevoked
	}
	if _, ok := errors.AsType[*revokedError](err); ok {
		return KindHostKeyRevoked
	}
	if _, ok := errors.AsType[*revocationListError](err); ok {
		return KindInvalid
	}
	if _, ok := errors.AsType[*knownhosts.ChangedError](err); ok {
		return KindHostKeyChanged
	}
	if _, ok := errors.AsType[*pinError](err); ok {
		return KindHostKeyChanged
	}
	return KindHostKeyUnknown
}

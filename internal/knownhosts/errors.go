package knownhosts

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxShown bounds the lines that an error's text names.
const maxShown = 3

// UnknownError says that no key is known for a host. Only this one may be
// answered by [DB.Learn], after whatever consent the user's policy asks for.
type UnknownError struct {
	Addr string
	Got  ssh.PublicKey // what the server sent; a certificate stays one
	// Files are those that were searched.
	Files []string
	// SameKey is lines that know the same key under other names, at most 8.
	SameKey []KnownKey
	// Cert says why the server's certificate was not enough although a known
	// CA signed it; nil when there was none or no CA is known for the host.
	Cert *CertificateError
}

func (e *UnknownError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "host key for %s is unknown: ", parseAddr(e.Addr))
	if len(e.Files) > 0 {
		fmt.Fprintf(&b, "no key for it in %s; ", printable(strings.Join(e.Files, ", ")))
	}
	fmt.Fprintf(&b, "the server sent %s", describe(e.Got))
	if len(e.SameKey) > 0 {
		fmt.Fprintf(&b, ", which is known for other hosts at %s", places(e.SameKey))
	}
	b.WriteString(certNote(e.Cert))
	b.WriteString("; compare the fingerprint with one from a trusted source before accepting it")
	return b.String()
}

// Unwrap returns the certificate's error, if any.
func (e *UnknownError) Unwrap() error { return asError(e.Cert) }

// ChangedError says that other keys are known for a host than the one it sent,
// which is what an attack looks like.
type ChangedError struct {
	Addr  string
	Got   ssh.PublicKey     // what the server sent; a certificate stays one
	Known []KnownKey        // never empty, in the order of the files
	Cert  *CertificateError // as in [UnknownError]
}

func (e *ChangedError) Error() string {
	n, old := parseAddr(e.Addr), e.Known[0]
	var b strings.Builder
	fmt.Fprintf(&b, "host key for %s changed: %s", n, old)
	if more := e.Known[1:]; len(more) > 0 {
		fmt.Fprintf(&b, " and %s", places(more))
	}
	fmt.Fprintf(&b, " but the server sent %s%s; somebody may be intercepting the connection", describe(e.Got), certNote(e.Cert))
	if old.File != "" {
		fmt.Fprintf(&b, "; if you expected the change remove the old line with: ssh-keygen -f %s -R %s",
			quoteArg(old.File), quoteArg(n.name))
	}
	return b.String()
}

// Unwrap returns the certificate's error, if any.
func (e *ChangedError) Unwrap() error { return asError(e.Cert) }

// RevokedError says that a host sent a key, or a certificate by a CA, that is
// marked @revoked for it.
type RevokedError struct {
	Addr string
	Got  ssh.PublicKey // what the server sent; a certificate stays one
	Line KnownKey      // what revokes it
}

func (e *RevokedError) Error() string {
	what := "the server sent " + describe(e.Got)
	if string(plainKey(e.Line.Key).Marshal()) != string(plainKey(e.Got).Marshal()) {
		what += " in a certificate by the CA " + describe(e.Line.Key)
	}
	return fmt.Sprintf("host key for %s is revoked by %s: %s; a stolen key may be in use: give the host a new key",
		parseAddr(e.Addr), e.Line.Place(), what)
}

// WeakKeyError says that a host's key, or the key of its certificate's CA, is
// of a kind that is refused whatever is known about it: RSA below 2048 bits,
// DSA.
type WeakKeyError struct {
	Addr string
	Key  ssh.PublicKey // the weak one
}

func (e *WeakKeyError) Error() string {
	what := describe(e.Key)
	if bits := rsaBits(e.Key); bits > 0 {
		what = fmt.Sprintf("%s, %d bits", what, bits)
	}
	return fmt.Sprintf("host key for %s is too weak: %s; give the host an ed25519 key or an RSA key of at least %d bits",
		parseAddr(e.Addr), what, minRSA)
}

// CertificateError says why a host certificate is not accepted although a
// @cert-authority line for the host names the CA that signed it. It comes
// inside an [UnknownError] or a [ChangedError]: as in OpenSSH the plain key in
// the certificate has the last word.
type CertificateError struct {
	Addr string
	Cert *ssh.Certificate
	CA   KnownKey
	Err  error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("certificate %.60q of %s, by the CA at %s, refused: %.300s",
		e.Cert.KeyId, parseAddr(e.Addr), e.CA.Place(), e.Err.Error())
}

func (e *CertificateError) Unwrap() error { return e.Err }

// asError keeps a nil pointer from becoming an error that is not nil.
func asError(e *CertificateError) error {
	if e == nil {
		return nil
	}
	return e
}

func certNote(e *CertificateError) string {
	if e == nil {
		return ""
	}
	return "; " + e.Error()
}

// places lists where lines are.
func places(keys []KnownKey) string {
	var list []string
	for _, k := range keys[:min(len(keys), maxShown)] {
		list = append(list, k.Place())
	}
	if more := len(keys) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// quoteArg quotes an argument of a command that the user may paste into a
// POSIX shell.
func quoteArg(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-:@%+", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}

package shoal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Algorithms names what is offered to a server, most wanted first (RFC 4253
// §7.1, RFC 4252 §7), by the names that "ssh -Q" lists. Of each list nil means
// the default: modern ones only, none with SHA-1 or CBC. Names that Shoal does
// not have are passed over; a list of which it has none is an error.
type Algorithms struct {
	KeyExchanges []string
	Ciphers      []string
	MACs         []string
	HostKeys     []string // those of known keys still come first
	PublicKeys   []string // signatures to log in with
}

func (a Algorithms) or(d Algorithms) Algorithms {
	first := func(a, d []string) []string {
		if a == nil {
			return d
		}
		return a
	}
	return Algorithms{
		KeyExchanges: first(a.KeyExchanges, d.KeyExchanges),
		Ciphers:      first(a.Ciphers, d.Ciphers),
		MACs:         first(a.MACs, d.MACs),
		HostKeys:     first(a.HostKeys, d.HostKeys),
		PublicKeys:   first(a.PublicKeys, d.PublicKeys),
	}
}

func (a Algorithms) equal(b Algorithms) bool {
	return slices.Equal(a.KeyExchanges, b.KeyExchanges) && slices.Equal(a.Ciphers, b.Ciphers) &&
		slices.Equal(a.MACs, b.MACs) && slices.Equal(a.HostKeys, b.HostKeys) && slices.Equal(a.PublicKeys, b.PublicKeys)
}

// check reports a list of which nothing can be offered.
func (a Algorithms) check() error {
	known, old := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	for _, list := range []struct {
		what              string
		want, known, more []string
	}{
		{"key exchange", a.KeyExchanges, known.KeyExchanges, old.KeyExchanges},
		{"cipher", a.Ciphers, known.Ciphers, old.Ciphers},
		{"MAC", a.MACs, known.MACs, old.MACs},
		{"host key algorithm", a.HostKeys, known.HostKeys, old.HostKeys},
		{"public key algorithm", a.PublicKeys, known.PublicKeyAuths, old.PublicKeyAuths},
	} {
		if list.want == nil {
			continue
		}
		has := func(name string) bool { return slices.Contains(list.known, name) || slices.Contains(list.more, name) }
		if !slices.ContainsFunc(list.want, has) {
			return fmt.Errorf("no %s of %q is supported; supported are %s", list.what,
				strings.Join(list.want, ","), strings.Join(list.known, ","))
		}
	}
	return nil
}

// config returns what is offered for the transport.
func (a Algorithms) config() ssh.Config {
	c := algorithms
	if a.KeyExchanges != nil {
		c.KeyExchanges = a.KeyExchanges
	}
	if a.Ciphers != nil {
		c.Ciphers = a.Ciphers
	}
	if a.MACs != nil {
		c.MACs = a.MACs
	}
	return c
}

// hostKeys returns the wanted ones, in the order of what is known of the host.
func (a Algorithms) hostKeys(known []string) []string {
	if a.HostKeys == nil {
		return known
	}
	wanted := slices.DeleteFunc(slices.Clone(known), func(name string) bool { return !slices.Contains(a.HostKeys, name) })
	for _, name := range a.HostKeys {
		if !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	return wanted
}

// signer restricts a key to the signatures that may be made; nil where there
// are none.
func (a Algorithms) signer(s ssh.Signer) ssh.Signer {
	if a.PublicKeys == nil {
		return s
	}
	multi, ok := s.(ssh.MultiAlgorithmSigner)
	if !ok {
		if slices.Contains(a.PublicKeys, s.PublicKey().Type()) {
			return s
		}
		return nil
	}
	// A certificate's signature is named by the certificate in ssh_config and
	// by the key in x/crypto.
	var may []string
	for _, name := range multi.Algorithms() {
		if slices.Contains(a.PublicKeys, cmp.Or(certificateAlgorithm(s.PublicKey(), name), name)) {
			may = append(may, name)
		}
	}
	if len(may) == 0 {
		return nil
	}
	restricted, err := ssh.NewSignerWithAlgorithms(multi, may)
	if err != nil {
		return nil
	}
	return restricted
}

// certificateAlgorithm is what the signature algorithm is called with a
// certificate; empty for plain keys.
func certificateAlgorithm(key ssh.PublicKey, name string) string {
	if _, ok := key.(*ssh.Certificate); !ok {
		return ""
	}
	if strings.HasPrefix(name, "sk-") {
		return strings.TrimSuffix(name, "@openssh.com") + "-cert-v01@openssh.com"
	}
	return name + "-cert-v01@openssh.com"
}

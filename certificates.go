package shoal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/keyfile"
)

// Certificates offers the keys of another Auth, [Agent], [KeyFile], [Identities]
// and so on, and before them those certificates in the files that are for one of
// the keys, as CertificateFile in ssh_config(5). Files that do not exist are
// passed over; where no login succeeds, the error says which certificates were
// of no use.
func Certificates(keys Auth, files ...string) Auth {
	if keys.kind != authKeys {
		return Auth{}
	}
	type certified struct {
		keys  any
		files string
	}
	return Auth{kind: authKeys, name: keys.name + " with certificates",
		id:   certified{keys.id, strings.Join(files, "\x00")},
		load: func(l *login) ([]heldKey, error) { return certificates(l, keys, files) }}
}

func certificates(l *login, keys Auth, files []string) ([]heldKey, error) {
	held, err := l.client.keys.load(l.ctx, keys, func() ([]heldKey, error) { return keys.load(l) })
	var errs problems
	if err != nil {
		errs = append(errs, err)
	}
	var certified []heldKey
	for _, file := range files {
		path, err := expandHome(file)
		if err != nil {
			return nil, err
		}
		cert, err := keyfile.CertificateIn(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		i := slices.IndexFunc(held, func(k heldKey) bool { return bytes.Equal(k.PublicKey().Marshal(), cert.Key.Marshal()) })
		if i < 0 {
			errs = append(errs, fmt.Errorf("certificate %q: its key, %s, is in no identity file and not in the agent", path, ssh.FingerprintSHA256(cert.Key)))
			continue
		}
		signer, err := ssh.NewCertSigner(cert, held[i].Signer)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %q: %w", path, err))
			continue
		}
		certified = append(certified, heldKey{signer, held[i].asker})
	}
	return append(certified, held...), errs.err()
}

// noteCertificate says what is wrong with a certificate that is offered, for the
// case that the server refuses it: its clock, and whom it takes a principal for,
// are its own business.
func (l *login) noteCertificate(key ssh.PublicKey, now time.Time) {
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return
	}
	note := ""
	switch at := uint64(now.Unix()); {
	case cert.CertType != ssh.UserCert:
		note = "is for hosts and not for users"
	case cert.ValidBefore != ssh.CertTimeInfinity && at >= cert.ValidBefore:
		note = "expired at " + certTime(cert.ValidBefore)
	case at < cert.ValidAfter:
		note = "is not valid before " + certTime(cert.ValidAfter)
	case len(cert.ValidPrincipals) > 0 && !slices.Contains(cert.ValidPrincipals, l.user):
		note = fmt.Sprintf("is for %s and not for %s", strings.Join(cert.ValidPrincipals, ", "), l.user)
	default:
		return
	}
	l.problems = append(l.problems, fmt.Errorf("certificate %q %s (signed by %s)", cert.KeyId, note, ssh.FingerprintSHA256(cert.SignatureKey)))
}

func certTime(seconds uint64) string {
	return time.Unix(int64(min(seconds, 1<<40)), 0).UTC().Format(time.RFC3339)
}

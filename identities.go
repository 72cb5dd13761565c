package shoal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/keyfile"
)

// Identities offers keys as ssh does that was given identity files: first those
// keys of the agent that are in the files, in the files' order; then the agent's
// others, unless only is set; then the files' own keys. So an encrypted key that
// the agent holds asks for no passphrase. A file may be a public key alone,
// which chooses from the agent. Files that do not exist are passed over, and so
// is the agent where it is the zero Auth, or missing.
func Identities(agent Auth, only bool, files ...string) Auth {
	id := []string{identitiesID, agent.name}
	if only {
		id = append(id, "only")
	}
	return Auth{kind: authKeys, name: "identities " + orNone(files), id: strings.Join(append(id, files...), "\x00"),
		load: func(l *login) ([]heldKey, error) { return identities(l, agent, only, files) }}
}

// identitiesID begins the id of each.
const identitiesID = "identities"

func (a Auth) isIdentities() bool {
	id, ok := a.id.(string)
	return ok && strings.HasPrefix(id, identitiesID+"\x00")
}

func identities(l *login, agent Auth, only bool, files []string) ([]heldKey, error) {
	var held []heldKey // of the agent
	var errs problems
	if !agent.invalid() {
		var err error
		held, err = l.client.keys.load(l.ctx, agent, func() ([]heldKey, error) { return agent.load(l) })
		if err != nil {
			errs = append(errs, err)
		}
	}
	var first, own []heldKey
	taken := map[string]bool{}
	choose := func(blob []byte) bool {
		for _, k := range held {
			if bytes.Equal(k.PublicKey().Marshal(), blob) {
				if !taken[string(blob)] {
					first = append(first, k)
				}
				taken[string(blob)] = true
				return true
			}
		}
		return false
	}
	for _, file := range files {
		path, err := expandHome(file)
		if err != nil {
			return nil, err
		}
		chosen := false
		for _, public := range []string{strings.TrimSuffix(path, ".pub") + "-cert.pub", strings.TrimSuffix(path, ".pub") + ".pub"} {
			if text, err := os.ReadFile(public); err == nil {
				if key, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
					chosen = choose(key.Marshal()) || chosen
				}
			}
		}
		if strings.HasSuffix(path, ".pub") {
			continue
		}
		keys, err := KeyFile(path).load(l)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !chosen {
			errs = append(errs, err)
		}
		for _, k := range keys {
			if !choose(k.PublicKey().Marshal()) {
				own = append(own, k)
			}
		}
	}
	all := first
	if !only {
		for _, k := range held {
			if !taken[string(k.PublicKey().Marshal())] {
				all = append(all, k)
			}
		}
	}
	all = append(all, own...)
	if len(all) > 0 {
		return all, nil
	}
	return nil, errs.err()
}

// defaultIdentities are the identity files that are there, in OpenSSH's order.
func defaultIdentities() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(keyfile.Defaults(home), func(path string) bool {
		_, err := os.Stat(path)
		return err != nil
	})
}

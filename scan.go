package shoal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/knownhosts"
)

// HostKeyScan is what [Client.ScanHostKeys] found at a host.
type HostKeyScan struct {
	// Addr is the address under which known_hosts files have the host, for
	// [KnownHosts.Compare] and [KnownHosts.Learn].
	Addr string
	// Keys are those that the server proved to hold, in the order in which a
	// login would ask for them: certificates (a [*ssh.Certificate] each) first,
	// then Ed25519, ECDSA and RSA. Nobody has said yet that they are the host's.
	Keys []ssh.PublicKey
}

// ScanHostKeys asks every host for all its host keys, and yields exactly one
// Result a host as it comes. It connects as for a login, with the same settings
// and through the same jump hosts and proxies, but goes no further than the key
// exchange (RFC 4253 §8): no user name and nothing secret is sent to the host,
// and its HostKeys are not asked, though those of the jump hosts are, which are
// logged in to.
//
// A key exchange shows one key, so the server is connected to once for each
// type of key it has, one after the other, and once more, to hear that there
// are no others. Asked for are the types that a login would take; see
// [Algorithms]. Where a later one of the connections fails, Err is not nil and
// Value has the keys until then. Timings are those of the first. Leaving the
// loop and the end of the context do as for [Each].
func (c *Client) ScanHostKeys(ctx context.Context, hosts iter.Seq[Host]) iter.Seq[Result[HostKeyScan]] {
	return eachHost(ctx, c, hosts, func(ctx context.Context, res *Result[HostKeyScan]) {
		began := time.Now()
		full, err := c.final(res.Host)
		if err == nil {
			res.Host = full
			res.Timings, err = c.scan(ctx, full, &res.Value)
		}
		res.Err = err
		if he, ok := errors.AsType[*HostError](err); ok {
			he.Elapsed = time.Since(began)
		}
	})
}

// scan adds the host's keys to found.
func (c *Client) scan(ctx context.Context, h Host, found *HostKeyScan) (first Timings, _ error) {
	if c.cache.isClosed() {
		return first, &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindCancelled, Err: errClientClosed}
	}
	if c.Transport != nil {
		return first, &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindInvalid, Err: errors.New("host keys are not scanned by a Transport; use a Client without one")}
	}
	if n := len(h.Via); n > 0 { // stays connected to in between
		p, err := c.cache.acquire(c, h.Via[n-1])
		if err != nil {
			return first, &HostError{Host: h.Name, Hop: h.Via[n-1].Name, Stage: StagePrepare, Kind: KindCancelled, Err: err}
		}
		defer p.release()
	}
	left := h.Algorithms.hostKeys(new(knownhosts.DB).Algorithms(""))
	for len(left) > 0 {
		s := &scanner{algorithms: left}
		h.HostKeys, h.Algorithms.HostKeys = s, left
		he := c.exchange(ctx, h)
		if first == (Timings{}) {
			first = he.timings
		}
		if s.key == nil {
			if len(found.Keys) > 0 && noHostKeyInCommon(he) {
				return first, nil
			}
			return first, he
		}
		rest := slices.DeleteFunc(slices.Clone(left), func(name string) bool { return keyTypeOf(name) == s.key.Type() })
		if len(rest) == len(left) {
			he.Stage, he.Kind = StageKex, KindProtocol
			he.Err = fmt.Errorf("the server sent a key of type %q, which it was not asked for", s.key.Type())
			return first, he
		}
		left = rest
		found.Addr, found.Keys = s.addr, append(found.Keys, s.key)
		c.Log.LogAttrs(ctx, LevelStage, "host key", hostAttr(h),
			slog.String("type", s.key.Type()), slog.String("fingerprint", ssh.FingerprintSHA256(s.key)))
	}
	return first, nil
}

// exchange connects for one key exchange, and returns how that ended.
func (c *Client) exchange(ctx context.Context, h Host) *HostError {
	l, err := c.dial(ctx, h, false)
	if he, ok := errors.AsType[*HostError](err); ok {
		return he
	}
	if err == nil {
		l.close()
		err = errors.New("a login that nobody wanted succeeded")
	}
	return internalError(h, "scan: %w", err)
}

// noHostKeyInCommon reports that the server has no key of the types it was
// asked for.
func noHostKeyInCommon(he *HostError) bool {
	e, ok := errors.AsType[*ssh.AlgorithmNegotiationError](he.Err)
	return ok && e.What == "host key"
}

// keyTypeOf is the type of the key that a host key algorithm is for (RFC 8332 §3).
func keyTypeOf(algorithm string) string {
	switch algorithm {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
		return ssh.KeyAlgoRSA
	case ssh.CertAlgoRSASHA256v01, ssh.CertAlgoRSASHA512v01:
		return ssh.CertAlgoRSAv01
	}
	return algorithm
}

// scanner is the HostKeys of a connection that ends with the key exchange: it
// takes note of the key and accepts none.
type scanner struct {
	algorithms []string
	addr       string
	key        ssh.PublicKey
}

func (s *scanner) Algorithms(string) []string { return s.algorithms }

var errScanned = errors.New("only the host key was wanted")

func (s *scanner) Check(_ context.Context, addr string, key ssh.PublicKey) error {
	s.addr, s.key = addr, key
	return errScanned
}

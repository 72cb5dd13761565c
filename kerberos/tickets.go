package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/krb5file"
)

// source is where all logins of one Auth get their tickets from.
type source struct {
	config Config
	dial   func(ctx context.Context, network, address string) (net.Conn, error)

	turn chan struct{} // holds one token: who has it may use what follows
	*settings
	kdcs    *kdcs
	client  krb5file.Principal
	makeKey keyMaker
	refused error // the KDC's last word on the password or key
	file    fs.FileInfo

	mu       sync.Mutex
	granting map[string]*credential // by realm, for its KDC
	services map[string]*credential // by "host/name"
}

func newSource(c Config) *source {
	dialer := net.Dialer{Timeout: dialTimeout}
	s := &source{config: c, dial: dialer.DialContext, turn: make(chan struct{}, 1), granting: map[string]*credential{}, services: map[string]*credential{}}
	s.turn <- struct{}{}
	return s
}

// begin gets the tickets for one login.
func (s *source) begin(ctx context.Context, host string) (shoal.GSSAPIContext, error) {
	home, err := s.prepare(ctx)
	if err != nil && !home.known {
		return shoal.GSSAPIContext{}, err
	}
	home.err = err
	names := []string{s.config.ServerName}
	if names[0] == "" {
		names = s.canonical(ctx, host)
	}
	var name string
	var service *credential
	for _, name = range names {
		service, err = s.service(ctx, name, home)
		if !errors.Is(err, ErrUnknownPrincipal) {
			break
		}
	}
	if err != nil {
		return shoal.GSSAPIContext{}, err
	}
	c := &securityContext{service: service, now: time.Now, done: func(accepted bool) { s.used(name, service, accepted) }}
	if s.config.Delegate {
		if c.forwarded, err = s.forward(ctx, home); err != nil {
			return shoal.GSSAPIContext{}, err
		}
	}
	return shoal.GSSAPIContext{Client: c, Target: name, Principal: service.client.String()}, nil
}

// used forgets a ticket that a server refused: it may have a new key.
func (s *source) used(name string, service *credential, accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !accepted && s.services["host/"+name] == service {
		delete(s.services, "host/"+name)
	}
}

// homeTicket is the ticket-granting ticket of the client's realm, or why there
// is none; there may be tickets for services all the same.
type homeTicket struct {
	*credential
	err   error
	known bool // who the client is
}

// prepare reads the files, where they were not read or have changed, and gets
// the first ticket.
func (s *source) prepare(ctx context.Context) (homeTicket, error) {
	select {
	case <-ctx.Done():
		return homeTicket{}, context.Cause(ctx)
	case <-s.turn:
	}
	defer func() { s.turn <- struct{}{} }()
	if s.settings == nil {
		if err := s.load(); err != nil {
			return homeTicket{}, err
		}
	}
	if s.makeKey != nil {
		home, err := s.login(ctx)
		return homeTicket{credential: home, known: true}, err
	}
	if err := s.fromCache(); err != nil {
		return homeTicket{}, err
	}
	home := s.held(s.client.Realm)
	var err error
	if home == nil {
		err = problemf(ErrNoTicket, "the credential cache has no ticket-granting ticket of %s: get one with kinit", s.client)
	} else if !home.usable() {
		err = problemf(ErrNoTicket, "the ticket of %s expired at %s: get a new one with kinit", s.client, home.end.Local().Format(time.DateTime))
	}
	return homeTicket{credential: home, known: true}, err
}

// login gets a ticket-granting ticket with the password or keytab, where there
// is none that is valid.
func (s *source) login(ctx context.Context) (*credential, error) {
	if home := s.held(s.client.Realm); home.usable() || s.refused != nil {
		return home, s.refused
	}
	home, err := s.kdcs.asExchange(ctx, s.client, s.makeKey, s.settings)
	if errors.Is(err, errNoKey) {
		err = problemf(ErrCredentials, "the keytab has no key of %s of the types that the KDC takes", s.client)
	}
	if err = explain(err, s.client, grantingTicket(s.client.Realm)); err != nil {
		if errors.Is(err, ErrCredentials) || errors.Is(err, ErrUnknownPrincipal) {
			s.refused = err // asking again might lock the account
		}
		return nil, err
	}
	s.keep(home)
	return home, nil
}

// load reads krb5.conf and finds out who the client is.
func (s *source) load() error {
	set := 0
	for _, v := range []string{s.config.Cache, s.config.Keytab, s.config.Password} {
		if v != "" {
			set++
		}
	}
	if set > 1 {
		return errors.New("more than one of Cache, Keytab and Password is set")
	}
	settings, err := readSettings(s.config)
	if err != nil {
		return err
	}
	switch {
	case s.config.Keytab != "":
		err = s.loadKeytab(settings)
	case s.config.Password != "":
		if s.client, err = settings.principal(s.config.Principal); err == nil {
			s.makeKey = passwordKey(s.client, s.config.Password)
		}
	}
	if err != nil {
		return err
	}
	s.settings, s.kdcs = settings, &kdcs{conf: settings.conf, dial: s.dial}
	return nil
}

func (s *source) loadKeytab(settings *settings) error {
	path, err := filePath(s.config.Keytab)
	if err != nil {
		return err
	}
	b, err := readFile(path)
	if err != nil {
		return fmt.Errorf("keytab: %w", err)
	}
	keytab, err := krb5file.ParseKeytab(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(keytab) == 0 {
		return fmt.Errorf("keytab %s: it is empty", path)
	}
	client := keytab[0].Principal
	if s.config.Principal != "" {
		if client, err = settings.principal(s.config.Principal); err != nil {
			return err
		}
	}
	for _, e := range keytab {
		if e.Principal.Equal(client) {
			s.client, s.makeKey = client, keytabKey(client, keytab)
			return nil
		}
	}
	return problemf(ErrCredentials, "keytab %s: it has no key of %s", path, client)
}

// fromCache reads the credential cache, if it changed.
func (s *source) fromCache() error {
	path, err := s.cacheFile(s.config.Cache, s.config.Principal)
	if err != nil {
		return err
	}
	file, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return problemf(ErrNoTicket, "no ticket: there is no credential cache %s; get a ticket with kinit%s", path, cacheHint(path))
	}
	if err != nil {
		return fmt.Errorf("credential cache: %w", err)
	}
	if s.file == nil || !os.SameFile(s.file, file) || s.file.ModTime() != file.ModTime() || s.file.Size() != file.Size() {
		if err := s.readCache(path); err != nil {
			return err
		}
		s.file = file
	}
	if s.config.Principal != "" {
		want, err := s.principal(s.config.Principal)
		if err != nil {
			return err
		}
		if !want.Equal(s.client) {
			return problemf(ErrNoTicket, "credential cache %s has tickets of %s, not of %s: get one with kinit %s", path, s.client, want, want)
		}
	}
	return nil
}

func (s *source) readCache(path string) error {
	b, err := readFile(path)
	if err != nil {
		return fmt.Errorf("credential cache: %w", err)
	}
	cache, err := krb5file.ParseCache(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = cache.Client
	clear(s.granting)
	clear(s.services)
	for _, t := range cache.Tickets {
		c, err := fromFile(t)
		if err != nil || !t.Client.Equal(s.client) || !supported(c.key.KeyType) {
			continue
		}
		if realm := c.referral(); realm != "" {
			s.granting[realm] = c
		} else if len(t.Server.Name) == 2 {
			s.services[strings.Join(t.Server.Name, "/")] = c
		}
	}
	return nil
}

func (s *source) held(realm string) *credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granting[realm]
}

func (s *source) keep(c *credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granting[c.referral()] = c
}

// maxReferrals bounds the way from realm to realm.
const maxReferrals = 10

// service returns a ticket for a host's service, through other realms where the
// configuration or the KDCs say so (RFC 6806 §8).
func (s *source) service(ctx context.Context, host string, home homeTicket) (*credential, error) {
	s.mu.Lock()
	held := s.services["host/"+host]
	s.mu.Unlock()
	if held.usable() {
		return held, nil
	}
	if home.err != nil {
		return nil, home.err
	}
	realm := s.conf.HostRealm(host)
	if realm == "" {
		realm = home.client.Realm
	}
	grant, err := s.reach(ctx, home.credential, realm)
	for range maxReferrals {
		if err != nil {
			return nil, err
		}
		server := krb5file.Principal{Type: nametype.KRB_NT_SRV_HST, Name: []string{"host", host}, Realm: grant.referral()}
		got, failed := s.kdcs.tgsExchange(ctx, grant, server, s.settings, flags.Canonicalize)
		if failed != nil {
			return nil, explain(failed, home.client, server)
		}
		next := got.referral()
		if next == "" {
			s.mu.Lock()
			s.services["host/"+host] = got
			s.mu.Unlock()
			return got, nil
		}
		if next == server.Realm {
			break
		}
		grant = got
	}
	return nil, problemf(ErrUnknownPrincipal, "the KDCs send the question for host/%s around in a circle", host)
}

// reach returns a ticket-granting ticket for a realm, by way of those that the
// KDCs name.
func (s *source) reach(ctx context.Context, home *credential, realm string) (*credential, error) {
	grant := home
	for range maxReferrals {
		at := grant.referral()
		if at == realm {
			return grant, nil
		}
		if held := s.held(realm); held.usable() {
			return held, nil
		}
		server := grantingService(realm, at)
		got, err := s.kdcs.tgsExchange(ctx, grant, server, s.settings, flags.Canonicalize)
		if err != nil {
			return nil, explain(err, home.client, server)
		}
		if next := got.referral(); next == "" || next == at {
			break
		}
		s.keep(got)
		grant = got
	}
	return nil, problemf(ErrUnknownPrincipal, "there is no way from the realm %s to %s", home.client.Realm, realm)
}

// forward gets the ticket that is delegated: one of its own for each login.
func (s *source) forward(ctx context.Context, home homeTicket) (*credential, error) {
	if home.err != nil {
		return nil, home.err
	}
	if !home.forwardable() {
		return nil, problemf(ErrNoTicket, "the ticket of %s cannot be delegated: get a forwardable one with kinit -f", home.client)
	}
	server := grantingTicket(home.client.Realm)
	c, err := s.kdcs.tgsExchange(ctx, home.credential, server, s.settings, flags.Forwardable, flags.Forwarded)
	return c, explain(err, home.client, server)
}

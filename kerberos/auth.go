package kerberos

import (
	"context"
	"fmt"

	"github.com/shoal-ssh/shoal"
)

// Config says who logs in and with which tickets. The zero value uses the
// tickets that kinit got for the user. At most one of Cache, Keytab and Password
// may be set. Two that are equal make equal [shoal.Auth].
type Config struct {
	// Principal is who logs in: "alice", in the default realm, or
	// "alice@EXAMPLE.COM". Empty means whoever the cache is of, the first in
	// the keytab, or with a password the current user.
	Principal string
	// Cache is the credential cache to take tickets from: a file's path, or
	// "FILE:path" or "DIR:path". Empty means the one that KRB5CCNAME names, or
	// default_ccache_name in krb5.conf, or else /tmp/krb5cc_UID. It is read
	// again whenever it changes, and never written.
	Cache string
	// Keytab is a file with the principal's key, from which tickets are got as
	// needed.
	Keytab string
	// Password is the principal's, with which tickets are got as needed. A
	// wrong one is sent to the KDC once.
	Password string
	// ServerName is the host in the name of the service, "host/ServerName", for
	// hosts whose keytab has another name than the one that is connected to.
	// Empty means that one, canonicalised as krb5.conf says.
	ServerName string
	// Delegate hands the hosts a ticket with which they can act as the
	// principal, as long as it is valid: only for hosts that are trusted like
	// this machine. The ticket must be forwardable (kinit -f); the login fails
	// where it is not.
	Delegate bool
	// ConfigFile is read instead of what KRB5_CONFIG names, or /etc/krb5.conf.
	ConfigFile string
}

// String shows everything but the password.
func (c Config) String() string {
	if c.Password != "" {
		c.Password = "(hidden)"
	}
	type plain Config
	return fmt.Sprintf("%+v", plain(c))
}

// GoString is String: %#v shows no password either.
func (c Config) GoString() string { return c.String() }

// Auth logs in with Kerberos, by SSH's "gssapi-with-mic" (RFC 4462 §3). Hosts
// share tickets that are good for all of them. What is wrong with the Config, a
// file or a ticket is told at the login. Safe for concurrent use; there is
// nothing to close.
func Auth(c Config) shoal.Auth {
	name := "Kerberos"
	if c.Principal != "" {
		name += " as " + c.Principal
	}
	s := newSource(c)
	return shoal.GSSAPI(name, c, func(ctx context.Context, host string) (g shoal.GSSAPIContext, err error) {
		defer recoverTo(&err)
		return s.begin(ctx, host)
	})
}

package kerberos

import (
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/shoal-ssh/shoal/internal/krb5file"
)

// Errors to test for with [errors.Is], in the error of a login.
var (
	// ErrNoTicket: there is no ticket in the cache, or none that is still valid.
	ErrNoTicket = errors.New("no valid Kerberos ticket")
	// ErrCredentials: the password or the key of the keytab is wrong, or the
	// account is locked.
	ErrCredentials = errors.New("wrong Kerberos password or key")
	// ErrUnknownPrincipal: the KDC does not know the client, the service of the
	// host, or the realm.
	ErrUnknownPrincipal = errors.New("unknown Kerberos principal")
	// ErrClockSkew: the clocks of this machine and of another differ too much.
	ErrClockSkew = errors.New("clock skew")
	// ErrUnreachable: no key distribution centre answers.
	ErrUnreachable = errors.New("cannot reach the KDC")
)

// problem is an error with a text of its own that stands for one of the above.
type problem struct {
	kind error
	text string
}

func (p *problem) Error() string        { return p.text }
func (p *problem) Is(target error) bool { return target == p.kind }

func problemf(kind error, format string, args ...any) error {
	return &problem{kind, fmt.Sprintf(format, args...)}
}

// errPreauthentication is a wrong password or key.
var errPreauthentication = &replyError{KRBError: messages.KRBError{ErrorCode: errorcode.KDC_ERR_PREAUTH_FAILED}}

// skewError is a difference of clocks: ours is ahead by that much.
type skewError struct {
	who          string
	ahead, limit time.Duration
}

func (e *skewError) Error() string {
	how := "ahead of"
	if e.ahead < 0 {
		how = "behind"
	}
	s := fmt.Sprintf("the clock of this machine is %s %s that of %s: set both right", e.ahead.Abs().Round(time.Second), how, e.who)
	if e.limit > 0 {
		s += fmt.Sprintf(" (%s is allowed)", e.limit)
	}
	return s
}

func (e *skewError) Is(target error) bool { return target == ErrClockSkew }

// explain says in plain words what a KDC refused, who asked for what.
func explain(err error, client, service krb5file.Principal) error {
	e, ok := errors.AsType[*replyError](err)
	if !ok {
		return err
	}
	kdc := "the KDC of " + e.realm
	switch e.ErrorCode {
	case errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN:
		return problemf(ErrUnknownPrincipal, "%s does not know %s", kdc, client)
	case errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN:
		if len(service.Name) == 2 && service.Name[0] == "krbtgt" {
			return problemf(ErrUnknownPrincipal, "%s does not know the realm %s", kdc, service.Name[1])
		}
		return problemf(ErrUnknownPrincipal, "%s does not know the service %s: is its keytab for another name of the host, or krb5.conf's [domain_realm] wrong?", kdc, service)
	case errorcode.KDC_ERR_WRONG_REALM:
		return problemf(ErrUnknownPrincipal, "%s says that %s is of the realm %s", kdc, client, e.CRealm)
	case errorcode.KDC_ERR_PREAUTH_FAILED, errorcode.KRB_AP_ERR_BAD_INTEGRITY:
		return problemf(ErrCredentials, "the password or key of %s is wrong", client)
	case errorcode.KDC_ERR_CLIENT_REVOKED:
		return problemf(ErrCredentials, "%s says that %s is locked or has expired", kdc, client)
	case errorcode.KDC_ERR_KEY_EXPIRED:
		return problemf(ErrCredentials, "the password of %s has expired: change it with kpasswd", client)
	case errorcode.KRB_AP_ERR_TKT_EXPIRED:
		return problemf(ErrNoTicket, "%s says that the ticket of %s has expired: get a new one with kinit", kdc, client)
	case errorcode.KRB_AP_ERR_SKEW, errorcode.KRB_AP_ERR_TKT_NYV, errorcode.KDC_ERR_NEVER_VALID:
		return &skewError{who: kdc, ahead: time.Since(e.STime)}
	case errorcode.KDC_ERR_ETYPE_NOSUPP:
		return fmt.Errorf("%s has no key of AES for %s or %s, and weaker encryption is not supported", kdc, client, service)
	}
	return err
}

// serverError is what the host's service says.
func serverError(e messages.KRBError, now time.Time) error {
	if e.ErrorCode == errorcode.KRB_AP_ERR_SKEW {
		return &skewError{who: "the host", ahead: now.Sub(e.STime)}
	}
	return fmt.Errorf("%s", errorcode.Lookup(e.ErrorCode))
}

// recoverTo makes an error of a panic: messages from the network are parsed
// with code that was not made for hostile ones.
func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed message or file: %v", r)
	}
}

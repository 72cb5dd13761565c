package kerberos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// securityContext is the initiator's side of RFC 4121, for one login: it makes
// an AP-REQ, checks the AP-REP, and signs. It is an ssh.GSSAPIClient.
type securityContext struct {
	service   *credential
	forwarded *credential // what is delegated, or nil
	now       func() time.Time
	done      func(accepted bool)

	sent     types.Authenticator
	key      types.EncryptionKey // to sign with
	subkey   bool                // it is the acceptor's
	accepted bool
}

// Flags of RFC 4121 §4.1.1.1.
const (
	delegateFlag  = 1
	mutualFlag    = 2
	integrityFlag = 32
)

const mutualRequired = 2 // AP option, RFC 4120 §5.5.1

// Token identifiers of RFC 4121 §4.1.
const (
	requestToken = 0x0100
	replyToken   = 0x0200
	errorToken   = 0x0300
)

// InitSecContext returns the first token, or checks the server's answer to it.
func (c *securityContext) InitSecContext(_ string, token []byte, _ bool) (out []byte, more bool, err error) {
	defer recoverTo(&err)
	if token == nil {
		out, err = c.request()
		return out, err == nil, err
	}
	return nil, false, c.reply(token)
}

func (c *securityContext) request() ([]byte, error) {
	auth, err := types.NewAuthenticator(c.service.client.Realm, principalName(c.service.client))
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	auth.CTime, auth.Cusec = now.Truncate(time.Second), now.Nanosecond()/1000
	sum, err := c.checksum()
	if err != nil {
		return nil, err
	}
	auth.Cksum = types.Checksum{CksumType: 0x8003, Checksum: sum}
	r, err := messages.NewAPReq(c.service.ticket, c.service.key, auth)
	if err != nil {
		return nil, err
	}
	types.SetFlag(&r.APOptions, mutualRequired)
	b, err := r.Marshal()
	c.sent = auth
	return frame(requestToken, b), err
}

// checksum carries flags and the delegated ticket (RFC 4121 §4.1.1). There are
// no channel bindings in SSH: the signature is over the session identifier.
func (c *securityContext) checksum() ([]byte, error) {
	wanted := uint32(mutualFlag | integrityFlag)
	if c.forwarded != nil {
		wanted |= delegateFlag
	}
	b := binary.LittleEndian.AppendUint32(nil, 16)
	b = append(b, make([]byte, 16)...)
	b = binary.LittleEndian.AppendUint32(b, wanted)
	if c.forwarded == nil {
		return b, nil
	}
	cred, err := credMessage(c.forwarded, c.service.key)
	if err != nil {
		return nil, err
	}
	if len(cred) > 0xffff {
		return nil, fmt.Errorf("the ticket to delegate has %d bytes, more than fit", len(cred))
	}
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(cred)))
	return append(b, cred...), nil
}

// reply checks that the server could read the ticket (RFC 4120 §3.2.4).
func (c *securityContext) reply(token []byte) error {
	id, b, err := unframe(token)
	if err != nil {
		return err
	}
	switch id {
	case errorToken:
		var refused messages.KRBError
		if err := refused.Unmarshal(b); err != nil {
			return err
		}
		return fmt.Errorf("the server: %w", serverError(refused, c.now()))
	case replyToken:
	default:
		return fmt.Errorf("the server sent a token of kind %04x", id)
	}
	var rep messages.APRep
	if err := rep.Unmarshal(b); err != nil {
		return err
	}
	text, err := crypto.DecryptEncPart(rep.EncPart, c.service.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		return fmt.Errorf("the server does not know the ticket's key: %w", err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(text); err != nil {
		return err
	}
	if !part.CTime.Equal(c.sent.CTime) || part.Cusec != c.sent.Cusec {
		return errors.New("the server answered another request")
	}
	c.key = c.service.key
	if len(part.Subkey.KeyValue) > 0 {
		c.key, c.subkey = part.Subkey, true
	}
	c.accepted = true
	return nil
}

// GetMIC signs (RFC 4121 §4.2.6.1).
func (c *securityContext) GetMIC(message []byte) (mic []byte, err error) {
	defer recoverTo(&err)
	if !c.accepted {
		return nil, errors.New("no security context to sign with")
	}
	t := gssapi.MICToken{SndSeqNum: uint64(c.sent.SeqNumber), Payload: message}
	if c.subkey {
		t.Flags = gssapi.MICTokenFlagAcceptorSubkey
	}
	if err := t.SetChecksum(c.key, keyusage.GSSAPI_INITIATOR_SIGN); err != nil {
		return nil, err
	}
	return t.Marshal()
}

// DeleteSecContext forgets the keys.
func (c *securityContext) DeleteSecContext() error {
	if c.service != nil {
		c.done(c.accepted)
	}
	c.service, c.forwarded, c.key, c.accepted = nil, nil, types.EncryptionKey{}, false
	return nil
}

// mechanism is the DER of Kerberos 5's object identifier, 1.2.840.113554.1.2.2.
var mechanism = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}

const framed = cryptobyteasn1.Tag(0x60) // [APPLICATION 0], constructed

// frame makes a token of RFC 2743 §3.1.
func frame(id uint16, message []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(framed, func(b *cryptobyte.Builder) {
		b.AddBytes(mechanism)
		b.AddUint16(id)
		b.AddBytes(message)
	})
	return b.BytesOrPanic() // fails for lengths beyond 32 bits
}

func unframe(token []byte) (id uint16, message []byte, err error) {
	s, inner := cryptobyte.String(token), cryptobyte.String(nil)
	var name []byte
	if !s.ReadASN1(&inner, framed) || !s.Empty() || !inner.ReadBytes(&name, len(mechanism)) ||
		string(name) != string(mechanism) || !inner.ReadUint16(&id) {
		return 0, nil, errors.New("the server sent a token that is not Kerberos 5")
	}
	return id, inner, nil
}

// The messages of RFC 4120 §5.8.1; gokrb5 only reads them.
type credInfo struct {
	Key       types.EncryptionKey `asn1:"explicit,tag:0"`
	PRealm    string              `asn1:"generalstring,explicit,tag:1"`
	PName     types.PrincipalName `asn1:"explicit,tag:2"`
	Flags     asn1.BitString      `asn1:"explicit,tag:3"`
	AuthTime  time.Time           `asn1:"generalized,optional,explicit,tag:4"`
	StartTime time.Time           `asn1:"generalized,optional,explicit,tag:5"`
	EndTime   time.Time           `asn1:"generalized,explicit,tag:6"`
	RenewTill time.Time           `asn1:"generalized,optional,explicit,tag:7"`
	SRealm    string              `asn1:"generalstring,explicit,tag:8"`
	SName     types.PrincipalName `asn1:"explicit,tag:9"`
}

type credPart struct {
	TicketInfo []credInfo `asn1:"explicit,tag:0"`
}

type cred struct {
	PVNO    int                 `asn1:"explicit,tag:0"`
	MsgType int                 `asn1:"explicit,tag:1"`
	Tickets asn1.RawValue       `asn1:"explicit,tag:2"`
	EncPart types.EncryptedData `asn1:"explicit,tag:3"`
}

// credMessage is a KRB-CRED with one ticket, sealed with the session key of the
// service's ticket.
func credMessage(t *credential, key types.EncryptionKey) ([]byte, error) {
	part, err := asn1.Marshal(credPart{[]credInfo{{Key: t.key, PRealm: t.client.Realm, PName: principalName(t.client),
		Flags: t.flags, AuthTime: t.auth, StartTime: t.start, EndTime: t.end, RenewTill: t.renew,
		SRealm: t.server.Realm, SName: principalName(t.server)}}})
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(part, asnAppTag.EncKrbCredPart), key, keyusage.KRB_CRED_ENCPART, 0)
	if err != nil {
		return nil, err
	}
	tickets, err := messages.MarshalTicketSequence([]messages.Ticket{t.ticket})
	if err != nil {
		return nil, err
	}
	tickets.Tag = 2
	b, err := asn1.Marshal(cred{PVNO: iana.PVNO, MsgType: msgtype.KRB_CRED, Tickets: tickets, EncPart: sealed})
	return asn1tools.AddASNAppTag(b, asnAppTag.KRBCred), err
}

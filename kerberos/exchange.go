package kerberos

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/shoal-ssh/shoal/internal/krb5file"
)

// The exchanges with a KDC of RFC 4120 §3.1 and §3.3. The messages are
// gokrb5's. Its client is not used: it takes no context, and renews tickets in
// goroutines of its own.

// credential is a ticket with its session key.
type credential struct {
	ticket         messages.Ticket
	key            types.EncryptionKey
	client, server krb5file.Principal
	flags          asn1.BitString
	auth           time.Time
	start          time.Time // zero: auth
	end, renew     time.Time
}

// usable reports whether the ticket is good for a while yet.
func (c *credential) usable() bool {
	return c != nil && time.Until(c.end) > 10*time.Second
}

func (c *credential) forwardable() bool { return isSet(c.flags, flags.Forwardable) }

// isSet is types.IsFlagSet, which panics on short ones.
func isSet(f asn1.BitString, i int) bool { return f.At(i) != 0 }

// referral is the realm that a ticket-granting ticket is for, or "".
func (c *credential) referral() string {
	if n := c.server.Name; len(n) == 2 && n[0] == "krbtgt" {
		return n[1]
	}
	return ""
}

func fromFile(t krb5file.Ticket) (*credential, error) {
	c := &credential{client: t.Client, server: t.Server, auth: t.Auth, start: t.Start, end: t.End, renew: t.RenewTill,
		key:   types.EncryptionKey{KeyType: t.Key.Type, KeyValue: t.Key.Value},
		flags: asn1.BitString{Bytes: binary.BigEndian.AppendUint32(nil, t.Flags), BitLength: 32}}
	return c, c.ticket.Unmarshal(t.Encoded)
}

func principalName(p krb5file.Principal) types.PrincipalName {
	return types.PrincipalName{NameType: p.Type, NameString: p.Name}
}

func grantingService(realm, of string) krb5file.Principal {
	return krb5file.Principal{Type: nametype.KRB_NT_SRV_INST, Name: []string{"krbtgt", realm}, Realm: of}
}

func grantingTicket(realm string) krb5file.Principal { return grantingService(realm, realm) }

// request is what is the same in both exchanges.
func request(server krb5file.Principal, till, renew time.Time, encryption []int32, options ...int) (messages.KDCReqBody, error) {
	var nonce [4]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return messages.KDCReqBody{}, err
	}
	body := messages.KDCReqBody{
		KDCOptions: types.NewKrbFlags(),
		Realm:      server.Realm,
		SName:      principalName(server),
		Till:       till.UTC(),
		RTime:      renew.UTC(),
		Nonce:      int(binary.BigEndian.Uint32(nonce[:]) >> 1), // MIT's is signed
		EType:      encryption,
	}
	types.SetFlags(&body.KDCOptions, options)
	if renew.IsZero() {
		body.RTime = time.Time{}
	} else {
		types.SetFlag(&body.KDCOptions, flags.Renewable)
	}
	return body, nil
}

// keyMaker makes the client's key of the type that the KDC asks for.
type keyMaker func(types.ETypeInfo2Entry) (types.EncryptionKey, error)

var errNoKey = errors.New("no key of that type")

// maxIterations bounds the work that a KDC may ask for to make a key out of a
// password. MIT's default is 32768.
const maxIterations = 1 << 20

// passwordKey makes keys as RFC 3962 and RFC 8009 say.
func passwordKey(client krb5file.Principal, password string) keyMaker {
	return func(info types.ETypeInfo2Entry) (types.EncryptionKey, error) {
		encryption, err := crypto.GetEtype(info.EType)
		if err != nil {
			return types.EncryptionKey{}, errNoKey
		}
		salt, parameters := info.Salt, encryption.GetDefaultStringToKeyParams()
		if salt == "" {
			salt = principalName(client).GetSalt(client.Realm)
		}
		if len(info.S2KParams) == 4 {
			if binary.BigEndian.Uint32(info.S2KParams)-1 >= maxIterations { // 0 stands for 1<<32
				return types.EncryptionKey{}, errors.New("the KDC asks for too much work to make a key of the password")
			}
			parameters = hex.EncodeToString(info.S2KParams)
		}
		value, err := encryption.StringToKey(password, salt, parameters)
		return types.EncryptionKey{KeyType: info.EType, KeyValue: value}, err
	}
}

func keytabKey(client krb5file.Principal, keytab krb5file.Keytab) keyMaker {
	return func(info types.ETypeInfo2Entry) (types.EncryptionKey, error) {
		e := keytab.Find(client, info.EType)
		if e == nil {
			return types.EncryptionKey{}, errNoKey
		}
		return types.EncryptionKey{KeyType: e.Key.Type, KeyValue: e.Key.Value}, nil
	}
}

// asExchange gets a ticket-granting ticket for the client's realm (RFC 4120
// §3.1), with an encrypted timestamp (§5.2.7.2) where the KDC wants one.
func (k *kdcs) asExchange(ctx context.Context, client krb5file.Principal, makeKey keyMaker, s *settings) (*credential, error) {
	renew := time.Time{}
	if s.renew > 0 {
		renew = time.Now().Add(s.renew)
	}
	body, err := request(grantingTicket(client.Realm), time.Now().Add(s.lifetime), renew, s.encryption)
	if err != nil {
		return nil, err
	}
	body.CName = principalName(client)
	if s.forwardable {
		types.SetFlag(&body.KDCOptions, flags.Forwardable)
	}
	r := messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: iana.PVNO, MsgType: msgtype.KRB_AS_REQ, ReqBody: body}}
	reply, err := k.sendAS(ctx, client.Realm, &r)
	var key types.EncryptionKey
	if e, ok := errors.AsType[*replyError](err); ok && e.ErrorCode == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		var stamp types.PAData
		if stamp, key, err = encryptedTimestamp(e.EData, makeKey, s.encryption); err != nil {
			return nil, err
		}
		r.PAData = types.PADataSequence{stamp}
		reply, err = k.sendAS(ctx, client.Realm, &r)
	}
	if err != nil {
		return nil, err
	}
	var rep messages.ASRep
	if err := rep.Unmarshal(reply); err != nil {
		return nil, badReply(client.Realm, err)
	}
	if key.KeyType != rep.EncPart.EType || key.KeyValue == nil {
		if key, err = makeKey(infoOf(rep.PAData, rep.EncPart.EType)); err != nil {
			return nil, err
		}
	}
	part, err := decryptPart(rep.EncPart, key, keyusage.AS_REP_ENCPART)
	if err != nil {
		return nil, errPreauthentication // without preauthentication this is how it shows
	}
	if !rep.CName.Equal(body.CName) || rep.CRealm != client.Realm || !part.SName.Equal(body.SName) {
		return nil, badReply(client.Realm, errors.New("it is for somebody else"))
	}
	if d := time.Since(part.AuthTime); d.Abs() > s.skew {
		return nil, &skewError{"the KDC of " + client.Realm, d, s.skew}
	}
	return newCredential(client, rep.KDCRepFields, part, body, client.Realm)
}

func (k *kdcs) sendAS(ctx context.Context, realm string, r *messages.ASReq) ([]byte, error) {
	b, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	return k.send(ctx, realm, b)
}

// encryptedTimestamp answers the KDC's wish for preauthentication.
func encryptedTimestamp(wish []byte, makeKey keyMaker, encryption []int32) (types.PAData, types.EncryptionKey, error) {
	var methods types.PADataSequence
	if err := methods.Unmarshal(wish); err != nil {
		return types.PAData{}, types.EncryptionKey{}, fmt.Errorf("preauthentication: %w", err)
	}
	if !methods.Contains(patype.PA_ENC_TIMESTAMP) {
		return types.PAData{}, types.EncryptionKey{}, errors.New("the KDC wants a kind of preauthentication that is not supported: use a ticket of kinit")
	}
	for _, info := range infos(methods, encryption) {
		if !slices.Contains(encryption, info.EType) {
			continue
		}
		key, err := makeKey(info)
		if errors.Is(err, errNoKey) {
			continue
		}
		if err != nil {
			return types.PAData{}, key, err
		}
		now := time.Now().UTC()
		stamp, err := asn1.Marshal(types.PAEncTSEnc{PATimestamp: now.Truncate(time.Second), PAUSec: now.Nanosecond() / 1000})
		if err != nil {
			return types.PAData{}, key, err
		}
		sealed, err := crypto.GetEncryptedData(stamp, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, 0)
		if err != nil {
			return types.PAData{}, key, err
		}
		value, err := sealed.Marshal()
		return types.PAData{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value}, key, err
	}
	return types.PAData{}, types.EncryptionKey{}, errNoKey
}

// infos are the encryption types that the KDC has keys of, its favourite first.
func infos(methods types.PADataSequence, encryption []int32) []types.ETypeInfo2Entry {
	for _, m := range methods {
		if m.PADataType == patype.PA_ETYPE_INFO2 {
			if list, err := m.GetETypeInfo2(); err == nil {
				return list
			}
		}
	}
	var list []types.ETypeInfo2Entry
	for _, id := range encryption {
		list = append(list, types.ETypeInfo2Entry{EType: id})
	}
	return list
}

func infoOf(methods types.PADataSequence, encryption int32) types.ETypeInfo2Entry {
	for _, info := range infos(methods, nil) {
		if info.EType == encryption {
			return info
		}
	}
	return types.ETypeInfo2Entry{EType: encryption}
}

// tgsExchange gets a ticket for a service with a ticket-granting ticket (RFC
// 4120 §3.3) from a KDC of the service's realm.
func (k *kdcs) tgsExchange(ctx context.Context, granting *credential, server krb5file.Principal, s *settings, options ...int) (*credential, error) {
	renew := time.Time{}
	if slices.Contains(options, flags.Forwarded) && isSet(granting.flags, flags.Renewable) {
		renew = granting.renew
	}
	body, err := request(server, granting.end, renew, s.encryption, options...)
	if err != nil {
		return nil, err
	}
	text, err := body.Marshal()
	if err != nil {
		return nil, err
	}
	encryption, err := crypto.GetEtype(granting.key.KeyType)
	if err != nil {
		return nil, err
	}
	sum, err := encryption.GetChecksumHash(granting.key.KeyValue, text, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM)
	if err != nil {
		return nil, err
	}
	auth, err := types.NewAuthenticator(granting.client.Realm, principalName(granting.client))
	if err != nil {
		return nil, err
	}
	auth.Cksum = types.Checksum{CksumType: encryption.GetHashID(), Checksum: sum}
	proof, err := messages.NewAPReq(granting.ticket, granting.key, auth)
	if err != nil {
		return nil, err
	}
	value, err := proof.Marshal()
	if err != nil {
		return nil, err
	}
	r := messages.TGSReq{KDCReqFields: messages.KDCReqFields{PVNO: iana.PVNO, MsgType: msgtype.KRB_TGS_REQ, ReqBody: body,
		PAData: types.PADataSequence{{PADataType: patype.PA_TGS_REQ, PADataValue: value}}}}
	b, err := r.Marshal()
	if err != nil {
		return nil, err
	}
	reply, err := k.send(ctx, server.Realm, b)
	if err != nil {
		return nil, err
	}
	var rep messages.TGSRep
	if err := rep.Unmarshal(reply); err != nil {
		return nil, badReply(server.Realm, err)
	}
	part, err := decryptPart(rep.EncPart, granting.key, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	if err != nil {
		return nil, badReply(server.Realm, err)
	}
	return newCredential(granting.client, rep.KDCRepFields, part, body, server.Realm)
}

func decryptPart(sealed types.EncryptedData, key types.EncryptionKey, usage uint32) (messages.EncKDCRepPart, error) {
	var part messages.EncKDCRepPart
	if sealed.EType != key.KeyType {
		return part, fmt.Errorf("encryption type %d instead of %d", sealed.EType, key.KeyType)
	}
	text, err := crypto.DecryptEncPart(sealed, key, usage)
	if err != nil {
		return part, err
	}
	return part, part.Unmarshal(text)
}

func newCredential(client krb5file.Principal, rep messages.KDCRepFields, part messages.EncKDCRepPart, body messages.KDCReqBody, realm string) (*credential, error) {
	if part.Nonce != body.Nonce {
		return nil, badReply(realm, errors.New("it answers another request"))
	}
	if len(part.SName.NameString) == 0 || len(rep.Ticket.SName.NameString) == 0 {
		return nil, badReply(realm, errors.New("it names no service"))
	}
	return &credential{ticket: rep.Ticket, key: part.Key, client: client, flags: part.Flags,
		server: krb5file.Principal{Type: part.SName.NameType, Name: part.SName.NameString, Realm: part.SRealm},
		auth:   part.AuthTime, start: part.StartTime, end: part.EndTime, renew: part.RenewTill}, nil
}

func badReply(realm string, err error) error {
	return fmt.Errorf("the KDC of %s sent a bad reply: %w", realm, err)
}

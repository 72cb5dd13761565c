package kerberos

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/shoal-ssh/shoal/internal/krb5file"
)

func testKey(fill byte) types.EncryptionKey {
	value := make([]byte, 32)
	for i := range value {
		value[i] = fill
	}
	return types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: value}
}

// testContext is a login that has sent its first token.
func testContext(t testing.TB) *securityContext {
	t.Helper()
	alice := krb5file.Principal{Type: 1, Name: []string{"alice"}, Realm: "R"}
	web := krb5file.Principal{Type: 3, Name: []string{"host", "web"}, Realm: "R"}
	c := &securityContext{now: time.Now, done: func(bool) {}, service: &credential{client: alice, server: web, key: testKey(1),
		ticket: messages.Ticket{TktVNO: 5, Realm: "R", SName: principalName(web), EncPart: types.EncryptedData{EType: 18, Cipher: []byte("sealed")}}}}
	token, more, err := c.InitSecContext("", nil, false)
	if err != nil || !more {
		t.Fatal(more, err)
	}
	if id, _, err := unframe(token); id != requestToken || err != nil {
		t.Fatalf("the first token is of kind %04x, %v", id, err)
	}
	return c
}

// answer is the token of a server that has the key, answers a request of that
// time, and signs with a key of its own.
func answer(t testing.TB, key types.EncryptionKey, sent types.Authenticator) []byte {
	t.Helper()
	part, err := asn1.Marshal(messages.EncAPRepPart{CTime: sent.CTime, Cusec: sent.Cusec, Subkey: testKey(7), SequenceNumber: 1})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := crypto.GetEncryptedData(asn1tools.AddASNAppTag(part, asnAppTag.EncAPRepPart), key, keyusage.AP_REP_ENCPART, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := asn1.Marshal(messages.APRep{PVNO: 5, MsgType: msgtype.KRB_AP_REP, EncPart: sealed})
	if err != nil {
		t.Fatal(err)
	}
	return frame(replyToken, asn1tools.AddASNAppTag(b, asnAppTag.APREP))
}

func refusal(t testing.TB, code int32, at time.Time) []byte {
	t.Helper()
	e := messages.NewKRBError(types.PrincipalName{NameType: 3, NameString: []string{"host", "web"}}, "R", code, "")
	e.STime = at.UTC().Truncate(time.Second)
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return frame(errorToken, b)
}

// Only a server that could read the ticket, and answers this very login, is
// signed to.
func TestServerToken(t *testing.T) {
	t.Parallel()
	other := types.Authenticator{CTime: time.Unix(1000, 0).UTC()}
	for name, tt := range map[string]struct {
		token func(*securityContext) []byte
		want  string // of the error
	}{
		"right":         {func(c *securityContext) []byte { return answer(t, testKey(1), c.sent) }, ""},
		"another key":   {func(c *securityContext) []byte { return answer(t, testKey(2), c.sent) }, "does not know the ticket's key"},
		"another login": {func(*securityContext) []byte { return answer(t, testKey(1), other) }, "answered another request"},
		"skew": {func(*securityContext) []byte {
			return refusal(t, errorcode.KRB_AP_ERR_SKEW, time.Now().Add(-time.Hour))
		}, "ahead of that of the host"},
		"refused":   {func(*securityContext) []byte { return refusal(t, errorcode.KRB_AP_ERR_NOKEY, time.Now()) }, "NOKEY"},
		"empty":     {func(*securityContext) []byte { return []byte{} }, "not Kerberos 5"},
		"NTLM":      {func(*securityContext) []byte { return []byte("NTLMSSP\x00\x02") }, "not Kerberos 5"},
		"our own":   {func(*securityContext) []byte { return frame(requestToken, []byte{0}) }, "token of kind 0100"},
		"truncated": {func(c *securityContext) []byte { b := answer(t, testKey(1), c.sent); return b[:len(b)-1] }, "not Kerberos 5"},
		"no answer": {func(*securityContext) []byte { return frame(replyToken, nil) }, "unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testContext(t)
			_, more, err := c.InitSecContext("", tt.token(c), false)
			mic, micErr := c.GetMIC([]byte("session"))
			if tt.want == "" {
				if err != nil || more || micErr != nil || len(mic) < 16 || mic[2] != 4 {
					t.Errorf("got %v, %v; %x, %v", more, err, mic, micErr)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || micErr == nil {
				t.Errorf("got %v and a signature %x, want %s and none", err, mic, tt.want)
			}
		})
	}
}

// No token that a server makes up is accepted, or ends the program.
func FuzzServerToken(f *testing.F) {
	f.Add(answer(f, testKey(2), types.Authenticator{CTime: time.Unix(1000, 0).UTC()}))
	f.Add(answer(f, testKey(1), types.Authenticator{CTime: time.Unix(1000, 0).UTC()}))
	f.Add(refusal(f, errorcode.KRB_AP_ERR_SKEW, time.Unix(1000, 0)))
	f.Fuzz(func(t *testing.T, token []byte) {
		c := testContext(t)
		if _, _, err := c.InitSecContext("", append([]byte{}, token...), false); err == nil {
			t.Errorf("%x was accepted", token)
		}
		if _, err := c.GetMIC([]byte("session")); err == nil {
			t.Error("signed to it")
		}
	})
}

// A KDC that answers with anything yields an error.
func FuzzKDCReply(f *testing.F) {
	conf := filepath.Join(f.TempDir(), "krb5.conf")
	text := "[libdefaults]\ndns_canonicalize_hostname = false\n[realms]\nR = {\n kdc = kdc\n}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	wanted := messages.NewKRBError(types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", "R"}}, "R", errorcode.KDC_ERR_PREAUTH_REQUIRED, "")
	wanted.EData, _ = asn1.Marshal(types.PADataSequence{{PADataType: 2}, {PADataType: 19, PADataValue: []byte{0x30, 0x0a, 0x30, 0x08, 0xa0, 3, 2, 1, 18, 0xa1, 1, 0}}})
	first, err := wanted.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first, first)
	for _, seed := range []string{"", "\x6b\x00", "\x7e\x03\x30\x01\x00", "\x6b\x82\xff\xff\x30"} {
		f.Add([]byte(seed), first)
		f.Add(first, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		replies := [][]byte{first, second}
		s := newSource(Config{Principal: "alice@R", Password: "secret", ConfigFile: conf})
		s.dial = func(context.Context, string, string) (net.Conn, error) {
			if len(replies) == 0 {
				return nil, io.EOF
			}
			reply := replies[0]
			replies = replies[1:]
			ours, its := net.Pipe()
			go func() {
				defer its.Close()
				var head [4]byte
				if _, err := io.ReadFull(its, head[:]); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, its, int64(binary.BigEndian.Uint32(head[:]))); err == nil {
					its.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
				}
			}()
			return ours, nil
		}
		_, err := func() (home homeTicket, err error) {
			defer recoverTo(&err)
			return s.prepare(t.Context())
		}()
		if err == nil {
			t.Errorf("got a ticket for %x, %x", first, second)
		}
	})
}

package kerberos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/shoal-ssh/shoal/internal/krb5file"
)

const (
	dialTimeout  = 5 * time.Second // for one address
	replyTimeout = 10 * time.Second
	downTime     = 5 * time.Second // how long a realm that did not answer is not asked again
	maxReply     = 1 << 20
)

// kdcs speaks to the key distribution centres of realms, over TCP (RFC 4120
// §7.2.2).
type kdcs struct {
	conf *krb5file.Conf
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	last  map[string]string // by realm, the address that answered last
	down  map[string]time.Time
	cause map[string]error
}

// replyError is a KRB-ERROR (RFC 4120 §5.9.1) of a KDC.
type replyError struct {
	realm string
	messages.KRBError
}

func (e *replyError) Error() string {
	s := fmt.Sprintf("the KDC of %s: %s", e.realm, errorcode.Lookup(e.ErrorCode))
	if e.EText != "" {
		s += fmt.Sprintf(" %q", e.EText)
	}
	return s
}

// send returns the reply of the first KDC of the realm that gives one.
func (k *kdcs) send(ctx context.Context, realm string, request []byte) ([]byte, error) {
	k.mu.Lock()
	last, cause := k.last[realm], k.cause[realm]
	if !time.Now().Before(k.down[realm]) {
		cause = nil
	}
	k.mu.Unlock()
	if cause != nil {
		return nil, cause
	}
	addresses, err := k.addresses(ctx, realm)
	if err != nil {
		return nil, err
	}
	if last != "" {
		addresses = append([]string{last}, addresses...)
	}
	var errs []error
	for i, address := range addresses {
		if i > 0 && address == last {
			continue
		}
		reply, err := k.roundTrip(ctx, address, request)
		if err == nil {
			var refused messages.KRBError
			if refused.Unmarshal(reply) != nil {
				k.answered(realm, address)
				return reply, nil
			}
			err = &replyError{realm, refused}
			if refused.ErrorCode != errorcode.KDC_ERR_SVC_UNAVAILABLE {
				k.answered(realm, address)
				return nil, err
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the KDC of %s at %s: %w", realm, address, context.Cause(ctx))
		}
		errs = append(errs, err)
	}
	err = fmt.Errorf("%w of %s: %w", ErrUnreachable, realm, joined(errs))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down == nil {
		k.down, k.cause = map[string]time.Time{}, map[string]error{}
	}
	k.down[realm], k.cause[realm] = time.Now().Add(downTime), err
	return nil, err
}

func (k *kdcs) answered(realm, address string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last == nil {
		k.last = map[string]string{}
	}
	k.last[realm] = address
	delete(k.down, realm)
}

// addresses are those of krb5.conf, or else of DNS (RFC 4120 §7.2.3).
func (k *kdcs) addresses(ctx context.Context, realm string) ([]string, error) {
	var list []string
	configured := k.conf.KDCs(realm)
	for _, kdc := range configured {
		if strings.Contains(kdc, "://") {
			continue // a proxy (MS-KKDCP)
		}
		list = append(list, withPort(strings.TrimPrefix(kdc, "tcp/"), "88"))
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(configured) > 0:
		return nil, fmt.Errorf("%w of %s: krb5.conf names proxies only, which are not supported", ErrUnreachable, realm)
	case !k.conf.Bool("dns_lookup_kdc", true):
		return nil, fmt.Errorf("%w of %s: krb5.conf names no kdc in [realms] and forbids to ask DNS", ErrUnreachable, realm)
	}
	for _, protocol := range []string{"tcp", "udp"} {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", protocol, realm)
		if err != nil {
			continue
		}
		for _, r := range records {
			list = append(list, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
		}
		if len(list) > 0 {
			return list, nil
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("%w of %s: neither krb5.conf, under [realms], nor DNS says where it is", ErrUnreachable, realm)
}

func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

// roundTrip sends one message on a connection of its own.
func (k *kdcs) roundTrip(ctx context.Context, address string, request []byte) ([]byte, error) {
	conn, err := k.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxReply {
		return nil, fmt.Errorf("%s: no KDC: a reply of %d bytes", address, n)
	}
	var reply bytes.Buffer
	if _, err := io.CopyN(&reply, conn, int64(n)); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return reply.Bytes(), nil
}

// joined is errors.Join on one line.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	var text []string
	for _, err := range errs {
		text = append(text, err.Error())
	}
	return errors.New(strings.Join(text, "; "))
}

package shoal_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/shoal-ssh/shoal"
)

// connectFunc is a Transport.
type connectFunc func(context.Context, shoal.Host, bool) (*shoal.Carrier, error)

func (f connectFunc) Connect(ctx context.Context, h shoal.Host, alone bool) (*shoal.Carrier, error) {
	return f(ctx, h, alone)
}

// A Transport gets hosts as they were given; what it says of a failure is kept.
func TestTransport(t *testing.T) {
	var got shoal.Host
	for name, test := range map[string]struct {
		err   error
		kind  shoal.Kind
		stage shoal.Stage
	}{
		"its own": {&shoal.HostError{Stage: shoal.StageHostKey, Kind: shoal.KindHostKeyChanged, Err: errors.New("no")}, shoal.KindHostKeyChanged, shoal.StageHostKey},
		"any":     {errors.New("no"), shoal.KindUnreachable, shoal.StageConnect},
	} {
		t.Run(name, func(t *testing.T) {
			c := &shoal.Client{Transport: connectFunc(func(_ context.Context, h shoal.Host, alone bool) (*shoal.Carrier, error) {
				got = h
				if alone {
					t.Error("the first connection was to be alone")
				}
				return nil, test.err
			})}
			defer c.Close()
			_, err := c.Conn(testContext(t), shoal.Host{Name: "a", Addr: "[::1]:2200", Via: []shoal.Host{{Name: "b:23"}}})
			he, ok := errors.AsType[*shoal.HostError](err)
			if !ok || he.Kind != test.kind || he.Stage != test.stage || he.Host != "a" || he.Attempt != 1 {
				t.Errorf("got %+v", err)
			}
			if got.Addr != "::1" || got.Port != 2200 || got.User != "" || got.Auth != nil || got.HostKeys != nil ||
				len(got.Via) != 1 || got.Via[0].Addr != "b" || got.Via[0].Port != 23 {
				t.Errorf("it got %+v", got)
			}
		})
	}
	t.Run("with Dial", func(t *testing.T) {
		c := &shoal.Client{Transport: connectFunc(nil), Dial: new(net.Dialer).DialContext}
		defer c.Close()
		_, err := c.Conn(testContext(t), shoal.Host{Name: "a"})
		if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindInvalid {
			t.Errorf("got %v", err)
		}
	})
}

// What a Transport connected to may say nothing, or nonsense, or go away.
func TestTransportBroken(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(net.Conn)
		kind  shoal.Kind
	}{
		"silent":   {func(c net.Conn) { io.Copy(io.Discard, c) }, shoal.KindTimeout},
		"closed":   {func(c net.Conn) { c.Close() }, shoal.KindLost},
		"nonsense": {func(c net.Conn) { go io.Copy(io.Discard, c); io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }, shoal.KindLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &shoal.Client{Transport: connectFunc(func(context.Context, shoal.Host, bool) (*shoal.Carrier, error) {
					near, far := net.Pipe()
					go func() { test.serve(far) }()
					return &shoal.Carrier{Conn: near}, nil
				})}
				defer c.Close()
				_, err := c.Conn(t.Context(), shoal.Host{Name: "a", Retry: shoal.Retry{Attempts: -1}})
				he, ok := errors.AsType[*shoal.HostError](err)
				if !ok || he.Kind != test.kind || he.MayRun {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

package shoal

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// ProxyDial returns a function for [Client.Dial] that connects through a proxy:
// "socks5://[user:password@]host:port" (RFC 1928), or "http://…" and "https://…"
// for HTTP CONNECT (RFC 9110 §9.3.6). The proxy looks names up. Its errors name
// the proxy without user and password. The function is safe for concurrent use;
// the end of its context ends an attempt.
func ProxyDial(proxyURL string) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	u, err := url.Parse(proxyURL)
	if err != nil {
		return nil, errors.New("proxy: not a URL") // the error would show a password
	}
	if u.Hostname() == "" || u.Port() == "" {
		return nil, fmt.Errorf("proxy %s: want SCHEME://HOST:PORT", u.Redacted())
	}
	var dial func(ctx context.Context, network, addr string) (net.Conn, error)
	switch u.Scheme {
	case "socks5", "socks5h":
		var auth *proxy.Auth
		if u.User != nil {
			password, _ := u.User.Password()
			auth = &proxy.Auth{User: u.User.Username(), Password: password}
		}
		d, err := proxy.SOCKS5("tcp", u.Host, auth, new(net.Dialer))
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", u.Host, err)
		}
		dial = d.(proxy.ContextDialer).DialContext
	case "http", "https":
		dial = func(ctx context.Context, _, addr string) (net.Conn, error) { return httpConnect(ctx, u, addr) }
	default:
		return nil, fmt.Errorf("proxy %s: the scheme %q is not socks5, http or https", u.Host, u.Scheme)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", u.Host, err)
		}
		return conn, nil
	}, nil
}

// httpConnect asks an HTTP proxy for a connection.
func httpConnect(ctx context.Context, u *url.URL, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	failed := func(err error) (net.Conn, error) {
		stop()
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	stream := conn
	if u.Scheme == "https" {
		stream = tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	}
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if u.User != nil {
		password, _ := u.User.Password()
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(u.User.Username(), password)
		ask.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	if err := ask.Write(stream); err != nil {
		return failed(err)
	}
	r := bufio.NewReaderSize(stream, 4096)
	answer, err := http.ReadResponse(r, ask)
	if err != nil {
		return failed(err)
	}
	if answer.StatusCode != http.StatusOK {
		return failed(fmt.Errorf("it answers %q", printable(answer.Status)))
	}
	if !stop() {
		return failed(context.Cause(ctx))
	}
	return &readAhead{stream, r}, nil
}

// readAhead is a connection of which some was read already.
type readAhead struct {
	net.Conn
	r *bufio.Reader
}

func (c *readAhead) Read(p []byte) (int, error) { return c.r.Read(p) }

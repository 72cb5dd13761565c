package sshagent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// exchange sends a request and returns the reply. It takes a connection of its
// own, an idle one if there is, so that requests cannot get in each other's way;
// one on which anything went wrong is not used again.
func (c *Client) exchange(key string, r request, budget time.Duration) ([]byte, error) {
	deadline := time.Now().Add(budget)
	reply, reused, err := c.try(key, r, deadline, c.takeIdle)
	if reused && broken(err) && !isTimeout(err) {
		// It may be left over from an agent that was restarted.
		reply, _, err = c.try(key, r, deadline, c.dialFresh)
	}
	switch {
	case err == nil:
		return reply, nil
	case c.life.Err() != nil:
		return nil, ErrClosed
	case isTimeout(err):
		return nil, fmt.Errorf("no answer within %v: %w", budget, os.ErrDeadlineExceeded)
	}
	return nil, err
}

// try makes one attempt on a connection that take provides.
func (c *Client) try(key string, r request, deadline time.Time,
	take func(time.Time) (conn net.Conn, reused bool, err error),
) (reply []byte, reused bool, err error) {
	conn, reused, err := take(deadline)
	if err != nil {
		return nil, reused, err
	}
	if err := c.start(conn, key, deadline); err != nil {
		return nil, reused, err
	}
	reply, err = r.roundTrip(conn)
	c.finish(conn, key, err)
	return reply, reused, err
}

// takeIdle returns an idle connection, or a fresh one when there is none.
func (c *Client) takeIdle(deadline time.Time) (net.Conn, bool, error) {
	c.mu.Lock()
	n := len(c.idle) - 1
	if n < 0 {
		c.mu.Unlock()
		return c.dialFresh(deadline)
	}
	defer c.mu.Unlock()
	conn := c.idle[n]
	c.idle = c.idle[:n]
	return conn, true, nil
}

func (c *Client) dialFresh(deadline time.Time) (net.Conn, bool, error) {
	ctx, cancel := context.WithDeadline(c.life, deadline)
	defer cancel()
	conn, err := c.dial(ctx)
	return conn, false, err
}

// start books a connection for a request, unless the client was closed.
func (c *Client) start(conn net.Conn, key string, deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return ErrClosed
	}
	c.busy[conn] = key
	return conn.SetDeadline(deadline)
}

// finish ends the booking. A signature gives the others with the same key their
// whole budget again: they may have waited in the agent's queue behind it.
func (c *Client) finish(conn net.Conn, key string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, conn)
	if broken(err) || c.closed {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
	later := time.Now().Add(c.signBudget(key))
	for other, its := range c.busy {
		if its == key {
			_ = other.SetDeadline(later) // one that broke tells its own request
		}
	}
}

// broken reports whether a connection is out of use after an error.
func broken(err error) bool { return err != nil && !errors.Is(err, errRefused) }

// isTimeout knows the deadlines of contexts, of sockets and of Windows' pipes.
func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

package shoal

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/internal/sshagent"
)

// agentForward is the agent that a server may reach through a connection.
type agentForward struct {
	agent  *sshagent.Client
	places chan struct{}
}

// Bounds on the use of a forwarded agent.
const (
	maxAgentChannels = 16 // at once, in one connection
	agentBudget      = 5 * time.Second
)

// checkAgent refuses what is no agent.
func (a Auth) checkAgent() error {
	if _, ok := a.id.(agentID); !ok && !a.invalid() {
		return errors.New("ForwardAgent is no agent: want Agent or AgentSocket, not " + a.String())
	}
	return nil
}

// socket returns where an agent is to be found, and whether it is one at a path:
// on Windows the user's is at a pipe, whose name is not ours to know.
func (a Auth) socket() (path string, ok bool) {
	id, _ := a.id.(agentID)
	if id == "" {
		return os.Getenv("SSH_AUTH_SOCK"), runtime.GOOS != "windows"
	}
	path, err := expandHome(string(id))
	return path, err == nil
}

// agent returns the agent to forward to the host; nil for none.
func (c *Conn) agent() (*sshagent.Client, error) { return c.peer.client.forwardedAgent(c.host) }

func (c *Client) forwardedAgent(h Host) (*sshagent.Client, error) {
	if h.ForwardAgent.invalid() {
		return nil, nil
	}
	socket, err := expandHome(string(h.ForwardAgent.id.(agentID)))
	if err == nil {
		var agent *sshagent.Client
		if agent, err = c.agents.at(socket); err == nil {
			return agent, nil
		}
	}
	return nil, noAgent(h, err)
}

func noAgent(h Host, err error) *HostError {
	return &HostError{Host: h.Name, Stage: StagePrepare, Kind: KindAgent, Err: err,
		Hint: "start ssh-agent, or forward no agent"}
}

// findAgent connects to the agent that is to be forwarded: whether it is there is
// told before the host is connected to.
func (c *Client) findAgent(ctx context.Context, h Host) error {
	agent, err := c.forwardedAgent(h)
	if err != nil || agent == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, agentBudget)
	defer cancel()
	conn, err := agent.Dial(ctx)
	if err != nil {
		return noAgent(h, err)
	}
	return conn.Close()
}

// forwardAgent lets the server reach the agent from now on. It is told of that
// by each session that may use it.
func (c *Conn) forwardAgent(l *link, agent *sshagent.Client) {
	if agent == nil {
		return
	}
	log := c.peer.client.Log
	if l.noSecret {
		log.Warn("the SSH agent is not forwarded: the host's key is not the known one", hostAttr(c.host))
		return
	}
	c.peer.client.agentWarning.Do(func() {
		log.Warn("the SSH agent is forwarded: whoever controls the host can use its keys meanwhile", hostAttr(c.host))
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.agent == nil { // else it is the same: see sameLogin
		l.agent = &agentForward{agent, make(chan struct{}, maxAgentChannels)}
	}
}

func (l *link) forwardsAgent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agent != nil
}

// incomingAgent answers a channel to the agent (PROTOCOL.agent of OpenSSH),
// which is no where no session asked for it.
func (l *link) incomingAgent(nc ssh.NewChannel) bool {
	l.mu.Lock()
	a := l.agent
	l.opened++
	l.mu.Unlock()
	if a == nil {
		return false
	}
	select {
	case a.places <- struct{}{}:
	default:
		nc.Reject(ssh.ResourceShortage, "too many connections to the agent")
		return true
	}
	l.run(func() {
		defer func() { <-a.places }()
		a.serve(nc)
	})
	return true
}

// serve passes one connection to the agent on, until either side has ended it.
func (a *agentForward) serve(nc ssh.NewChannel) {
	ctx, cancel := context.WithTimeout(context.Background(), agentBudget)
	defer cancel()
	conn, err := a.agent.Dial(ctx)
	if err != nil {
		nc.Reject(ssh.ConnectionFailed, "the agent cannot be reached")
		return
	}
	defer conn.Close()
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ch.Close()
	wg.Go(func() {
		ssh.DiscardRequests(requests) // until the channel closes
		conn.Close()
	})
	wg.Go(func() {
		io.Copy(conn, ch)
		closeWrite(conn)
	})
	io.Copy(ch, conn)
}

// closeWrite ends what the other side reads: all of it where it cannot be halved.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

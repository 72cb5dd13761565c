// Package openssh has the user's own ssh make the connections of a
// [shoal.Client], and Shoal's sessions run over them. What OpenSSH can do and
// Shoal cannot then works with the same API: security keys and PKCS#11 without
// an agent, GSSAPI key exchange, host-based authentication, compression,
// ProxyCommand, and whatever ssh_config(5) says.
//
//	client := &shoal.Client{Transport: &openssh.Transport{}}
//
// # What ssh does and what Shoal does
//
// For each host one ssh runs, as a ControlMaster with a socket of its own in a
// private folder. It resolves, connects, checks the host key, logs in, encrypts
// and compresses, as its configuration says. Shoal opens the sessions on it, in
// the proxy mode of OpenSSH's PROTOCOL.mux: commands, outputs, signals, terminals
// and the pool are Shoal's, as without. So ssh_config's settings for sessions do
// not apply (SendEnv, SetEnv, RequestTTY, RemoteCommand, SessionType, ForwardX11),
// and neither do LocalCommand and forwardings. The agent is not forwarded.
//
// Of a [shoal.Host] ssh is told Addr, Port, User, Network, BindAddress,
// HostKeyAlias, Algorithms, Methods, KeepAlive, KeepAliveMax, Timeout and the jump hosts in Via
// with user, address and port, all above ssh_config; what is zero is ssh's own
// business. A Host with Auth or HostKeys is an error: keys and known hosts are
// named by ssh_config, or [Transport.Args]. What ssh is told about a host does not
// reach the jump hosts, as with ssh -J: theirs is in ssh_config only.
//
// # Running ControlMasters
//
// Where ssh_config names a ControlPath for the host and a ControlMaster listens
// there, it is joined: no login takes place. It is never ended. One
// session at a time runs over it, more over a connection of their own: OpenSSH's
// ControlMaster (seen with 9.2) ends itself, and all sessions on it, when a client
// leaves to which the server has refused a session. Where a ControlMaster has as
// many sessions of others as the server's MaxSessions allows, set
// [Transport.NoJoin].
//
// # Costs
//
// A host takes one process of ssh, of 8 MB resident memory of which 1.4 MB are its
// own, and one more for each jump host. A connection takes 38 ms of CPU time, and
// with the key exchange sntrup761 150 ms, most of it ssh's own, where Shoal's own
// takes 2 ms (measured with OpenSSH 9.2 of Debian 12). Hosts behind a jump host
// each have a connection to that of their own, unless ssh_config shares it.
//
// OpenSSH 8.4 or later is wanted where [Transport.Ask] is used, else 7.4. On
// Linux they end with the process that uses them, however it ends; on other
// systems they stay where it is killed. There is no ControlMaster on Windows:
// every host fails there.
package openssh

// Package shoal runs commands on many hosts over SSH at once, and hands every
// line, exit status and error to the caller as it happens.
//
// A [Client] keeps the connections, a [Host] says where and how, a [Command]
// what. For the outcome of a command on each host:
//
//	client := &shoal.Client{}
//	defer client.Close()
//	for r := range client.Run(ctx, shoal.Hosts("web1", "web2"), shoal.Command{Line: "uptime"}) {
//		fmt.Println(r.Host.Name, r.Err, r.Value.Text())
//	}
//
// [Client.Lines] and [Client.Watch] yield the lines of all hosts as they come,
// [Client.Start] hands out live handles, and [Each] calls any function for each
// host with a connection to it.
//
// # Three ideas
//
// One noun for settings: the client's defaults and the settings of one host are
// the same type, [Host], and what belongs to a host travels inside it.
//
// One combinator: "connect to every host, at most so many at a time, do this,
// give me exactly one [Result] a host" is [Each]; the others are made of it.
//
// The loop is the lifetime: leaving a loop over results cancels the rest, waits
// for it and leaves no goroutine. Only Start hands out what lives on.
//
// # Errors
//
// Whatever happens to a host is in its Result. An [*ExitError] says that the
// command ran and how it ended; a [*HostError] everything else, with the stage
// and the kind: no address, refused, host key, login, connection lost, timeout.
// These are never read as each other: a connection that breaks right after
// exit status 0 is lost, not a success.
//
// # Safety
//
// Host keys are verified against the user's known_hosts files unless told
// otherwise, before any credential is sent. Nothing in a command line is
// expanded. Secrets reach no log, no error and no remote argument list.
package shoal

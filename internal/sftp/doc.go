// Package sftp is a client of the SSH File Transfer Protocol, version 3
// (draft-ietf-secsh-filexfer-02), with the extensions of OpenSSH's PROTOCOL
// file that copying needs: limits, posix-rename, fsync, lsetstat and
// expand-path.
//
// A [Client] speaks over one stream, the channel of the subsystem. Any number
// of goroutines may use it, and their requests are on the wire together: no
// request waits for the answer to another. Answers are taken exactly as they
// are: one that is longer than what was asked for, that belongs to no request
// or that is malformed ends the session with a [*ProtocolError]; one that is
// shorter is made up for by another request. Nothing that a server sends can
// make the client panic, hang or hold more memory than a packet for each
// request.
//
// Names are bytes, and neither cleaned nor converted. The package knows nothing
// of SSH and of local files.
package sftp

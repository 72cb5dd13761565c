// Package knownhosts looks up, checks and learns host keys in known_hosts
// files, as sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", describes them and as
// OpenSSH 9.2's client treats them, indexed for runs over many hosts.
//
// Where the manual is silent, OpenSSH's behaviour is the specification: any
// other key known for a host, of whatever type, means that its key changed; a
// port other than 22 is looked up as [host]:port first and then as the bare
// host, which counts only if the key is the same; a certificate that no
// @cert-authority line vouches for is judged by the plain key in it; a
// malformed line is skipped, not fatal.
//
// It is stricter than OpenSSH in five places. RSA keys below 2048 bits and DSA
// keys are refused. A certificate signed by a CA's RSA key below 2048 bits is
// refused too. A key that is @revoked for the bare host is revoked on every
// port of it. A marker may be followed by a tab as well as by a space. And
// [DB.Learn] looks at the file again, under a lock, before it adds a key, so
// that of two runs that meet a host at the same time the second one checks the
// key that the first one learned.
package knownhosts

// Package kerberos logs in to hosts with Kerberos 5, by SSH's "gssapi-with-mic"
// (RFC 4462 §3, RFC 4121). It is pure Go and needs neither MIT's library nor cgo;
// programs that do not import it do not carry it.
//
//	client.Host.Auth = []shoal.Auth{kerberos.Auth(kerberos.Config{})}
//
// logs in with the ticket that kinit got. A keytab or a password gets tickets as
// they are needed. The host proves who it is too, beside its SSH host key, which
// is verified as ever. Nothing is written, no ticket is kept but in memory, and
// nothing works on in the background.
//
// # What is supported
//
//   - Credential caches in files (FILE, DIR), of MIT Kerberos and Heimdal.
//   - Keytabs and passwords, with preauthentication by encrypted timestamp.
//   - AES in all four forms (RFC 3962, RFC 8009).
//   - Other realms, by [domain_realm] in krb5.conf or the KDCs' referrals (RFC
//     6806 §8).
//   - Delegation of a forwarded ticket, off unless asked for.
//   - krb5.conf(5) of MIT Kerberos, include and includedir too, at KRB5_CONFIG or
//     /etc/krb5.conf: of [libdefaults] default_realm, default_ccache_name,
//     dns_canonicalize_hostname, dns_lookup_kdc, rdns, clockskew, forwardable,
//     ticket_lifetime, renew_lifetime, permitted_enctypes and
//     default_tgs_enctypes; of [realms] kdc; and [domain_realm].
//   - KDCs over TCP, which RFC 4120 §7.2.2 demands of all; found by krb5.conf or
//     by DNS.
//
// # What is not
//
//   - Credential caches in the kernel's keyring, in KCM, and those of macOS and
//     Windows: the error says how to get a ticket into a file.
//   - DES, RC4 and Camellia.
//   - KDCs behind an HTTPS proxy (MS-KKDCP), smart cards (PKINIT), one-time codes
//     and FAST: kinit can do these, and its ticket then works.
//   - GSS-API key exchange (RFC 4462 §2), and mechanisms other than Kerberos.
//   - Renewal of a cache's ticket: a program that runs longer than the ticket
//     lives needs a keytab, or somebody who runs kinit again, which is noticed.
package kerberos

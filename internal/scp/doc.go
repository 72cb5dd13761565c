// Package scp is the wire protocol of rcp, which scp -t and scp -f speak over
// their standard input and output. No specification exists; it is what OpenSSH's
// scp.c does.
//
// The side that sends is the source, the other the sink. The source sends
// records, each a line: C, a file, with its content behind it; D, a directory,
// whose files follow until E; T, the times of the next of them. The sink answers
// each record, and each content, with a status: a zero byte, or 1 or 2 and a line
// of text. After a 1 the source goes on with the next file, after a 2 both end.
//
// A [Source] speaks to scp -t, a [Sink] to scp -f. Both check all that the other
// side says, hold no more than a record in memory, and know nothing of SSH and of
// files. They are for one goroutine at a time.
package scp

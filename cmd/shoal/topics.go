package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpTopics are what shoal help explains beside the commands.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "host-expressions", Short: "How hosts are named", Long: hostExpressions},
		{Use: "exit-codes", Short: "What the exit code says", Long: exitCodesHelp()},
	}
}

const hostExpressions = `An expression stands for a set of hosts. It is what -w and -x take, what ping, keys
and hosts take as a word, and what push and pull take before a colon.

  web1 root@web1:2222    a host, with a user and a port
  [::1] root@[::1]:22    an IPv6 address
  web[01-20] n[1,4-6]    numbers, with as many zeros as are written
  n[0-8/2] r[1-2]n[1-9]  every second one; several brackets
  @web @src:web          a group, of the default source or another one
  @rack[1-3] @rack*      several groups
  @* @ssh:*              all hosts of a source; ssh is ssh_config
  @run:last.failed       of a run: or .ok .rest .timeout .unreachable .rc=N
  web* /regexp/          those of all hosts that match
  ^FILE                  the hosts of a file: an expression a line, # a comment

  A,B                    both
  A!B                    A without B
  A&B                    those that are in both
  A^B                    those that are in one of them only
  (A,B)!C                first what stands in parentheses

Operators go from left to right, none before another; blanks around them do not
count. Quote expressions: the shell has uses of its own for [ ! & ( and *.

Groups come from --inventory, ClusterShell's groups.conf and groups.d,
~/.config/shoal/groups.d/*.yaml, and ~/.dsh/group. No environment variable adds
hosts. An unknown group and a set without hosts are errors.

  shoal hosts -e 'web[01-03],db1'                  one a line
  shoal hosts --explain '@web & (web[1-9] ! @down)'  what each part stands for
  shoal run --list -w '@web!@down' -x web1         what a run would take`

// exitCode is what an exit code says.
type exitCode struct{ code, meaning string }

func exitCodes() []exitCode {
	return []exitCode{
		{"0", "every host succeeded"},
		{"1", "some command ended with another status than 0, or by a signal"},
		{"2", "wrong usage: a bad flag, a bad expression, an unknown group"},
		{"3", "some host was not reached: name, connection, host key, login; or was lost"},
		{"4", "some host timed out"},
		{"5", "stopped by -k, --max-fail, a canary, --check or an answer"},
		{"6", "no hosts"},
		{"7", "--same or --expect was violated"},
		{"125", "a failure of Shoal itself, such as output that cannot be written"},
		{"130", "interrupted by ^C; 129 by SIGHUP, 143 by SIGTERM"},
		{"141", "nobody reads the output any more"},
	}
}

const exitCodesOrder = `Where several apply, it is the first of 130, 5, 3, 4, 7, 1. With -S, shoal run exits
with the largest exit status of the hosts instead, as pdsh and clush do: 255 where a
host was not reached or timed out, 128 and the signal's number where one ended a
command. shoal diff, keys and hosts say in their help what theirs mean.`

func exitCodesHelp() string {
	var text strings.Builder
	text.WriteString("What the exit code of a run says, for scripts; it will not change.\n\n")
	for _, e := range exitCodes() {
		text.WriteString("  " + e.code + strings.Repeat(" ", 5-len(e.code)) + e.meaning + "\n")
	}
	return text.String() + "\n" + exitCodesOrder
}

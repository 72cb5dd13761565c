// Package hostlist reads and writes the text of sets of hosts, such as
// node[01-10,15],root@db[1-3]:2222 or @compute&(rack[1-4]*!@down).
//
//	e, err := hostlist.Parse("node[01-10,15]")
//	for name := range e.All() { … }
//
//	hostlist.Fold([]string{"node1", "node2", "node4"}) // node[1-2,4]
//
// The package knows text only: what the text does not say, such as the members of a
// group, it asks of [Groups], and files are opened by [Parser.Open].
//
// # Grammar
//
//	expr    = operand { ( "," | "!" | "&" | "^" ) operand }
//	operand = "(" expr ")"
//	        | "@" [source ":"] group | "@" [source ":"] "*"
//	        | "^" file | "/" regexp "/" | glob
//	        | [user "@"] pattern [":" port]
//	        | [user "@"] "[" ipv6 "]" [":" port]
//	        | [user "@"] ipv6
//	group   = pattern or glob
//	glob    = pattern with * or ? in it
//	pattern = { text | "[" item { "," item } "]" }
//	item    = n | n "-" m | n "-" m "/" step | a | a "-" f
//
// This is the grammar of ClusterShell's nodeset, with users, ports, IPv6 addresses,
// parentheses, letters, regular expressions and files added, and made strict.
//
// Operators are read from left to right and bind alike: the comma adds the hosts of
// the right side, ! takes them out, & keeps those that are in both, ^ those that are
// in one of them only. [Set] says when two hosts are the same. So a,b!a is b, and
// a,(b!a) is a and b.
//
// Blanks around operators and within brackets are ignored. A leading zero makes the
// whole range as wide as its first number: [08-10] is 08, 09 and 10, so both ends
// have to be equally wide, and node1 and node01 are different hosts. A letter stands
// for itself, a range of letters keeps to one case. Digits in front of a bracket are
// text: node0[1-2] is node01 and node02.
//
// # Groups and files
//
// @group is a group of the default source, @source:group one of that source, and
// @source:* is every host of it. The name of a group may have ranges in it, as in
// @rack[1-4], and wildcards, as in @rack*: then it is all groups with such a name.
// Members of a group are expressions of their own, in which a group without a source
// is one of the same source. An unknown group is an error.
//
// A glob stands for the hosts among @* that it matches: * is any text, ? any
// character, and brackets are ranges as everywhere. A regular expression, in the
// syntax of package regexp, stands for those in whose names it is found; a slash in it
// is written \/. Both look at the whole word and at the host without user and port.
//
// ^file stands for the hosts of a hosts file, as [ReadHosts] reads it, with the
// grammar whole; but neither a file nor a group can name a file.
//
// Quotes, backslashes, $ ; | < > # and control characters are refused in every name.
package hostlist

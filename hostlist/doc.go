// Package hostlist reads and writes the text of sets of hosts, such as
// node[01-10,15],root@db[1-3]:2222.
//
//	e, err := hostlist.Parse("node[01-10,15]")
//	for name := range e.All() { … }
//
//	hostlist.Fold([]string{"node1", "node2", "node4"}) // node[1-2,4]
//
// The package knows text only: it looks up nothing, neither names nor groups.
//
// # Grammar
//
//	expr    = operand { "," operand }
//	operand = [user "@"] pattern [":" port]
//	        | [user "@"] "[" ipv6 "]" [":" port]
//	        | [user "@"] ipv6
//	pattern = { text | "[" item { "," item } "]" }
//	item    = n | n "-" m | n "-" m "/" step | a | a "-" f
//
// Blanks around commas and within brackets are ignored. A leading zero makes the
// whole range as wide as its first number: [08-10] is 08, 09 and 10, so both ends
// have to be equally wide, and node1 and node01 are different hosts. A letter stands
// for itself, a range of letters keeps to one case. Digits in front of a bracket are
// text: node0[1-2] is node01 and node02.
//
// The characters @ at the start of an operand, and ! & ^ ( ) / * ? anywhere, belong
// to the grammar of sets and groups and are refused here.
package hostlist

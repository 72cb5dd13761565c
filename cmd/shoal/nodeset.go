package main

import (
	"fmt"
	"slices"
	"strings"
)

func nodesetPersonality() *personality {
	return &personality{
		usage:    "Usage: nodeset [COMMAND] [OPTIONS] [ns1 [-ixX] ns2|...]",
		badUsage: 2,
		options:  nodesetOptions,
		finish:   nodesetFinish,
	}
}

func nodesetOptions(t *translation) []option {
	command := func(short, long, flag string) option {
		return option{short, long, false, func(string) error {
			t.flag(flag, "true")
			t.commands = append(t.commands, flag)
			return nil
		}}
	}
	operation := func(short, long string, op byte) option {
		return option{short, long, true, func(v string) error {
			t.operations = append(t.operations, operation{op, v})
			return nil
		}}
	}
	return []option{
		command("f", "fold", "fold"),
		command("e", "expand", "expand"),
		command("c", "count", "count"),
		command("r", "regroup", "regroup"),
		{"l", "list", false, func(string) error {
			t.flags = append(t.flags, "-l")
			if !slices.Contains(t.commands, "list") {
				t.commands = append(t.commands, "list")
			}
			return nil
		}},
		operation("i", "intersection", '&'),
		operation("x", "exclude", '!'),
		operation("X", "xor", '^'),
		t.keep("a", "all", false),
		t.to("s", "groupsource", "source"),
		t.keep("S", "separator", true),
		t.to("I", "slice", "slice"),
		t.to("", "split", "split"),
		t.to("", "pick", "pick"),
		t.to("", "autostep", "autostep"),
		t.ignored("q", "quiet", false, ""),
		t.ignored("d", "debug", false, "shoal hosts --explain says how an expression is understood"),
		t.refused("L", "list-all", false, "-l lists the groups of one source, which -s names"),
		t.refused("", "list-sources", false, "shoal help hosts says where groups come from"),
		t.refused("", "groupsources", false, "shoal help hosts says where groups come from"),
		t.refused("", "groupsconf", true, "groups are read from where ClusterShell has them"),
		t.refused("R", "rangeset", false, "give the numbers a name before them, as in: nodeset -f 'n[1,5,18-31]'"),
		t.refused("G", "groupbase", false, "groups are written with their source"),
		t.refused("O", "output-format", true, "change the lines of -e -S '\\n', as by: sed"),
		t.refused("", "contiguous", false, "--split makes parts of equal size"),
		t.refused("", "axis", true, "all dimensions are folded"),
		t.help("h", "help"),
		t.version("", "version"),
	}
}

// operation is one of set algebra, with its right operand.
type operation struct {
	op   byte
	expr string
}

func nodesetFinish(t *translation, words []string) error {
	switch len(t.commands) {
	case 0:
		return &usageError{what: "No command specified.", hint: "as in: nodeset -f node1 node2"}
	case 1:
	default:
		return &usageError{what: "Multiple commands not allowed.", hint: "leave out one of -" + t.commands[0][:1] + " and -" + t.commands[1][:1]}
	}
	t.command = "hosts"
	t.guise.usage, t.guise.none, t.guise.emptyOK = 1, 0, true
	if t.commands[0] == "expand" {
		separator := " "
		if t.has("S") {
			separator = t.given["S"]
		}
		if separator == "" {
			return &usageError{what: "-S: an empty separator is not supported", hint: "as in: -S ,"}
		}
		t.flag("separator", separator)
	}
	plain := len(t.operations) == 0 && !slices.ContainsFunc(words, func(w string) bool {
		return isOperation(w) != 0 || strings.ContainsRune(w, '\n')
	})
	if plain {
		if t.has("a") {
			t.flag("all", "true")
		}
		t.words = words
		return nil
	}
	expr, err := t.nodesetExpr(words)
	t.words = []string{expr}
	return err
}

func isOperation(word string) byte {
	switch word {
	case "-i", "--intersection":
		return '&'
	case "-x", "--exclude":
		return '!'
	case "-X", "--xor":
		return '^'
	}
	return 0
}

// nodesetExpr is one expression of all words and operations, from left to right.
// Operations before the first word are done on all hosts, or on those of
// standard input, those of one kind after the other.
func (t *translation) nodesetExpr(words []string) (string, error) {
	var expr strings.Builder
	add := func(op byte, word string) error {
		operand, err := t.nodesetOperand(word)
		switch {
		case err != nil:
			return err
		case operand == "" && op == '&':
			return &usageError{what: "-i: no hosts to compare with", hint: "the result would be empty"}
		case operand == "":
			return nil
		case expr.Len() > 0:
			expr.WriteByte(op)
		case op == '&' || op == '!':
			return nil // of nothing
		}
		expr.WriteString("(" + operand + ")")
		return nil
	}
	switch {
	case t.has("a"):
		expr.WriteString("@*")
	case len(words) == 0:
		if err := add(',', "-"); err != nil {
			return "", err
		}
	}
	for _, op := range []byte("&!^") {
		for _, o := range t.operations {
			if o.op == op {
				if err := add(op, o.expr); err != nil {
					return "", err
				}
			}
		}
	}
	for len(words) > 0 {
		op, word := isOperation(words[0]), words[0]
		words = words[1:]
		if op != 0 && len(words) == 0 {
			return "", &usageError{what: word + " needs hosts behind it", hint: "as in: nodeset -f node[1-9] -x node3"}
		}
		if op == 0 {
			op = ','
		} else {
			word, words = words[0], words[1:]
		}
		if err := add(op, word); err != nil {
			return "", err
		}
	}
	return expr.String(), nil
}

// nodesetOperand is the hosts of a word: of its lines, or of those of standard
// input.
func (t *translation) nodesetOperand(word string) (string, error) {
	var all []string
	note := func(_, expr string) error { all = append(all, expr); return nil }
	if word == "-" {
		err := t.app.eachExpr("", "-", note)
		return strings.Join(all, "),("), err
	}
	for line := range strings.Lines(word) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	if len(all) == 0 {
		return "", &usageError{what: fmt.Sprintf("%q names no hosts", word)}
	}
	return strings.Join(all, "),("), nil
}

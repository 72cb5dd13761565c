// Package shell writes words for a POSIX shell, so that each arrives at the
// command exactly as it was given.
//
// The rules are those of POSIX.1-2024, Shell Command Language §2.2.2: between
// single quotes every byte stands for itself, and only the single quote cannot
// appear. Other shells (csh, fish, PowerShell, cmd.exe) have rules of their own;
// words made here are not for them.
package shell

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNUL is reported by [Check] for a word that holds a NUL byte.
var ErrNUL = errors.New("a NUL byte cannot be passed to a command")

// Quote returns s as one word for a POSIX shell: the command that the shell runs
// gets exactly the bytes of s, whatever they are. A word that means nothing special
// in any place comes back unchanged; all others, the empty word among them, are put
// in single quotes. Between the result and an operator such as > there must be a
// blank, because the shell takes the digit of 2> for a file descriptor.
//
// A NUL byte has no representation in a command's arguments. Quote passes it
// through; use [Check] where it can occur.
func Quote(s string) string {
	if bare(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Join returns words as one command line, each word quoted by [Quote] and
// separated by a blank from the next. No words give the empty string.
func Join(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// Check reports whether s can be passed to a command at all. The error wraps
// [ErrNUL] and tells the byte offset; the text of s is not part of it.
func Check(s string) error {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("byte %d: %w", i, ErrNUL)
	}
	return nil
}

// bare tells whether s means itself without quotes, in the place of the command's
// name as well as in that of an argument.
func bare(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '+' { // at the head of a command sh -c takes "-x" for its own option
		return false
	}
	for i := range len(s) {
		if !safe(s[i]) {
			return false
		}
	}
	return !reserved(s)
}

// safe tells whether a POSIX shell sees no meaning in c. '=' is not safe: in front
// of a command NAME=value is an assignment, and zsh looks =name up in PATH.
func safe(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("_@%+:,./-", c) >= 0
}

// reserved tells whether a shell reads s as grammar where a command's name is
// expected (POSIX.1-2024, Shell Command Language §2.4; the last lines are bash's,
// ksh's and zsh's own). Words with unsafe characters, such as [[, need no entry.
func reserved(s string) bool {
	switch s {
	case "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in",
		"then", "until", "while",
		"coproc", "function", "namespace", "select", "time",
		"end", "foreach", "nocorrect", "noglob", "repeat":
		return true
	}
	return false
}

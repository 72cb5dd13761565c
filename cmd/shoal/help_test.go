package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// helpOf is what shoal help writes about a command.
func helpOf(t *testing.T, words ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"help"}, words...), nil, &out, &errs); code != exitOK {
		t.Fatalf("shoal help %s: got exit code %d, %s", strings.Join(words, " "), code, errs.String())
	}
	return out.String()
}

// Help fits: that of all on a screen of 24 lines, that of each in 80 columns.
func TestHelpFits(t *testing.T) {
	root := new(app).rootCommand()
	root.InitDefaultHelpCmd()
	check := func(t *testing.T, help string) {
		for line := range strings.Lines(help) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
	t.Run("shoal", func(t *testing.T) {
		help := helpOf(t)
		check(t, help)
		if n := strings.Count(help, "\n"); n > 24 {
			t.Errorf("got %d lines, want 24 at most:\n%s", n, help)
		}
		for _, c := range root.Commands() {
			if c.IsAvailableCommand() && !strings.Contains(help, " "+c.Name()) {
				t.Errorf("shoal %s is not in it", c.Name())
			}
		}
	})
	for _, c := range root.Commands() {
		t.Run(c.Name(), func(t *testing.T) {
			help := helpOf(t, c.Name())
			check(t, help)
			if !c.IsAdditionalHelpTopicCommand() && !hasExample(c) {
				t.Error("it shows no example of the command")
			}
		})
	}
}

// hasExample reports whether one of a command's examples calls it.
func hasExample(c *cobra.Command) bool { return strings.Contains(c.Example, c.CommandPath()) }

func TestWrapText(t *testing.T) {
	const text = "one two\nthree\n\n  kept as it is, however long\nfour…… five six"
	const want = "one two\nthree\n\n  kept as it is, however long\nfour……\nfive six"
	if got := wrapText(text, 9); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

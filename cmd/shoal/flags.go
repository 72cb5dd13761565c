package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagGroup is flags that help shows together.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

func newGroup(title string, add ...func(*pflag.FlagSet)) flagGroup {
	fs := pflag.NewFlagSet(title, pflag.ContinueOnError)
	fs.SortFlags = false
	for _, add := range add {
		add(fs)
	}
	return flagGroup{title, fs}
}

// inGroup is the annotation of a flag that has the title of its group.
const inGroup = "shoal-group"

// addGroups gives a command its flags, which help shows in groups.
func addGroups(c *cobra.Command, groups []flagGroup) {
	for _, g := range groups {
		g.flags.VisitAll(func(flag *pflag.Flag) {
			if c.Flags().Lookup(flag.Name) != nil {
				panic("--" + flag.Name + " is defined twice")
			}
			g.flags.SetAnnotation(flag.Name, inGroup, []string{g.title})
			c.Flags().AddFlag(flag)
		})
	}
	c.Flags().SortFlags = false
}

// groupsOf returns the flags of a command in their groups, those in none last; hidden
// ones are left out.
func groupsOf(c *cobra.Command) []flagGroup {
	var groups []flagGroup
	rest := newGroup("Flags")
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		title := f.Annotations[inGroup]
		switch i := slices.IndexFunc(groups, func(g flagGroup) bool { return slices.Equal(title, []string{g.title}) }); {
		case f.Hidden || f.Name == "help":
		case title == nil:
			rest.flags.AddFlag(f)
		case i < 0:
			g := newGroup(title[0])
			g.flags.AddFlag(f)
			groups = append(groups, g)
		default:
			groups[i].flags.AddFlag(f)
		}
	})
	if rest.flags.HasFlags() {
		groups = append(groups, rest)
	}
	return groups
}

// durationFlag is a time that must not be negative: "30s", "5m", or a number
// of seconds, as in pdsh and clush.
type durationFlag struct {
	d      time.Duration
	isSet  bool
	zeroOK bool // 0 means something
}

func (f *durationFlag) String() string {
	if f.d == 0 {
		return ""
	}
	return f.d.String()
}

func (f *durationFlag) Type() string { return "DUR" }

func (f *durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if seconds, e := strconv.ParseFloat(s, 64); e == nil && seconds < 1e9 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	switch {
	case err != nil:
		return errors.New("want a time such as 30s or 5m, or a number of seconds")
	case d < 0:
		return errors.New("a time cannot be negative")
	case d == 0 && !f.zeroOK:
		return errors.New("want more than 0")
	}
	f.d, f.isSet = d, true
	return nil
}

// numberFlag is a whole number within bounds.
type numberFlag struct{ n, min, max int }

func (f *numberFlag) String() string {
	if f.n == 0 {
		return ""
	}
	return strconv.Itoa(f.n)
}

func (f *numberFlag) Type() string { return "N" }

func (f *numberFlag) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < f.min || n > f.max {
		return fmt.Errorf("want a number from %d to %d", f.min, f.max)
	}
	f.n = n
	return nil
}

// choiceFlag is one of a few words.
type choiceFlag struct {
	word  string
	words []string
}

func (f *choiceFlag) String() string    { return f.word }
func (f *choiceFlag) Type() string      { return strings.Join(f.words, "|") }
func (f *choiceFlag) choices() []string { return f.words }

func (f *choiceFlag) Set(s string) error {
	if !slices.Contains(f.words, s) {
		return fmt.Errorf("want one of %s%s", strings.Join(f.words, ", "), didYouMean(s, f.words))
	}
	f.word = s
	return nil
}

// flagError puts a mistake in the flags into words.
func flagError(fs *pflag.FlagSet, command string, err error) error {
	hint := fmt.Sprintf("shoal help %s lists the flags", command)
	if command == "" {
		hint = "shoal help lists the commands"
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return &usageError{what: unknownFlag(fs, e), hint: hint}
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return &usageError{what: nameOf(e.GetFlag()) + " needs a value", hint: hint}
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return &usageError{what: fmt.Sprintf("%s: %q: %v", nameOf(e.GetFlag()), e.GetValue(), e.Unwrap()), hint: hint}
	}
	return &usageError{what: err.Error(), hint: hint}
}

func unknownFlag(fs *pflag.FlagSet, e *pflag.NotExistError) string {
	if e.GetSpecifiedShortnames() != "" {
		return "unknown flag -" + e.GetSpecifiedName()
	}
	var known []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, "--"+f.Name)
		}
	})
	word := "--" + e.GetSpecifiedName()
	return "unknown flag " + word + didYouMean(word, known)
}

// nameOf is what a user calls a flag.
func nameOf(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

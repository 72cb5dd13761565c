package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man",
		Short:   "Write the manual page",
		Long:    "Write the manual page of shoal, of the same text as shoal help, for man(1).",
		Example: "  shoal man | man -l -\n  shoal man >/usr/local/share/man/man1/shoal.1",
		Args:    noWords,

		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, _ []string) error { return writeManual(a.stdout, c.Root()) },
	}
}

// manual writes a page in the language of man(7).
type manual struct {
	w       *bufio.Writer
	general *cobra.Command // whose flags are explained for all commands
	begun   bool           // a section, and nothing is in it yet
}

// writeManual writes the page of a command and those below it.
func writeManual(w io.Writer, root *cobra.Command) error {
	m := &manual{w: bufio.NewWriter(w)}
	m.raw(".TH SHOAL 1 " + manualDate() + " \"shoal " + roff(version) + "\" Shoal")
	m.macro("SH", "NAME")
	m.line("shoal - run commands on many hosts at once over SSH")
	m.macro("SH", "SYNOPSIS")
	for i, c := range documented(root) {
		if i > 0 {
			m.macro("br")
		}
		m.raw(bold(c.CommandPath()) + roff(strings.TrimPrefix(c.UseLine(), c.CommandPath())))
	}
	m.macro("SH", "DESCRIPTION")
	m.text(root.Long)
	m.text("A command line that begins with a flag is one of shoal run.")
	m.macro("SH", "COMMANDS")
	for _, c := range documented(root) {
		m.command(c)
	}
	m.macro("SH", "HOST EXPRESSIONS")
	m.text(hostExpressions)
	m.macro("SH", "EXIT STATUS")
	for _, e := range exitCodes() {
		m.item(bold(e.code), e.meaning)
	}
	m.text(exitCodesOrder)
	m.macro("SH", "ENVIRONMENT")
	for _, v := range environment() {
		m.item(bold(v.name), v.use)
	}
	m.text("No variable adds hosts to those that are named, and none changes what a flag means.")
	m.macro("SH", "FILES")
	for _, f := range usedFiles() {
		m.item(italic(f.name), f.use)
	}
	m.macro("SH", "EXAMPLES")
	m.text(root.Example)
	m.text(runExample)
	m.macro("SH", "SEE ALSO")
	m.raw(bold("ssh") + "(1), " + bold("ssh_config") + "(5), " + bold("sftp") + "(1), " + bold("ssh-agent") + "(1)")
	return m.w.Flush()
}

// used is a file or a variable, and what Shoal does with it.
type used struct{ name, use string }

func environment() []used {
	return []used{
		{"NO_COLOR", "where it is not empty, --color=auto means no colours"},
		{"TERM", "what -T asks the hosts for; dumb means no colours"},
		{"SSH_AUTH_SOCK", "the SSH agent, for logging in and for -A"},
		{"XDG_STATE_HOME", "where the journal is, instead of ~/.local/state"},
		{"XDG_CONFIG_HOME", "where Shoal's and ClusterShell's groups are, instead of ~/.config"},
		{"CLUSTERSHELL_CFGDIR", "another place of ClusterShell's groups"},
		{"KRB5CCNAME, KRB5_CONFIG", "the tickets and the configuration of Kerberos, for GSSAPIAuthentication"},
	}
}

func usedFiles() []used {
	return []used{
		{"~/.ssh/config, /etc/ssh/ssh_config", "how hosts are reached; see ssh_config(5), and -F"},
		{"~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts", "the host keys that are known"},
		{"~/.ssh/id_ed25519, id_ecdsa, id_rsa", "the keys to log in with, beside those of the agent"},
		{"~/.local/state/shoal/runs", "the journal: a file for each run, for its owner alone"},
		{"~/.config/shoal/groups.d/*.yaml", "groups of hosts, in the form of ClusterShell's groups.d"},
		{"/etc/clustershell, ~/.config/clustershell", "ClusterShell's groups.conf and groups.d"},
		{"~/.dsh/group, /etc/dsh/group", "groups of dsh and pdsh"},
	}
}

// documented are the commands that users call, as help has them.
func documented(root *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, g := range commandGroups(root) {
		all = append(all, g.commands...)
	}
	return all
}

// manualDate is the day of the sources, or else today.
func manualDate() string {
	day := time.Now().UTC()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				day = t
			}
		}
	}
	return day.Format(time.DateOnly)
}

// command writes about a command: all its flags, unless the first command has them.
func (m *manual) command(c *cobra.Command) {
	m.macro("SS", c.UseLine())
	m.text(cmp.Or(c.Long, c.Short))
	if c.Example != "" {
		m.text(c.Example)
	}
	for _, g := range groupsOf(c) {
		if m.general != nil && within(g.flags, m.general.Flags()) {
			m.macro("PP")
			m.raw(roff(g.title+" flags are those of ") + bold(m.general.CommandPath()) + ".")
			continue
		}
		m.macro("PP")
		m.raw(bold(g.title))
		g.flags.VisitAll(func(f *pflag.Flag) {
			_, text := flagParts(f)
			m.item(flagName(f), text)
		})
	}
	if m.general == nil {
		m.general = c
	}
}

// within reports whether all flags are explained among others.
func within(fs, others *pflag.FlagSet) bool {
	all := true
	fs.VisitAll(func(f *pflag.Flag) {
		other := others.Lookup(f.Name)
		all = all && other != nil && other.Usage == f.Usage && other.Shorthand == f.Shorthand
	})
	return all
}

// flagName is how a flag is written.
func flagName(f *pflag.Flag) string {
	text := bold("--" + f.Name)
	if f.Shorthand != "" {
		text = bold("-"+f.Shorthand) + ", " + text
	}
	value, _ := pflag.UnquoteUsage(f)
	switch {
	case f.Value.Type() == "count" || value == "":
	case f.NoOptDefVal != "":
		text += "[=" + italic(value) + "]"
	default:
		text += " " + italic(value)
	}
	return text
}

// text writes paragraphs, and as they are lines that begin with a blank.
func (m *manual) text(text string) {
	const filled, kept = 1, 2
	state := 0
	paragraph := func() {
		if !m.begun {
			m.macro("PP")
		}
	}
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		line = strings.TrimRight(line, " \n")
		now := filled
		if strings.HasPrefix(line, " ") {
			now = kept
		}
		if line == "" {
			now = 0
		}
		if now != state && state == kept {
			m.raw(".fi\n.RE")
		}
		switch {
		case now == state || now == 0:
		case now == kept:
			paragraph()
			m.raw(".RS 4\n.nf")
		default:
			paragraph()
		}
		if now != 0 {
			m.line(strings.TrimPrefix(line, "  "))
		}
		state = now
	}
	if state == kept {
		m.raw(".fi\n.RE")
	}
}

// item writes a term, in roff, and what it is.
func (m *manual) item(term, text string) {
	m.macro("TP")
	m.raw(term)
	m.line(text)
}

// macro writes a request with its arguments.
func (m *manual) macro(name string, args ...string) {
	m.w.WriteString("." + name)
	for _, arg := range args {
		m.w.WriteString(` "` + roff(arg) + `"`)
	}
	m.w.WriteByte('\n')
	m.begun = name == "SH" || name == "SS"
}

// line writes text that must not be taken for a request.
func (m *manual) line(text string) {
	text = roff(text)
	if strings.HasPrefix(text, ".") || text == "" {
		text = `\&` + text
	}
	m.raw(text)
}

func (m *manual) raw(text string) {
	m.w.WriteString(text + "\n")
	m.begun = false
}

func bold(text string) string   { return `\fB` + roff(text) + `\fR` }
func italic(text string) string { return `\fI` + roff(text) + `\fR` }

// roff writes characters that have a meaning, or come out as others, by their names:
// see groff_char(7).
func roff(text string) string {
	var b strings.Builder
	for _, c := range text {
		switch {
		case c == '\\':
			b.WriteString(`\e`)
		case c == '-':
			b.WriteString(`\-`)
		case c == '\'':
			b.WriteString(`\(aq`)
		case c == '`':
			b.WriteString(`\(ga`)
		case c == '^':
			b.WriteString(`\(ha`)
		case c == '~':
			b.WriteString(`\(ti`)
		case c == '"':
			b.WriteString(`\(dq`)
		case c > 126:
			fmt.Fprintf(&b, `\[u%04X]`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

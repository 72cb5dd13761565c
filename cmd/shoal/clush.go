package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-ssh/shoal/internal/render"
)

func clushPersonality() *personality {
	return &personality{
		usage:    "Usage: clush [options] command",
		badUsage: 2,
		options:  clushOptions,
		finish:   clushFinish,
	}
}

func clushOptions(t *translation) []option {
	group := func(add func(string)) func(string) error {
		return func(v string) error {
			for _, name := range splitHosts(v) {
				add("@" + strings.TrimPrefix(name, "@"))
			}
			return nil
		}
	}
	copies := func(short, long string) option {
		return option{short, long, false, func(string) error { t.intersperse(); return nil }}
	}
	const noModes = "run modes are not supported: --sudo of shoal run does what the mode sudo does"
	return []option{
		t.to("w", "", "hosts"),
		{"x", "", true, func(v string) error { t.exclude(v); return nil }},
		{"a", "all", false, func(string) error { t.flag("hosts", "@*"); return nil }},
		{"g", "group", true, group(func(v string) { t.flag("hosts", v) })},
		{"X", "", true, group(t.exclude)},
		t.to("", "hostfile", "hosts-file"),
		t.to("", "machinefile", "hosts-file"),
		t.to("", "pick", "pick"),
		t.to("l", "user", "user"),
		t.to("f", "fanout", "fanout"),
		t.seconds("t", "connect_timeout", "connect-timeout", "0"),
		t.seconds("u", "command_timeout", "timeout", ""),
		{"o", "options", true, func(v string) error { return t.sshLine("-o", v) }},
		t.keep("b", "dshbak", false),
		t.keep("B", "", false),
		t.keep("L", "", false),
		t.keep("N", "", false),
		t.keep("", "diff", false),
		t.keep("q", "quiet", false),
		t.keep("S", "maxrc", false),
		t.keep("n", "nostdin", false),
		t.to("", "color", "color"),
		t.keep("", "outdir", true),
		t.keep("", "errdir", true),
		t.set("v", "verbose", "verbose"),
		t.set("d", "debug", "verbose"),
		t.ignored("P", "progress", false, ""),
		t.ignored("O", "option", true, "there is no clush.conf whose settings it could change"),
		t.ignored("", "conf", true, "there is no clush.conf"),
		t.refused("s", "groupsource", true, "name the source with the group: -w @SOURCE:GROUP"),
		t.refused("r", "regroup", false, "shoal hosts -r writes hosts as groups"),
		t.refused("G", "groupbase", false, "it goes with -r"),
		t.refused("", "groupsconf", true, "groups are read from where ClusterShell has them"),
		t.refused("", "topology", true, "jump hosts come from ssh_config: -o '-J GATEWAY'"),
		t.refused("", "remote", true, "jump hosts come from ssh_config: -o '-J GATEWAY'"),
		t.refused("m", "mode", true, noModes),
		{"R", "worker", true, func(v string) error {
			if v != "ssh" {
				return &usageError{what: "-R " + v + ": there is ssh alone", hint: "leave out -R, or give -R ssh"}
			}
			return nil
		}},
		copies("c", "copy"),
		copies("", "rcopy"),
		t.keep("", "dest", true),
		t.keep("p", "", false),
		t.help("h", "help"),
		t.version("", "version"),
	}
}

func clushFinish(t *translation, words []string) error {
	switch {
	case t.has("c") && t.has("rcopy"):
		return &usageError{what: "--copy and --rcopy exclude each other"}
	case t.has("diff") && t.has("L"):
		return &usageError{what: "diff not supported in line_mode"}
	case len(words) == 0:
		return &usageError{what: "no command given, and clush's prompt is not supported", hint: "give the command behind the options; shoal shell is a prompt"}
	}
	if !t.has("f") {
		t.flag("fanout", "64")
	}
	if !t.has("t") {
		t.flag("connect-timeout", "15")
	}
	t.guise.code = func(*verdict) int { return exitOK }
	if t.has("S") {
		t.guise.code = func(v *verdict) int { return v.largestSSH }
	}
	if t.has("c") || t.has("rcopy") {
		return t.clushCopy(words)
	}
	if t.has("n") {
		t.flag("no-stdin", "true")
	}
	for _, dir := range []string{"outdir", "errdir"} {
		if v := t.given[dir]; v != "" {
			t.flag(dir, v)
		}
	}
	t.command, t.words = "run", words
	t.guise.view = func(s *render.Screen, _ []string) render.Renderer {
		return &render.Clush{
			Screen: s, Gather: t.has("b") || t.has("B") || t.has("diff"), Stderr: t.has("B"), Diff: t.has("diff"),
			ByHost: t.has("L"), NoLabels: t.has("N"), Quiet: t.has("q"), MaxRC: t.has("S"),
		}
	}
	return nil
}

// clushCopy is --copy and --rcopy.
func (t *translation) clushCopy(words []string) error {
	dest := t.given["dest"]
	if dest == "" {
		whole, err := filepath.Abs(words[0])
		if err != nil {
			return err
		}
		dest = filepath.Dir(whole)
		if t.has("c") {
			dest += "/"
		}
	}
	if t.has("p") {
		t.flag("preserve", "true")
	}
	t.flag("recursive", "true")
	t.guise.view = func(s *render.Screen, _ []string) render.Renderer {
		return &render.Clush{Screen: s, Quiet: t.has("q"), MaxRC: t.has("S")}
	}
	if t.has("c") {
		t.command, t.words = "push", append(words, dest)
		return nil
	}
	if info, err := os.Stat(dest); err != nil || !info.IsDir() {
		return &usageError{what: fmt.Sprintf("--dest: %q is no directory", dest), hint: "--rcopy copies into a directory that exists"}
	}
	t.flag("dir", dest)
	t.flag("name", "{name}.{host}")
	t.command, t.words = "pull", words
	return nil
}

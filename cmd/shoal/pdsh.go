package main

import (
	"net/netip"
	"os"
	"strings"

	"github.com/shoal-ssh/shoal/internal/render"
)

func pdshPersonality() *personality {
	return &personality{
		usage:    "Usage: pdsh [-options] command ...",
		badUsage: 1,
		options:  pdshOptions,
		finish:   pdshFinish,
	}
}

func pdshOptions(t *translation) []option {
	return []option{
		{"w", "", true, t.pdshHosts},
		{"x", "", true, func(v string) error {
			for _, part := range splitHosts(v) {
				t.exclude(part)
			}
			return nil
		}},
		t.to("l", "", "user"),
		t.to("f", "", "fanout"),
		t.seconds("t", "", "connect-timeout", "0"),
		t.seconds("u", "", "timeout", ""),
		{"R", "", true, func(v string) error {
			if v != "ssh" {
				return &usageError{what: "-R " + v + ": there is ssh alone", hint: "leave out -R, or give -R ssh"}
			}
			return nil
		}},
		t.set("S", "", "max-rc"),
		t.set("k", "", "fail-fast"),
		t.ignored("b", "", false, ""),
		t.ignored("d", "", false, "^C tells what is running in any case"),
		t.keep("N", "", false),
		t.keep("K", "", false),
		t.help("h", ""),
		t.version("V", ""),
		t.set("q", "", "dry-run"),
		{"g", "", true, func(v string) error {
			for _, group := range splitHosts(v) {
				t.flag("hosts", "@"+group)
			}
			return nil
		}},
		{"X", "", true, func(v string) error {
			for _, group := range splitHosts(v) {
				t.exclude("@" + group)
			}
			return nil
		}},
		{"a", "", false, func(string) error { t.flag("hosts", "@*"); return nil }},
		t.refused("A", "", false, "-a takes all hosts that the groups know"),
		t.refused("F", "", true, "genders files are not read: name groups as in shoal help hosts"),
		t.refused("M", "", true, "there are no modules"),
		t.refused("L", "", false, "there are no modules"),
		t.refused("i", "", false, "name the hosts as they are to be reached"),
		t.refused("r", "", false, "shoal push -r copies directories"),
	}
}

// pdshHosts is -w: a list of hosts, where a leading - takes out and ^ reads a
// file.
func (t *translation) pdshHosts(list string) error {
	if list == "-" {
		t.flag("hosts-file", "-")
		return nil
	}
	for _, part := range splitHosts(list) {
		if kind, rest, ok := strings.Cut(part, ":"); ok && kind == "ssh" {
			part = rest
		}
		file, isFile := strings.CutPrefix(part, "^")
		out, isOut := strings.CutPrefix(part, "-")
		switch {
		case part == "":
		case isFile:
			t.flag("hosts-file", file)
		case strings.HasPrefix(part, "/") || strings.HasPrefix(part, "-/"):
			return &usageError{what: "-w: /regular expressions/ that choose from the other hosts are not supported", hint: "name the hosts, or use: shoal hosts"}
		case isOut:
			t.exclude(out)
		default:
			t.flag("hosts", part)
		}
	}
	return nil
}

// pdshFinish has the environment, and pdsh's lines.
func pdshFinish(t *translation, words []string) error {
	named := false
	for _, f := range t.flags {
		named = named || strings.HasPrefix(f, "--hosts")
	}
	if file := os.Getenv("WCOLL"); !named && file != "" {
		t.flag("hosts-file", file)
		named = true
	}
	if !named {
		return &usageError{what: "no remote hosts specified", hint: "name them with -w, as in: pdsh -w 'node[1-3]' uptime"}
	}
	if len(words) == 0 {
		return &usageError{what: "no command given, and pdsh's prompt is not supported", hint: "give the command behind the options; shoal shell is a prompt"}
	}
	for _, v := range []struct{ variable, option, flag string }{
		{"FANOUT", "f", "fanout"}, {"PDSH_CONNECT_TIMEOUT", "t", "connect-timeout"}, {"PDSH_COMMAND_TIMEOUT", "u", "timeout"},
	} {
		if value := os.Getenv(v.variable); value != "" && !t.has(v.option) {
			t.flag(v.flag, value)
		}
	}
	for _, variable := range []string{"PDSH_SSH_ARGS", "PDSH_SSH_ARGS_APPEND"} {
		// pdsh's own -l USER %h are Shoal's business.
		line := strings.NewReplacer("-l%u", "", "-l %u", "", "%h", "").Replace(os.Getenv(variable))
		if err := t.sshLine(variable, line); err != nil {
			return err
		}
	}
	if !t.has("f") && os.Getenv("FANOUT") == "" {
		t.flag("fanout", "32")
	}
	t.flag("no-stdin", "true")
	t.command, t.words = "run", words
	t.guise.code = func(v *verdict) int { return exitOK }
	switch {
	case t.has("k") && !t.has("S"):
		t.guise.code = func(v *verdict) int { return min(v.largestSSH, 1) }
	case t.has("S"):
		t.guise.code = func(v *verdict) int { return v.largestSSH }
	}
	machine, _ := os.Hostname()
	machine, _, _ = strings.Cut(machine, ".")
	t.guise.view = func(s *render.Screen, names []string) render.Renderer {
		return &render.Pdsh{Screen: s, NoLabels: t.has("N"), Self: "pdsh@" + machine, Label: pdshLabel(names, t.has("K"))}
	}
	return nil
}

// pdshLabel is how pdsh calls a host: without a user, and unless the whole name
// is wanted without a domain that is the same for all hosts.
func pdshLabel(names []string, whole bool) func(string) string {
	domain := ""
	for i, name := range names {
		name = withoutUser(name)
		_, d, _ := strings.Cut(name, ".")
		if whole || isAddress(name) || d == "" || i > 0 && d != domain {
			return withoutUser
		}
		domain = d
	}
	return func(name string) string { return strings.TrimSuffix(withoutUser(name), "."+domain) }
}

func withoutUser(name string) string { return name[strings.LastIndexByte(name, '@')+1:] }

// isAddress reports whether name is an IP address, perhaps with a port.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	_, errPort := netip.ParseAddrPort(name)
	return err == nil || errPort == nil
}

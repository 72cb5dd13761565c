package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/shoal-ssh/shoal/internal/render"
)

func psshPersonality() *personality {
	return &personality{
		usage:    "Usage: pssh [OPTIONS] command [...]",
		badUsage: 2,
		finish:   psshFinish,
		options: func(t *translation) []option {
			return append(psshOptions(t),
				t.keep("i", "inline", false),
				t.keep("", "inline-stdout", false),
				t.keep("I", "send-input", false),
				t.keep("P", "print", false),
			)
		},
	}
}

func pscpPersonality() *personality {
	return &personality{
		usage:    "Usage: pscp [OPTIONS] local remote",
		badUsage: 2,
		finish:   pscpFinish,
		options: func(t *translation) []option {
			return append(psshOptions(t), t.set("r", "recursive", "recursive"))
		},
	}
}

func pslurpPersonality() *personality {
	return &personality{
		usage:    "Usage: pslurp [OPTIONS] remote local",
		badUsage: 2,
		finish:   pslurpFinish,
		options: func(t *translation) []option {
			return append(psshOptions(t), t.set("r", "recursive", "recursive"), t.to("L", "localdir", "dir"))
		},
	}
}

// psshOptions are those that all programs of pssh have.
func psshOptions(t *translation) []option {
	return []option{
		t.to("h", "hosts", "hosts-file"),
		{"H", "host", true, func(v string) error {
			for host := range strings.FieldsSeq(v) {
				t.flag("host", host)
			}
			return nil
		}},
		t.to("l", "user", "user"),
		t.to("p", "par", "fanout"),
		t.keep("o", "outdir", true),
		t.keep("e", "errdir", true),
		t.keep("t", "timeout", true),
		{"O", "option", true, func(v string) error { t.flag("option", sshValue('o', v)); return nil }},
		t.set("v", "verbose", "verbose"),
		t.set("A", "askpass", "ask-pass"),
		{"x", "extra-args", true, func(v string) error { return t.sshLine("-x", v) }},
		// One -X has an option and the next its value.
		{"X", "extra-arg", true, func(v string) error { t.extra = append(t.extra, v); return nil }},
		t.refused("g", "host-glob", true, "choose the hosts beforehand, as by: grep"),
		t.help("", "help"),
		t.version("", "version"),
	}
}

// psshCommon is what all programs of pssh do at the end.
func (t *translation) psshCommon(timeout int) error {
	if !t.has("h") && !t.has("H") {
		return &usageError{what: "Hosts not specified.", hint: "name a file of them with -h, or hosts with -H"}
	}
	if err := t.sshOptions("-X", t.extra); err != nil {
		return err
	}
	for _, v := range []struct{ variable, option, flag string }{{"PSSH_USER", "l", "user"}, {"PSSH_PAR", "p", "fanout"}} {
		switch value := os.Getenv(v.variable); {
		case t.has(v.option):
		case value != "":
			t.flag(v.flag, value)
		case v.option == "p":
			t.flag("fanout", "32")
		}
	}
	if v := os.Getenv("PSSH_OPTIONS"); v != "" && !t.has("O") {
		t.flag("option", sshValue('o', v))
	}
	limit := os.Getenv("PSSH_TIMEOUT")
	if t.has("t") {
		limit = t.given["t"]
	}
	if limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return &usageError{what: fmt.Sprintf("-t: %q is not a whole number of seconds", limit)}
		}
		timeout = n
	}
	t.flag("connect-timeout", strconv.Itoa(timeout))
	if timeout > 0 && t.command == "run" {
		t.flag("timeout", strconv.Itoa(timeout))
	}
	return nil
}

func (t *translation) psshView(view render.Pssh) {
	t.guise.view = func(s *render.Screen, _ []string) render.Renderer {
		view.Screen, view.Name = s, t.name
		return &view
	}
}

func psshFinish(t *translation, words []string) error {
	if len(words) == 0 {
		return &usageError{what: "Command not specified.", hint: t.name + " runs the words behind the options"}
	}
	t.command, t.words = "run", words
	t.guise.code = func(v *verdict) int {
		switch {
		case v.timedOut || v.stopped:
			return 3
		case v.noReach || v.largestSSH == 255:
			return 4
		case v.failed:
			return 5
		}
		return exitOK
	}
	t.psshView(render.Pssh{Inline: t.has("i"), InlineStdout: t.has("inline-stdout"), Print: t.has("P")})
	if !t.has("I") {
		t.flag("no-stdin", "true")
	}
	for _, v := range []struct{ option, flag, variable string }{{"o", "outdir", "PSSH_OUTDIR"}, {"e", "errdir", "PSSH_ERRDIR"}} {
		dir := os.Getenv(v.variable)
		if t.has(v.option) {
			dir = t.given[v.option]
		}
		if dir != "" {
			t.flag(v.flag, dir)
		}
	}
	return t.psshCommon(60)
}

// noFolders refuses what copies write nothing into.
func (t *translation) noFolders() error {
	for _, name := range []string{"o", "e"} {
		if t.has(name) {
			return &usageError{what: fmt.Sprintf("-%s: copies write no output", name), hint: "leave it out"}
		}
	}
	return nil
}

func pscpFinish(t *translation, words []string) error {
	if len(words) < 2 {
		return &usageError{what: "Paths not specified.", hint: "as in: " + t.name + " -h hosts.txt local /remote"}
	}
	t.command, t.words = "push", words
	t.guise.code = func(v *verdict) int {
		switch {
		case v.timedOut || v.stopped:
			return 3
		case v.noReach || v.failed:
			return 4
		}
		return exitOK
	}
	t.psshView(render.Pssh{})
	if err := t.noFolders(); err != nil {
		return err
	}
	return t.psshCommon(0)
}

func pslurpFinish(t *translation, words []string) error {
	if len(words) != 2 {
		return &usageError{what: "Paths not specified.", hint: "as in: " + t.name + " -h hosts.txt -L dir /remote local"}
	}
	remote, local := words[0], words[1]
	if strings.ContainsAny(local, "{}") {
		return &usageError{what: fmt.Sprintf("%q: { and } are not supported in the local name", local), hint: "shoal pull --name says what they mean"}
	}
	name := "{host}/" + local
	if strings.ContainsAny(remote, "*?[") {
		name += "/{name}"
	}
	t.flag("name", name)
	t.command, t.words = "pull", []string{remote}
	t.guise.code = func(v *verdict) int {
		switch {
		case v.timedOut || v.stopped:
			return 3
		case v.noReach:
			return 4
		case v.failed:
			return 5
		}
		return exitOK
	}
	t.psshView(render.Pssh{})
	if err := t.noFolders(); err != nil {
		return err
	}
	return t.psshCommon(0)
}

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/shoal-ssh/shoal/internal/render"
)

const dshbakUsage = `Usage: dshbak [OPTION]...
 -h       Display this help message
 -c       Coalesce identical output from hosts
 -d DIR   Send output to files in DIR, one file per host
 -f       With -d, force creation of DIR`

func dshbakPersonality() *personality {
	return &personality{
		usage:    dshbakUsage,
		badUsage: 1,
		finish:   dshbakFinish,
		options: func(t *translation) []option {
			return []option{
				t.keep("c", "", false),
				t.keep("d", "", true),
				t.keep("f", "", false),
				t.help("h", ""),
			}
		},
	}
}

func dshbakFinish(t *translation, words []string) error {
	dir := t.given["d"]
	switch {
	case len(words) > 0:
		return &usageError{what: "files are not read", hint: "as in: dshbak -c <" + words[0]}
	case t.has("c") && dir != "":
		return &usageError{what: "Fatal: Do not specify both -c and -d", hint: dshbakUsage}
	case t.has("f") && dir == "":
		return &usageError{what: "Fatal: Option -f may only be used with -d", hint: dshbakUsage}
	}
	if info, err := os.Stat(dir); dir != "" && !t.has("f") && (err != nil || !info.IsDir()) {
		return &usageError{what: fmt.Sprintf("Fatal: Output directory %s does not exist", dir), hint: "-f makes it"}
	}
	t.direct = func(context.Context) error { return t.app.dshbak(dir, t.has("c")) }
	return nil
}

// dshbak shows labelled lines by host, or writes them to files in dir.
func (a *app) dshbak(dir string, coalesce bool) error {
	if a.stdin == nil || isTerminal(a.stdin) {
		return &usageError{what: "nothing is piped in", hint: "as in: pdsh -w 'node[1-4]' uname -r | dshbak -c"}
	}
	s := (&viewFlags{}).screen(a.stdout, a.stderr)
	var show render.Renderer = &render.Dshbak{Screen: s, Coalesce: coalesce}
	if dir != "" {
		files := &render.Files{Dir: dir}
		if err := files.Prepare(); err != nil {
			return err
		}
		show = files
	}
	if err := render.Labelled(a.stdin, show, nil); err != nil {
		return err
	}
	if s.Err() != nil {
		return &codeError{exitPipe}
	}
	return nil
}

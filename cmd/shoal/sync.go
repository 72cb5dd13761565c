package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/glob"
	"github.com/shoal-ssh/shoal/internal/render"
)

const syncHelp = `Make directories on hosts equal to a local one, by SFTP: DIR gets what is in SOURCE,
with permissions and times. Files of the same size and time are left out, or with
--checksum those of the same size and SHA-256 sum.

With --delete, what SOURCE has not is removed from DIR, after all is copied. Nothing
is removed on a host where something could not be copied, nor what --exclude leaves
out; an empty SOURCE is an error, and so is the login folder as DIR.

--dry-run changes nothing and shows what would be done, equal lists once: + for what
would be new, ~ for what would be replaced, - for what would be deleted.

--exclude takes patterns as of gitignore, without "!": '*.o' and 'cache/' match at any
depth, and the latter directories only; '/build' and 'a/b' match from SOURCE; '**' is
any number of directories.

Exit codes: 0 the directories are equal; 1 something could not be copied or deleted; 2
wrong usage; 3 some host was not reached; 4 some host timed out.`

const syncExample = `  shoal sync site/ 'web[1-20]:/srv/www' --delete --dry-run
  shoal sync site/ 'web[1-20]:/srv/www' --delete --exclude .git/
  shoal sync -w 'web[1-20]' --checksum conf/ /etc/app`

func (f *copyFlags) addSync(fs *pflag.FlagSet) {
	f.copy.Recursive, f.copy.Preserve = true, true
	fs.BoolVar(&f.copy.Delete, "delete", false, "delete what the source has not")
	fs.BoolVar(&f.copy.DryRun, "dry-run", false, "show what would be done, and do nothing")
	f.addCommon(fs)
	f.addTree(fs)
}

func (a *app) syncCommand() *cobra.Command {
	var f copyFlags
	f.target.example = "shoal sync site/ 'web[1-20]:/srv/www'"
	return f.command(&cobra.Command{
		Use:     "sync [FLAGS] SOURCE HOSTS:DIR | -w HOSTS SOURCE DIR",
		Short:   "Make directories on hosts equal to a local one",
		Long:    syncHelp,
		Example: syncExample,
		RunE:    func(c *cobra.Command, words []string) error { return a.sync(c.Context(), &f, words) },
	}, f.addSync)
}

// sync is shoal sync.
func (a *app) sync(ctx context.Context, f *copyFlags, words []string) error {
	const usage = "as in: shoal sync site/ 'web[1-20]:/srv/www', or with -w 'web[1-20]' site/ /srv/www"
	f.update = !f.checksum
	if err := f.check(); err != nil {
		return err
	}
	if len(words) != 2 {
		return &usageError{what: fmt.Sprintf("sync wants one directory and where to, got %s", plural(len(words), "word")), hint: usage}
	}
	from, to := words[0], words[1]
	if !f.target.named() {
		var err error
		if to, err = f.remote(to, usage); err != nil {
			return err
		}
	}
	if to == "" {
		return &usageError{what: "sync wants the name of a directory on the hosts", hint: usage}
	}
	switch info, err := os.Stat(from); {
	case err != nil:
		return &usageError{what: "cannot copy " + err.Error(), hint: "the source is a local directory"}
	case !info.IsDir():
		return &usageError{what: fmt.Sprintf("%q is not a directory", from), hint: "to copy files: shoal push"}
	}
	if clean := path.Clean(to); f.copy.Delete && (clean == "." || clean == "/" || clean == "~") {
		return &usageError{what: fmt.Sprintf("--delete: %q is all that the host has, or the login folder", to), hint: "name a directory in it"}
	}
	c := f.copy
	c.From, c.To = strings.TrimRight(from, "/")+"/.", to
	return a.copyAll(ctx, f, "sync "+strings.Join(words, " "), []shoal.Copy{c}, (*shoal.Client).Put)
}

// checkExclude refuses patterns that mean nothing.
func checkExclude(patterns []string) error {
	if _, err := glob.Parse(patterns); err != nil {
		return &usageError{what: "--exclude: " + err.Error(), hint: "as in: --exclude '*.tmp' --exclude /cache/"}
	}
	return nil
}

// changes shows what would be done on a host, as if it were its output.
func (c *copier) changes(host string, index int, changes []shoal.Change) {
	if len(changes) == 0 {
		return
	}
	lines := make([]render.Line, len(changes))
	for i, change := range changes {
		lines[i] = render.Line{Host: host, Index: index, Seq: int64(i), Text: change.String()}
	}
	c.renderer.Lines(lines)
}

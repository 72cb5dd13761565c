package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

const pushHelp = `Copy files and directories to hosts, by SFTP or, with --scp, by SCP. A file is
written under a temporary name, its size is compared with the source's, and then
takes its name in one step: that holds the old file or the new one, never a part.

TARGET is a name on the hosts. A directory that exists, and a name that ends with
a slash, take the source under its own name; anything else becomes its name.
Folders above it are made. A name without a slash in front starts in the login
folder. SOURCE may be a pattern, in which ** stands for any number of directories,
and - is standard input.

With --tree, hosts that have a file pass it on, each to N others at once, so that all
together cost one upload. They use their own ssh: each must be able to log in to the
others as the same user without being asked anything, by a key of its own, under the
addresses given here. Sums of what they pass on are compared; a host to which nobody can
pass a file gets it from here.

Exit codes: 0 everything is there; 1 something could not be copied; 2 wrong usage;
3 some host was not reached; 4 some host timed out.`

const pushExample = `  shoal push app.tgz 'web[1-20]:/opt/app/'
  shoal push --resume backup.tar 'web[1-20]:/srv/'
  shoal push -r --verify site/ 'web[1-20]:/srv/www'
  shoal push -w 'web[1-20]' nginx.conf mime.types /etc/nginx/
  pg_dump db | shoal push - 'db[2-3]:dump.sql'
  shoal push --scp image.bin 'nas[1-8]:/volume1/'
  shoal push --tree 4 image.tar 'node[1-500]:/srv/'`

const pullHelp = `Copy files and directories from hosts, by SFTP or, with --scp, by SCP, each under a
name of its own: the host's name is added to the name of each, as in error.log_web1, unless --name says
otherwise. Names that a host gives cannot lead out of the directory.

SOURCE is a name or a pattern on the hosts, in which ** stands for any number of
directories. One without a slash in front starts in the login folder.

In --name, {host} is the host, {name} the last part of the source's name, and
{path} all of it without the slash in front.

Exit codes: 0 everything is here; 1 something could not be copied; 2 wrong usage;
3 some host was not reached; 4 some host timed out.`

const pullExample = `  shoal pull 'web[1-20]:/etc/os-release' -d releases
  shoal pull 'web[1-9]:/var/log/nginx/error*.log' -d logs --name '{host}/{path}'
  shoal pull -r -w 'db[1-3]' /etc/postgresql -d backup`

// copyFlags are the flags of shoal push, shoal pull and shoal sync.
type copyFlags struct {
	target  targetFlags
	connect connectFlags
	pace    paceFlags
	view    viewFlags
	journal journalFlags

	copy             shoal.Copy
	follow, noLinks  bool
	update, checksum bool
	limit            rateFlag
	tree             numberFlag
	dir, name        string // of pull
}

func (f *copyFlags) add(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.copy.Recursive, "recursive", "r", false, "copy directories with all that is in them")
	fs.BoolVar(&f.copy.Preserve, "preserve", false, "keep permissions and times")
	fs.BoolVar(&f.update, "update", false, "leave out files of the same size and time: use it with --preserve")
	f.addCommon(fs)
}

// addCommon adds the flags that shoal sync has too.
func (f *copyFlags) addCommon(fs *pflag.FlagSet) {
	fs.BoolVar(&f.checksum, "checksum", false, "leave out files of the same size and SHA-256 sum")
	fs.StringArrayVar(&f.copy.Exclude, "exclude", nil, "leave out what matches `PATTERN`, as in '*.tmp', /build or cache/; may be repeated")
	fs.BoolVar(&f.copy.Verify, "verify", false, "compare SHA-256 sums before a file gets its name")
	fs.BoolVar(&f.copy.Resume, "resume", false, "go on with large files that an earlier copy with --resume did not finish")
	fs.BoolVar(&f.follow, "follow", false, "copy what links in directories point to, instead of the links")
	fs.BoolVar(&f.noLinks, "no-links", false, "leave out links in directories")
	fs.Var(&f.limit, "bwlimit", "copy at most so many bytes a second in all, as in 10M")
	fs.BoolVar(&f.copy.NoSync, "no-sync", false, "do not wait for disks")
	fs.BoolVar(&f.copy.SCP, "scp", false, "copy by SCP and a shell on the host, for hosts without SFTP")
	fs.BoolVar(&f.copy.Force, "force", false, "remove a file first where a server cannot replace it in one step")
}

func (f *copyFlags) addPush(fs *pflag.FlagSet) {
	f.add(fs)
	f.addTree(fs)
}

// addTree adds the flag of what copies to hosts.
func (f *copyFlags) addTree(fs *pflag.FlagSet) {
	f.tree = numberFlag{min: 1, max: 100}
	fs.Var(&f.tree, "tree", "have hosts that have a file of 256 KiB or more pass it on by their own ssh, each to `N` others at once")
}

func (f *copyFlags) addPull(fs *pflag.FlagSet) {
	fs.StringVarP(&f.dir, "dir", "d", ".", "copy into `DIR`")
	fs.StringVar(&f.name, "name", "", "the name in it, by a `TEMPLATE` such as '{host}/{path}'")
	f.add(fs)
}

func (a *app) pushCommand() *cobra.Command {
	var f copyFlags
	f.target.example = "shoal push FILE 'web[1-20]:/tmp/'"
	return f.command(&cobra.Command{
		Use:     "push [FLAGS] SOURCE… HOSTS:TARGET | -w HOSTS SOURCE… TARGET",
		Short:   "Copy files to hosts",
		Long:    pushHelp,
		Example: pushExample,
		RunE:    func(c *cobra.Command, words []string) error { return a.push(c.Context(), &f, words) },
	}, f.addPush)
}

func (a *app) pullCommand() *cobra.Command {
	var f copyFlags
	f.target.example = "shoal pull 'web[1-20]:/etc/hosts' -d hosts"
	return f.command(&cobra.Command{
		Use:     "pull [FLAGS] HOSTS:SOURCE | -w HOSTS SOURCE…",
		Short:   "Copy files from hosts",
		Long:    pullHelp,
		Example: pullExample,
		RunE:    func(c *cobra.Command, words []string) error { return a.pull(c.Context(), &f, words) },
	}, f.addPull)
}

func (f *copyFlags) command(c *cobra.Command, add func(*pflag.FlagSet)) *cobra.Command {
	c.DisableFlagsInUseLine = true
	f.target.excludeFlag = "exclude-hosts" // --exclude is about files
	addGroups(c, []flagGroup{
		newGroup("Copying", add),
		newGroup("Hosts", f.target.add, f.target.addYes),
		newGroup(connectionGroup, func(fs *pflag.FlagSet) { f.connect.add(fs); f.connect.addTransport(fs) }),
		newGroup("Pace and output", f.pace.add, f.view.add, f.journal.add),
	})
	return c
}

// check refuses what does not go together, and completes the copy.
func (f *copyFlags) check() error {
	switch {
	case f.follow && f.noLinks:
		return &usageError{what: "--follow and --no-links contradict each other", hint: "give one of them"}
	case f.update && f.checksum:
		return &usageError{what: "--update and --checksum are two ways to find what is there already", hint: "give one of them"}
	case f.view.quiet && f.view.format.word == "jsonl":
		return &usageError{what: "-O jsonl has everything in it and cannot be cut", hint: "leave out -q"}
	case f.tree.n > 0 && f.copy.SCP:
		return &usageError{what: "--tree needs SFTP, and --scp is given", hint: "leave out one of them"}
	case f.tree.n > 0 && f.copy.Resume:
		return &usageError{what: "--tree and --resume exclude each other: what a host passes on begins at the beginning", hint: "leave out one of them"}
	case f.tree.n > 0 && f.connect.openssh():
		return &usageError{what: "--tree works with --transport native alone, which knows the hosts' keys", hint: "leave out one of them"}
	case f.follow:
		f.copy.Links = shoal.FollowLinks
	case f.noLinks:
		f.copy.Links = shoal.SkipLinks
	}
	switch {
	case f.update:
		f.copy.Unchanged = shoal.SkipSameAge
	case f.checksum:
		f.copy.Unchanged = shoal.SkipSameSum
	}
	f.copy.Limit, f.copy.Tree = f.limit.n, f.tree.n
	if err := checkExclude(f.copy.Exclude); err != nil {
		return err
	}
	return f.connect.check()
}

// splitRemote takes "HOSTS:PATH" apart at the first colon that is outside of
// brackets, not before a port and not between a source and its group.
func splitRemote(word string) (hosts, name string, ok bool) {
	depth, start := 0, 0 // of the operand
	for i, c := range word {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		case ',', '!', '&', '^', '(', ' ':
			start = i + 1
		case '/':
			return "", "", false
		case ':':
			rest := word[i+1:]
			behind := strings.TrimLeft(rest, "0123456789")
			isPort := behind != rest && (behind == "" || strings.ContainsRune(":,!&^) ", rune(behind[0])))
			if depth > 0 || isPort || isSource(word[start:i], rest) {
				continue
			}
			return word[:i], word[i+1:], i > 0
		}
	}
	return "", "", false
}

// isSource reports whether what stands before a colon is the source of a group: the
// name of the group and another colon come behind it.
func isSource(operand, rest string) bool {
	if !strings.HasPrefix(operand, "@") || strings.Contains(operand, ":") {
		return false
	}
	end := strings.IndexAny(rest, ":/")
	return end > 0 && rest[end] == ':'
}

func (f *copyFlags) remote(word, usage string) (string, error) {
	hosts, name, ok := splitRemote(word)
	if !ok {
		return "", &usageError{what: fmt.Sprintf("%q is not HOSTS:PATH", word), hint: usage}
	}
	f.target.exprs = append(f.target.exprs, hosts)
	return name, nil
}

// push is shoal push.
func (a *app) push(ctx context.Context, f *copyFlags, words []string) error {
	const usage = "as in: shoal push FILE 'web[1-20]:/tmp/', or with -w 'web[1-20]' FILE /tmp/"
	if err := f.check(); err != nil {
		return err
	}
	if len(words) < 2 {
		return &usageError{what: "push wants something to copy and where to", hint: usage}
	}
	to, sources := words[len(words)-1], words[:len(words)-1]
	if !f.target.named() {
		var err error
		if to, err = f.remote(to, usage); err != nil {
			return err
		}
	}
	if len(sources) > 1 && to != "" && !strings.HasSuffix(to, "/") {
		to += "/" // which several sources need in any case
	}
	var copies []shoal.Copy
	for _, source := range sources {
		c := f.copy
		c.From, c.To = source, to
		if source == "-" {
			if a.stdin == nil || f.target.stdin() || len(sources) > 1 {
				return &usageError{what: "- stands for standard input, which can be copied once and alone", hint: usage}
			}
			if f.tree.n > 0 {
				return &usageError{what: "--tree needs files, and standard input comes only once", hint: "leave it out, or write it to a file first"}
			}
			if f.copy.Resume {
				return &usageError{what: "--resume needs files, and standard input comes only once", hint: "leave it out"}
			}
			c.From, c.Reader = "", a.stdin
		} else if err := f.checkSource(source); err != nil {
			return err
		}
		copies = append(copies, c)
	}
	return a.copyAll(ctx, f, "push "+strings.Join(words, " "), copies, (*shoal.Client).Put)
}

// checkSource finds mistakes before any host is connected to.
func (f *copyFlags) checkSource(name string) error {
	if strings.ContainsAny(name, `*?[\`) {
		return nil // a pattern, or perhaps one
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return &usageError{what: "cannot copy " + err.Error(), hint: "the source is a local file; quote patterns"}
	case info.IsDir() && !f.copy.Recursive:
		return &usageError{what: fmt.Sprintf("%q is a directory", name), hint: "give -r to copy it with all that is in it"}
	}
	return nil
}

// pull is shoal pull.
func (a *app) pull(ctx context.Context, f *copyFlags, words []string) error {
	const usage = "as in: shoal pull 'web[1-20]:/etc/hosts' -d DIR, or with -w 'web[1-20]' /etc/hosts -d DIR"
	if err := f.check(); err != nil {
		return err
	}
	sources := slices.Clone(words)
	if !f.target.named() {
		if len(words) != 1 {
			return &usageError{what: "pull wants one HOSTS:SOURCE", hint: usage}
		}
		var err error
		if sources[0], err = f.remote(words[0], usage); err != nil {
			return err
		}
	}
	if len(sources) == 0 || slices.Contains(sources, "") {
		return &usageError{what: "pull wants something to copy", hint: usage}
	}
	var copies []shoal.Copy
	for _, source := range sources {
		c := f.copy
		c.From, c.To = source, strings.TrimRight(f.dir, "/")+"/"
		if f.name != "" {
			make, err := f.namer(source)
			if err != nil {
				return err
			}
			c.For = func(h shoal.Host) (string, string, error) { return source, make(h), nil }
		}
		copies = append(copies, c)
	}
	return a.copyAll(ctx, f, "pull "+strings.Join(words, " "), copies, (*shoal.Client).Get)
}

// namer makes the local names of --name. A pattern may stand for several files,
// which keep the last part of their names.
func (f *copyFlags) namer(source string) (func(shoal.Host) string, error) {
	whole := path.Clean(source)
	dir, last := path.Split(whole)
	template := f.name
	if strings.ContainsAny(last, `*?[`) {
		var byName, byPath bool
		if template, byName = strings.CutSuffix(template, "{name}"); !byName {
			template, byPath = strings.CutSuffix(template, "{path}")
		}
		switch {
		case !byName && !byPath, strings.Contains(template, "{name}"), strings.Contains(template, "{path}"):
			return nil, &usageError{what: fmt.Sprintf("--name: %q may stand for several files", source),
				hint: "have {name} or {path} in the template once, at its end"}
		case byPath && strings.ContainsAny(dir, `*?[`):
			return nil, &usageError{what: fmt.Sprintf("--name: %q may stand for files in several directories", source),
				hint: "use {name} instead of {path}, or patterns in the last part of the source only"}
		case byPath:
			template += "{dir}"
		}
		template += "/"
	}
	if !strings.Contains(template, "{host}") {
		return nil, &usageError{what: "--name: without {host} all hosts have the same name", hint: "as in: --name '{host}/{path}'"}
	}
	rel := func(name string) string { return strings.TrimPrefix(strings.TrimPrefix(name, "~/"), "/") }
	return func(h shoal.Host) string {
		host := strings.NewReplacer("/", "_", `\`, "_").Replace(h.Name)
		name := strings.NewReplacer("{host}", host, "{name}", last, "{path}", rel(whole), "{dir}", rel(dir)).Replace(template)
		slash := ""
		if strings.HasSuffix(name, "/") {
			slash = "/"
		}
		return filepath.Join(f.dir, filepath.FromSlash(path.Join("/", name))) + slash
	}, nil
}

// copyWork is [shoal.Client.Put] or [shoal.Client.Get].
type copyWork func(*shoal.Client, context.Context, iter.Seq[shoal.Host], shoal.Copy) iter.Seq[shoal.Result[shoal.Copied]]

// copyAll makes the copies on all hosts, one copy after the other.
func (a *app) copyAll(ctx context.Context, f *copyFlags, what string, copies []shoal.Copy, work copyWork) error {
	hosts, err := a.targets(ctx, &f.target, &f.connect, nil)
	if hosts == nil {
		return err
	}
	j := newJob(a, &f.view, &f.pace, hosts)
	c := &copier{job: j, dry: f.copy.DryRun, fed: map[int]bool{}}
	if len(copies) > 1 {
		c.client.MaxIdle = len(hosts) // for the next copy
	}
	c.renderer = render.Tee{c.console.status, &render.Report{Screen: c.console.screen}}
	switch {
	case f.view.format.word == "jsonl":
		c.renderer = render.Tee{c.console.status, &render.JSONL{W: c.console.screen.Out()}, &render.Report{Screen: c.console.screen}}
	case f.copy.DryRun && !f.view.quiet:
		c.renderer = render.Tee{c.console.status, &render.Fold{Screen: c.console.screen}, &render.Report{Screen: c.console.screen}}
	}
	c.verdict.guise = a.guise.code
	if view := a.guise.viewOf(nil); view != nil {
		c.quietSum = true
		c.renderer = render.Tee{c.console.status, view(c.console.screen)}
	}
	c.origin.stdin = slices.ContainsFunc(copies, func(c shoal.Copy) bool { return c.Reader != nil })
	if !c.dry {
		a.keep(&c.job, &f.journal)
	}
	return c.do(ctx, func(ctx context.Context) error {
		if a.reach != nil {
			a.reach(c.client)
			return nil
		}
		if err := f.target.confirm(ctx, &c.job); err != nil {
			return err
		}
		if err := f.connect.mayAsk(&c.job); err != nil {
			return err
		}
		return c.connects(&f.connect, f.view.verbose)
	}, func(ctx context.Context) error { return c.copy(ctx, what, copies, work) })
}

// copier copies, and shows what becomes of it.
type copier struct {
	job
	dry   bool // nothing is done
	total shoal.Copied
	fed   map[int]bool // hosts that got something from others

	quietSum bool // what was copied is not said
}

func (c *copier) copy(ctx context.Context, what string, copies []shoal.Copy, work copyWork) error {
	c.noteBegins()
	c.start(what)
	stopTicks := c.console.tick()
	ended := make([]*render.Exit, len(c.hosts))
	for n, cp := range copies {
		var left []shoal.Host // those where nothing went wrong yet
		var index []int
		for i, h := range c.hosts {
			if ended[i] == nil {
				left, index = append(left, h), append(index, i)
			}
		}
		for r := range work(c.client, ctx, slices.Values(left), cp) {
			i := index[r.Index]
			c.add(r.Value)
			if r.Value.Relayed > 0 {
				c.fed[i] = true
			}
			if r.Err == nil && n < len(copies)-1 {
				continue
			}
			x := c.exitOf(&r, i)
			ended[i] = &x
			c.console.show(func() {
				c.changes(r.Host.Name, i, r.Value.Changes)
				c.exit(x)
			})
			if c.pace.failFast && x.Status != render.OK {
				c.cancel(errFailFast)
			}
		}
	}
	stopTicks()
	var err error
	c.console.show(func() {
		if !c.quietSum {
			c.console.screen.Say(c.sum(time.Since(c.began)))
		}
		err = c.end(c.verdict.code(c.cause(), false))
	})
	return err
}

func (c *copier) add(d shoal.Copied) {
	c.total.Files += d.Files
	c.total.Dirs += d.Dirs
	c.total.Skipped += d.Skipped
	c.total.Deleted += d.Deleted
	c.total.Bytes += d.Bytes
	c.total.Kept += d.Kept
	c.total.Relayed += d.Relayed
	c.total.Failed += d.Failed
	c.total.NotRelayed += d.NotRelayed
}

func (c *copier) exitOf(r *shoal.Result[shoal.Copied], index int) render.Exit {
	return exitOf(&shoal.Result[shoal.Output]{Host: r.Host, Index: index, Err: r.Err, Timings: r.Timings,
		Value: shoal.Output{OutBytes: r.Value.Bytes}}, time.Since(c.began))
}

// sum says what was copied, or would be.
func (c *copier) sum(took time.Duration) string {
	copied, left, deleted := "copied ", "left out", "deleted"
	if c.dry {
		copied, left, deleted = "would copy ", "leave out", "delete"
	}
	text := copied + plural(c.total.Files, "file")
	if c.total.Files > 0 {
		text += ", " + size(c.total.Bytes)
	}
	if c.total.Bytes > 0 && !c.dry {
		text += fmt.Sprintf(" (%s/s)", size(int64(float64(c.total.Bytes-c.total.Kept)/took.Seconds())))
	}
	if c.total.Kept > 0 {
		text += fmt.Sprintf(", %s of it there before", size(c.total.Kept))
	}
	if n := len(c.fed); n > 0 {
		text += fmt.Sprintf(", of which %s got %s from other hosts", plural(n, "host"), size(c.total.Relayed))
	}
	if c.total.NotRelayed > 0 {
		text += fmt.Sprintf(", %d could not be passed on and came from here (-v says why)", c.total.NotRelayed)
	}
	if c.total.Skipped > 0 {
		text += fmt.Sprintf(", %s %d", left, c.total.Skipped)
	}
	if c.total.Deleted > 0 {
		text += fmt.Sprintf(", %s %d", deleted, c.total.Deleted)
	}
	if c.total.Failed > 0 {
		text += fmt.Sprintf(", %d failed", c.total.Failed)
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size is a number of bytes as people write it.
func size(n int64) string {
	if n < 1024 {
		return plural(int(n), "byte")
	}
	value, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// rateFlag is a number of bytes, with K, M or G for powers of 1024.
type rateFlag struct{ n int64 }

func (f *rateFlag) String() string {
	if f.n == 0 {
		return ""
	}
	return strconv.FormatInt(f.n, 10)
}

func (f *rateFlag) Type() string { return "RATE" }

func (f *rateFlag) Set(s string) error {
	digits := strings.TrimRight(s, "KMGkmg")
	n, err := strconv.ParseFloat(digits, 64)
	unit := int64(1)
	switch strings.ToUpper(s[len(digits):]) {
	case "":
	case "K":
		unit = 1 << 10
	case "M":
		unit = 1 << 20
	case "G":
		unit = 1 << 30
	default:
		err = errors.New("unit")
	}
	if err != nil || n <= 0 || n > 1<<20 && unit == 1<<30 {
		return errors.New("want bytes a second, as in 500K, 10M or 1G")
	}
	f.n = int64(n * float64(unit))
	return nil
}

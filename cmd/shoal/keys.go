package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/render"
)

const keysHelp = `Ask hosts for all their host keys, without logging in, and compare them with the
known_hosts files: a key is known, new, changed (the files have another one),
revoked, weak, or not offered any more. The worst come first.

With --pin the new keys are stored, after one question about all of them; check
the fingerprints before, with a list that came another way. Keys that changed are
left alone, along with all others of the same host, unless --replace is given.

Exit codes: 0 all keys are known, or are now; 1 some are not; 2 wrong usage; 3
some host was not reached; 4 some host timed out; 5 the answer was no.`

const keysExample = `  shoal keys 'web[1-20],db1'
  shoal keys --pin --hosts-file hosts.txt
  shoal keys --pin --replace db7                  it was reinstalled
  shoal keys -O known_hosts 'web[1-20]' >scanned  to compare it by other means`

// formatKnownHosts are lines for a known_hosts file, as ssh-keyscan has them.
const formatKnownHosts = "known_hosts"

// keysFlags are the flags of shoal keys.
type keysFlags struct {
	target            targetFlags
	connect           connectFlags
	pace              paceFlags
	view              viewFlags
	pin, replace, yes bool
	file              string
	all               bool
}

func (f *keysFlags) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.pin, "pin", false, "store new keys, after a question")
	fs.BoolVar(&f.replace, "replace", false, "with --pin, take known keys out that have changed, after another question")
	fs.BoolVar(&f.yes, "yes", false, "answer the questions with yes")
	fs.StringVar(&f.file, "known-hosts", "", "compare with, and store in, this `FILE` instead of those of ssh_config(5)")
	fs.BoolVar(&f.connect.hash, "hash", false, "store the names of hosts hashed, as HashKnownHosts does")
	fs.BoolVar(&f.all, "all", false, "known keys in rows too")
}

func (f *keysFlags) addView(fs *pflag.FlagSet) {
	f.pace.addLimits(fs)
	f.view.init(formatKnownHosts)
	fs.VarP(&f.view.format, "output", "O", "rows for people, an object a line for programs, or lines as of ssh-keyscan, not compared with anything")
	f.view.addRest(fs)
}

func (a *app) keysCommand() *cobra.Command {
	var f keysFlags
	f.target.example = "shoal keys -w 'web[1-20]'"
	c := &cobra.Command{
		Use:                   "keys [-w] HOSTS [FLAGS]",
		Short:                 "Compare host keys with the known ones, and store new ones",
		Long:                  keysHelp,
		Example:               keysExample,
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, words []string) error { return a.keys(c.Context(), &f, words) },
	}
	addGroups(c, []flagGroup{
		newGroup("Keys", f.add),
		newGroup("Hosts", f.target.add),
		newGroup(connectionGroup, f.connect.add),
		newGroup("Pace and output", f.addView),
	})
	return c
}

// check refuses what does not go together.
func (f *keysFlags) check() error {
	raw := f.view.format.word == formatKnownHosts
	switch {
	case f.replace && !f.pin:
		return &usageError{what: "--replace is part of storing keys", hint: "give --pin along with it"}
	case f.yes && !f.pin && !f.target.all:
		return &usageError{what: "--yes answers questions that nobody asks", hint: "give --pin or -a along with it"}
	case raw && (f.pin || f.all || f.view.quiet || f.file != ""):
		return &usageError{what: "-O known_hosts compares and stores nothing", hint: "leave out --pin, --all, -q and --known-hosts"}
	case f.view.format.word == "jsonl" && f.pin && !f.yes:
		return &usageError{what: "-O jsonl shows no review to ask about", hint: "give --yes along with --pin once the keys have been reviewed"}
	case f.view.format.word == "jsonl" && (f.all || f.view.quiet):
		return &usageError{what: "-O jsonl has everything in it and cannot be cut", hint: "leave out --all and -q"}
	}
	return f.connect.check()
}

// keys is shoal keys.
func (a *app) keys(ctx context.Context, f *keysFlags, words []string) error {
	if err := f.check(); err != nil {
		return err
	}
	hosts, err := a.targets(ctx, &f.target, &f.connect, words)
	if hosts == nil {
		return err
	}
	k := newKeyScan(newJob(a, &f.view, &f.pace, hosts), f)
	f.target.yes = f.yes
	return k.do(ctx, func(ctx context.Context) error {
		if f.pin && !f.yes && k.ask.check() != nil {
			return &usageError{what: "--pin: " + errNoTerminal.Error(), hint: "run it from a terminal, or give --yes once the keys have been reviewed"}
		}
		if f.file != "" {
			if _, err := k.file.File(); err != nil {
				return &usageError{what: "--known-hosts: " + err.Error(), hint: "it names a known_hosts file, which need not be there yet"}
			}
		}
		if a.reach != nil {
			a.reach(k.client)
			return nil
		}
		if err := f.target.confirm(ctx, &k.job); err != nil {
			return err
		}
		if err := f.connect.mayAsk(&k.job); err != nil {
			return err
		}
		return k.connects(&f.connect, f.view.verbose)
	}, k.scan)
}

// keyScan scans host keys, shows what they are, and stores them.
type keyScan struct {
	job
	flags   *keysFlags
	file    *shoal.KnownHosts // instead of those of the hosts; nil for those
	out     io.Writer         // for -O known_hosts; else nil
	objects *render.JSONL     // for -O jsonl; else nil
	rows    *render.Keys
	scanned []scannedHost
	stored  map[string]*render.Stored // by file
	unsaved bool
}

// scannedHost is a host with the keys that it has.
type scannedHost struct {
	host  string
	addr  string
	known *shoal.KnownHosts
	keys  []shoal.ComparedHostKey
	ended bool // its keys are stored, or need not be
}

func newKeyScan(j job, f *keysFlags) *keyScan {
	s := j.console.screen
	k := &keyScan{job: j, flags: f, rows: &render.Keys{Screen: s, All: f.all, Quiet: f.view.quiet, Pin: f.pin}, stored: make(map[string]*render.Stored)}
	all := render.Tee{k.console.status}
	switch f.view.format.word {
	case "jsonl":
		k.objects = &render.JSONL{W: s.Out()}
		all = append(all, k.objects)
	case formatKnownHosts:
		k.out = s.Out()
	}
	k.renderer = append(all, k.rows)
	switch {
	case f.file != "":
		k.file = &shoal.KnownHosts{Files: []string{f.file}, Hash: f.connect.hash}
	case k.out != nil:
		k.file = &shoal.KnownHosts{Hash: f.connect.hash} // for its Line
	}
	return k
}

// scan does the work.
func (k *keyScan) scan(ctx context.Context) error {
	k.noteBegins()
	k.start("host keys")
	stopTicks := k.console.tick()
	for r := range k.client.ScanHostKeys(ctx, slices.Values(k.hosts)) {
		k.console.show(func() { k.result(&r) })
	}
	stopTicks()
	stopped := k.cause()
	k.console.show(func() {
		k.console.status.End(k.tally) // nothing is under way below the review
		k.review(time.Since(k.began))
	})
	if stopped == nil && k.flags.pin {
		stopped = k.pin(ctx)
	}
	k.verdict.failed = slices.ContainsFunc(k.scanned, func(h scannedHost) bool { return !h.ended })
	k.verdict.internal = k.verdict.internal || k.unsaved
	var err error
	k.console.show(func() { err = k.end(k.verdict.code(stopped, false)) })
	return err
}

// result takes the keys of one host.
func (k *keyScan) result(r *shoal.Result[shoal.HostKeyScan]) {
	t := time.Since(k.began)
	err := r.Err
	if len(r.Value.Keys) > 0 {
		err = errors.Join(k.compare(r, t), r.Err)
	}
	x := render.Exit{Host: r.Host.Name, Index: r.Index, Status: render.OK, T: t, Stages: stages(r.Timings)}
	if e, ok := errors.AsType[*shoal.HostError](err); ok {
		broken(&x, e)
	} else if err != nil {
		x.Status = render.HostKey
		x.Err = &render.Problem{Stage: string(shoal.StageHostKey), Kind: string(shoal.KindLocalIO), Msg: err.Error()}
	}
	k.exit(x)
	if k.console.screen.Err() != nil {
		k.cancel(errOutput)
	}
}

// compare sorts the keys of one host into those that are known and others.
func (k *keyScan) compare(r *shoal.Result[shoal.HostKeyScan], t time.Duration) error {
	h := scannedHost{host: r.Host.Name, addr: r.Value.Addr, known: k.file, ended: true}
	if h.known == nil {
		known, ok := r.Host.HostKeys.(*shoal.KnownHosts)
		if !ok {
			return errors.New("the host has no known_hosts files")
		}
		h.known = known
	}
	if k.out != nil {
		return k.print(h, r.Value)
	}
	var err error
	if h.keys, err = h.known.Compare(h.addr, r.Value.Keys...); err != nil {
		return err
	}
	for _, c := range h.keys {
		if c.State != shoal.HostKeyKnown && c.State != shoal.HostKeyNotOffered {
			h.ended = false
		}
		key := keyOf(c)
		key.Host, key.Index, key.T = h.host, r.Index, t
		k.rows.Key(key)
		if k.objects != nil {
			k.objects.Key(key)
		}
	}
	k.scanned = append(k.scanned, h)
	return nil
}

// keyOf is a key in the words of package render.
func keyOf(c shoal.ComparedHostKey) render.Key {
	key := render.Key{
		Type: c.Type(), Fingerprint: c.Fingerprint(), State: render.KeyState(c.State),
		Blob: base64.StdEncoding.EncodeToString(c.Key.Marshal()),
	}
	for _, l := range c.Lines {
		key.Lines = append(key.Lines, render.KeyLine{Place: l.Place, Type: l.Key.Type(), Fingerprint: l.Fingerprint()})
	}
	if c.CertificateErr != nil {
		key.Problem = c.CertificateErr.Error()
	}
	return key
}

// print writes lines of a known_hosts file, of plain keys as ssh-keyscan does.
func (k *keyScan) print(h scannedHost, found shoal.HostKeyScan) error {
	var text strings.Builder
	for _, key := range found.Keys {
		if strings.Contains(key.Type(), "-cert-v01@") {
			continue
		}
		line, err := h.known.Line(h.addr, key)
		if err != nil {
			return err
		}
		text.WriteString(line)
	}
	_, err := io.WriteString(k.out, text.String())
	return err
}

// review shows what was found.
func (k *keyScan) review(took time.Duration) {
	if k.flags.view.format.word == "text" {
		k.rows.Review(took)
		return
	}
	k.rows.Summary(took)
}

// pin stores keys after questions. It returns why it was stopped.
func (k *keyScan) pin(ctx context.Context) error {
	defer func() { k.console.show(k.told) }()
	added, changed := k.choose()
	if err := k.store(ctx, added, storing, false); err != nil {
		return err
	}
	if !k.flags.replace {
		return nil
	}
	return k.store(ctx, changed, replacing, true)
}

// choose returns the hosts that have new keys and nothing worse, and those that
// have changed ones. A host that shows a revoked key is in neither.
func (k *keyScan) choose() (added, changed []*scannedHost) {
	for i := range k.scanned {
		h := &k.scanned[i]
		has := func(s shoal.HostKeyState) bool {
			return slices.ContainsFunc(h.keys, func(c shoal.ComparedHostKey) bool { return c.State == s })
		}
		switch {
		case has(shoal.HostKeyRevoked):
		case has(shoal.HostKeyChanged):
			changed = append(changed, h)
		case has(shoal.HostKeyNew):
			added = append(added, h)
		}
	}
	return added, changed
}

func storing(keys, hosts, files string) string {
	return fmt.Sprintf("Store %s of %s in %s", keys, hosts, files)
}

func replacing(keys, hosts, files string) string {
	return fmt.Sprintf("Make %s the only known keys of %s in %s, instead of those that it has", keys, hosts, files)
}

// store asks and stores.
func (k *keyScan) store(ctx context.Context, hosts []*scannedHost, question func(keys, hosts, files string) string, replace bool) error {
	if len(hosts) == 0 {
		return nil
	}
	prompt, err := storeQuestion(hosts, question, replace)
	if err != nil {
		k.unsaved = true
		k.console.say(err.Error())
		return nil
	}
	if !k.flags.yes {
		yes, err := k.ask.confirm(ctx, prompt)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			k.console.say("nothing was stored: " + err.Error())
			return errDeclined
		}
		if !yes {
			return errDeclined
		}
	}
	for _, h := range hosts {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		k.write(h, replace)
	}
	return nil
}

// storeQuestion puts hosts and files into a question.
func storeQuestion(hosts []*scannedHost, question func(keys, hosts, files string) string, replace bool) (string, error) {
	var names, files []string
	keys := 0
	for _, h := range hosts {
		file, err := h.known.File()
		if err != nil {
			return "", err
		}
		if file == "" {
			return "", fmt.Errorf("%s: there is no known_hosts file to store keys in", h.host)
		}
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
		names = append(names, h.host)
		own := make(map[string]bool) // a certificate's key comes without it too
		for _, c := range h.keys {
			if c.State == shoal.HostKeyNew || replace && (c.State == shoal.HostKeyChanged || c.State == shoal.HostKeyKnown) {
				own[c.Fingerprint()] = true
			}
		}
		keys += len(own)
	}
	of := names[0]
	if len(names) > 1 {
		of = count(len(names)) + " (" + fold(names) + ")"
	}
	word := "new keys"
	switch {
	case replace && keys == 1:
		return question("1 key", of, strings.Join(files, " and ")), nil
	case replace:
		word = "keys"
	case keys == 1:
		word = "new key"
	}
	return question(fmt.Sprintf("%d %s", keys, word), of, strings.Join(files, " and ")), nil
}

// write stores the keys of one host.
func (k *keyScan) write(h *scannedHost, replace bool) {
	s := render.Stored{Host: h.host}
	var err error
	s.File, err = h.known.File()
	if err == nil {
		err = h.write(&s, replace)
	}
	if err != nil {
		k.unsaved = true
		k.console.say(h.host + ": " + err.Error())
		return
	}
	h.ended = !slices.ContainsFunc(h.keys, func(c shoal.ComparedHostKey) bool { return c.State == shoal.HostKeyWeak })
	if k.objects != nil {
		k.console.show(func() { k.objects.Stored(s) })
	}
	total := k.stored[s.File]
	if total == nil {
		total = &render.Stored{File: s.File}
		k.stored[s.File] = total
	}
	total.Added += s.Added
	total.Removed += s.Removed
}

func (h *scannedHost) write(s *render.Stored, replace bool) (err error) {
	// The known keys come along: they are what allows a host to have others.
	keys := shoal.HostKeyScan{}
	for _, c := range h.keys {
		if c.State == shoal.HostKeyKnown || c.State == shoal.HostKeyNew || replace && c.State == shoal.HostKeyChanged {
			keys.Keys = append(keys.Keys, c.Key)
		}
	}
	if replace {
		s.Removed, s.Added, err = h.known.Replace(h.addr, keys.Keys...)
		return err
	}
	s.Added, err = h.known.Learn(h.addr, keys.Keys...)
	return err
}

// told says what the files got.
func (k *keyScan) told() {
	for _, file := range slices.Sorted(maps.Keys(k.stored)) {
		s := k.stored[file]
		text := fmt.Sprintf("%s: %s added", file, lines(s.Added))
		if s.Removed > 0 {
			text += fmt.Sprintf(", %s taken out; as it was before: %s.old", knownKeys(s.Removed), file)
		}
		k.console.screen.Say(text)
	}
}

func knownKeys(n int) string {
	if n == 1 {
		return "1 known key"
	}
	return fmt.Sprintf("%d known keys", n)
}

func lines(n int) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}

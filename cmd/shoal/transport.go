package main

import (
	"context"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/openssh"
)

// openssh reports whether the user's ssh makes the connections.
func (f *connectFlags) openssh() bool { return f.by.word == "openssh" }

// transport hands the flags on to ssh, in its own words. A person is asked what
// is asked without it too: about host keys, and with --ask-pass anything.
func (f *connectFlags) transport(ask *asker) *openssh.Transport {
	t := &openssh.Transport{}
	add := func(words ...string) { t.Args = append(t.Args, words...) }
	if f.file != "" {
		add("-F", f.file)
	}
	for _, key := range f.keys {
		add("-i", key)
	}
	for _, option := range f.options {
		add("-o", option)
	}
	aboutKeys := false // may ssh ask
	switch f.hostKey.word {
	case "strict":
		add("-o", "StrictHostKeyChecking=yes")
	case "accept-new":
		add("-o", "StrictHostKeyChecking=accept-new")
	case "off":
		add("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null")
	case "ask":
		add("-o", "StrictHostKeyChecking=ask")
		aboutKeys = true
	default:
		aboutKeys = ask.present()
	}
	switch {
	case f.askPass:
		t.Ask = ask.ssh
	case aboutKeys:
		add("-o", "NumberOfPasswordPrompts=0")
		t.Ask = ask.ssh
	}
	return t
}

// ssh answers what ssh asks. Its questions about host keys name the host; a
// passphrase is asked for by the ssh of each host, and typed once.
func (a *asker) ssh(ctx context.Context, q shoal.Question) (string, error) {
	switch {
	case q.Kind == shoal.AskInteractive && q.Echo:
		return a.ask(ctx, q.Prompt, true)
	case q.Kind == shoal.AskPassphrase:
		a.turn.Lock()
		defer a.turn.Unlock()
		q.User = "key " + q.Path // what it is shared by
		return a.password(ctx, q, q.Prompt)
	}
	return a.login(ctx, q)
}

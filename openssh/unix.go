//go:build unix

package openssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal"
)

// Connect joins the ControlMaster that ssh_config names, or runs ssh as one.
// See [shoal.Transport].
func (t *Transport) Connect(ctx context.Context, h shoal.Host, alone bool) (*shoal.Carrier, error) {
	args, err := hostArgs(h)
	if err != nil {
		return nil, invalid(err)
	}
	args = append(args, t.Args...)
	limit := t.limit(h)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wait := &budget{limit: limit}
	if limit > 0 {
		wait.timer = time.AfterFunc(limit, func() { cancel(&overtimeError{limit}) })
		defer wait.timer.Stop()
	}
	c, err := t.config(ctx, h, args)
	if err != nil {
		return nil, err
	}
	if !t.NoJoin && !alone {
		if conn := join(ctx, c["controlpath"]); conn != nil {
			return &shoal.Carrier{Conn: conn, Shared: true, MaxSessions: joinedSessions}, nil
		}
	}
	m, err := t.start(ctx, h, append(args, t.extraArgs(h, c)...), wait, cancel)
	if err != nil {
		return nil, err
	}
	return &shoal.Carrier{Conn: m}, nil
}

// overtimeError is the cause of the end of an attempt that took too long.
type overtimeError struct{ limit time.Duration }

func (e *overtimeError) Error() string        { return "ssh was not logged in after " + e.limit.String() }
func (e *overtimeError) Is(target error) bool { return target == context.DeadlineExceeded }

// budget ends an attempt. It stands still while a person is asked.
type budget struct {
	timer *time.Timer // nil without limit
	limit time.Duration
}

func (b *budget) pause() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

func (b *budget) resume() {
	if b.timer != nil {
		b.timer.Reset(b.limit)
	}
}

func invalid(err error) error {
	return &shoal.HostError{Stage: shoal.StagePrepare, Kind: shoal.KindInvalid, Err: err}
}

// ended is the error of an attempt whose context ended.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	he := &shoal.HostError{Stage: shoal.StageConnect, Kind: shoal.KindCancelled, Err: cause}
	if errors.Is(cause, context.DeadlineExceeded) {
		he.Kind = shoal.KindTimeout
	}
	if _, ok := errors.AsType[*askError](cause); ok {
		he.Stage, he.Kind = shoal.StageAuth, shoal.KindAuthFailed
	}
	return he
}

// notStarted is the error of a program that could not be started.
func (t *Transport) notStarted(err error) error {
	kind := shoal.KindLocalIO // such as too many processes, which passes
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		kind = shoal.KindInvalid
	}
	return &shoal.HostError{Stage: shoal.StagePrepare, Kind: kind, Err: fmt.Errorf("running ssh: %w", err)}
}

func (t *Transport) config(ctx context.Context, h shoal.Host, args []string) (config, error) {
	cmd := exec.CommandContext(ctx, t.path(), append(append([]string{"-G", "-T"}, args...), "--", h.Addr)...)
	var out bytes.Buffer
	said := new(tail)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, said, 5*waitDelay
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return nil, t.notStarted(err)
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it is slow, or what it ran is
		return nil, t.notStarted(err)
	}
	if err != nil {
		he := failure(h, said.String(), err)
		he.Stage, he.Kind = shoal.StagePrepare, shoal.KindInvalid
		return nil, he
	}
	c := config{}
	for line := range strings.Lines(out.String()) {
		keyword, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		c[keyword] = value
	}
	return c, nil
}

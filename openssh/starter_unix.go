//go:build unix && !linux

package openssh

import "os/exec"

// starter starts programs. Where this process is killed, they stay.
type starter struct{}

func (*starter) start(cmd *exec.Cmd) error { return cmd.Start() }
func (*starter) done()                     {}

//go:build !unix

package openssh

import (
	"context"
	"errors"

	"github.com/shoal-ssh/shoal"
)

type starter struct{}

// Connect fails: this system's ssh cannot be a ControlMaster.
func (t *Transport) Connect(context.Context, shoal.Host, bool) (*shoal.Carrier, error) {
	return nil, &shoal.HostError{Stage: shoal.StagePrepare, Kind: shoal.KindInvalid,
		Err: errors.New("the ssh of this system has no ControlMaster; leave Client.Transport unset")}
}

//go:build !unix

package openssh_test

import (
	"errors"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/openssh"
)

// There is no ControlMaster on this system, and the error says so.
func TestUnsupported(t *testing.T) {
	c := &shoal.Client{Transport: &openssh.Transport{}}
	defer c.Close()
	_, err := c.Conn(t.Context(), shoal.Host{Name: "host"})
	if he, ok := errors.AsType[*shoal.HostError](err); !ok || he.Kind != shoal.KindInvalid {
		t.Errorf("got %v", err)
	}
}

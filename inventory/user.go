package inventory

import (
	"os"
	"path/filepath"

	"github.com/shoal-ssh/shoal/sshconfig"
)

// Names of sources that [User] adds.
const (
	DSHSource = "dsh"
	SSHSource = "ssh"
)

// User returns what the user and the system have set up: the sources of ClusterShell
// ([ClusterShellFiles]); files like those of its groups.d in shoal/groups.d below
// $XDG_CONFIG_HOME (or else ~/.config); dsh's groups ([DSHFolders]) as [DSHSource];
// and the names of Host lines in ssh_config(5), which ssh reads when they are wanted,
// as [SSHSource]. The default source is ClusterShell's, or else the first one in this
// order. A nil ssh adds none.
func User(ssh func() (*sshconfig.Config, error)) (*Inventory, error) {
	v := &Inventory{}
	if _, err := v.AddClusterShell(ClusterShellFiles()...); err != nil {
		return nil, err
	}
	home, _ := os.UserHomeDir()
	files, err := filepath.Glob(filepath.Join(configHome(home), "shoal", "groups.d", "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := v.AddYAML(file); err != nil {
			return nil, err
		}
	}
	if d := DSHFolders(); d.exists() && v.sources[DSHSource] == nil {
		if err := v.Add(DSHSource, d); err != nil {
			return nil, err
		}
	}
	if ssh != nil {
		v.AddSSH(ssh)
	}
	return v, nil
}

// AddSSH adds the names of Host lines as [SSHSource], where that name is free. It
// does not become the default.
func (v *Inventory) AddSSH(load func() (*sshconfig.Config, error)) {
	if v.sources[SSHSource] != nil {
		return
	}
	was := v.Default
	if err := v.Add(SSHSource, SSHAliases{load}); err == nil {
		v.Default = was
	}
}

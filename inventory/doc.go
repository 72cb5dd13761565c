// Package inventory finds hosts where people have written them down: in
// ClusterShell's groups, in the folders of dsh, in Ansible inventories, in the
// hosts files of pssh and pdsh, in ssh_config(5), and in what a command prints.
//
//	inv, err := inventory.Open(ctx, "production.ini")
//	members, err := inv.Group(ctx, "", "web")
//	h, ok := inv.Host("web1") // its address, port, user and key
//
// An [Inventory] is a set of sources by name, each a namespace of groups, as in
// ClusterShell. It has the methods that host expressions look groups up with.
// The package makes no connections; the only programs it runs are the commands of
// groups.conf, inventory scripts, and what [Command] is given.
//
// # Whose commands are run
//
// A file that says or is a command to run has to belong to root or to the user
// whom the program runs as, and not be writable by everybody; otherwise it is an
// [*UnsafeFileError], and nothing is run. Members of its group may write to it, as
// administrators share such files. Windows has no such owners and modes, and
// there is no check.
package inventory

package inventory_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/hostlist"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/inventory"
)

// nodeset runs ClusterShell's nodeset with a configuration.
func nodeset(t *testing.T, cfgdir string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("nodeset", args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "CLUSTERSHELL_CFGDIR="+cfgdir, "HOME="+home, "XDG_CONFIG_HOME="+home)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nodeset %q: %v", args, err)
	}
	return strings.Fields(string(out))
}

// TestClusterShell compares all groups of all sources with what nodeset says.
func TestClusterShell(t *testing.T) {
	opensshtest.Need(t, "nodeset")
	dir, err := filepath.Abs("testdata/clush")
	if err != nil {
		t.Fatal(err)
	}
	inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), dir))
	equal(t, "sources", inv.Sources(), "bare local partitions queues racks roles")
	if inv.Default != "local" {
		t.Errorf("default: got %q", inv.Default)
	}
	p := hostlist.Parser{Groups: inv}
	hosts := func(expr string) []string {
		return slices.Sorted(ok[*hostlist.Expr](t)(p.Resolve(t.Context(), expr)).All())
	}
	for _, source := range []string{"local", "queues", "partitions", "racks", "roles"} {
		lines := nodeset(t, dir, "-ll", "-s", source) // a group and its hosts, by turns
		var names []string
		for i := 0; i+1 < len(lines); i += 2 {
			names = append(names, strings.TrimPrefix(lines[i], "@"+source+":"))
			if got, want := hosts(lines[i]), hosts(lines[i+1]); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", lines[i], got, want)
			}
		}
		slices.Sort(names)
		equal(t, "names of "+source, ok[[]string](t)(inv.Names(t.Context(), source)), strings.Join(names, " "))
		if got, want := hosts("@"+source+":*"), hosts(nodeset(t, dir, "-f", "-s", source, "-a")[0]); !slices.Equal(got, want) {
			t.Errorf("all of %s: got %q, want %q", source, got, want)
		}
	}
	got := hosts("@roles:io,@racks:old!@racks:r[2-3],@spread&gpu[01-09]")
	if want := slices.Sorted(slices.Values(nodeset(t, dir, "-e", "@roles:io,@racks:old!@racks:r[2-3],@spread&gpu[01-09]"))); !slices.Equal(got, want) {
		t.Errorf("an expression: got %q, want %q", got, want)
	}
	equal(t, "@bare:x", ok[[]string](t)(inv.Group(t.Context(), "bare", "x")), "x-a,x-b")
	equal(t, "@spread", ok[[]string](t)(inv.Group(t.Context(), "", "spread")), "@io,gpu[01-02]")
	equal(t, "@queues:money", nodeset(t, dir, "-e", "@queues:money"), "cash") // $$ is a $
}

func TestUnknownGroup(t *testing.T) {
	needShell(t)
	inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), "testdata/clush"))
	for _, tt := range []struct{ source, name, want, known string }{
		{"", "gup", `unknown group "gup"`, "adm all gpu io spread"},
		{"queues", "queues-shrt", `unknown group "queues:queues-shrt"`, "queues-long queues-short"},
		{"roles", "x", `unknown group "roles:x"`, "adm all compute io most"},
	} {
		_, err := inv.Group(t.Context(), tt.source, tt.name)
		e, ok := errors.AsType[*inventory.UnknownGroupError](err)
		if !ok || e.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
			continue
		}
		equal(t, "known", e.Known, tt.known)
	}
	_, err := inv.All(t.Context(), "rolls")
	if e, ok := errors.AsType[*inventory.UnknownSourceError](err); !ok || e.Error() != `unknown source of groups "rolls": there is bare, local, partitions, queues, racks, roles` {
		t.Errorf("got %v", err)
	}
	if _, err := (&inventory.Inventory{}).All(t.Context(), ""); err == nil || err.Error() != "there are no groups of hosts" {
		t.Errorf("got %v", err)
	}
}

func needShell(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no sh on Windows")
	}
}

// TestUpcallValues shows that names cannot become anything but a word of a command.
func TestUpcallValues(t *testing.T) {
	needShell(t)
	u := inventory.NewUpcalls(inventory.Upcalls{Map: `echo '$GROUP' "$GROUP" ${GROUP}x $GROUPS $ $1 $$0 $SOURCE`, Reverse: "echo $NODE", Source: "s"})
	equal(t, "group", ok[[]string](t)(u.Group(t.Context(), "a-1.b_c+d=e%f@g:h")),
		"a-1.b_c+d=e%f@g:h a-1.b_c+d=e%f@g:h a-1.b_c+d=e%f@g:hx $ sh s")
	for _, name := range []string{"a'b", "a;b", "$(id)", "`id`", "a b", "a\nb", "a/b", "-e", "", "a&b", "a|b", "a\\b", "*", "~", "a\"b", "#a", "a>b"} {
		if got, err := u.Group(t.Context(), name); err == nil || !strings.Contains(err.Error(), "cannot be put into a command for $GROUP") {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
		if got, err := u.GroupsOf(t.Context(), name); err == nil {
			t.Errorf("%q: got %q", name, got)
		}
	}
	equal(t, "groups of a host", ok[[]string](t)(u.GroupsOf(t.Context(), "web1")), "web1")
}

// TestUpcallCache runs a command again once its output is too old.
func TestUpcallCache(t *testing.T) {
	needShell(t)
	for _, tt := range []struct {
		keep time.Duration
		want string
	}{{0, "1 1"}, {time.Hour, "1 1"}, {-1, "1 2"}, {1, "1 2"}} {
		dir := t.TempDir()
		u := inventory.NewUpcalls(inventory.Upcalls{Map: `echo x >>calls; wc -l <calls`, Dir: dir, CacheTime: tt.keep})
		first, second := ok[[]string](t)(u.Group(t.Context(), "g")), ok[[]string](t)(u.Group(t.Context(), "g"))
		equal(t, "calls", append(first, second...), tt.want)
	}
}

// TestUpcallEnds ends commands that take too long, with all that they started.
func TestUpcallEnds(t *testing.T) {
	needShell(t)
	u := inventory.NewUpcalls(inventory.Upcalls{Map: "echo partial; sleep 600 & wait", Timeout: 50 * time.Millisecond})
	if got, err := u.Group(t.Context(), "g"); err == nil || !strings.Contains(err.Error(), "took longer than 50ms") {
		t.Errorf("got %q, %v", got, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	u = inventory.NewUpcalls(inventory.Upcalls{Map: "sleep 600"})
	if _, err := u.Group(ctx, "g"); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	u = inventory.NewUpcalls(inventory.Upcalls{Map: "cat; echo oh no >&2; exit 4", List: "echo g"})
	if _, err := u.Group(t.Context(), "g"); err == nil || !strings.Contains(err.Error(), `saying "oh no": exit status 4`) {
		t.Errorf("got %v", err)
	}
	if _, err := inventory.Command(t.Context(), "yes", time.Minute); err == nil || !strings.Contains(err.Error(), "printed more than 16 MiB") {
		t.Errorf("got %v", err)
	}
	equal(t, "command", ok[[]string](t)(inventory.Command(t.Context(), "echo 'a b'; echo 'c[1-2] , d'", 0)), "a b c[1-2],d")
}

// TestUnsafeGroupsConf runs no commands of a file that anybody may write to, and
// reads what needs none.
func TestUnsafeGroupsConf(t *testing.T) {
	needShell(t)
	dir := write(t, map[string]string{
		"groups.conf":     "[Main]\ndefault: evil\nautodir: $CFGDIR/groups.d\n[evil]\nmap: touch ran\n",
		"groups.d/a.yaml": "plain:\n  web: w1\n",
	})
	if err := os.Chmod(filepath.Join(dir, "groups.conf"), 0o666); err != nil {
		t.Fatal(err)
	}
	inv := ok[*inventory.Inventory](t)(inventory.Open(t.Context(), dir))
	_, err := inv.Group(t.Context(), "evil", "x")
	if _, unsafe := errors.AsType[*inventory.UnsafeFileError](err); !unsafe {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the command was run")
	}
	equal(t, "web", ok[[]string](t)(inv.Group(t.Context(), "plain", "web")), "w1")
}

// TestClusterShellMistakes are errors that name the file and the line.
func TestClusterShellMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no map":      {map[string]string{"groups.conf": "[Main]\n[a]\nlist: ls\n"}, "groups.conf:2: the section [a] has no map"},
		"no section":  {map[string]string{"groups.conf": "map: ls\n"}, "groups.conf:1: there is no [section] above it"},
		"no value":    {map[string]string{"groups.conf": "[a]\nmap\n"}, "groups.conf:2: want key: value"},
		"twice":       {map[string]string{"groups.conf": "[a]\nmap: x\n[a]\nmap: y\n"}, "groups.conf:3: the section [a] is there twice"},
		"key twice":   {map[string]string{"groups.conf": "[a]\nmap: x\nMap: y\n"}, "groups.conf:3: map is there twice"},
		"default":     {map[string]string{"groups.conf": "[Main]\ndefault: b\n[a]\nmap: x\n"}, `the default source of groups "b" is not there: there is a`},
		"cache":       {map[string]string{"groups.conf": "[a]\nmap: x\ncache_time: soon\n"}, `cache_time: "soon" is no number of seconds`},
		"yaml source": {map[string]string{"groups.conf": "[Main]\nautodir: $CFGDIR\n", "a.yaml": "5:\n  a: b\n"}, "a.yaml:1: the name of the source 5 is no text"},
		"yaml group":  {map[string]string{"groups.conf": "[Main]\nautodir: $CFGDIR\n", "a.yaml": "s:\n  5: b\n"}, "a.yaml:2: the name of the group 5 is no text"},
		"yaml dict":   {map[string]string{"groups.conf": "[Main]\nautodir: $CFGDIR\n", "a.yaml": "s: x\n"}, `a.yaml:1: the source "s" has no groups`},
		"yaml deep":   {map[string]string{"groups.conf": "[Main]\nautodir: $CFGDIR\n", "a.yaml": "s:\n  g: {x: y}\n"}, "a.yaml:2: want hosts, or a list of them"},
		"collision":   {map[string]string{"groups.conf": "[Main]\nautodir: $CFGDIR\n[s]\nmap: x\n", "a.yaml": "s:\n  g: x\n"}, `there are two sources of groups with the name "s"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := inventory.Open(t.Context(), write(t, tt.files)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestUser finds what the user has set up: what counts more comes later.
func TestUser(t *testing.T) {
	needShell(t)
	home := write(t, map[string]string{
		".config/clustershell/groups.conf":     "[Main]\ndefault: mine\nautodir: $CFGDIR/groups.d\n[local]\nmap: echo user\n",
		".config/clustershell/groups.d/a.yaml": "mine:\n  web: w[1-2]\n",
		".config/shoal/groups.d/b.yaml":        "own:\n  db: d1\n",
		".dsh/group/lab":                       "l1\n#include old\n",
		".dsh/group/old":                       "l0 admin\n",
		"cfg/groups.conf":                      "[local]\nmap: echo cfgdir\n",
	})
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("CLUSTERSHELL_CFGDIR", "")
	inv := ok[*inventory.Inventory](t)(inventory.User(nil))
	for _, want := range []string{"mine", "own", "dsh", "local"} {
		if !slices.Contains(inv.Sources(), want) {
			t.Errorf("%s is missing: %q", want, inv.Sources())
		}
	}
	equal(t, "web", ok[[]string](t)(inv.Group(t.Context(), "", "web")), "w[1-2]")
	equal(t, "db", ok[[]string](t)(inv.Group(t.Context(), "own", "db")), "d1")
	equal(t, "lab", ok[[]string](t)(inv.Group(t.Context(), "dsh", "lab")), "l1 admin@l0")
	equal(t, "local", ok[[]string](t)(inv.Group(t.Context(), "local", "x")), "user")

	t.Setenv("CLUSTERSHELL_CFGDIR", filepath.Join(home, "cfg"))
	if _, err := inventory.User(nil); err == nil || !strings.Contains(err.Error(), `"mine" is not there`) { // $CFGDIR is another
		t.Errorf("got %v", err)
	}
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "none"))
	inv = ok[*inventory.Inventory](t)(inventory.User(nil))
	equal(t, "local", ok[[]string](t)(inv.Group(t.Context(), "local", "x")), "cfgdir")
}

package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// texts runs the command and returns each host's name and output, in order.
func texts(t *testing.T, c *shoal.Client, hosts iter.Seq[shoal.Host], cmd shoal.Command) (got []string, err error) {
	t.Helper()
	results, err := shoal.Gather(c.Run(testContext(t), hosts, cmd))
	for _, r := range results {
		got = append(got, r.Host.Name+": "+strings.TrimSuffix(r.Value.Text(), "\n"))
	}
	return got, err
}

func wantTexts(t *testing.T, got []string, err error, want ...string) {
	t.Helper()
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// Fewer hosts at work than there are hosts.
func TestLimit(t *testing.T) {
	conform(t, "3.1 test_pssh_pool_size", "3.1 test_pssh_hosts_more_than_pool_size")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 6})
	for _, limit := range []int{1, 2, 5, 100} {
		c := newClient(t, f)
		c.Limit = limit
		want := int32(min(limit, 6))
		var atWork, most atomic.Int32
		var reached atomic.Bool
		full := make(chan struct{})
		results, err := shoal.Gather(shoal.Each(testContext(t), c, hostsOf(f), func(ctx context.Context, conn *shoal.Conn) (string, error) {
			n := atWork.Add(1)
			defer atWork.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			if n == want && reached.CompareAndSwap(false, true) {
				close(full)
			}
			select {
			case <-full:
			case <-ctx.Done():
				return "", ctx.Err()
			}
			out, err := conn.Run(ctx, shoal.Command{Line: "hostname"})
			return out.Text(), err
		}))
		if err != nil || len(results) != 6 || most.Load() != want {
			t.Errorf("limit %d: %d results, %d hosts at work at once, want %d: %v", limit, len(results), most.Load(), want, err)
		}
	}
}

// Hosts come from any sequence, another one for each call; the connections of
// those in both are kept.
func TestHostsOfEachCall(t *testing.T) {
	conform(t, "3.1 test_pssh_hosts_iterator_hosts_modification", "3.1 test_setting_hosts", "3.1 test_bad_hosts_value",
		"3.2 test_alias")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	c := newClient(t, f)
	named := func(names ...int) iter.Seq[shoal.Host] {
		return func(yield func(shoal.Host) bool) {
			for _, i := range names {
				if !yield(shoal.Host{Name: fmt.Sprintf("alias%d", i), Addr: f.Host(i).Addr}) {
					return
				}
			}
		}
	}
	hello := shoal.Command{Line: "hostname"}
	name := func(i int) string { return fmt.Sprintf("alias%d: %s", i, f.Host(i).Name) }
	for _, order := range [][]int{{0, 1}, {0, 1}, {1, 2, 0}, {2}, {}} {
		var want []string
		for _, i := range order {
			want = append(want, name(i))
		}
		got, err := texts(t, c, named(order...), hello)
		wantTexts(t, got, err, want...)
	}
	for i, n := range connections(f) {
		if n != 1 {
			t.Errorf("host %d: %d connections, want 1", i, n)
		}
	}
	for r := range c.Run(testContext(t), shoal.Hosts("", "a b", "host:port", "-oProxyCommand=id"), hello) {
		if he := wantHostError(t, r.Err, shoal.StagePrepare, shoal.KindInvalid); he.Kind != shoal.KindInvalid {
			t.Errorf("%q: %v", r.Host.Name, r.Err)
		}
	}
}

// A host that is named twice has two results, whether it answers or not.
func TestIdenticalHosts(t *testing.T) {
	conform(t, "3.1 test_identical_host_output", "3.1 test_identical_hosts_in_host_list")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 2, Faults: func(i int) sshtest.Fault {
		return []sshtest.Fault{{}, {Kind: sshtest.Refuse}}[i]
	}})
	c := newClient(t, f)
	good, bad := hostOf(f, 0), hostOf(f, 1)
	results, _ := shoal.Gather(c.Run(testContext(t), seq(good, bad, good, bad, bad, good), shoal.Command{Line: "hostname"}))
	for i, wantOK := range []bool{true, false, true, false, false, true} {
		r := results[i]
		if r.Index != i || (r.Err == nil) != wantOK || wantOK && r.Value.Text() != f.Host(0).Name+"\n" {
			t.Errorf("result %d: %q, %v", i, r.Value.Text(), r.Err)
		}
	}
}

// A host's own settings stand above the client's; one that cannot work fails
// this host alone.
func TestHostSettings(t *testing.T) {
	conform(t, "3.1 test_host_config_bad_entries", "3.6 test_host_config_entries", "3.6 test_host_config_bad_entries",
		"3.7 HostConfig falsy override")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 1})
	c := newClient(t, f)
	c.Host.Port = 1
	c.Host.Vars = map[string]any{"k": "client"}
	good := hostOf(f, 0)
	for _, tt := range []struct {
		what string
		set  func(*shoal.Host)
		kind shoal.Kind // "" means that it works
	}{
		{"nothing", func(*shoal.Host) {}, ""},
		{"other user", func(h *shoal.Host) { h.User = "nobody-here" }, shoal.KindAuthFailed},
		{"no auth", func(h *shoal.Host) { h.Auth = []shoal.Auth{} }, shoal.KindAuthFailed},
		{"zero auth", func(h *shoal.Host) { h.Auth = []shoal.Auth{{}} }, shoal.KindInvalid},
		{"missing key", func(h *shoal.Host) { h.Auth = []shoal.Auth{shoal.KeyFile("/no/such/key")} }, shoal.KindAuthFailed},
		{"port", func(h *shoal.Host) { h.Addr, h.Port = "127.0.0.1", 65536 }, shoal.KindInvalid},
		{"negative port", func(h *shoal.Host) { h.Addr, h.Port = "127.0.0.1", -22 }, shoal.KindInvalid},
		{"network", func(h *shoal.Host) { h.Network = "udp" }, shoal.KindInvalid},
		{"address", func(h *shoal.Host) { h.Addr = "[::1" }, shoal.KindInvalid},
	} {
		bad := good
		bad.Name = tt.what
		tt.set(&bad)
		results, _ := shoal.Gather(c.Run(testContext(t), seq(bad, good), shoal.Command{Line: "true"}))
		if results[1].Err != nil {
			t.Errorf("%s: the other host: %v", tt.what, results[1].Err)
		}
		if tt.kind == "" {
			if results[0].Err != nil {
				t.Errorf("%s: %v", tt.what, results[0].Err)
			}
			continue
		}
		if he := wantKind(t, results[0].Err, tt.kind); he.Host != tt.what {
			t.Errorf("%s: the error is of host %q", tt.what, he.Host)
		}
	}
}

// Everything that a host needs may be its own: port, user, key, password, host
// keys, and the name that results call it.
func TestHostOverrides(t *testing.T) {
	conform(t, "3.1 test_host_config")
	t.Parallel()
	own := sshtest.New(t, sshtest.Config{Users: []sshtest.User{{Name: "ann", Password: "one"}}})
	other := sshtest.New(t, sshtest.Config{})
	port, err := strconv.Atoi(portOf(own))
	if err != nil {
		t.Fatal(err)
	}
	hosts := []shoal.Host{
		{Name: "first", Addr: "127.0.0.1", Port: port, User: "ann", Auth: []shoal.Auth{shoal.Password("one")}, HostKeys: fleetKeys(t, own)},
		{Name: "second", Addr: other.Host(0).Addr, User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(other.ClientSigner())}, HostKeys: fleetKeys(t, other)},
		{Name: "third", Addr: other.Host(0).Addr, User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.KeyFile("/no/such/key")}, HostKeys: fleetKeys(t, other)},
	}
	c := &shoal.Client{Host: shoal.Host{Port: 1, User: "nobody", Auth: []shoal.Auth{}, HostKeys: fleetKeys(t, sshtest.New(t, sshtest.Config{}))}}
	defer c.Close()
	results, _ := shoal.Gather(c.Run(testContext(t), seq(hosts...), shoal.Command{Line: "whoami"}))
	for i, want := range []string{"ann\n", sshtest.DefaultUser + "\n"} {
		if r := results[i]; r.Err != nil || r.Value.Text() != want || r.Host.Name != hosts[i].Name {
			t.Errorf("%s: %q, %v", r.Host.Name, r.Value.Text(), r.Err)
		}
	}
	if he := wantHostError(t, results[2].Err, shoal.StageAuth, shoal.KindAuthFailed); he.Host != "third" || !strings.Contains(he.Error(), "/no/such/key") {
		t.Error(he)
	}
}

// Each host's own arguments, by position and by name; whatever is missing for
// one host keeps the command from all.
func TestArguments(t *testing.T) {
	conform(t, "3.1 test_per_host_tuple_args", "3.1 test_per_host_dict_args", "3.1 test_per_host_dict_args_invalid",
		"3.1 test_per_host_args_fully_qualified_command_in_outputself")
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	with := func(set func(int, *shoal.Host)) iter.Seq[shoal.Host] {
		return func(yield func(shoal.Host) bool) {
			for i := range f.Hosts() {
				h := hostOf(f, i)
				set(i, &h)
				if !yield(h) {
					return
				}
			}
		}
	}
	for _, tt := range []struct {
		what, format string
		set          func(int, *shoal.Host)
		want         []string // nil: a mistake, at all hosts
		fine         int      // but for that many
	}{
		{"one", "echo %s", func(i int, h *shoal.Host) { h.Args = []any{fmt.Sprint("arg", i)} }, []string{"arg0", "arg1", "arg2"}, 0},
		{"several", "echo %s-%03d", func(i int, h *shoal.Host) { h.Args = []any{"a", i} }, []string{"a-000", "a-001", "a-002"}, 0},
		{"by name", "echo %(a)s %(b)d %(a)s", func(i int, h *shoal.Host) { h.Vars = map[string]any{"a": "x", "b": i} }, []string{"x 0 x", "x 1 x", "x 2 x"}, 0},
		{"whole lines", "%s", func(i int, h *shoal.Host) { h.Args = []any{fmt.Appendf(nil, "echo line %d", i)} }, []string{"line 0", "line 1", "line 2"}, 0},
		{"quoted", "echo %q", func(i int, h *shoal.Host) { h.Args = []any{"$HOME; 'x'"} }, []string{"$HOME; 'x'", "$HOME; 'x'", "$HOME; 'x'"}, 0},
		{"too few", "echo %s %s", func(i int, h *shoal.Host) { h.Args = []any{"a"} }, nil, 0},
		{"too many", "echo %s", func(i int, h *shoal.Host) { h.Args = []any{"a", "b"} }, nil, 0},
		{"none for the last", "echo %s", func(i int, h *shoal.Host) {
			if i < 2 {
				h.Args = []any{"a"}
			}
		}, nil, 2},
		{"no such name", "echo %(missing)s", func(i int, h *shoal.Host) { h.Vars = map[string]any{"a": 1} }, nil, 0},
		{"no number", "echo %d", func(i int, h *shoal.Host) { h.Args = []any{"a"} }, nil, 0},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c := newClient(t, f)
			before := len(eventsOf(f, sshtest.EventExec))
			results, _ := shoal.Gather(c.Run(testContext(t), with(tt.set), shoal.Command{For: shoal.Format(tt.format)}))
			if len(results) != 3 {
				t.Fatalf("%d results", len(results))
			}
			for i, r := range results {
				switch {
				case tt.want != nil:
					if got := strings.TrimSuffix(r.Value.Text(), "\n"); r.Err != nil || got != tt.want[i] {
						t.Errorf("host %d: %q, %v, want %q", i, got, r.Err, tt.want[i])
					}
					if tt.what == "by name" && r.Value.Command != fmt.Sprintf("echo x %d x", i) {
						t.Errorf("host %d: the command was %q", i, r.Value.Command)
					}
				case i >= tt.fine:
					if he := wantHostError(t, r.Err, shoal.StagePrepare, shoal.KindInvalid); he.Host != r.Host.Name {
						t.Errorf("%v is not of %s", he, r.Host.Name)
					}
				case !errors.Is(r.Err, shoal.ErrNotRun):
					t.Errorf("host %d: %v, want that it was not run", i, r.Err)
				}
			}
			if tt.want != nil {
				return
			}
			if n := len(eventsOf(f, sshtest.EventExec)) - before; n != 0 {
				t.Errorf("%d hosts ran something", n)
			}
		})
	}
}

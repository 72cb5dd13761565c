package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/rollout"
	"github.com/shoal-ssh/shoal/sshtest"
)

// web starts five embedded hosts, of which web4 is broken, and a client that
// may log in to them.
func web() (*shoal.Client, []shoal.Host, func()) {
	f, err := sshtest.Start(sshtest.Config{
		Hosts: 5,
		Name:  func(i int) string { return fmt.Sprintf("web%d", i+1) },
		Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
			if s.Host.Name == "web4" {
				return sshtest.ExitStatus{Code: 1}
			}
			return sshtest.ExitStatus{}
		},
	})
	if err != nil {
		panic(err)
	}
	client := &shoal.Client{Limit: 1, Host: shoal.Host{User: sshtest.DefaultUser, Auth: []shoal.Auth{shoal.Key(f.ClientSigner())}}}
	var hosts []shoal.Host
	for _, h := range f.Hosts() {
		hosts = append(hosts, shoal.Host{Name: h.Name, Addr: h.Addr, HostKeys: shoal.PinnedHostKeys(h.HostKey)})
	}
	return client, hosts, func() { client.Close(); f.Close() }
}

// One host first, then two at a time, each checked; none may fail.
func ExamplePlan_Run() {
	client, hosts, done := web()
	defer done()

	plan := rollout.Plan{
		Canary:  1,
		Batches: []rollout.Size{{Hosts: 2}},
		Check:   shoal.Command{Line: "curl -fs localhost/health"},
		MaxFail: &rollout.Size{},
	}
	for r := range plan.Run(context.Background(), client, slices.Values(hosts), shoal.Command{Line: "systemctl restart nginx"}) {
		switch {
		case errors.Is(r.Err, shoal.ErrNotRun):
			fmt.Println(r.Host.Name, "was left alone:", r.Err)
		case r.Err != nil:
			fmt.Println(r.Host.Name, "failed:", r.Err)
		default:
			fmt.Println(r.Host.Name, "is well")
		}
	}
	// Output:
	// web1 is well
	// web2 is well
	// web3 is well
	// web4 failed: exit status 1
	// web5 was left alone: web5: prepare: stopped: 1 failed, 0 may
}

func ExamplePlan_Watch() {
	client, hosts, done := web()
	defer done()

	plan := rollout.Plan{Batches: []rollout.Size{{Hosts: 1}, {Percent: 50}}}
	for e := range plan.Watch(context.Background(), client, slices.Values(hosts), shoal.Command{Line: "uptime"}) {
		switch e.Phase {
		case rollout.Begins:
			fmt.Printf("%v: %d hosts\n", e.Batch, len(e.Batch.Hosts))
		case rollout.Ends:
			fmt.Printf("%v: %d ok, %d failed\n", e.Batch, e.Batch.OK, e.Batch.Failed)
		}
	}
	// Output:
	// batch 1 of 3: 1 hosts
	// batch 1 of 3: 1 ok, 0 failed
	// batch 2 of 3: 2 hosts
	// batch 2 of 3: 2 ok, 0 failed
	// batch 3 of 3: 2 hosts
	// batch 3 of 3: 1 ok, 1 failed
}

// Any work goes in batches: here it is a function, asked about before each.
func ExampleEach() {
	client, hosts, done := web()
	defer done()

	plan := rollout.Plan{
		Batches: []rollout.Size{{Hosts: 2}},
		Confirm: func(_ context.Context, next rollout.Batch, sofar rollout.Progress) (bool, error) {
			fmt.Printf("%v? so far %d ok, %d failed\n", next, sofar.OK, sofar.Failed)
			return false, nil
		},
	}
	left := 0
	for r := range rollout.Each(context.Background(), plan, client, slices.Values(hosts), func(ctx context.Context, c *shoal.Conn) (shoal.Output, error) {
		return c.Run(ctx, shoal.Command{Line: "reboot"})
	}) {
		if _, ok := errors.AsType[*rollout.DeclinedError](r.Err); ok {
			left++
		}
	}
	fmt.Println(left, "hosts left")
	// Output:
	// batch 2? so far 2 ok, 0 failed
	// 3 hosts left
}

func ExamplePlan_Sizes() {
	sizes, err := rollout.ParseSizes("1,5,10%,50%")
	fmt.Println(rollout.Plan{Batches: sizes}.Sizes(100), err)
	// Output: [1 5 10 50 34] <nil>
}

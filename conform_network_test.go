package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/sshtest"
)

// badNetwork is a connection whose reads and writes a test may change. Each
// function gets the bytes and their place in the stream.
type badNetwork struct {
	net.Conn
	mu          sync.Mutex
	read, wrote int64
	onRead      func(p []byte, at int64) error
	onWrite     func(p []byte, at int64) error
	most        int // bytes of one read or write; 0 means any
}

func (c *badNetwork) Read(p []byte) (int, error) {
	if c.most > 0 {
		p = p[:min(len(p), c.most)]
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onRead != nil && n > 0 {
		if bad := c.onRead(p[:n], c.read); bad != nil {
			n, err = 0, bad
		}
	}
	c.read += int64(n)
	return n, err
}

func (c *badNetwork) Write(p []byte) (written int, err error) {
	most := len(p)
	if c.most > 0 {
		most = c.most
	}
	for err == nil && written < len(p) {
		part := append([]byte(nil), p[written:min(len(p), written+most)]...)
		c.mu.Lock()
		if c.onWrite != nil {
			err = c.onWrite(part, c.wrote)
		}
		c.wrote += int64(len(part))
		c.mu.Unlock()
		if err == nil {
			var n int
			n, err = c.Conn.Write(part)
			written += n
		}
	}
	return written, err
}

// flip returns a function that inverts one bit of the byte at a place.
func flip(place int64, bit int) func([]byte, int64) error {
	return func(p []byte, at int64) error {
		if place >= at && place < at+int64(len(p)) {
			p[place-at] ^= 1 << bit
		}
		return nil
	}
}

// Bits that flip on the way, in either direction and at any place, are an error
// in time or make no difference; no output is ever wrong.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var failed int
	for i := range 300 {
		// The whole of a login is some four thousand bytes each way.
		place, bit, answers := random.Int64N(5000), random.IntN(8), i%2 == 0
		err := overNetwork(t, fmt.Sprintf("bit %d of byte %d, answers %v", bit, place, answers), func(c *badNetwork) {
			if answers {
				c.onRead = flip(place, bit)
			} else {
				c.onWrite = flip(place, bit)
			}
		})
		if err != nil {
			failed++
		}
	}
	if failed < 100 {
		t.Errorf("only %d of 300 were noticed", failed)
	}
}

// overNetwork runs a command whose output is known over a network that spoil
// changes. Success means the output was right.
func overNetwork(t *testing.T, what string, spoil func(*badNetwork)) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, c := memoryFleet(t, sshtest.Config{LoginGrace: -1})
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := f.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			bad := &badNetwork{Conn: conn}
			spoil(bad)
			return bad, nil
		}
		c.Host.Retry = shoal.Retry{Attempts: -1}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		want := strings.Repeat("all of this\n", 100)
		for r := range c.Run(ctx, shoal.Hosts("host0"), shoal.Command{Line: "cat", Stdin: strings.NewReader(want), Timeout: time.Minute}) {
			err = r.Err
			if got := r.Value.Text(); err == nil && got != want || !strings.HasPrefix(want, got) {
				t.Errorf("%s: wrong output of %d bytes, %v", what, len(got), err)
			}
			if r.Took > 3*time.Minute {
				t.Errorf("%s: took %v", what, r.Took)
			}
		}
	})
	return err
}

// A connection that is cut at any place is an error, or was not needed any more.
func TestCutConnection(t *testing.T) {
	t.Parallel()
	for place := int64(0); place < 8000; place += 61 {
		for _, err := range []error{io.EOF, syscall.ECONNRESET} {
			got := overNetwork(t, fmt.Sprint(err, " after ", place), func(c *badNetwork) {
				c.onRead = func(p []byte, at int64) error {
					if at+int64(len(p)) > place {
						return err
					}
					return nil
				}
			})
			if got == nil && place < 3000 {
				t.Errorf("success over a connection that ended after %d bytes", place)
			}
		}
	}
}

// However small the pieces are that a network carries, the bytes are the same.
func TestSlicedNetwork(t *testing.T) {
	t.Parallel()
	for most := range 4 {
		if err := overNetwork(t, fmt.Sprint(most+1, " bytes at once"), func(c *badNetwork) { c.most = most + 1 }); err != nil {
			t.Errorf("%d bytes at once: %v", most+1, err)
		}
	}
}

// Each call on the network fails once: there is no panic, nothing is left, and
// success is the right output.
func TestEachNetworkCallFails(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("broken")
	n := int64(0)
	for failed := true; failed; {
		n++
		failed = false
		var calls atomic.Int64
		err := overNetwork(t, fmt.Sprint("call ", n), func(c *badNetwork) {
			fail := func([]byte, int64) error {
				if calls.Add(1) == n {
					failed = true
					return errBroken
				}
				return nil
			}
			c.onRead, c.onWrite = fail, fail
		})
		if err == nil && failed && n < 10 {
			t.Errorf("success though call %d failed", n)
		}
	}
	t.Log(n, "calls")
	if n < 20 {
		t.Errorf("a run takes only %d calls", n)
	}
}

// At each stage at which a host may stall, and while a command runs, the end of
// the context ends the call at once and leaves nothing.
func TestCancelAtEveryStage(t *testing.T) {
	t.Parallel()
	stages := map[shoal.Stage]bool{}
	for kind, tt := range faultTests {
		if tt.took < 4*time.Second {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			_, c := memoryFleet(t, sshtest.Config{LoginGrace: -1, Faults: faulty(sshtest.Fault{Kind: kind, N: tt.n})})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			cmd := shoal.Command{Line: "echo out"}
			if tt.stdin != "" {
				cmd = shoal.Command{Line: "cat", Stdin: strings.NewReader(tt.stdin)}
			}
			for r := range c.Run(ctx, shoal.Hosts("host0"), cmd) {
				he, ok := errors.AsType[*shoal.HostError](r.Err)
				if !ok || he.Kind != shoal.KindTimeout || !errors.Is(r.Err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", kind, r.Err)
					continue
				}
				stages[he.Stage] = true
				// A command that may run gets its time to end.
				if r.Took > 3*time.Second+10*time.Second || he.Stage != shoal.StageRun && r.Took > 3100*time.Millisecond {
					t.Errorf("%s: took %v at stage %s", kind, r.Took, he.Stage)
				}
			}
		})
	}
	for _, stage := range []shoal.Stage{shoal.StageBanner, shoal.StageKex, shoal.StageAuth, shoal.StageChannel, shoal.StageExec, shoal.StageRun} {
		if !stages[stage] {
			t.Errorf("nothing was cancelled at stage %s", stage)
		}
	}
}

// Two thousand hosts whose callers leave at any moment: each answers once, and
// nothing is left.
func TestCancelAnyTime(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	ended := map[string]int{}
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			f, c := memoryFleet(t, sshtest.Config{Hosts: 20, Latency: func(int) time.Duration { return 10 * time.Millisecond }})
			// Where nothing is in the way all of it takes some 150 ms.
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(200*time.Millisecond))))
			defer cancel()
			results := 0
			for r := range c.Run(ctx, hostsOf(f), shoal.Command{Line: "echo out; sleep 0.01"}) {
				results++
				he, ok := errors.AsType[*shoal.HostError](r.Err)
				switch {
				case r.Err == nil && r.Value.Text() == "out\n":
					ended["ok"]++
				case ok && errors.Is(r.Err, context.DeadlineExceeded):
					ended[string(he.Stage)]++
				default:
					t.Errorf("%s: %q, %v", r.Host.Name, r.Value.Text(), r.Err)
				}
			}
			if results != 20 {
				t.Errorf("%d results of 20", results)
			}
		})
	}
	t.Log(ended)
	if ended["ok"] == 0 || len(ended) < 5 {
		t.Errorf("hosts ended as %v", ended)
	}
}

// A panic in the caller's function is its host's error; the others go on.
func TestEachPanic(t *testing.T) {
	t.Parallel()
	f := sshtest.New(t, sshtest.Config{Hosts: 3})
	c := newClient(t, f)
	results, err := shoal.Gather(shoal.Each(testContext(t), c, hostsOf(f), func(ctx context.Context, conn *shoal.Conn) (string, error) {
		if conn.Host().Name == f.Host(1).Name {
			panic("the caller's")
		}
		out, err := conn.Run(ctx, shoal.Command{Line: "hostname"})
		return out.Text(), err
	}))
	if he := wantKind(t, err, shoal.KindInternal); he.Host != f.Host(1).Name || !strings.Contains(he.Error(), "the caller's") {
		t.Errorf("got %v", err)
	}
	for _, i := range []int{0, 2} {
		if r := results[i]; r.Err != nil || r.Value != f.Host(i).Name+"\n" {
			t.Errorf("%s: %q, %v", r.Host.Name, r.Value, r.Err)
		}
	}
}

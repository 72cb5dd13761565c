package hostlist_test

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-ssh/shoal/hostlist"
)

// TestFoldCorpus compares with what nodeset 1.9.1 made of the same names:
// testdata/fold.txt has a line of names and under it nodeset's line.
func TestFoldCorpus(t *testing.T) {
	f, err := os.Open("testdata/fold.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		if lines.Text() == "" || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		names := strings.Fields(lines.Text())
		if !lines.Scan() {
			t.Fatal("the last names have no result")
		}
		n++
		if got, want := hostlist.Fold(names), lines.Text(); got != want {
			t.Errorf("Fold(%q):\n got %s\nwant %s", names, got, want)
		}
	}
	if err := lines.Err(); err != nil || n < 50 {
		t.Errorf("read %d cases, %v, want 50 or more", n, err)
	}
}

// TestFoldNodeset folds random names together with the nodeset of this machine.
// Names of different patterns fold on their own, so that one call tests many sets.
func TestFoldNodeset(t *testing.T) {
	nodeset := lookPath(t, "nodeset")
	random := rand.New(rand.NewPCG(1, 2))
	var names []string
	for i := range 120 {
		names = append(names, randomNames(random, i)...)
	}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	cmd := exec.Command(nodeset, "-f")
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(out))
	if got := hostlist.Fold(names); got != want {
		reportFold(t, got, want)
	}
}

// randomNames returns names of one pattern, which nobody else has, with up to four
// numbers and with or without padding.
func randomNames(random *rand.Rand, i int) []string {
	prefix := fmt.Sprintf("p%c%c%c", 'a'+i/676, 'a'+i/26%26, 'a'+i%26)
	dims, most := 1+random.IntN(4), 1+random.IntN(15)
	verbs := []string{"%d", "%02d", "%03d"}
	verb := make([]string, dims)
	for d := range verb {
		verb[d] = verbs[random.IntN(3)]
	}
	mixed := random.IntN(8) == 0
	var names []string
	for range 1 + random.IntN(60) {
		var name strings.Builder
		name.WriteString(prefix)
		for d := range dims {
			v := verb[d]
			if mixed {
				v = verbs[random.IntN(3)]
			}
			name.WriteString(fmt.Sprintf(v+"x", random.IntN(most)))
		}
		names = append(names, name.String())
	}
	return names
}

// reportFold shows where two results differ first.
func reportFold(t *testing.T, got, want string) {
	t.Helper()
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-150)
	t.Errorf("byte %d:\n got …%s\nwant …%s", i, got[from:min(len(got), i+150)], want[from:min(len(want), i+150)])
}

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		names, want string
	}{
		{"", ""},
		{"root@node1:22 root@node2:22 root@node2:23 bob@node1", "bob@node1,root@node[1-2]:22,root@node2:23"},
		{"user1@a1 user2@a1", "user1@a1,user2@a1"},
		{"2001:db8::1 2001:db8::2", "2001:db8::1,2001:db8::2"},
		{"[::1]:22 [::2]:22", "[::1]:22,[::2]:22"},
		{"10.0.0.1 10.0.0.2 10.0.1.1:22", "10.0.0.[1-2],10.0.1.1:22"},
		{"100000000000000000001 100000000000000000002", "[100000000000000000001,100000000000000000002]"},
		{"a1 a1 a1", "a1"},
		{"fe80::1%eth0 x%y1", "fe80::1%eth0,x%y1"},
	} {
		if got := hostlist.Fold(strings.Fields(tt.names)); got != tt.want {
			t.Errorf("Fold(%s): got %s, want %s", tt.names, got, tt.want)
		}
	}
}

func TestFoldRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`(u[0-9]@)?[a-c]?[0-3]{1,3}(-[0-9]{1,2}){0,2}(:2[0-9])?`), 1, 40).Draw(t, "names")
		text := hostlist.Fold(names)
		e, err := hostlist.Parse(text)
		if err != nil {
			t.Fatalf("%q folds to %s: %v", names, text, err)
		}
		got := slices.Sorted(e.All())
		want := slices.Sorted(maps.Keys(set(names)))
		if !slices.Equal(got, want) {
			t.Fatalf("%s: got %q, want %q", text, got, want)
		}
		if again := hostlist.FoldSeq(e.All()); again != text {
			t.Fatalf("got %s, then %s", text, again)
		}
	})
}

func set(names []string) map[string]bool {
	m := make(map[string]bool)
	for _, name := range names {
		m[name] = true
	}
	return m
}

// lookPath finds a program that tests compare with.
func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("SHOAL_REQUIRE_ALL") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("left out, the comparison with %s: %v", program, err)
	}
	return path
}

package rollout

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of hosts, or a share of all of them.
type Size struct {
	Hosts   int
	Percent int // of all hosts, 1 to 100; 0 where Hosts counts
}

// String is the size as [ParseSize] reads it: "5", "10%".
func (s Size) String() string {
	if s.Percent != 0 {
		return strconv.Itoa(s.Percent) + "%"
	}
	return strconv.Itoa(s.Hosts)
}

// Of returns how many of that many hosts it is. A share is rounded down.
func (s Size) Of(hosts int) int {
	if s.Percent != 0 {
		return int(int64(hosts) * int64(s.Percent) / 100)
	}
	return s.Hosts
}

// batch is Of for a batch, which has at least one host.
func (s Size) batch(hosts int) int { return max(1, s.Of(hosts)) }

func (s Size) check() error {
	switch {
	case s.Hosts < 0:
		return errors.New("a negative number of hosts")
	case s.Percent < 0 || s.Percent > 100:
		return fmt.Errorf("%d%% is not 1%% to 100%%", s.Percent)
	case s.Hosts > 0 && s.Percent > 0:
		return errors.New("both a number of hosts and a share of them")
	}
	return nil
}

// ParseSize reads a number of hosts, 0 included, or a share of them in whole
// percent: "5", "10%".
func ParseSize(text string) (Size, error) {
	number, share := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(number, 10, 31)
	switch {
	case err != nil:
		return Size{}, fmt.Errorf("%q is neither a number of hosts nor a percentage, such as 5 or 10%%", text)
	case !share:
		return Size{Hosts: int(n)}, nil
	case n < 1 || n > 100:
		return Size{}, fmt.Errorf("%q is not 1%% to 100%%", text)
	}
	return Size{Percent: int(n)}, nil
}

// ParseSizes reads the sizes of batches, with commas between them, for
// [Plan.Batches]: "1,5,10%,50%". None may be 0.
func ParseSizes(text string) ([]Size, error) {
	var sizes []Size
	for word := range strings.SplitSeq(text, ",") {
		s, err := ParseSize(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		if s == (Size{}) {
			return nil, errors.New("a batch of 0 hosts would never end")
		}
		sizes = append(sizes, s)
	}
	return sizes, nil
}

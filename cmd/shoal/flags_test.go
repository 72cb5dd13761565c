package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDurationFlag(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"30", 30 * time.Second, true}, {"1.5", 1500 * time.Millisecond, true}, {"30s", 30 * time.Second, true},
		{"5m", 5 * time.Minute, true}, {"1h30m", 90 * time.Minute, true},
		{"", 0, false}, {"soon", 0, false}, {"-1s", 0, false}, {"-1", 0, false}, {"0", 0, false},
		{"NaN", 0, false}, {"Inf", 0, false}, {"1e300", 0, false},
	} {
		var f durationFlag
		if err := f.Set(c.text); (err == nil) != c.ok || f.d != c.want {
			t.Errorf("%q: got %v, %v", c.text, f.d, err)
		}
	}
	never := durationFlag{zeroOK: true}
	if err := never.Set("0"); err != nil || !never.isSet {
		t.Errorf("0 where it means something: got %v", err)
	}
}

func FuzzDurationFlag(f *testing.F) {
	for _, s := range []string{"30", "5m", "1e9", "-0", "9999999h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d durationFlag
		if err := d.Set(s); err == nil && d.d <= 0 {
			t.Errorf("%q was taken as %v", s, d.d)
		}
	})
}

func TestWithRun(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", ""}, {"run -w a true", "run -w a true"}, {"-w a true", "run -w a true"}, {"-b -w a true", "run -b -w a true"},
		{"--hosts a true", "run --hosts a true"}, {"version", "version"}, {"--version", "--version"}, {"-h", "-h"}, {"--help", "--help"},
		{"demo", "demo"}, {"nonsense -w a", "nonsense -w a"},
	} {
		if got := withRun(strings.Fields(c.args)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q: got %q", c.args, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"run", "demo", "version", "--hosts-file", "--host"}
	for word, want := range map[string]string{
		"rnu": "run", "vesrion": "version", "ver": "version", "--hosts-fiel": "--hosts-file", "xyz": "", "": "", "frobnicate": "",
	} {
		got := didYouMean(word, known)
		if want == "" && got != "" || want != "" && got != ` (did you mean "`+want+`"?)` {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestOption(t *testing.T) {
	ignore := func(error) {}
	for _, text := range []string{"UserKnownHostsFile=a b", "userknownhostsfile = a b", "UserKnownHostsFile a b"} {
		f := connectFlags{file: "none", options: []string{text}}
		if err := f.load(ignore); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"UserKnownHostsFile", "UserKnownHostsFile=", "=a", "Prot=22", "Port=x", "Host x", "Include x"} {
		f := connectFlags{file: "none", options: []string{text}}
		if err := f.load(ignore); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

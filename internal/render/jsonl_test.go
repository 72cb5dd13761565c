package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-ssh/shoal/internal/render"
)

// complete is a run whose exits fill every member.
func complete(r render.Renderer) error {
	t := begin(r, `printf "%s\n" '<&>' \ 	`, "gpu1", "gpu2", "gpu\xff\u202e\"3")
	t.out("gpu1", "GPU 0: \"quoted\" \\ <&> \t é 漢 😀\n", "bare\rCR, \x1b[31m, \u009b, \u202e, \u2028, \x7f\n")
	t.out("gpu1", "not UTF-8: \xff\xfe\n", "no newline")
	t.errs("gpu1", "oops\r\n", "\n")
	t.exit(render.Exit{
		Status: render.OK, RC: new(0), Bytes: render.Bytes{Out: 93, Err: 7},
		Digest: render.Digest{Out: "00ff", Err: "ee"},
		Stages: []render.Stage{
			{Name: "tcp", Took: 1499 * time.Microsecond}, {Name: "dns", Took: 1500 * time.Microsecond},
			{Name: "run", Took: 380 * time.Millisecond},
		},
		OutputOpen: true, Truncated: true, Attempts: 3,
	}, "gpu1")
	t.exit(render.Exit{
		Status: render.HostKey, Remote: render.MayStillRun,
		Err: &render.Problem{
			Hop: "bastion", Stage: "kex", Kind: "hostkey-changed",
			Msg: "line 1\nline 2 \x1b \xff", Hint: "find out",
		},
	}, "gpu2")
	t.exit(render.Exit{Status: render.Signal, Signal: "TERM", RC: new(143), Remote: render.Killed}, "gpu\xff\u202e\"3")
	return t.done(3)
}

// repeated is a run that tells where it comes from.
func repeated(r render.Renderer) error {
	r.Start(render.Start{
		Run: "01JD0000000000000000000001", Command: "true", Time: time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC),
		Args: []string{"run", "--hosts=@run:last.failed", "--", "echo", "\"\x1b", ""}, Dir: "/home/me", Stdin: true,
		Repeats: "01JD0000000000000000000000",
	})
	return r.End(render.End{})
}

func TestJSONLGolden(t *testing.T) {
	for name, play := range map[string]func(render.Renderer) error{"mixed": mixed, "complete": complete, "repeated": repeated, "keys": scan} {
		var out bytes.Buffer
		if err := play(&render.JSONL{W: &out}); err != nil {
			t.Errorf("End: %v", err)
		}
		golden(t, "jsonl-"+name, out.Bytes(), nil)
	}
}

// TestJSONLSchema holds every object of the sample runs against the documented
// schema, and wants every member of it documented.
func TestJSONLSchema(t *testing.T) {
	s := loadSchema(t)
	for _, play := range []func(render.Renderer) error{mixed, complete, repeated, many, scan} {
		var out bytes.Buffer
		if err := play(&render.JSONL{W: &out}); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(out.Bytes()) {
			var o map[string]any
			if err := json.Unmarshal(line, &o); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if err := s.check(s, "$", o); err != nil {
				t.Errorf("%s%v", line, err)
			}
			for name := range o {
				if !s.documented(o["ev"].(string), name) {
					t.Errorf("member %q of %s is not in the schema", name, o["ev"])
				}
			}
		}
	}
}

// TestSchemaRejects shows that the check above can fail.
func TestSchemaRejects(t *testing.T) {
	s := loadSchema(t)
	for _, text := range []string{
		`{"v":2,"ev":"end","run":"x","hosts":0,"ok":0,"failed":0,"unreachable":0,"timeout":0,"cancelled":0,"not_run":0,"exit":0,"t":0}`,
		`{"v":1,"ev":"end","run":"x","hosts":-1,"ok":0,"failed":0,"unreachable":0,"timeout":0,"cancelled":0,"not_run":0,"exit":0,"t":0}`,
		`{"v":1,"ev":"line","run":"x","host":"a","stream":"stdout","seq":0,"t":0}`,
		`{"v":1,"ev":"line","run":"x","host":"a","stream":"stdout","seq":0,"t":0,"data":"","b64":""}`,
		`{"v":1,"ev":"line","run":"x","host":"a","stream":"both","seq":0,"t":0,"data":""}`,
		`{"v":1,"ev":"exit","run":"x","host":"a","status":"fine","rc":0,"signal":null,"t":0,"bytes":{"out":0,"err":0}}`,
		`{"v":1,"ev":"key","run":"x","host":"a","t":0,"type":"ssh-rsa","fingerprint":"SHA256:a","key":"AA==","state":"fine"}`,
		`{"v":1,"ev":"key","run":"x","host":"a","t":0,"type":"ssh-rsa","fingerprint":"SHA256:a","key":"AA==","state":"new","lines":[{"place":"f:1"}]}`,
		`{"v":1,"ev":"start","run":"x","time":"2026-11-22T08:30:00Z","hosts":1,"command":"true","args":"run"}`,
		`{"v":1,"ev":"start","run":"x","time":"2026-11-22T08:30:00Z","hosts":1,"command":"true","stdin":false}`,
		`{"v":1,"ev":"exit","run":"x","host":"a","status":"ok","rc":"0","signal":null,"t":0,"bytes":{"out":0,"err":0}}`,
	} {
		var o map[string]any
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatal(err)
		}
		if s.check(s, "$", o) == nil {
			t.Errorf("valid: %s", text)
		}
	}
}

// TestJSONLExact wants the bytes of a line back, and none in the file that a
// terminal would act on.
func TestJSONLExact(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	tests := []string{
		"", "plain", string(all), string(all[:128]), "é\u0085\u009b\u200e\u2029\u202e\u2066\U0001f600\ufffd", "\xe2\x82", "a\xffb",
	}
	for b := range 256 {
		for at := range 17 { // eight bytes are looked at together
			text := bytes.Repeat([]byte{'x'}, 17)
			text[at] = byte(b)
			tests = append(tests, string(text))
		}
	}
	for _, data := range tests {
		var out bytes.Buffer
		j := &render.JSONL{W: &out}
		j.Lines([]render.Line{{Host: "h", Text: data}})
		var o struct {
			Data *string
			B64  []byte
		}
		if err := json.Unmarshal(out.Bytes(), &o); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		got := string(o.B64)
		if o.Data != nil {
			got = *o.Data
		}
		if got != data {
			t.Errorf("got %q, want %q", got, data)
		}
		if text := strings.TrimSuffix(out.String(), "\n"); render.Sanitize(text) != text {
			t.Errorf("not safe to show: %q", text)
		}
	}
}

func TestJSONLWantsEveryExit(t *testing.T) {
	j := &render.JSONL{}
	r := begin(j, "true", "a", "b").ok("a")
	r.end.Count(render.OK)
	if err := r.done(0); err == nil || !strings.Contains(err.Error(), "1 exits for 2 hosts") {
		t.Errorf("got %v, want an error about the missing exit", err)
	}
}

// TestReplay wants a record to make the same record again, and the same views
// as the run itself.
func TestReplay(t *testing.T) {
	for name, play := range map[string]func(render.Renderer) error{"mixed": mixed, "complete": complete, "repeated": repeated, "many": many} {
		var record, again bytes.Buffer
		if err := play(&render.JSONL{W: &record}); err != nil {
			t.Fatal(err)
		}
		if err := render.Replay(bytes.NewReader(record.Bytes()), &render.JSONL{W: &again}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again.String() != record.String() {
			t.Errorf("%s: got\n%s\nwant\n%s", name, again.String(), record.String())
		}
	}
}

func TestReplayCut(t *testing.T) {
	var record bytes.Buffer
	if err := mixed(&render.JSONL{W: &record}); err != nil {
		t.Fatal(err)
	}
	full := slices.Collect(bytes.Lines(record.Bytes()))
	cut := bytes.Join(full[:8], nil)
	s, stdout, stderr := screen(80)
	r := render.Tee{&render.Live{Screen: s}, &render.Report{Screen: s}}
	err := render.Replay(bytes.NewReader(append(cut, full[8][:20]...)), r)
	if !errors.Is(err, render.ErrNoEnd) {
		t.Errorf("got %v, want %v", err, render.ErrNoEnd)
	}
	if want := "web1: 6.1.0-28-amd64\nweb3: 6.1.0-27-amd64\nweb2: 6.1.0-28-amd64\n"; !strings.HasPrefix(stdout.String(), want) {
		t.Errorf("got %q, want %q", stdout.String(), want)
	}
	if want := "2 hosts: 2 ok in"; !strings.Contains(stderr.String(), want) {
		t.Errorf("got %q, want %q in it", stderr.String(), want)
	}
}

func TestReplayRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"v":2,"ev":"start"}`:                                   "object 1: version 2",
		`{"v":1,"ev":"start"}{"v":1,"ev":"line"]`:                "invalid character",
		`{"v":1,"ev":"exit"}`:                                    `object 1: "exit" where`,
		`{"v":1,"ev":"start"}{"v":1,"ev":"start"}`:               `object 2: "start" where`,
		`{"v":1,"ev":"start"}{"v":1,"ev":"exit","ms":[1]}`:       "object 2: ms is not an object",
		`{"v":1,"ev":"start"}{"v":1,"ev":"exit","ms":{"a":"b"}}`: "object 2: ms: json",
	} {
		err := render.Replay(strings.NewReader(in), &render.Tee{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Replay(%s): got %v, want %q", in, err, want)
		}
	}
}

func FuzzReplay(f *testing.F) {
	var record bytes.Buffer
	if err := complete(&render.JSONL{W: &record}); err != nil {
		f.Fatal(err)
	}
	f.Add(record.Bytes())
	f.Add([]byte(`{"v":1,"ev":"start"}{"v":1,"ev":"exit","ms":{"a":1,"a":2},"rc":-1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, stdout, stderr := screen(80)
		r := render.Tee{
			&render.Live{Screen: s}, &render.Fold{Screen: s, QuietErr: true},
			&render.Report{Screen: s}, &render.StatusLine{Screen: s},
		}
		_ = render.Replay(bytes.NewReader(in), r)
		for _, out := range [][]byte{stdout.Bytes(), stderr.Bytes()} {
			checkSafe(t, out)
		}
	})
}

package render_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/shoal-ssh/shoal/internal/render"
)

// htmlPage writes the page of a run and reads it as a browser would.
func htmlPage(t *testing.T, play func(render.Renderer) error) (text string, root *html.Node) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	h := &render.HTML{File: file, Memory: 1 << 20, TempDir: t.TempDir()}
	if err := h.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := play(h); err != nil {
		t.Fatalf("End: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("files: %v %v", left, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err = html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), root
}

// elements lists those of a name, in order.
func elements(root *html.Node, name string) []*html.Node {
	var all []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			all = append(all, n)
		}
	}
	return all
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestHTML(t *testing.T) {
	_, root := htmlPage(t, mixed)
	var got []string
	for _, s := range elements(root, "section") {
		var line strings.Builder
		line.WriteString(attribute(s, "data-status") + "|" + strings.Join(strings.Fields(textOf(elements(s, "h2")[0])), " "))
		for _, pre := range elements(s, "pre") {
			line.WriteString("|" + textOf(pre))
		}
		got = append(got, line.String())
	}
	want := []string{
		"failed|exit 2 web5|half a line, and its end €\ntail with a torn rune \\xe2\\x82",
		"failed|exit 1 web6|progress 10%\\x0dweb1: forged\n",
		"failed|exit 1 web7",
		"failed|ended by signal KILL web8",
		"timeout|timed out after 30 s, killed db1|dumping users\ndumping or",
		"timeout|timed out after 30 s, may still run db2",
		"unreachable|connection lost: read tcp 10.0.0.1:40022->10.0.3.9:22: connection reset by peer, may still run db3|partial\n",
		"unreachable|via bastion: auth: no method accepted (tried publickey, password) gw9",
		"unreachable|connect: dial tcp 10.0.0.10:22: connection refused gw10",
		"unreachable|host key: changed: known_hosts:41 has ssh-ed25519 SHA256:aaaa, offered SHA256:bbbb gw11",
		"ok|ok web3|6.1.0-27-amd64\n|warning: \\x1b]0;owned\\x07 clock\\xe2\\x80\\xaeskew\n",
		"ok|ok web4|6.1.0-28-amd64",
		"ok|ok web[1-2] (2)|6.1.0-28-amd64\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rows := elements(elements(root, "main")[0], "tr"); len(rows) != 14+len(want) {
		t.Errorf("%d rows of 14 hosts and %d heads", len(rows), len(want))
	}
	if tally := strings.Join(strings.Fields(textOf(elements(root, "ul")[0])), " "); tally != "4 ok 4 failed 2 timed out 4 unreachable" {
		t.Errorf("tally: %s", tally)
	}
}

// TestHTMLSafe wants a page that has one script, ours, and loads nothing,
// whatever hosts wrote.
func TestHTMLSafe(t *testing.T) {
	text, root := htmlPage(t, hostile)
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("a comment: %s", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	for _, name := range []string{"img", "link", "iframe", "b"} {
		if all := elements(root, name); len(all) > 0 && name != "b" {
			t.Errorf("has <%s>", name)
		}
	}
	if len(elements(root, "section")) != 3 {
		t.Errorf("sections are broken:\n%s", text)
	}
	policy := attribute(elements(root, "meta")[1], "content")
	for _, name := range []string{"style", "script"} {
		all := elements(root, name)
		if len(all) != 1 {
			t.Fatalf("%d %ss", len(all), name)
		}
		sum := sha256.Sum256([]byte(textOf(all[0])))
		if want := name + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy is %s, want %s in it", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none';") {
		t.Errorf("policy: %s", policy)
	}
	if got, want := textOf(elements(root, "h1")[0]), "</title><script>alert(1)</script>"; got != want {
		t.Errorf("h1: got %q, want %q", got, want)
	}
	pre := textOf(elements(root, "pre")[len(elements(root, "pre"))-2])
	if want := "</pre><script>alert(3)</script>\\x00\ufffe\ufeff\\xe2\\x80\\xae\\xff ]]> <!-- &amp; \n"; pre != want {
		t.Errorf("pre: got %q, want %q", pre, want)
	}
}

// TestHTMLManyHosts wants equal hosts in one section, and the page's size in
// proportion.
func TestHTMLManyHosts(t *testing.T) {
	text, root := htmlPage(t, func(r render.Renderer) error {
		hosts := names("node", 10_000)
		t := begin(r, "uname -r", hosts...)
		output := "6.12.48-amd64\n"
		for i, h := range hosts {
			x := render.Exit{Status: render.OK, Stages: []render.Stage{{Name: "run", Took: time.Duration(i) * time.Millisecond}}}
			t.out(h, output).exit(x, h)
		}
		return t.done(0)
	})
	if n := len(elements(root, "section")); n != 1 || len(text) > 3<<20 {
		t.Errorf("%d sections, %d bytes", n, len(text))
	}
	cells := elements(elements(root, "tbody")[0], "td")
	if got := textOf(cells[0]); got != "node10000" {
		t.Errorf("the slowest host: got %s", got)
	}
	if n := len(cells) / 4; n != 10_000 {
		t.Errorf("%d rows", n)
	}
}

func TestHTMLLargeOutput(t *testing.T) {
	text, root := htmlPage(t, func(r render.Renderer) error {
		return begin(r, "true", "n1").out("n1", strings.Repeat("é", 1<<20)).ok("n1").done(0)
	})
	if pre := textOf(elements(root, "pre")[0]); pre != strings.Repeat("é", 1<<19) || !strings.Contains(text, "The output is cut") {
		t.Errorf("%d bytes, %d of output", len(text), len(pre))
	}
}

func TestHTMLCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := (&render.HTML{File: dir}).Prepare(); err == nil || err.Error() != dir+" is a folder" {
		t.Errorf("a folder: got %v", err)
	}
	none := filepath.Join(dir, "none", "x.html")
	if err := (&render.HTML{File: none}).Prepare(); err == nil {
		t.Error("no folder: no error")
	}
	if err := mixed(&render.HTML{File: none}); err == nil || !strings.HasPrefix(err.Error(), "report: ") {
		t.Errorf("End: got %v", fmt.Sprint(err))
	}
}

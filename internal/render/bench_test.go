package render_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal/internal/render"
)

// logLines returns batches of 64 lines of 80 bytes, hosts taking turns.
func logLines(text string) (batches [][]render.Line, size int) {
	data := strings.Repeat(text, 80/len(text)+1)[:80]
	for range 16 {
		var batch []render.Line
		for i := range 64 {
			batch = append(batch, render.Line{Host: fmt.Sprintf("node%03d", i), Index: i, Text: data})
			size += len(data)
		}
		batches = append(batches, batch)
	}
	return batches, size
}

func benchmarkLines(b *testing.B, r render.Renderer, text string) {
	batches, size := logLines(text)
	r.Start(render.Start{})
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, batch := range batches {
			r.Lines(batch)
		}
	}
}

func BenchmarkLive(b *testing.B) {
	for name, text := range map[string]string{
		"ascii": "2026-11-22 08:30:00 INFO request served ", "utf8": "größer 漢字 ", "tabs": "a\tb\tc\t", "escapes": "\x1b[31mred\x1b[0m ",
	} {
		b.Run(name, func(b *testing.B) {
			benchmarkLines(b, &render.Live{Screen: &render.Screen{Stdout: io.Discard}}, text)
		})
	}
	b.Run("color", func(b *testing.B) {
		benchmarkLines(b, &render.Live{Screen: &render.Screen{Stdout: io.Discard, StdoutColor: true}}, "plain text ")
	})
}

func BenchmarkJSONL(b *testing.B) {
	benchmarkLines(b, &render.JSONL{W: io.Discard}, "level=info msg=\"request served\" ")
}

func BenchmarkFold(b *testing.B) {
	for name, loose := range map[string]bool{"exact": false, "loose": true} {
		b.Run(name, func(b *testing.B) {
			f := &render.Fold{Screen: new(render.Screen), TempDir: b.TempDir(), Loose: loose}
			benchmarkLines(b, f, "2026-11-22 08:30:00 INFO request served ")
			if err := f.End(render.End{}); err != nil {
				b.Error(err)
			}
		})
	}
}

func BenchmarkAppendSanitized(b *testing.B) {
	for name, text := range map[string]string{"ascii": "plain text ", "utf8": "漢字", "escapes": "\x1b\xff"} {
		b.Run(name, func(b *testing.B) {
			in := strings.Repeat(text, 4096/len(text))
			var out []byte
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				out = render.AppendSanitized(out[:0], in)
			}
		})
	}
}

// BenchmarkReplay reads a record back, as showing a run again does.
func BenchmarkReplay(b *testing.B) {
	var record bytes.Buffer
	if err := many(&render.JSONL{W: &record}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(record.Len()))
	for b.Loop() {
		if err := render.Replay(bytes.NewReader(record.Bytes()), render.Tee{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReport ends a run of 10,000 hosts of which every second failed.
func BenchmarkReport(b *testing.B) {
	hosts := names("node", 10_000)
	for b.Loop() {
		r := begin(&render.Report{Screen: new(render.Screen)}, "true")
		for i, h := range hosts {
			x := render.Exit{Host: h, Index: i, Status: render.OK}
			if i%2 == 0 {
				x.Status, x.RC = render.Failed, new(1+i%3)
			}
			r.end.Count(x.Status)
			r.r.Exit(x)
		}
		if err := r.done(1); err != nil {
			b.Fatal(err)
		}
	}
}

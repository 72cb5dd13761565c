package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/shoal-ssh/shoal"
)

// newLog returns a log whose records become lines on the console: warnings,
// and where verbose the stages of connections.
func newLog(c *console, verbose bool) *slog.Logger {
	text := slog.NewTextHandler(lineWriter{c}, &slog.HandlerOptions{Level: shoal.LevelStage, ReplaceAttr: plainAttr})
	return slog.New(&logHandler{text, verbose})
}

// logHandler leaves out the lines of hosts, which are shown anyway.
type logHandler struct {
	slog.Handler
	verbose bool
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.verbose && level != shoal.LevelLine
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.Handler.WithAttrs(attrs), h.verbose}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.Handler.WithGroup(name), h.verbose}
}

// plainAttr drops the time of day, which says little in lines that a person
// reads as they come, and rounds durations to what is worth reading.
func plainAttr(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Key == slog.TimeKey:
		return slog.Attr{}
	case a.Value.Kind() == slog.KindDuration:
		a.Value = slog.DurationValue(a.Value.Duration().Round(100 * time.Microsecond))
	}
	return a
}

type lineWriter struct{ console *console }

func (w lineWriter) Write(p []byte) (int, error) {
	w.console.say(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

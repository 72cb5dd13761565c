package shoal

import (
	"log/slog"
)

// LevelStage is the level of [Client.Log] for the stages of connections.
const LevelStage = slog.LevelDebug

func hostAttr(h Host) slog.Attr     { return slog.String("host", h.Name) }
func attemptAttr(n int) slog.Attr   { return slog.Int("attempt", n) }
func errorAttr(err error) slog.Attr { return slog.String("error", err.Error()) }

// attrs are the stages of a connection as log attributes.
func (t Timings) attrs() []slog.Attr {
	return []slog.Attr{
		slog.Duration("resolve", t.Resolve), slog.Duration("connect", t.Connect),
		slog.Duration("kex", t.Kex), slog.Duration("hostkey", t.HostKey), slog.Duration("auth", t.Auth),
	}
}

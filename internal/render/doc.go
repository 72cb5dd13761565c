// Package render turns the events of a run into what people and scripts see:
// live lines, folded blocks, one JSON object a line, failures and a summary.
//
// A run is told as a Start, batches of Lines, exactly one Exit for every host
// and an End. A [Renderer] takes them from one goroutine; a [Tee] passes them
// to several, so that a run can be shown live, folded at its end and written to
// a journal at once:
//
//	screen := &render.Screen{Stdout: os.Stdout, Stderr: os.Stderr}
//	r := render.Tee{&render.Live{Screen: screen}, &render.Report{Screen: screen}}
//
// Everything for people goes through one [Screen], which keeps lines whole, the
// status line below them, and remote text harmless. The rules it holds:
//
//   - stdout carries what hosts wrote, stderr what hosts wrote to theirs and
//     everything Shoal says itself;
//   - remote text is cut at newlines only and each line carries its host's
//     label, so that a host cannot forge the line of another one;
//   - control, bidirectional and undecodable bytes are shown as \xNN unless the
//     user asked for raw bytes;
//   - output that arrived is shown, whatever became of its host.
//
// The package knows neither flags nor connections.
package render

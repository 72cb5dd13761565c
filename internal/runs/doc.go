// Package runs is the journal of runs: a folder with a file for each run, named
// by the run's identifier. A file has the events of the run, one JSON object a
// line, as [render.JSONL] writes them, and is written while they happen: a
// program that is killed leaves what happened until then.
//
// Files belong to the user alone. What does not look like a file of the journal
// is neither read nor removed, links least of all.
package runs

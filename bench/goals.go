package main

// goals are what Shoal is to reach, as ratios where they can be: those hold on
// other machines.
func goals() []goal {
	shoal := func(workload, column string) ref { return ref{workload, nameShoal, column} }
	bare := func(workload, column string) []ref { return []ref{{workload, nameBare, column}} }
	sftp := func(workload, column string) []ref { return []ref{{workload, nameSFTP, column}} }
	return []goal{
		{text: "CPU per host, connect and run on 1,000 hosts, against x/crypto at its best",
			of: shoal("connect-1000", columnHost), over: best("connect-1000", columnHost), limit: 1.25},
		{text: "growth: CPU per host on 10,000 hosts against 100",
			of: shoal("connect-10000", columnHost), over: []ref{shoal("connect-100", columnHost)}, limit: 1.2},
		{text: "peak memory on 10,000 hosts, MiB", of: shoal("connect-10000", columnPeak), limit: 300},
		{text: "CPU per command on open connections, against x/crypto",
			of: shoal("commands", columnCommand), over: bare("commands", columnCommand), limit: 1.3},
		{text: "goroutines per idle connection", of: shoal("idle", columnGoroutines), limit: 6.05},
		{text: "memory per idle connection, KiB", of: shoal("idle", columnResident), limit: 56},
		{text: "round trips to the first byte on an open connection", of: shoal("trips", columnOpen), limit: 2.5},
		{text: "round trips to the first byte on a new connection, against x/crypto",
			of: shoal("trips", columnNew), over: bare("trips", columnNew), limit: 1.05},
		{text: "time on 100 hosts 100 ms away against 1", of: shoal("delay", columnRatio), limit: 1.3},
		{text: "one stream: rate against x/crypto",
			of: shoal("stream", columnRate), over: bare("stream", columnRate), limit: 0.9, least: true},
		{text: "one stream: CPU against x/crypto",
			of: shoal("stream", columnMiB), over: bare("stream", columnMiB), limit: 1 / 0.9},
		{text: "live lines of 1,000 hosts, MiB/s", of: shoal("lines", columnRate), limit: 100, least: true},
		{text: "live lines of 1,000 hosts, peak MiB", of: shoal("lines", columnPeak), limit: 300},
		{text: "one host in ten silent: time of the healthy ones against without it",
			of: shoal("stalled-login", columnRatio), limit: 1.1},
		{text: "one host in ten with a hanging command: the same",
			of: shoal("stalled-command", columnRatio), limit: 1.1},
		{text: "CPU per host on 1,000 hosts against parallel-ssh",
			of: shoal("peers-1000", columnProcess), over: []ref{{"peers-1000", nameParallelSSH, columnProcess}}, limit: 0.25},
		{text: "CPU per host on 100 hosts against the cheapest of pdsh, clush and pssh",
			of: shoal("peers-100", columnProcess), over: []ref{
				{"peers-100", namePdsh, columnProcess}, {"peers-100", nameClush, columnProcess}, {"peers-100", namePssh, columnProcess},
			}, limit: 0.04},
		{text: "1 GiB up: time against sftp", of: shoal("copy-large", columnUp), over: sftp("copy-large", columnUp), limit: 1},
		{text: "1 GiB down: time against sftp", of: shoal("copy-large", columnDown), over: sftp("copy-large", columnDown), limit: 1},
		{text: "1 GiB up: time against parallel-ssh",
			of: shoal("copy-large", columnUp), over: []ref{{"copy-large", nameParallelSSH, columnUp}}, limit: 1 / 1.5},
		{text: "1 GiB down: time against parallel-ssh",
			of: shoal("copy-large", columnDown), over: []ref{{"copy-large", nameParallelSSH, columnDown}}, limit: 1 / 1.5},
		{text: "10,000 small files: time against sftp", of: shoal("copy-small", columnUp), over: sftp("copy-small", columnUp), limit: 1.0 / 3},
		{text: "small files 50 ms away: time against sftp", of: shoal("copy-distant", columnUp), over: sftp("copy-distant", columnUp), limit: 0.1},
		{text: "50 MiB to 100 hosts: CPU against 100 single copies",
			of: shoal("copy-many", columnMiB), over: []ref{{"copy-many", nameSingly, columnMiB}}, limit: 1.2},
		{text: "peak memory of it, MiB", of: shoal("copy-many", columnPeak), limit: 150},
		{text: "peak memory of 1 GiB, MiB", of: shoal("copy-large", columnPeak), limit: 150},
	}
}

// best are the two ways to run a bare loop.
func best(workload, column string) []ref {
	return []ref{{workload, bareName(16), column}, {workload, bareName(100), column}}
}

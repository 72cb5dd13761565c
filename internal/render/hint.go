package render

// hint returns what to do about a failure. A host's own hint wins over the
// usual advice for the kind of its failure.
func hint(x *Exit) string {
	if x.Err != nil && x.Err.Hint != "" {
		return cutBytes(x.Err.Hint, maxMessage)
	}
	if x.Err != nil {
		if s := kindHint(x.Err.Kind); s != "" {
			return s
		}
	}
	return statusHint(x)
}

func kindHint(kind string) string {
	switch kind {
	case "dns":
		return "check the spelling, or give the address as HostName in your ssh_config"
	case "refused":
		return "is sshd running there, and is the port right (-p)?"
	case "unreachable":
		return "is the host up, and is there a route to it (jump host: -J)?"
	case "throttled":
		return "the server turns connections away: lower -f, or allow --retries"
	case "not-ssh":
		return "something else answers on that port: check it (-p)"
	case "no-common-algorithm":
		return "the server offers only algorithms that Shoal holds unsafe: update it"
	case "hostkey-unknown":
		return "compare the fingerprint with the host's own, then store it with: shoal keys --pin (or --host-key accept-new)"
	case "hostkey-changed":
		return "if the host was not reinstalled, somebody may be listening: find out before you remove the old key"
	case "hostkey-revoked":
		return "this key was revoked on purpose: do not connect until you know why"
	case "too-many-keys":
		return "name the one key to offer with -i"
	case "agent":
		return "is the agent answering? try: ssh-add -l"
	case "channel-refused":
		return "the server opens no session: is the account limited, or are there too many?"
	case "exec-refused":
		return "the server starts no command for this user: is the account limited to a shell or a fixed command?"
	case "sudo-refused":
		return "check the sudo password (-K), and that this user may run the command"
	case "no-exit-status":
		return "how the command ended is not known: check on the host before you run it again"
	case "output-limit":
		return "raise --max-output, or write to a file on the host and pull it"
	}
	return ""
}

func statusHint(x *Exit) string {
	switch {
	case x.Remote == MayStillRun:
		return "look for the process on the host before you run the command again"
	case x.Status == Auth:
		return "check the user (-l) and the key (-i), or load it with ssh-add"
	case x.Status == Timeout && x.Err != nil && x.Err.Stage == "connect":
		return "is the host up, or are packets to it dropped (jump host: -J)? -t allows more time"
	case x.Status == Timeout && x.Err != nil && x.Err.Stage == "banner":
		return "something listens there and says nothing: is sshd stuck, or the port wrong (-p)? -t allows more time"
	case x.Status == Timeout && x.Err != nil && x.Err.Stage != "" && x.Err.Stage != "run":
		return "see where the time goes with: shoal ping; allow more with -t"
	case x.Status == Lost && (x.Err == nil || x.Err.Stage == "exec" || x.Err.Stage == "run"):
		return "the command may have run in part: check before you run it again"
	}
	return ""
}

package sshconfig

import "strings"

// wildcard reports whether a pattern with * and ? matches (PATTERNS in
// ssh_config(5)).
func wildcard(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchHost is a Host line: one pattern has to match and no negated one may.
func matchHost(patterns []string, host string) bool {
	found := false
	for _, pattern := range patterns {
		negated := strings.HasPrefix(pattern, "!")
		if !wildcard(strings.TrimPrefix(pattern, "!"), host) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// matchList is a pattern list, with commas.
func matchList(list, s string) bool { return matchHost(strings.Split(list, ","), s) }

// matchName is a pattern list for names of hosts, whose case says nothing. In a
// Host line, as in OpenSSH, it does.
func matchName(list, s string) bool { return matchList(strings.ToLower(list), strings.ToLower(s)) }

// Match reports whether one of the patterns matches and no negated one does, as
// in a Host line or SendEnv.
func Match(patterns []string, s string) bool { return matchHost(patterns, s) }

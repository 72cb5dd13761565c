package knownhosts

import "strings"

// isPattern reports whether a line's host field needs matchList, that is
// whether it is more than a list of literal names.
func isPattern(hosts string) bool {
	if strings.ContainsAny(hosts, "*?!") {
		return true
	}
	for name := range strings.SplitSeq(hosts, ",") {
		if len(name) >= maxName {
			return true
		}
	}
	return false
}

// matchList reports whether name matches a lower-case comma-separated list of
// patterns: at least one of them, and none that begins with "!".
func matchList(name, patterns string) bool {
	matched := false
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if len(pattern) >= maxName {
			return false // as OpenSSH, whatever stood before
		}
		if !matchPattern(name, pattern) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// matchPattern reports whether s matches a pattern in which "*" stands for any
// bytes, also none, and "?" for one byte. It goes back to the last "*" only,
// so that its cost is at most len(s) times len(pattern).
func matchPattern(s, pattern string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, mark = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

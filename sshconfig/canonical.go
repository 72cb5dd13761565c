package sshconfig

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// canonicalize replaces the name of the host as CanonicalizeHostname says. It
// reports whether a second pass has to follow.
func (s *Settings) canonicalize() (bool, error) {
	lookup := s.config.options.Lookup
	mode, _ := s.Get("CanonicalizeHostname")
	if lookup == nil || mode != "yes" && mode != "always" {
		return false, nil
	}
	if mode == "yes" && s.proxied() {
		return true, nil
	}
	name := s.HostName()
	full, cname, err := s.canonical(name, lookup)
	if err != nil {
		return false, err
	}
	if full != "" {
		s.values["hostname"] = []string{s.follow(full, cname)}
	} else if len(s.cnameRules()) > 0 {
		if cname, err := lookup(name); err == nil {
			s.values["hostname"] = []string{s.follow(name, cname)}
		}
	}
	return true, nil
}

// proxied reports whether the host is reached through another program or host.
func (s *Settings) proxied() bool {
	command, _ := s.Get("ProxyCommand")
	jump, _ := s.Get("ProxyJump")
	return command != "" && command != "none" || jump != "" && jump != "none"
}

// canonical finds the name in one of CanonicalDomains; "" means that there is
// nothing to find.
func (s *Settings) canonical(name string, lookup func(string) (string, error)) (full, cname string, err error) {
	if _, err := netip.ParseAddr(name); err == nil {
		return name, "", nil
	}
	if anchored, ok := strings.CutSuffix(name, "."); ok {
		if cname, err := lookup(name); err == nil {
			return anchored, cname, nil
		}
		return "", "", nil
	}
	dots, ok := s.Int("CanonicalizeMaxDots")
	if !ok {
		dots = 1
	}
	domains := s.List("CanonicalDomains")
	if strings.Count(name, ".") > dots || len(domains) == 1 && domains[0] == "none" {
		return "", "", nil
	}
	for _, domain := range domains {
		full := name + "." + strings.TrimPrefix(domain, ".")
		if cname, err := lookup(full + "."); err == nil { // the resolver's own domains are not wanted
			return strings.TrimSuffix(full, "."), cname, nil
		}
	}
	if local, ok := s.Bool("CanonicalizeFallbackLocal"); ok && !local {
		return "", "", fmt.Errorf("the host %q is in none of CanonicalDomains", name)
	}
	return "", "", nil
}

// follow returns the name that an alias of the DNS stands for, where
// CanonicalizePermittedCNAMEs allows it.
func (s *Settings) follow(name, cname string) string {
	cname = strings.TrimSuffix(strings.ToLower(cname), ".")
	for _, rule := range s.cnameRules() {
		from, to, _ := strings.Cut(rule, ":")
		if cname != "" && matchList(strings.ToLower(from), name) && matchList(strings.ToLower(to), cname) {
			return cname
		}
	}
	return name
}

func (s *Settings) cnameRules() []string {
	rules := s.List("CanonicalizePermittedCNAMEs")
	if slices.Equal(rules, []string{"none"}) {
		return nil
	}
	return rules
}

// onNetwork is Match localnetwork: one of the machine's own addresses is in one
// of the networks.
func (s *Settings) onNetwork(list string) (bool, error) {
	networks, err := parseNetworks(list)
	if err != nil {
		return false, err
	}
	addrs, err := s.config.options.LocalAddresses()
	if err != nil {
		return false, err
	}
	for _, n := range networks {
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return n.Contains(a.Unmap().WithZone("")) }) {
			return true, nil
		}
	}
	return false, nil
}

// parseNetworks reads "192.0.2.0/24,2001:db8::/32"; an address alone is a
// network of its own.
func parseNetworks(list string) (networks []netip.Prefix, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			ip, bad := netip.ParseAddr(text)
			if bad != nil {
				return nil, fmt.Errorf("%q is not a network such as 192.0.2.0/24", text)
			}
			n = netip.PrefixFrom(ip, ip.BitLen())
		}
		if n != n.Masked() {
			return nil, fmt.Errorf("the network %s has bits set behind its length", text)
		}
		networks = append(networks, n)
	}
	return networks, nil
}

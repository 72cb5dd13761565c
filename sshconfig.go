package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/shoal-ssh/shoal/sshconfig"
)

// SSHConfig gives hosts the settings that OpenSSH's configuration, ssh_config(5),
// has for them: its Complete method is for [Client.Complete]. The host's Addr, or
// else its Name, is looked up. Fields of the Host that are set stand above the
// configuration, as arguments of ssh do; to [Identities] in Auth CertificateFile
// is added.
//
// docs/ssh-config.md lists what becomes of each keyword. In short: what says how
// to reach a host, to check its key and to log in is honoured; ForwardAgent only
// from a Host block that names the host without a wildcard, ProxyCommand and Match
// exec only with AllowCommands. What Shoal cannot do is passed over with a
// warning, and what is about interactive sessions, as forwardings and
// ControlMaster, without one: a [Client] keeps its own connections, and package
// openssh joins those of ssh.
//
// The zero value reads the user's and the system's files, once, at first use.
// Safe for concurrent use; must not be changed or copied after first use.
type SSHConfig struct {
	// File is read instead of the two files, as with ssh -F; "none" reads
	// nothing.
	File string
	// Options hold "Keyword=value" as with ssh -o; they stand above the files.
	Options []string
	// AllowCommands lets the configuration run programs on this machine:
	// ProxyCommand, and Match exec, which has 10 s and whose outcome holds for
	// as long as the SSHConfig is used. Set it where the files are as
	// trustworthy as the program. Without, hosts with a ProxyCommand fail and
	// Match exec never holds.
	AllowCommands bool
	// Resolver looks names up for CanonicalizeHostname; nil means
	// [net.DefaultResolver].
	Resolver *net.Resolver
	// HostKeys may change what was made of a host's settings before it is
	// used, such as its Ask; strict is StrictHostKeyChecking, empty where it
	// is not set. Nil changes nothing.
	HostKeys func(k *KnownHosts, strict string)
	// GSSAPI makes the way to log in to hosts with GSSAPIAuthentication, which
	// is tried first, as ssh does; the package kerberos has one. It is called
	// once for hosts with the same settings. Nil means that it is warned about
	// and passed over.
	GSSAPI func(GSSAPISettings) Auth
	// PTY makes the terminal of hosts with RequestTTY force or, with force
	// false, yes, which ssh gives one only where its own input is a terminal. Nil
	// makes one with all defaults for force and none for yes.
	PTY func(force bool) *PTY
	// Warn is told once of each thing in the configuration that is passed
	// over; it must be safe for concurrent use. Nil tells nobody.
	Warn func(error)

	load   sync.Once
	config *sshconfig.Config
	err    error

	mu     sync.Mutex
	warned map[string]bool
	execs  map[string]func() (bool, error) // outcomes of Match exec
	known  map[string]*KnownHosts
	gssapi map[GSSAPISettings]Auth
}

// GSSAPISettings are what ssh_config has about GSSAPIAuthentication beside yes.
type GSSAPISettings struct {
	Delegate       bool   // GSSAPIDelegateCredentials
	ClientIdentity string // GSSAPIClientIdentity: who logs in; of patched ssh, as Debian's
	ServerIdentity string // GSSAPIServerIdentity: the host in the service's name; likewise
}

// Check reads the files and reports mistakes in them.
func (s *SSHConfig) Check() error {
	s.load.Do(func() {
		o := sshconfig.Options{File: s.File, Set: s.Options, Lookup: s.lookup, LocalAddresses: localAddresses}
		if s.AllowCommands {
			o.Exec = s.exec
		}
		s.config, s.err = sshconfig.Load(o)
		s.warned, s.known, s.execs = map[string]bool{}, map[string]*KnownHosts{}, map[string]func() (bool, error){}
		s.gssapi = map[GSSAPISettings]Auth{}
		if s.err != nil {
			s.err = fmt.Errorf("ssh_config: %w", s.err)
			return
		}
		for _, w := range s.config.Warnings() {
			s.warn(w)
		}
	})
	return s.err
}

func (s *SSHConfig) warn(err error) {
	s.mu.Lock()
	first := !s.warned[err.Error()]
	s.warned[err.Error()] = true
	s.mu.Unlock()
	if first && s.Warn != nil {
		s.Warn(err)
	}
}

// exec decides a Match exec; commands are run once.
func (s *SSHConfig) exec(command string) (bool, error) {
	s.mu.Lock()
	run := s.execs[command]
	if run == nil {
		run = sync.OnceValues(func() (bool, error) { return runCommand(command) })
		s.execs[command] = run
	}
	s.mu.Unlock()
	return run()
}

// lookupTime bounds looking one name up.
const lookupTime = 5 * time.Second

func (s *SSHConfig) lookup(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	return cmp.Or(s.Resolver, net.DefaultResolver).LookupCNAME(ctx, name)
}

func localAddresses() (ips []netip.Addr, err error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				ips = append(ips, ip.Unmap())
			}
		}
	}
	return ips, err
}

// Complete fills the fields that are zero from the configuration.
func (s *SSHConfig) Complete(h Host) (Host, error) {
	if err := s.Check(); err != nil {
		return h, err
	}
	addr := h.Addr
	if addr == "" {
		addr = h.Name
	}
	name, port, err := splitAddr(addr)
	if err != nil {
		return h, nil // told where it is used
	}
	if port == 0 {
		port = h.Port
	}
	c, err := s.config.Resolve(sshconfig.Target{Host: name, User: h.User, Port: port})
	if err == nil {
		err = s.fill(&h, c, name, port)
	}
	if err != nil {
		return h, fmt.Errorf("ssh_config: %w", err)
	}
	return h, nil
}

func (s *SSHConfig) fill(h *Host, c *sshconfig.Settings, alias string, port int) error {
	if text, ok := c.Get("RefuseConnection"); ok {
		return fmt.Errorf("RefuseConnection: %s", text)
	}
	h.Addr, h.Port = c.HostName(), port
	if n, ok := c.Int("Port"); ok {
		h.Port = n
	}
	if user, ok := c.Get("User"); ok {
		h.User = user
	}
	set(&h.BindAddress, c, "BindAddress")
	set(&h.HostKeyAlias, c, "HostKeyAlias")
	if family, _ := c.Get("AddressFamily"); h.Network == "" && family != "" {
		h.Network = map[string]string{"any": "tcp", "inet": "tcp4", "inet6": "tcp6"}[family]
	}
	if d, ok := c.Duration("ConnectTimeout"); ok && h.Timeout == 0 && d > 0 {
		h.Timeout = d
	}
	if d, ok := c.Duration("ServerAliveInterval"); ok && h.KeepAlive == 0 && d > 0 {
		h.KeepAlive = d
	}
	if n, ok := c.Int("ServerAliveCountMax"); ok && h.KeepAliveMax == 0 {
		h.KeepAliveMax = max(n, 1)
	}
	if n, ok := c.Int("ConnectionAttempts"); ok && h.Retry == (Retry{}) && n > 1 {
		h.Retry.Attempts = n
	}
	s.algorithms(h, c)
	if h.Methods == nil {
		h.Methods = methods(c)
	}
	if h.Env == nil {
		h.Env = environment(c)
	}
	if err := s.via(h, c, alias); err != nil {
		return err
	}
	if h.HostKeys == nil {
		k, err := s.hostKeys(c)
		if err != nil {
			return err
		}
		h.HostKeys = k
	}
	if h.Auth == nil {
		auth, err := configuredAuth(c)
		if err != nil {
			return err
		}
		h.Auth = s.withGSSAPI(auth, c)
	} else if err := addCertificates(h, c); err != nil {
		return err
	}
	if err := s.forwardAgent(h, c); err != nil {
		return err
	}
	if h.PTY == nil {
		h.PTY = s.terminal(c)
	}
	for _, p := range passedOver() {
		if v, ok := c.Get(p.keyword); ok && !slices.Contains(strings.Split(p.harmless, "|"), strings.ToLower(v)) {
			s.warn(fmt.Errorf("ssh_config: %s is passed over%s", p.keyword, p.advice))
		}
	}
	return nil
}

// passed is a keyword that is not honoured, and whose absence may be missed.
type passed struct {
	keyword  string
	harmless string // values with | between, in lower case, that ask for nothing or for what is done anyway
	advice   string
}

func passedOver() []passed {
	const (
		openssh = ": Shoal cannot do it itself; --transport openssh, package openssh, leaves it to ssh"
		agent   = ": Shoal uses such keys through an agent; "
	)
	return []passed{
		{"BindInterface", "", "; use BindAddress, or --transport openssh"},
		{"Compression", "no", openssh},
		{"GSSAPIKeyExchange", "no", openssh},
		{"GSSAPITrustDns", "no", openssh},
		{"HostbasedAuthentication", "no", openssh},
		{"IPQoS", "", openssh},
		{"KbdInteractiveDevices", "", openssh},
		{"KnownHostsCommand", "none", openssh},
		{"NoHostAuthenticationForLocalhost", "no", ": the host key of localhost is checked like any other"},
		{"NumberOfPasswordPrompts", "3", ": what is asked is asked three times at most"},
		{"PKCS11Provider", "none", agent + "load them with: ssh-add -s PROVIDER; or use --transport openssh"},
		{"PermitLocalCommand", "no", ": LocalCommand is not run, as it is not for scp"},
		{"RekeyLimit", "default|default none", openssh},
		{"RemoteCommand", "none", ": the command that is given is run, as with ssh -o RemoteCommand=none"},
		{"RequiredRSASize", "1024|2048", ": RSA keys have 2048 bits at least"},
		{"SecurityKeyProvider", "internal|none", agent + "load them with: ssh-add KEYFILE; or use --transport openssh"},
		{"SessionType", "default", ": commands and copies choose their own"},
		{"StdinNull", "no", ": leave standard input away, as with shoal run -n"},
		{"Tunnel", "no", openssh},
		{"UpdateHostKeys", "no", "; shoal keys learns new host keys"},
		{"VerifyHostKeyDNS", "no", ": host keys are looked up in known_hosts alone"},
		{"VersionAddendum", "none", openssh},
	}
}

// forwardAgent takes ForwardAgent over, for hosts that are named one by one.
func (s *SSHConfig) forwardAgent(h *Host, c *sshconfig.Settings) error {
	v, ok := c.Get("ForwardAgent")
	if !ok || v == "no" || !h.ForwardAgent.invalid() {
		return nil
	}
	if !c.Named("ForwardAgent") {
		s.warn(errors.New("ssh_config: ForwardAgent is passed over where it is not in a Host block that names the host without a wildcard: whoever controls the host can use the agent's keys"))
		return nil
	}
	if v == "yes" {
		agent, err := identityAgent(c)
		if err != nil {
			return err
		}
		if socket, ok := agent.socket(); agent.invalid() || ok && (socket == "" || !exists(socket)) {
			s.warn(errors.New("ssh_config: ForwardAgent is passed over: there is no SSH agent to forward; start one with: eval $(ssh-agent); ssh-add"))
			return nil
		}
		h.ForwardAgent = agent
		return nil
	}
	socket, err := agentPath(c, v)
	if err != nil {
		return fmt.Errorf("ForwardAgent: %w", err)
	}
	h.ForwardAgent = AgentSocket(socket)
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// agentPath is the socket that ssh_config names, also as $VARIABLE.
func agentPath(c *sshconfig.Settings, v string) (string, error) {
	if name, ok := strings.CutPrefix(v, "$"); ok && !strings.HasPrefix(v, "${") {
		socket := os.Getenv(name)
		if socket == "" {
			return "", fmt.Errorf("the variable %q is not set", name)
		}
		return socket, nil
	}
	return c.Expand(v)
}

// terminal is RequestTTY for commands.
func (s *SSHConfig) terminal(c *sshconfig.Settings) *PTY {
	switch v, _ := c.Get("RequestTTY"); {
	case v != "force" && v != "yes":
		return nil
	case s.PTY != nil:
		return s.PTY(v == "force")
	case v == "force":
		return &PTY{}
	}
	return nil
}

func set(field *string, c *sshconfig.Settings, keyword string) {
	if v, ok := c.Get(keyword); ok && *field == "" {
		*field = v
	}
}

// via takes ProxyJump or ProxyCommand over.
func (s *SSHConfig) via(h *Host, c *sshconfig.Settings, alias string) error {
	if h.Via != nil || h.ProxyCommand != "" {
		return nil
	}
	if command, ok := c.Get("ProxyCommand"); ok && command != "none" {
		if !s.AllowCommands {
			return errors.New("the host has a ProxyCommand, which is not run without SSHConfig.AllowCommands; use ProxyJump")
		}
		if pass, _ := c.Bool("ProxyUseFdpass"); pass {
			return errors.New("the host has a ProxyCommand with ProxyUseFdpass, which is not supported")
		}
		keyAlias, ok := c.Get("HostKeyAlias")
		if !ok {
			keyAlias = alias
		}
		// Host has no field for the name that was looked up.
		for token, value := range map[string]string{"%n": alias, "%k": keyAlias} {
			if err := sshconfig.CheckArgument(value); err != nil && strings.Contains(command, token) {
				return fmt.Errorf("ProxyCommand: %s: %w", token, err)
			}
		}
		literal := func(v string) string { return strings.ReplaceAll(v, "%", "%%") }
		h.ProxyCommand = strings.NewReplacer("%%", "%%", "%n", literal(alias), "%k", literal(keyAlias)).Replace(command)
		return nil
	}
	for _, word := range c.ProxyJump() {
		word, err := c.Command(word)
		if err != nil {
			return fmt.Errorf("ProxyJump: %w", err)
		}
		hop, err := ParseHost(word)
		if err != nil {
			return fmt.Errorf("ProxyJump: %w", err)
		}
		h.Via = append(h.Via, hop)
	}
	return nil
}

// algorithms takes the lists over; +, - and ^ change Shoal's default ones.
func (s *SSHConfig) algorithms(h *Host, c *sshconfig.Settings) {
	known := ssh.SupportedAlgorithms()
	h.Algorithms = h.Algorithms.or(Algorithms{
		KeyExchanges: c.Algorithms("KexAlgorithms", algorithms.KeyExchanges),
		Ciphers:      c.Algorithms("Ciphers", algorithms.Ciphers),
		MACs:         c.Algorithms("MACs", algorithms.MACs),
		HostKeys:     c.Algorithms("HostKeyAlgorithms", known.HostKeys),
		PublicKeys:   c.Algorithms("PubkeyAcceptedAlgorithms", known.PublicKeyAuths),
	})
}

// methods are the authentication methods that are not switched off; nil where
// nothing was said.
func methods(c *sshconfig.Settings) []string {
	said := false
	all := []string{"publickey", "keyboard-interactive", "password", "gssapi-with-mic", "none"}
	if v, ok := c.Get("PreferredAuthentications"); ok {
		said, all = true, strings.Split(v, ",")
	}
	for keyword, method := range map[string]string{"PubkeyAuthentication": "publickey", "PasswordAuthentication": "password",
		"KbdInteractiveAuthentication": "keyboard-interactive"} {
		if v, ok := c.Get(keyword); ok && v == "no" {
			said = true
			all = slices.DeleteFunc(all, func(m string) bool { return m == method })
		}
	}
	if !said {
		return nil
	}
	return all
}

// environment is SetEnv, and of the process's own what SendEnv names.
func environment(c *sshconfig.Settings) []string {
	env := c.List("SetEnv")
	patterns := c.List("SendEnv")
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if isVariable(name) && sshconfig.Match(patterns, name) {
			env = append(env, e)
		}
	}
	return env
}

// withGSSAPI puts GSSAPIAuthentication before the other ways to log in.
func (s *SSHConfig) withGSSAPI(auth []Auth, c *sshconfig.Settings) []Auth {
	if on, _ := c.Bool("GSSAPIAuthentication"); !on {
		return auth
	}
	if s.GSSAPI == nil {
		s.warn(errors.New("ssh_config: GSSAPIAuthentication is not supported, and passed over"))
		return auth
	}
	var g GSSAPISettings
	g.Delegate, _ = c.Bool("GSSAPIDelegateCredentials")
	g.ClientIdentity, _ = c.Get("GSSAPIClientIdentity")
	g.ServerIdentity, _ = c.Get("GSSAPIServerIdentity")
	if auth == nil {
		auth = DefaultAuth()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.gssapi[g]
	if !ok {
		first = s.GSSAPI(g)
		s.gssapi[g] = first
	}
	return append([]Auth{first}, auth...)
}

// hostKeys are one KnownHosts for all hosts with the same settings.
func (s *SSHConfig) hostKeys(c *sshconfig.Settings) (*KnownHosts, error) {
	var files []string
	for i, keyword := range []string{"UserKnownHostsFile", "GlobalKnownHostsFile"} {
		list, err := c.Files(keyword)
		if err != nil {
			return nil, err
		}
		if c.List(keyword) == nil {
			defaults, err := defaultKnownHosts()
			if err != nil {
				return nil, err
			}
			list = defaults[2*i : 2*i+2]
		}
		files = append(files, list...)
	}
	mode, _ := c.Get("StrictHostKeyChecking")
	if batch, _ := c.Bool("BatchMode"); batch && (mode == "" || mode == "ask") {
		mode = "yes"
	}
	hash, _ := c.Bool("HashKnownHosts")
	ip, _ := c.Bool("CheckHostIP")
	revoked, err := c.Files("RevokedHostKeys")
	if err != nil {
		return nil, err
	}
	authorities := c.Algorithms("CASignatureAlgorithms", caAlgorithms())
	id := fmt.Sprintf("%q %s %v %v %q %q", files, mode, hash, ip, revoked, authorities)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[id]; k != nil {
		return k, nil
	}
	k := &KnownHosts{Files: files, Hash: hash, CheckIP: ip, Revoked: strings.Join(revoked, " "), CAAlgorithms: authorities}
	switch mode {
	case "accept-new":
		k.Mode = AcceptNewHostKeys
	case "no", "off":
		k.Mode = IgnoreHostKeys
	case "ask":
		k.Mode = AskHostKeys
	}
	if k.Revoked != "" { // before anything is sent
		if _, err := readRevoked(k.Revoked); err != nil {
			return nil, err
		}
	}
	if s.HostKeys != nil {
		s.HostKeys(k, mode)
	}
	s.known[id] = k
	return k, nil
}

// caAlgorithms are those of CASignatureAlgorithms that + and - change.
func caAlgorithms() []string {
	return []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
}

// configuredAuth are the identities that the configuration names; nil where it
// names none.
func configuredAuth(c *sshconfig.Settings) ([]Auth, error) {
	only, saidOnly := c.Bool("IdentitiesOnly")
	_, saidAgent := c.Get("IdentityAgent")
	listed := c.List("IdentityFile") != nil
	certificates, err := c.Files("CertificateFile")
	if err != nil {
		return nil, err
	}
	if !listed && !saidAgent && (!saidOnly || !only) && certificates == nil {
		return nil, nil
	}
	files, err := c.Files("IdentityFile")
	if err != nil {
		return nil, err
	}
	if !listed {
		files = defaultIdentities()
	}
	agent, err := identityAgent(c)
	if err != nil {
		return nil, err
	}
	auth := Identities(agent, only, files...)
	if certificates != nil {
		auth = Certificates(auth, certificates...)
	}
	return []Auth{auth}, nil
}

// addCertificates is CertificateFile for identity files that the program named.
func addCertificates(h *Host, c *sshconfig.Settings) error {
	files, err := c.Files("CertificateFile")
	if err != nil || files == nil {
		return err
	}
	h.Auth = slices.Clone(h.Auth)
	for i, a := range h.Auth {
		if a.isIdentities() {
			h.Auth[i] = Certificates(a, files...)
		}
	}
	return nil
}

// identityAgent is the agent of IdentityAgent; the zero Auth for none.
func identityAgent(c *sshconfig.Settings) (Auth, error) {
	switch socket, _ := c.Get("IdentityAgent"); socket {
	case "", "SSH_AUTH_SOCK":
		return Agent(), nil
	case "none":
		return Auth{}, nil
	default:
		path, err := agentPath(c, socket)
		if err != nil {
			return Auth{}, fmt.Errorf("IdentityAgent: %w", err)
		}
		return AgentSocket(path), nil
	}
}

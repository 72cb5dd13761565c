package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"

	"github.com/shoal-ssh/shoal/internal/krb5file"
)

// settings are what krb5.conf says.
type settings struct {
	conf            *krb5file.Conf
	lifetime, renew time.Duration
	skew            time.Duration
	forwardable     bool
	encryption      []int32 // the best first
}

func readSettings(c Config) (*settings, error) {
	files, must := confFiles(c)
	conf, err := krb5file.ReadConf(files...)
	if errors.Is(err, os.ErrNotExist) && !must {
		conf, err = &krb5file.Conf{}, nil
	}
	if err != nil {
		return nil, err
	}
	s := &settings{conf: conf, forwardable: c.Delegate || conf.Bool("forwardable", false)}
	for _, d := range []struct {
		to        *time.Duration
		name      string
		otherwise time.Duration
	}{
		{&s.lifetime, "ticket_lifetime", 24 * time.Hour},
		{&s.renew, "renew_lifetime", 0},
		{&s.skew, "clockskew", 5 * time.Minute},
	} {
		if *d.to, err = conf.Duration(d.name, d.otherwise); err != nil {
			return nil, err
		}
	}
	list := "DEFAULT"
	for _, name := range []string{"permitted_enctypes", "default_tgs_enctypes"} {
		if v := conf.Default(name); v != "" {
			list = v
		}
	}
	if s.encryption = encryptionTypes(list); len(s.encryption) == 0 {
		return nil, fmt.Errorf("krb5.conf permits %q for encryption, none of which is supported: AES is", list)
	}
	return s, nil
}

// confFiles are the files to read, and whether one must be there.
func confFiles(c Config) (files []string, must bool) {
	if c.ConfigFile != "" {
		return []string{c.ConfigFile}, true
	}
	if list := os.Getenv("KRB5_CONFIG"); list != "" {
		return filepath.SplitList(list), true
	}
	if runtime.GOOS == "windows" {
		return []string{filepath.Join(os.Getenv("ProgramData"), "MIT", "Kerberos5", "krb5.ini")}, false
	}
	return []string{"/etc/krb5.conf"}, false
}

// aes are the supported types of encryption, by the names of krb5.conf: RFC
// 3962 and RFC 8009. DES and RC4 are broken (RFC 6649, RFC 8429).
var aes = []struct {
	id    int32
	names []string
}{
	{etypeID.AES256_CTS_HMAC_SHA1_96, []string{"aes256-cts-hmac-sha1-96", "aes256-cts", "aes256-sha1"}},
	{etypeID.AES128_CTS_HMAC_SHA1_96, []string{"aes128-cts-hmac-sha1-96", "aes128-cts", "aes128-sha1"}},
	{etypeID.AES256_CTS_HMAC_SHA384_192, []string{"aes256-cts-hmac-sha384-192", "aes256-sha2"}},
	{etypeID.AES128_CTS_HMAC_SHA256_128, []string{"aes128-cts-hmac-sha256-128", "aes128-sha2"}},
}

func supported(encryption int32) bool {
	for _, a := range aes {
		if a.id == encryption {
			return true
		}
	}
	return false
}

// encryptionTypes reads a list of krb5.conf, such as "aes256-cts DEFAULT -rc4".
func encryptionTypes(list string) (ids []int32) {
	for _, word := range strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		name, remove := strings.CutPrefix(word, "-")
		name = strings.TrimPrefix(name, "+")
		for _, a := range aes {
			if name != "default" && name != "aes" && !slices.Contains(a.names, name) {
				continue
			}
			if remove {
				ids = slices.DeleteFunc(ids, func(id int32) bool { return id == a.id })
			} else if !slices.Contains(ids, a.id) {
				ids = append(ids, a.id)
			}
		}
	}
	return ids
}

// principal reads a client's name; without a realm it is of the default one.
func (s *settings) principal(text string) (krb5file.Principal, error) {
	if text == "" {
		me, err := user.Current()
		if err != nil {
			return krb5file.Principal{}, fmt.Errorf("no Principal given, and the current user is unknown: %w", err)
		}
		text = me.Username[strings.LastIndexByte(me.Username, '\\')+1:]
	}
	p, err := krb5file.ParsePrincipal(text)
	if err != nil || p.Realm != "" {
		return p, err
	}
	if p.Realm = s.conf.Default("default_realm"); p.Realm == "" {
		return p, fmt.Errorf("the realm of %s is unknown: say %s@REALM, or set default_realm in krb5.conf", p, p)
	}
	return p, nil
}

// cacheFile returns the file that holds the tickets.
func (s *settings) cacheFile(name, principal string) (string, error) {
	if name == "" {
		name = os.Getenv("KRB5CCNAME")
	}
	if name == "" {
		name = expandTokens(s.conf.Default("default_ccache_name"))
	}
	if name == "" {
		name = defaultCache()
	}
	kind, rest, ok := strings.Cut(name, ":")
	if !ok || len(kind) < 2 || strings.ContainsAny(kind, `/\`) { // a path, perhaps with a drive
		return filePath(name)
	}
	switch kind {
	case "FILE":
		return filePath(rest)
	case "DIR":
		return s.cacheInFolder(rest, principal)
	}
	return "", problemf(ErrNoTicket, "the tickets are in %s, which cannot be read from here: get one into a file, with kinit -c %s and KRB5CCNAME=%s, or use a keytab",
		name, defaultCache(), defaultCache())
}

// cacheInFolder finds the cache of a principal, or else the primary one, in a
// folder of caches.
func (s *settings) cacheInFolder(folder, principal string) (string, error) {
	if file, ok := strings.CutPrefix(folder, ":"); ok { // DIR::file
		return filePath(file)
	}
	folder, err := filePath(folder)
	if err != nil {
		return "", err
	}
	if want, err := s.principal(principal); principal != "" && err == nil {
		files, _ := filepath.Glob(filepath.Join(folder, "tkt*")) // its pattern is right
		for _, file := range files {
			b, err := readFile(file)
			if err != nil {
				continue
			}
			if c, err := krb5file.ParseCache(b); err == nil && c.Client.Equal(want) {
				return file, nil
			}
		}
	}
	primary, err := readFile(filepath.Join(folder, "primary"))
	if errors.Is(err, os.ErrNotExist) {
		return filepath.Join(folder, "tkt"), nil
	}
	if err != nil {
		return "", fmt.Errorf("credential cache: %w", err)
	}
	file := strings.TrimSpace(string(primary))
	if !strings.HasPrefix(file, "tkt") || strings.ContainsAny(file, `/\`) {
		return "", fmt.Errorf("credential cache: %s names no file", filepath.Join(folder, "primary"))
	}
	return filepath.Join(folder, file), nil
}

// defaultCache is MIT's on Unix.
func defaultCache() string {
	return "FILE:" + filepath.Join(temporary(), "krb5cc_"+userID())
}

func temporary() string {
	if runtime.GOOS == "windows" {
		return os.TempDir()
	}
	return "/tmp"
}

func userID() string {
	if id := os.Getuid(); id >= 0 {
		return strconv.Itoa(id)
	}
	return "user"
}

// cacheHint helps where tickets are elsewhere by default.
func cacheHint(path string) string {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return " -c " + path
	}
	return ""
}

// expandTokens replaces those of default_ccache_name.
func expandTokens(s string) string {
	name := ""
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	return strings.NewReplacer("%{uid}", userID(), "%{euid}", userID(), "%{USERID}", userID(), "%{username}", name,
		"%{TEMP}", temporary(), "%{null}", "").Replace(s)
}

// filePath takes "FILE:" and "~/" off.
func filePath(path string) (string, error) {
	path = strings.TrimPrefix(path, "FILE:")
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, rest), err
}

const maxFile = 16 << 20

// readFile is os.ReadFile for files of a reasonable size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	return b, err
}

// lookupTime bounds what is asked of DNS to canonicalise a name.
const lookupTime = 5 * time.Second

// canonical returns the names that a host's service may have, in the order to
// try, as dns_canonicalize_hostname and rdns in krb5.conf say.
func (s *settings) canonical(ctx context.Context, host string) []string {
	given := strings.ToLower(strings.TrimSuffix(host, "."))
	fallback := strings.EqualFold(s.conf.Default("dns_canonicalize_hostname"), "fallback")
	if !fallback && !s.conf.Bool("dns_canonicalize_hostname", true) {
		return []string{given}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	name := given
	if _, err := netip.ParseAddr(given); err != nil {
		if n, err := net.DefaultResolver.LookupCNAME(ctx, given); err == nil {
			name = n
		}
	}
	if s.conf.Bool("rdns", true) {
		if addresses, err := net.DefaultResolver.LookupHost(ctx, given); err == nil {
			if names, err := net.DefaultResolver.LookupAddr(ctx, addresses[0]); err == nil && len(names) > 0 {
				name = names[0]
			}
		}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if fallback && name != given {
		return []string{given, name}
	}
	return []string{name}
}

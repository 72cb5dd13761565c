package shoal_test

import (
	"os/exec"
	"strings"
	"testing"
)

const (
	module = "github.com/shoal-ssh/shoal"
	crypto = "golang.org/x/crypto/ssh"
)

// What each package must not depend on, so that arrows only go down: see
// ARCHITECTURE.md. A package stands for those below it.
var forbidden = map[string][]string{
	"":                     {"flag", "os/signal", "golang.org/x/term", "github.com/spf13", "github.com/jcmturner", module + "/kerberos", module + "/hostlist", module + "/openssh", module + "/rollout", module + "/sshtest", module + "/cmd", module + "/internal/render"},
	"/hostlist":            {module, "net", crypto},
	"/openssh":             {"flag", "os/signal", "golang.org/x/term", "github.com/spf13", module + "/hostlist", module + "/sshtest", module + "/cmd", module + "/internal/render"},
	"/sshconfig":           {module, "net", crypto},
	"/kerberos":            {"flag", "os/signal", module + "/hostlist", module + "/sshtest", module + "/cmd", module + "/internal/render"},
	"/rollout":             {"flag", "os/signal", "golang.org/x/term", "github.com/spf13", module + "/hostlist", module + "/openssh", module + "/sshtest", module + "/cmd", module + "/internal/render"},
	"/sshtest":             {module, "testing"},
	"/internal/codec":      {module, "net", crypto},
	"/internal/glob":       {module, "net", crypto},
	"/internal/keyfile":    {module},
	"/internal/filelock":   {module, "net", crypto},
	"/internal/knownhosts": {module},
	"/internal/krb5file":   {module, "net", crypto},
	"/internal/lines":      {module, "net", crypto},
	"/internal/nearest":    {module, "net", crypto},
	"/internal/printf":     {module, "net", crypto},
	"/internal/render":     {module, "net", "flag", crypto},
	"/internal/scp":        {module, "net", crypto},
	"/internal/sftp":       {module, "net", crypto},
	"/internal/runs":       {module, "net", "flag", crypto},
	"/internal/shell":      {module, "net", crypto},
	"/internal/spool":      {module, "net", crypto},
	"/internal/sshagent":   {module},
	"/cmd/shoal":           {},
}

// allowed are exceptions: packages of the module that a package may use.
var allowed = map[string][]string{
	"":                     {"codec", "filelock", "glob", "keyfile", "knownhosts", "lines", "nearest", "printf", "scp", "sftp", "shell", "spool", "sshagent", "sshconfig"},
	"/internal/codec":      {"nearest"},
	"/internal/knownhosts": {"filelock"},
	"/hostlist":            {"nearest"},
	"/internal/render":     {"hostlist", "nearest"},
	"/internal/runs":       {"filelock", "hostlist", "nearest", "render"},
	"/internal/printf":     {"shell"},
	"/inventory":           {"hostlist", "nearest", "sshconfig"},
	"/sshtest":             {"sshtest/internal/rawssh"},
}

func TestImportDirection(t *testing.T) {
	for pkg, rules := range forbidden {
		t.Run(module+pkg, func(t *testing.T) {
			out, err := exec.Command("go", "list", "-deps", module+pkg).CombinedOutput()
			if err != nil {
				t.Fatalf("go list: %v\n%s", err, out)
			}
			for dep := range strings.Lines(string(out)) {
				dep = strings.TrimSpace(dep)
				if dep == module+pkg || isAllowed(pkg, dep) {
					continue
				}
				for _, rule := range rules {
					// "net" is the package; a module's path is all of it.
					if dep == rule || strings.Contains(rule, ".") && strings.HasPrefix(dep, rule+"/") {
						t.Errorf("depends on %s, must not on %s", dep, rule)
					}
				}
			}
		})
	}
}

func isAllowed(pkg, dep string) bool {
	for _, name := range allowed[pkg] {
		if dep == module+"/internal/"+name || dep == module+"/"+name {
			return true
		}
	}
	return false
}

// The command reaches x/crypto/ssh only through the library.
func TestCommandImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, module+"/cmd/shoal").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for dep := range strings.Lines(string(out)) {
		if strings.HasPrefix(dep, crypto) {
			t.Errorf("imports %s", strings.TrimSpace(dep))
		}
	}
}

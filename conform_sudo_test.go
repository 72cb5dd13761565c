package shoal_test

import (
	"os"
	"strings"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
)

// Commands run by sudo, as root or another user, and by another shell; quoting
// survives both. sudo's own failure is its status and its words.
func TestSudo(t *testing.T) {
	conform(t, "3.1 test_run_command_sudo", "3.1 test_run_command_shell_sudo", "3.1 test_run_command_shell",
		"3.1 test_run_command_user_sudo", "3.7 sudo quoting")
	opensshtest.Need(t, "sudo")
	if os.Getuid() != 0 {
		opensshtest.LeaveOut(t, "root, of whom sudo asks no password")
	}
	conn := sshd(t)
	for _, tt := range []struct {
		name string
		cmd  shoal.Command
		out  string
		code int
	}{
		{"root", shoal.Command{Line: "id -u", Sudo: &shoal.Sudo{}}, "0\n", 0},
		{"user", shoal.Command{Line: "id -un", Sudo: &shoal.Sudo{User: "nobody"}, Shell: "sh -c"}, "nobody\n", 0},
		{"shell", shoal.Command{Line: `echo "$0 $((1+1))"; echo 'it''s' "a  b" \$HOME`, Shell: "bash -c"}, "bash 2\nits a  b $HOME\n", 0},
		{"shell and sudo", shoal.Command{Line: `x="a b"; printf '<%s>\n' "$x" 'c"d' "e'f" '$HOME' '\n'`, Shell: "bash -c", Sudo: &shoal.Sudo{}},
			"<a b>\n<c\"d>\n<e'f>\n<$HOME>\n<\\n>\n", 0},
		{"environment", shoal.Command{Line: `echo "$A"`, Env: []string{"A=1 '2' $x"}, Sudo: &shoal.Sudo{}}, "1 '2' $x\n", 0},
		{"folder", shoal.Command{Line: "pwd", Dir: "/usr/bin", Sudo: &shoal.Sudo{}}, "/usr/bin\n", 0},
		{"unknown user", shoal.Command{Line: "id", Sudo: &shoal.Sudo{User: "no-such-user-here"}}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := conn.Run(testContext(t), tt.cmd)
			wantExit(t, err, tt.code)
			if out.Text() != tt.out {
				t.Errorf("got %q (stderr %q), want %q", out.Text(), out.ErrText(), tt.out)
			}
			if tt.code != 0 && !strings.Contains(out.ErrText(), "no-such-user-here") {
				t.Errorf("stderr %q does not name the user", out.ErrText())
			}
		})
	}
}

// Lines of a shell in another encoding than UTF-8, both ways.
func TestShellEncoding(t *testing.T) {
	conform(t, "3.1 test_shell_encoding")
	conn := sshd(t)
	latin1, err := shoal.Encoding("latin-1")
	if err != nil {
		t.Fatal(err)
	}
	sh, err := conn.Shell(testContext(t), shoal.ShellOptions{Encoding: latin1})
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Close()
	out, err := sh.Run(testContext(t), "printf '%s\\n' é | od -An -tx1; echo é")
	if err != nil || !strings.HasPrefix(strings.TrimSpace(out.Text()), "e9") || !strings.HasSuffix(out.Text(), "é\n") {
		t.Errorf("got %q, %v", out.Text(), err)
	}
}

package shoal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoal-ssh/shoal"
	"github.com/shoal-ssh/shoal/internal/opensshtest"
	"github.com/shoal-ssh/shoal/sshtest"
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

// What calls itself sudo gets the password once, at the prompt that this run chose
// and at no other, and cannot have it shown, in whatever pieces it echoes it.
func TestSudoThatLies(t *testing.T) {
	t.Parallel()
	const password = "[s3cr3t]"
	ours := regexp.MustCompile(`\[sudo [0-9a-f]+\] password: `)
	for name, test := range map[string]struct {
		sudo func(s *sshtest.Session, prompt string, answer func() string)
		sent int // times the password is sent
		says string
	}{
		"another prompt": {func(s *sshtest.Session, _ string, _ func() string) {
			io.WriteString(s.Stderr, "[sudo 0123456789abcdef] password: \nPassword: \n[sudo] password for tester: ")
		}, 0, "1"},
		"asks again": {func(s *sshtest.Session, prompt string, answer func() string) {
			io.WriteString(s.Stderr, prompt)
			answer()
			io.WriteString(s.Stderr, prompt+prompt)
			answer()
		}, 1, "did not accept"},
		"echoes it": {func(s *sshtest.Session, prompt string, answer func() string) {
			io.WriteString(s.Stderr, prompt)
			got := answer()
			io.WriteString(s.Stdout, "<"+got+got+">\r\n")
			for _, b := range []byte("[s[<" + got + ">") {
				s.Stderr.Write([]byte{b})
			}
		}, 1, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int32
			f := sshtest.New(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.ExitStatus {
				input := bufio.NewScanner(s.Stdin)
				test.sudo(s, ours.FindString(s.Command), func() string {
					if input.Scan(); input.Text() == password {
						sent.Add(1)
					}
					return input.Text()
				})
				return sshtest.ExitStatus{Code: 1}
			}})
			results, err := shoal.Gather(newClient(t, f).Run(testContext(t), hostsOf(f),
				shoal.Command{Line: "id", Sudo: &shoal.Sudo{Password: password}, Stdin: strings.NewReader("mine")}))
			text := fmt.Sprintf("%s%s%v", results[0].Value.Text(), results[0].Value.ErrText(), err)
			if strings.Contains(text, password) || err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %q, want %q and no password", text, test.says)
			}
			if name == "echoes it" && text[:len("<>\r\n[s[<>")] != "<>\r\n[s[<>" {
				t.Errorf("what it says besides is lost: %q", text)
			}
			if int(sent.Load()) != test.sent {
				t.Errorf("the password was sent %d times, want %d", sent.Load(), test.sent)
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

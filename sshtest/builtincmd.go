package sshtest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A command is one of Builtin's commands; it returns the exit status.
type command func(sh *shell, args []string, out io.Writer) uint32

func lookupCommand(name string) command {
	switch name {
	case "true", ":":
		return func(*shell, []string, io.Writer) uint32 { return 0 }
	case "false":
		return func(*shell, []string, io.Writer) uint32 { return 1 }
	case "echo":
		return echo
	case "stderr":
		return func(sh *shell, args []string, _ io.Writer) uint32 { return echo(sh, args, sh.err) }
	case "printf":
		return printf
	case "exit":
		return exit
	case "signal":
		return signal
	case "sleep":
		return sleep
	case "cat":
		return cat
	case "wc":
		return count
	case "hostname", "uname", "whoami", "id":
		return identity(name)
	case "env":
		return env
	case "stty":
		return stty
	case "seq":
		return seq
	case "yes":
		return yes
	case "bytes":
		return zeros
	}
	return nil
}

// usage reports wrong arguments.
func usage(sh *shell, text string) uint32 {
	fmt.Fprintf(sh.err, "usage: %s\n", text)
	return 2
}

// wrote turns a failed write into the status of a command killed by SIGPIPE.
func wrote(err error) uint32 {
	if err != nil {
		return 141
	}
	return 0
}

func echo(_ *shell, args []string, out io.Writer) uint32 {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	_, err := io.WriteString(out, strings.Join(args, " ")+end)
	return wrote(err)
}

// printf knows \n \t \r \\ \0NNN-style octal \NNN, %s, %d and %%; the format
// is used again while there are arguments.
func printf(sh *shell, args []string, out io.Writer) uint32 {
	if len(args) == 0 {
		return usage(sh, "printf FORMAT [WORD...]")
	}
	format, args := args[0], args[1:]
	var b bytes.Buffer
	for {
		before := len(args)
		args = printOnce(&b, format, args)
		if len(args) == 0 || len(args) == before {
			break
		}
	}
	_, err := out.Write(b.Bytes())
	return wrote(err)
}

func printOnce(b *bytes.Buffer, format string, args []string) []string {
	for i := 0; i < len(format); i++ {
		switch c := format[i]; {
		case c == '\\' && i+1 < len(format):
			i += unescape(b, format[i+1:])
		case c == '%' && i+1 < len(format):
			i++
			if format[i] == '%' {
				b.WriteByte('%')
			} else if len(args) > 0 {
				b.WriteString(args[0])
				args = args[1:]
			}
		default:
			b.WriteByte(c)
		}
	}
	return args
}

// unescape writes what follows a backslash and returns its length.
func unescape(b *bytes.Buffer, s string) int {
	digits := 0
	for digits < len(s) && digits < 3 && s[digits] >= '0' && s[digits] <= '7' {
		digits++
	}
	if digits > 0 {
		n, _ := strconv.ParseUint(s[:digits], 8, 16)
		b.WriteByte(byte(n))
		return digits
	}
	if i := strings.IndexByte(`ntr\abefv`, s[0]); i >= 0 {
		b.WriteByte("\n\t\r\\\a\b\x1b\f\v"[i])
	} else {
		b.WriteString("\\" + s[:1])
	}
	return 1
}

func exit(sh *shell, args []string, _ io.Writer) uint32 {
	code := uint64(sh.last)
	if len(args) > 0 {
		var err error
		if code, err = strconv.ParseUint(args[0], 10, 32); err != nil {
			return usage(sh, "exit [N]")
		}
	}
	sh.exit(ExitStatus{Code: uint32(code)})
	return uint32(code)
}

func signal(sh *shell, args []string, _ io.Writer) uint32 {
	if len(args) != 1 {
		return usage(sh, "signal NAME")
	}
	sh.exit(ExitStatus{Signal: ssh.Signal(strings.TrimPrefix(args[0], "SIG"))})
	return 0
}

func sleep(sh *shell, args []string, _ io.Writer) uint32 {
	if len(args) != 1 {
		return usage(sh, "sleep SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil || seconds < 0 || seconds > 1e9 {
		return usage(sh, "sleep SECONDS")
	}
	pause(sh.ctx, time.Duration(seconds*float64(time.Second))) // run looks at ctx
	return 0
}

func cat(sh *shell, args []string, out io.Writer) uint32 {
	if len(args) > 0 {
		return usage(sh, "cat (there are no files)")
	}
	_, err := io.Copy(out, sh.in)
	return wrote(err)
}

func count(sh *shell, args []string, out io.Writer) uint32 {
	if len(args) != 1 || args[0] != "-c" {
		return usage(sh, "wc -c")
	}
	n, err := io.Copy(io.Discard, sh.in)
	if err != nil {
		return 1
	}
	_, err = fmt.Fprintln(out, n)
	return wrote(err)
}

// identity prints who or where this is.
func identity(name string) command {
	return func(sh *shell, args []string, out io.Writer) uint32 {
		text := ""
		switch {
		case name == "hostname":
			text = sh.session.Host.Name
		case name == "uname":
			text = "sshtest"
		case name == "whoami" || len(args) == 1 && args[0] == "-un":
			text = sh.session.User
		default:
			return usage(sh, "id -un")
		}
		_, err := io.WriteString(out, text+"\n")
		return wrote(err)
	}
}

func env(sh *shell, _ []string, out io.Writer) uint32 {
	_, err := io.WriteString(out, strings.Join(sh.environ(), "\n")+"\n")
	return wrote(err)
}

// stty size waits for nothing: it prints the latest size that was sent.
func stty(sh *shell, args []string, out io.Writer) uint32 {
	s := sh.session
	if len(args) != 1 || args[0] != "size" {
		return usage(sh, "stty size")
	}
	if s.PTY == nil {
		io.WriteString(sh.err, "stty: not a terminal\n")
		return 1
	}
	select {
	case w := <-s.Resizes:
		sh.window = w
	default:
	}
	_, err := fmt.Fprintln(out, sh.window.Rows, sh.window.Columns)
	return wrote(err)
}

func seq(sh *shell, args []string, out io.Writer) uint32 {
	first, last := int64(1), int64(0)
	var err1, err2 error
	switch len(args) {
	case 1:
		last, err2 = strconv.ParseInt(args[0], 10, 64)
	case 2:
		first, err1 = strconv.ParseInt(args[0], 10, 64)
		last, err2 = strconv.ParseInt(args[1], 10, 64)
	}
	if err1 != nil || err2 != nil || len(args) < 1 || len(args) > 2 {
		return usage(sh, "seq [FIRST] LAST")
	}
	buf := make([]byte, 0, chunk)
	for i := first; i <= last; i++ {
		buf = append(strconv.AppendInt(buf, i, 10), '\n')
		if len(buf) > chunk-32 || i == last {
			if _, err := out.Write(buf); err != nil {
				return wrote(err)
			}
			buf = buf[:0]
		}
	}
	return 0
}

// chunk is a multiple of SSH's packet size: large writes go out in full
// packets.
const chunk = 256 << 10

func yes(sh *shell, args []string, out io.Writer) uint32 {
	lines := int64(1) << 61
	if len(args) > 0 {
		n, err := strconv.ParseInt(args[0], 10, 61)
		if err != nil || n < 0 {
			return usage(sh, "yes [LINES]")
		}
		lines = n
	}
	return wrote(fill(out, []byte("y\n"), 2*lines))
}

func zeros(sh *shell, args []string, out io.Writer) uint32 {
	if len(args) != 1 {
		return usage(sh, "bytes N")
	}
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil || n < 0 {
		return usage(sh, "bytes N")
	}
	return wrote(fill(out, []byte{0}, n))
}

// fill writes n bytes of a repeated pattern.
func fill(out io.Writer, pattern []byte, n int64) error {
	buf := bytes.Repeat(pattern, max(int(min(chunk, n))/len(pattern), 1))
	for n > 0 {
		m, err := out.Write(buf[:min(int64(len(buf)), n)])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

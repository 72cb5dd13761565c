package sftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answer is what a scripted server says to a request; nil means nothing.
type answer func(kind byte, id uint32, body fields) []byte

// reply makes a packet of an answer.
func reply(kind byte, id uint32, body []byte) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(5+len(body)))
	p = append(p, kind)
	p = binary.BigEndian.AppendUint32(p, id)
	return append(p, body...)
}

func status(id uint32, code Code, message string) []byte {
	return reply(typeStatus, id, request(nil).uint32(uint32(code)).string(message).string("en"))
}

func data(id uint32, b []byte) []byte {
	return reply(typeData, id, request(nil).string(string(b)))
}

func handle(id uint32) []byte { return reply(typeHandle, id, request(nil).string("h")) }

var greeting = []byte{0, 0, 0, 5, typeVersion, 0, 0, 0, version}

// scripted starts a server that greets and then says what it is told to. It
// ends with the connection.
func scripted(t testing.TB, hello []byte, say answer) net.Conn {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		serve(far, hello, say)
	}()
	t.Cleanup(func() { near.Close(); <-done })
	return near
}

func serve(far net.Conn, hello []byte, say answer) {
	p := make([]byte, 9)
	if _, err := io.ReadFull(far, p); err != nil {
		return
	}
	if _, err := far.Write(hello); err != nil {
		return
	}
	for {
		var head [header]byte
		if _, err := io.ReadFull(far, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:])-5)
		if _, err := io.ReadFull(far, body); err != nil {
			return
		}
		out := say(head[4], binary.BigEndian.Uint32(head[5:]), fields{rest: body})
		if out == nil {
			continue
		}
		if len(out) == 0 {
			return // hangs up
		}
		if _, err := far.Write(out); err != nil {
			return
		}
	}
}

// fileServer is a scripted server with one file, whose reads are answered by
// read.
func fileServer(read func(id uint32, offset uint64, n uint32) []byte) answer {
	return func(kind byte, id uint32, f fields) []byte {
		switch kind {
		case typeOpen, typeOpendir:
			return handle(id)
		case typeRead:
			f.string()
			return read(id, f.uint64(), f.uint32())
		}
		return status(id, OK, "")
	}
}

func readAll(t *testing.T, c *Client, size int64) ([]byte, error) {
	t.Helper()
	f, err := c.Open(t.Context(), "file", Read, Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	var m memory
	_, err = f.Read(t.Context(), 0, size, m.sink)
	return m.data, err
}

// However a server cuts its answers, what arrives is the file or an error.
func TestReadFaults(t *testing.T) {
	content := randomBytes(300_000)
	at := func(offset uint64, n uint32) []byte {
		if offset >= uint64(len(content)) {
			return nil
		}
		return content[offset:min(offset+uint64(n), uint64(len(content)))]
	}
	exact := func(id uint32, offset uint64, n uint32) []byte {
		if b := at(offset, n); b != nil {
			return data(id, b)
		}
		return status(id, EOF, "")
	}
	var held []byte
	for name, test := range map[string]struct {
		read func(id uint32, offset uint64, n uint32) []byte
		want string // of the error; empty where the content is to be right
	}{
		"exact": {exact, ""},
		"short": {func(id uint32, offset uint64, n uint32) []byte {
			return exact(id, offset, min(n, 1+uint32(offset)%999))
		}, ""},
		"one byte at first": {func(id uint32, offset uint64, n uint32) []byte {
			if offset < 10 {
				n = 1
			}
			return exact(id, offset, n)
		}, ""},
		"in pairs, the second first": {func(id uint32, offset uint64, n uint32) []byte {
			this := exact(id, offset, n)
			if offset == uint64(len(content)) { // looks for more
				return this
			}
			if held == nil {
				held = this
				return nil
			}
			this, held = append(this, held...), nil
			return this
		}, ""},
		"short file": {func(id uint32, offset uint64, n uint32) []byte {
			if offset >= 100_000 {
				return status(id, EOF, "")
			}
			return exact(id, offset, n)
		}, "ends after"},
		"a hole": {func(id uint32, offset uint64, n uint32) []byte {
			if offset/100_000 == 1 {
				return status(id, EOF, "")
			}
			return exact(id, offset, n)
		}, "goes on|ends after"},
		"endless":     {func(id uint32, _ uint64, n uint32) []byte { return data(id, make([]byte, n)) }, "goes on"},
		"empty":       {func(id uint32, _ uint64, _ uint32) []byte { return data(id, nil) }, "answers without data"},
		"too long":    {func(id uint32, _ uint64, n uint32) []byte { return data(id, make([]byte, n+1)) }, "were asked for"},
		"wrong id":    {func(id uint32, o uint64, n uint32) []byte { return exact(id+1000, o, n) }, "not made"},
		"twice":       {func(id uint32, o uint64, n uint32) []byte { return append(exact(id, o, n), exact(id, o, n)...) }, "not made"},
		"wrong type":  {func(id uint32, _ uint64, _ uint32) []byte { return handle(id) }, "answer of type 102"},
		"success":     {func(id uint32, _ uint64, _ uint32) []byte { return status(id, OK, "") }, "success instead"},
		"failure":     {func(id uint32, _ uint64, _ uint32) []byte { return status(id, Failure, "disk\x1b[2J\r\nhost2: OK") }, `failure: "disk\x1b[2J\r\nhost2: OK"`},
		"huge packet": {func(uint32, uint64, uint32) []byte { return []byte{0xff, 0xff, 0xff, 0xff} }, "packet of 4294967295"},
		"tiny packet": {func(uint32, uint64, uint32) []byte { return []byte{0, 0, 0, 1, 101} }, "packet of 1"},
		"length that lies": {func(id uint32, _ uint64, _ uint32) []byte {
			return reply(typeData, id, []byte{0, 0, 0, 9, 1})
		}, "9 bytes of data in a packet for 1"},
		"data cut short": {func(id uint32, _ uint64, _ uint32) []byte { return reply(typeData, id, []byte{0}) }, "cut short"},
		"status cut short": {func(id uint32, _ uint64, _ uint32) []byte {
			return reply(typeStatus, id, []byte{0, 0})
		}, "status without a code"},
		"half an answer, then the end": {func(uint32, uint64, uint32) []byte { return []byte{} }, "ended the SFTP session|writing to the SFTP server"},
	} {
		t.Run(name, func(t *testing.T) {
			held = nil
			c := newSession(t, scripted(t, greeting, fileServer(test.read)))
			got, err := readAll(t, c, int64(len(content)))
			if test.want == "" {
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			if err == nil {
				t.Fatalf("no error; %d bytes", len(got))
			}
			for want := range strings.SplitSeq(test.want, "|") {
				if strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("got %v, want %s", err, test.want)
		})
	}
}

// A write that fails among others that do not is an error, and what was
// written without a gap is known.
func TestWriteFaults(t *testing.T) {
	c := newSession(t, scripted(t, greeting, func(kind byte, id uint32, f fields) []byte {
		switch kind {
		case typeOpen:
			return handle(id)
		case typeWrite:
			f.string()
			if f.uint64() == 3*32<<10 {
				return status(id, Failure, "No space left on device")
			}
		case typeClose:
			return status(id, Failure, "quota")
		}
		return status(id, OK, "")
	}))
	f, err := c.Open(t.Context(), "file", Write, Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	var released atomic.Int32
	left := 100
	n, err := f.Write(t.Context(), 0, func(context.Context) ([]byte, func(), error) {
		if left--; left < 0 {
			return nil, nil, io.EOF
		}
		return make([]byte, 32<<10), func() { released.Add(1) }, nil
	}, nil)
	if err == nil || !strings.Contains(err.Error(), "No space left") || n != 3*32<<10 {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := f.Close(t.Context()); err == nil {
		t.Error("Close does not say that it failed")
	}
	if _, err := c.Stat(t.Context(), "x"); err == nil { // answered by a status OK
		t.Error("Stat took success as attributes")
	}
	if _, ok := errors.AsType[*ProtocolError](c.Err()); !ok {
		t.Errorf("the session ended by %v", c.Err())
	}
	<-c.Done()
	if given := 100 - left; int(released.Load()) != given {
		t.Errorf("%d pieces given, %d let go of", given, released.Load())
	}
}

func TestGreetingFaults(t *testing.T) {
	for name, test := range map[string]struct{ hello, want string }{
		"noise":       {"Welcome to host\x1b[0m\n", `Welcome to host\x1b`},
		"nothing":     {"", "ended the SFTP session"},
		"version 2":   {"\x00\x00\x00\x05\x02\x00\x00\x00\x02", "version 2"},
		"cut short":   {"\x00\x00\x00\x09\x02\x00\x00\x00\x03\x00\x00\x00\x09", "cut short"},
		"huge length": {"\xff\xff\xff\xff\x02", "begins with"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := scripted(t, nil, nil)
			stream.Close()
			near, far := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				io.ReadFull(far, make([]byte, 9))
				far.Write([]byte(test.hello))
				far.Close()
			}()
			_, err := New(t.Context(), near)
			<-done
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// A server that says nothing is not waited for: not when it begins, not in the
// middle; but one that writes to its disk has time.
func TestSilent(t *testing.T) {
	t.Run("greeting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go io.Copy(io.Discard, far)
			began := time.Now()
			_, err := New(t.Context(), near)
			if !errors.Is(err, ErrSilent) || time.Since(began) != patience {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go io.Copy(io.Discard, far)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := New(ctx, near); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newSession(t, scripted(t, greeting, fileServer(func(id uint32, offset uint64, n uint32) []byte {
				if offset > 100_000 {
					return nil
				}
				time.Sleep(patience / 2) // slow, but alive
				return data(id, make([]byte, n))
			})))
			began := time.Now()
			_, err := readAll(t, c, 1<<20)
			if took := time.Since(began); !errors.Is(err, ErrSilent) || took < 2*patience {
				t.Errorf("%v after %v", err, took)
			}
		})
	})
	t.Run("close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newSession(t, scripted(t, greeting, func(kind byte, id uint32, _ fields) []byte {
				if kind == typeOpen {
					return handle(id)
				}
				time.Sleep(5 * patience)
				return status(id, OK, "")
			}))
			f, err := c.Open(t.Context(), "file", Write, Attributes{})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	})
}

// Lists of names that are no lists, or never end, are errors.
func TestListFaults(t *testing.T) {
	for name, list := range map[string][]byte{
		"count":   request(nil).uint32(0xffffffff),
		"short":   request(nil).uint32(1).string("a").string("a").uint32(uint32(HasSize)).uint32(0),
		"surplus": request(nil).uint32(0).uint32(7),
		"empty":   request(nil).uint32(0),
		"bomb":    append(request(nil).uint32(1).string("a").string("a").uint32(uint32(hasExtended)), 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			c := newSession(t, scripted(t, greeting, func(kind byte, id uint32, _ fields) []byte {
				if kind == typeReaddir {
					return reply(typeName, id, list)
				}
				return handle(id)
			}))
			var last error
			for _, err := range c.ReadDir(t.Context(), "dir") {
				last = err
			}
			if _, ok := errors.AsType[*ProtocolError](last); !ok {
				t.Errorf("got %v", last)
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "/abs", "a/b", "a\x00b", strings.Repeat("x", 256)} {
		if CheckName(name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, name := range []string{"a", "-rf", "a\nb", "\x1b[31m", "\xff", `..\x`, "c:x", "...", strings.Repeat("x", 255)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Whatever a server says, the client neither panics nor hangs.
func FuzzServer(f *testing.F) {
	f.Add(greeting)
	f.Add(append(bytes.Clone(greeting), handle(2)...))
	f.Add(append(append(bytes.Clone(greeting), handle(2)...), data(3, []byte("x"))...))
	f.Add(append(bytes.Clone(greeting), reply(typeName, 2, request(nil).uint32(1).string("a").string("b").uint32(0))...))
	f.Add(append(bytes.Clone(greeting), reply(typeAttributes, 2, request(nil).attributes(Attributes{Flags: 15}))...))
	f.Fuzz(func(t *testing.T, said []byte) {
		near, far := net.Pipe()
		go func() {
			far.Write(said)
			far.Close()
		}()
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, far)
		}()
		defer func() { near.Close(); <-drained }()
		c, err := New(t.Context(), near)
		if err != nil {
			return
		}
		ctx := t.Context()
		c.Limits(ctx)
		if file, err := c.Open(ctx, "x", Read, Attributes{}); err == nil {
			file.Read(ctx, 0, 100, func(int64, []byte) error { return nil })
		}
		c.Stat(ctx, "x")
		c.RealPath(ctx, "x")
		for range c.ReadDir(ctx, "x") {
		}
		c.Close()
		<-c.Done()
	})
}

// Parsers take anything.
func FuzzParse(f *testing.F) {
	f.Add([]byte(request(nil).uint32(1).string("a").string("b").attributes(Attributes{Flags: 15})))
	f.Add([]byte(request(nil).uint32(4).string("message").string("en")))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseNames(b)
		if err == nil && len(entries) > len(b)/minEntry {
			t.Errorf("%d names out of %d bytes", len(entries), len(b))
		}
		if err := parseStatus(b); err != nil {
			_ = err.Error()
		}
		parseLimits(b)
		fd := fields{rest: b}
		_ = fd.attributes().Mode()
	})
}

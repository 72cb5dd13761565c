package codec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"

	"github.com/shoal-ssh/shoal/internal/codec"
)

// vectors is what gen.py wrote down of Python's codecs.
type vectors struct {
	Names  map[string]string // every name and its codec, those that are refused too
	Codecs map[string]struct {
		Samples        [][2]string // text, bytes in hexadecimal
		Bytes          string      // what each single byte stands for
		EveryCode      digest      `json:"every_code"`
		EveryCharacter digest      `json:"every_character"`
		Refuses        []string    // characters that cannot be encoded
	}
}

// digest is a number of lines and their SHA-256.
type digest struct {
	n   int
	sum string
}

func (d *digest) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&d.n, &d.sum})
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func lookup(t testing.TB, name string) encoding.Encoding {
	t.Helper()
	e, err := codec.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestNamesOfPython(t *testing.T) {
	v := readVectors(t)
	names := codec.Names()
	if !slices.IsSorted(names) || len(names) != len(v.Codecs) {
		t.Errorf("Names: got %d names, want %d, sorted", len(names), len(v.Codecs))
	}
	for name, want := range v.Names {
		_, err := codec.Lookup(name)
		if slices.Contains(names, want) {
			if err != nil {
				t.Errorf("Lookup(%q): got %v, want the encoding %s", name, err, want)
			}
			continue
		}
		e, ok := errors.AsType[*codec.Error](err)
		if !ok || !e.Known || len(e.Try) == 0 || !strings.Contains(err.Error(), "is not supported: use ") {
			t.Errorf("Lookup(%q): got %v, want a refusal with alternatives", name, err)
			continue
		}
		for _, try := range e.Try {
			lookup(t, try)
		}
	}
}

func TestSamples(t *testing.T) {
	for name, v := range readVectors(t).Codecs {
		t.Run(name, func(t *testing.T) {
			e := lookup(t, name)
			for _, s := range v.Samples {
				text := s[0]
				code, err := hex.DecodeString(s[1])
				if err != nil {
					t.Fatal(err)
				}
				if got, err := e.NewEncoder().String(text); got != string(code) || err != nil {
					t.Errorf("encode %q: got %x, %v, want %x", text, got, err, code)
				}
				if got, err := e.NewDecoder().String(string(code)); got != text || err != nil {
					t.Errorf("decode %x: got %q, %v, want %q", code, got, err, text)
				}
				checkPieces(t, e, code)
				checkEncodePieces(t, e, text)
			}
			for _, c := range v.Refuses {
				if got, err := e.NewEncoder().String(c); err == nil {
					t.Errorf("encode %q: got %x, want an error", c, got)
				}
			}
		})
	}
}

func TestSingleBytes(t *testing.T) {
	for name, v := range readVectors(t).Codecs {
		if v.Bytes == "" {
			continue
		}
		e := lookup(t, name)
		for b, want := range []rune(v.Bytes) {
			if got, err := e.NewDecoder().String(string([]byte{byte(b)})); got != string(want) || err != nil {
				t.Errorf("%s: decode %#x: got %q, %v, want %q", name, b, got, err, want)
			}
		}
	}
}

func TestEveryCode(t *testing.T) {
	for name, v := range readVectors(t).Codecs {
		if v.EveryCode.n == 0 {
			continue
		}
		d, h, n := lookup(t, name).NewDecoder(), sha256.New(), 0
		add := func(code ...byte) {
			var buf [16]byte
			d.Reset()
			size, _, err := d.Transform(buf[:], code, true)
			text := buf[:size]
			if r, size := utf8.DecodeRune(text); err == nil && r != utf8.RuneError && size == len(text) {
				fmt.Fprintf(h, "%x %s\n", code, text)
				n++
			}
		}
		for a := range 256 {
			add(byte(a))
		}
		for a := 0x80; a < 256; a++ {
			for b := 0x30; b < 256; b++ {
				add(byte(a), byte(b))
			}
		}
		if name == "euc_jp" {
			for a := 0xa1; a < 0xff; a++ {
				for b := 0xa1; b < 0xff; b++ {
					add(0x8f, byte(a), byte(b))
				}
			}
		}
		if sum := hex.EncodeToString(h.Sum(nil)); n != v.EveryCode.n || sum != v.EveryCode.sum {
			t.Errorf("%s: got %d codes with the digest %s, want %d with %s", name, n, sum, v.EveryCode.n, v.EveryCode.sum)
		}
	}
}

func TestEveryCharacter(t *testing.T) {
	for name, v := range readVectors(t).Codecs {
		if v.EveryCharacter.n == 0 {
			continue
		}
		e, h, n := lookup(t, name).NewEncoder(), sha256.New(), 0
		for r := rune(0x80); r < 0x10000; r++ {
			var buf [16]byte
			e.Reset()
			if size, _, err := e.Transform(buf[:], []byte(string(r)), true); err == nil {
				fmt.Fprintf(h, "%c %x\n", r, buf[:size])
				n++
			}
		}
		if sum := hex.EncodeToString(h.Sum(nil)); n != v.EveryCharacter.n || sum != v.EveryCharacter.sum {
			t.Errorf("%s: got %d characters with the digest %s, want %d with %s", name, n, sum, v.EveryCharacter.n, v.EveryCharacter.sum)
		}
	}
}

// checkPieces decodes code in one piece, byte by byte, and with hardly any room for
// the result, which all have to give the same.
func checkPieces(t *testing.T, e encoding.Encoding, code []byte) {
	t.Helper()
	want, err := e.NewDecoder().Bytes(code)
	if err != nil {
		t.Fatalf("decode %x: %v", code, err)
	}
	got, err := io.ReadAll(e.NewDecoder().Reader(iotest.OneByteReader(bytes.NewReader(code))))
	if !bytes.Equal(got, want) || err != nil {
		t.Errorf("decode %x byte by byte: got %q, %v, want %q", code, got, err, want)
	}
	if got := narrowly(t, e.NewDecoder(), code, len(code)+1); !bytes.Equal(got, want) {
		t.Errorf("decode %x into little room: got %q, want %q", code, got, want)
	}
	if !utf8.Valid(want) {
		t.Errorf("decode %x: got %q, want UTF-8", code, want)
	}
}

func checkEncodePieces(t *testing.T, e encoding.Encoding, text string) {
	t.Helper()
	want, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := transform.NewWriter(&out, e.NewEncoder())
	for i := range len(text) {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil || out.String() != want {
		t.Errorf("encode %q byte by byte: got %x, %v, want %x", text, out.Bytes(), err, want)
	}
	if got := narrowly(t, e.NewEncoder(), []byte(text), len(text)+1); string(got) != want {
		t.Errorf("encode %q into little room: got %x, want %x", text, got, want)
	}
}

// narrowly transforms src with room for 12 bytes at a time.
func narrowly(t *testing.T, tr transform.Transformer, src []byte, rounds int) []byte {
	t.Helper()
	var out []byte
	for range 8 * (rounds + 1) {
		var dst [12]byte
		nDst, nSrc, err := tr.Transform(dst[:], src, true)
		out, src = append(out, dst[:nDst]...), src[nSrc:]
		if err == nil {
			return out
		}
		if !errors.Is(err, transform.ErrShortDst) {
			t.Fatal(err)
		}
	}
	t.Fatal("the transformer does not end")
	return nil
}

// TestInvalid decodes broken bytes. What is intact around them stays, ASCII above all.
func TestInvalid(t *testing.T) {
	for _, tt := range []struct{ name, code, want string }{
		{"ascii", "a\x80\xffb", "a��b"},
		{"cp1252", "a\x81b\x80", "a�b€"},
		{"latin_1", "\x80\x9f", "\u0080\u009f"},
		{"utf_8", "a\xe2\x82b", "a�b"},
		{"utf_8", "\xf0\x9f\x98", "�"},
		{"utf_8", "\xc0\x80", "��"},
		{"utf_8", "\xed\xa0\x80", "���"},
		{"utf_8", "\ufeffa", "\ufeffa"},
		{"utf_8_sig", "\ufeffa\ufeff", "a\ufeff"},
		{"utf_8_sig", "\xef\xbb", "�"},
		{"utf_16_le", "a\x00\x00\xd8b\x00", "a�b"},
		{"utf_16_le", "a\x00b", "a�"},
		{"utf_16_be", "\xfe\xff\x00a", "\ufeffa"},
		{"utf_16", "\xfe\xff\x00a", "a"},
		{"utf_16", "\xff\xfea\x00", "a"},
		{"utf_16", "a\x00b\x00", "ab"},
		{"utf_32", "\x00\x00\xfe\xff\x00\x00\x00a", "a"},
		{"utf_32", "a\x00\x00\x00", "a"},
		{"utf_32_le", "\x00\x00\x11\x00a\x00\x00\x00b", "�a�"},
		{"utf_32_le", "\x00\xd8\x00\x00", "�"},
		{"shift_jis", "\x87\x40'\x82", "�@'�"},
		{"shift_jis", "\x82\xff\"", "�\""},
		{"shift_jis", "\xa1\x80", "｡�"},
		{"euc_jp", "\x8f\xa2'\xa4\"\xa4\xa2", "�'�\"あ"},
		{"euc_jp", "\x8f\xb0", "�"},
		{"gb2312", "\x80\xb0\xa1\xb0\x41", "�啊�A"},
		{"big5", "\xa4\xa4\xa4\n", "中�\n"},
		{"big5hkscs", "\x88\x62\x88\x66", "Ê̄Ê"},
		{"euc_kr", "\xb0\xa1\x81\x41", "가�A"},
		{"gb18030", "\x81\x30\x81\x30\xff", "\u0080�"},
		{"iso2022_jp", "\x1b$B$\"\na", "あ\na"},
		{"iso2022_jp", "\x1b$B$\"$", "あ�"},
		{"iso2022_jp", "\x1b(J\\~\x1b(B\\~", "¥‾\\~"},
		{"iso2022_jp", "\x1b[31mred\x1b", "\x1b[31mred\x1b"},
		{"iso2022_jp", "\x1b$B~~$\"\xa4", "�あ�"},
		{"hz", "a~~b~{0!~}c~\nd", "a~b啊cd"},
		{"hz", "~x~", "�x�"},
		{"hz", "~{0!\nx", "啊\nx"},
	} {
		e := lookup(t, tt.name)
		if got, err := e.NewDecoder().String(tt.code); got != tt.want || err != nil {
			t.Errorf("%s: decode %q: got %q, %v, want %q", tt.name, tt.code, got, err, tt.want)
		}
		checkPieces(t, e, []byte(tt.code))
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"ascii", "ä", "encoding ascii has no character 'ä' (U+00E4)"},
		{"latin_1", "a€", "encoding latin_1 has no character '€' (U+20AC)"},
		{"cp1252", "\u0081", `encoding cp1252 has no character '\u0081' (U+0081)`},
		{"ascii", "\xff", "encoding ascii has no character '�' (U+FFFD)"},
		{"shift_jis", "¥", "encoding shift_jis has no character '¥' (U+00A5)"},
		{"shift_jis", "①", "encoding shift_jis has no character '①' (U+2460)"},
		{"gb2312", "€", "encoding gb2312 has no character '€' (U+20AC)"},
		{"hz", "\xe4", "encoding hz has no character '�' (U+FFFD)"},
	} {
		_, err := lookup(t, tt.name).NewEncoder().String(tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: encode %q: got %v, want %s", tt.name, tt.text, err, tt.want)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"UTF-8", "utf_8"}, {"utf8", "utf_8"}, {"U8", "utf_8"}, {"utf 8", "utf_8"}, {"Latin-1", "latin_1"},
		{"ISO-8859-1", "latin_1"}, {"iso8859_1", "latin_1"}, {"iso_8859-1:1987", "latin_1"}, {"l1", "latin_1"},
		{"windows-1252", "cp1252"}, {"Shift_JIS", "shift_jis"}, {"sjis", "shift_jis"}, {"Windows-31J", "cp932"},
		{"US-ASCII", "ascii"}, {"ANSI_X3.4-1968", "ascii"}, {"KOI8-R", "koi8_r"}, {"GB2312", "gb2312"},
		{"TIS-620", "tis_620"}, {"csISO2022JP", "iso2022_jp"}, {"HZ-GB-2312", "hz"}, {"mac", "mac_roman"},
		{"__euc--kr__", "euc_kr"}, {"cp936", "gbk"}, {"UTF-16LE", "utf_16_le"}, {"IBM850", "cp850"},
	} {
		got, want := lookup(t, tt.name), lookup(t, tt.want)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Lookup(%q): got %v, want %v", tt.name, got, want)
		}
	}
}

func TestLookupErrors(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"johab", `encoding "johab" is not supported: use cp949 or euc_kr`},
		{"UTF-7", `encoding "UTF-7" is not supported: use utf_8`},
		{"base64", `encoding "base64" is not supported: use latin_1`},
		{"utf9", `unknown encoding "utf9": did you mean utf_8?`},
		{"koi8r", `unknown encoding "koi8r": did you mean koi8_r or koi8_t or koi8_u?`},
		{"latin-99", `unknown encoding "latin-99": did you mean latin9 or latin6 or latin7?`},
		{"", `unknown encoding ""`},
		{"klingon", `unknown encoding "klingon"`},
		{strings.Repeat("\x1b", 1000), `unknown encoding "` + strings.Repeat(`\x1b`, 40) + `…"`},
	} {
		_, err := codec.Lookup(tt.name)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Lookup(%q): got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	names := codec.Names()
	var encodings []encoding.Encoding
	for i, name := range names {
		encodings = append(encodings, lookup(f, name))
		f.Add(i, []byte("a\x1b$B$\"~{0!~}\x8f\xb0\xa1\x82\xa0\xff\xfe\x00\n"))
	}
	f.Fuzz(func(t *testing.T, i int, code []byte) {
		i = int(uint(i) % uint(len(names)))
		name, e := names[i], encodings[i]
		checkPieces(t, e, code)
		text, err := e.NewDecoder().Bytes(code)
		if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
			return
		}
		back, err := e.NewEncoder().Bytes(text)
		if err != nil {
			return // some text that can be decoded cannot be encoded: HKSCS's letters with accents
		}
		again, err := e.NewDecoder().Bytes(back)
		if err != nil || !bytes.Equal(again, text) && !strings.HasPrefix(name, "utf_") {
			t.Errorf("%s: %x is %q, back %x, again %q, %v", name, code, text, back, again, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"latin_1", "cp932", "shift_jis", "euc_jp", "gb18030", "utf_16"} {
		e := lookup(b, name)
		code, err := encoding.ReplaceUnsupported(e.NewEncoder()).String(strings.Repeat("日本語 text ", 10000))
		if err != nil {
			code = strings.Repeat("text", 30000)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(code)))
			for b.Loop() {
				if _, err := e.NewDecoder().String(code); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("lookup", func(b *testing.B) {
		for b.Loop() {
			lookup(b, "euc_jp")
		}
	})
}

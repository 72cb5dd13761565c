package codec

import (
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// variant says how an encoding differs from one of golang.org/x/text.
type variant struct {
	base    encoding.Encoding
	refused [][2]uint32     // first and last of codes that it does not have
	rows    bool            // no second byte is below A1
	changed map[uint32]rune // codes that stand for something else
	second  []uint32        // codes for characters that are encoded to another one
}

// newVariant returns what is known of an encoding. Python also encodes the yen sign in
// the Japanese ones, to a backslash: we do not, because a shell takes it for one.
func newVariant(name string) variant {
	v := variant{changed: make(map[uint32]rune)}
	switch name {
	case "shift_jis":
		v.base = japanese.ShiftJIS
		v.refused = [][2]uint32{{0x80, 0x80}, {0x8740, 0x879c}, {0xed40, 0xfc4b}} // NEC's and IBM's rows
		for code, r := range jis() {
			v.changed[shiftJIS(code)] = r
		}
	case "euc_jp":
		v.base = japanese.EUCJP
		v.refused = [][2]uint32{{0xada1, 0xadfc}, {0xf9a1, 0xfcfe}}
		v.changed = jis()
		v.changed[0x8fa2b7] = '~'
	case "euc_kr":
		v.base, v.rows = korean.EUCKR, true
		v.refused = [][2]uint32{{0x8100, 0xa0ff}, {0xa4d4, 0xa4d4}}
	case "gb2312":
		v.base, v.rows = simplifiedchinese.GBK, true
		v.refused = [][2]uint32{{0x80, 0xa0fe}, {0xa2a1, 0xa2aa}, {0xa2e3, 0xa2e3}, {0xa6e0, 0xa6f5}, {0xa8bb, 0xa8c0}}
		v.changed = map[uint32]rune{0xa1a4: '\u30fb', 0xa1aa: '\u2015'}
	case "big5":
		v.base, v.changed = traditionalchinese.Big5, big5Signs()
		v.refused = [][2]uint32{{0x8740, 0xa0fe}, {0xa3c0, 0xa3e1}, {0xc7fd, 0xc8fe}, {0xf9d6, 0xfefe}}
		v.changeETEN()
		v.second = []uint32{0xa1fe, 0xa240, 0xa2cc, 0xa2ce}
	case "cp950":
		v.base = traditionalchinese.Big5
		v.refused = [][2]uint32{{0x8740, 0xa0fe}, {0xa3c0, 0xa3e0}, {0xc7fd, 0xc8fe}, {0xfa40, 0xfefe}}
		v.changed[0xf9fe] = '\u2593'
		v.changeETEN()
		v.second = []uint32{0xa2cc, 0xa2ce}
	case "big5hkscs":
		v.base, v.changed = traditionalchinese.Big5, big5Signs()
		v.second = []uint32{
			0x8fcc, 0x92c8, 0x9644, 0x96ed, 0xa1fe, 0xa240, 0xa27e, 0xa2a1, 0xa2a2, 0xa2a3, 0xa2a4, 0xa2a5, 0xa2a6,
			0xa2a7, 0xa2cc, 0xa2ce, 0xc6cf, 0xc6d3, 0xc6d5, 0xc6d7, 0xc6df, 0xfb48, 0xfbf9, 0xfc6c, 0xfe52,
		}
	}
	return v
}

// jis are the characters of JIS X 0208 for which Microsoft has others that look alike,
// by their codes in EUC-JP.
func jis() map[uint32]rune {
	return map[uint32]rune{
		0xa1c1: '\u301c', 0xa1c2: '\u2016', 0xa1dd: '\u2212', 0xa1f1: '\u00a2', 0xa1f2: '\u00a3', 0xa2cc: '\u00ac',
	}
}

// big5Signs are the signs for which the WHATWG's table has others that look alike.
func big5Signs() map[uint32]rune {
	return map[uint32]rune{
		0xa145: '\u2022', 0xa14e: '\uff64', 0xa1c2: '\u203e', 0xa1e3: '\u223c', 0xa1f2: '\u2641', 0xa1f3: '\u2609',
		0xa241: '\uff0f', 0xa242: '\uff3c', 0xa244: '\u00a5', 0xa246: '\u00a2', 0xa247: '\u00a3',
	}
}

// changeETEN puts the characters of eten into v.
func (v *variant) changeETEN() {
	code := uint32(0xc6a1)
	for _, r := range eten {
		v.changed[code] = r
		switch code++; code & 0xff {
		case 0xff:
			code += 0x41
		case 0x7f:
			code += 0x22
		}
	}
}

// shiftJIS returns the code in Shift_JIS for one in EUC-JP.
func shiftJIS(euc uint32) uint32 {
	row, cell := euc>>8-0xa1, euc&0xff-0xa1
	lead, trail := 0x81+row/2, 0x40+row%2*94+cell
	if row >= 62 {
		lead += 0x40
	}
	if row%2 == 0 && trail >= 0x7f {
		trail++
	} else if row%2 == 1 {
		trail++
	}
	return lead<<8 | trail
}

// has tells whether the encoding has the code at all.
func (v *variant) has(code uint32) bool {
	if v.rows && code > 0xff && code&0xff < 0xa1 {
		return false
	}
	for _, r := range v.refused {
		if r[0] <= code && code <= r[1] {
			return false
		}
	}
	return true
}

package protocol

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// str reads the string whose opening quote stands at i.
func (s *scanner) str(i int) int {
	i++
	for {
		i = plain(s.text, i)
		if i >= len(s.text) {
			return s.fail(i, cutShort)
		}
		switch c := s.text[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i); i < 0 {
				return i
			}
		case c < ' ':
			return s.fail(i, "control character in a string")
		default:
			for i < len(s.text) && s.text[i] >= utf8.RuneSelf {
				r, size := utf8.DecodeRune(s.text[i:])
				if r == utf8.RuneError && size <= 1 {
					return s.fail(i, "string is not UTF-8")
				}
				i += size
			}
		}
	}
}

// escape reads the escape sequence whose backslash stands at i. Half a surrogate
// pair is accepted, as JSON.parse does.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.text) {
		return s.fail(i+1, cutShort)
	}
	switch s.text[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(s.text) || hexDigit(s.text[k]) < 0 {
				return s.fail(k, "no hexadecimal digit in an escape")
			}
		}
		return i + 6
	}
	return s.fail(i, "unknown escape in a string")
}

// Eight bytes at a time: the lowest and the highest bit of each.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns the index of the first byte from i on that means something in a
// string: quote, backslash, control character, or a part of a longer rune.
func plain(text []byte, i int) int {
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, back := w^(lows*'"'), w^(lows*'\\')
		// x-lows carries into the high bit of a zero byte. A carry out of such a
		// byte can only spoil higher ones, and the lowest is the one that counts.
		hit := ((quote-lows)&^quote | (back-lows)&^back | (w-lows*' ')&^w | w) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] < utf8.RuneSelf && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// appendUnquoted appends what the inside of a valid JSON string stands for. Half
// a surrogate pair becomes U+FFFD.
func appendUnquoted(dst, inside []byte) []byte {
	for i := 0; i < len(inside); {
		c := inside[i]
		i++
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		c = inside[i]
		i++
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(inside[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if len(inside)-i >= 6 && inside[i] == '\\' && inside[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(inside[i+2:]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
	}
	return dst
}

// hex4 returns the value of the four hexadecimal digits a valid \u goes on with.
func hex4(b []byte) rune {
	return hexDigit(b[0])<<12 | hexDigit(b[1])<<8 | hexDigit(b[2])<<4 | hexDigit(b[3])
}

// hexDigit returns the value of the hexadecimal digit c, or -1.
func hexDigit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

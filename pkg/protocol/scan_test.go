package protocol_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// values are JSON texts and things that are not, for Valid and for what is built
// on the same scanner.
func values() []string {
	return []string{
		``, ` `, `1`, ` 1 `, "\t\r\n1\n", `0`, `-0`, `00`, `01`, `-`, `-a`, `+1`, `.5`, `1.`, `1.5`, `1.5.5`, `1e`, `1e+`,
		`1e5`, `1E-5`, `1e999`, `0e0`, `0x1`, `1 2`, `--1`, `Infinity`, `NaN`, `true`, `tru`, `truex`, `True`, `false`,
		`falsy`, `null`, `nul`, `undefined`, `""`, `"`, `"a`, `"a"b`, `'a'`, `"\"`, `"\\"`, `"\a"`, `"\u"`, `"\u12"`,
		`"\u12G4"`, `"\u123"`, `"\u123G"`, `"\uG123"`, `"\u12aF"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, "\"\x00\"", "\"\x1f\"", "\"\n\"", "\"\x7f\"",
		"\"\xc3\xa9\"", "\"\xc3\"", "\"\xa9\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xff\"",
		"\"\xe2\x80\xa8\xe2\x80\xa9\"", "\"\xef\xbf\xbd\"", "\xef\xbb\xbf1", "\xc2\xa01",
		`"0123456"`, `"01234567"`, `"0123456789abcdef"`, `"0123456789abcdé"`, `"012345\n7"`, "\"012345\x017\"",
		"\"!!!!!!!\x1f\"", "\"\x20\x21\x23\x5b\x5d\x7e\x7f\"",
		`[]`, `[ ]`, `[`, `]`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1,2]`, `[[],[[]]]`, `[1}`, `[]]`,
		`{}`, `{ }`, `{`, `}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `{"a":1]`,
		`{"a":1,"a":2}`, `{"a":{"b":[{}]}}`, `{"":0}`, `{ "a" : 1 , "b" : [ ] }`, `{,}`, `// c`, `1//`,
		"[\"a\"\x0b]", "[\"a\"\x0c]",
	}
}

func TestValid(t *testing.T) {
	for _, v := range values() {
		err := protocol.Valid([]byte(v), 0)
		if want := json.Valid([]byte(v)) && utf8.ValidString(v); want != (err == nil) {
			t.Errorf("Valid(%q) = %v, want it to be valid: %v", v, err, want)
		}
		if err != nil && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("Valid(%q) = %v, want ErrMalformed", v, err)
		}
	}
}

// A string is read eight bytes at a time: every byte at every offset.
func TestValidStrings(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				text := []byte(`"` + strings.Repeat("x", n) + `"`)
				text[1+at] = byte(c)
				err := protocol.Valid(text, 0)
				if want := json.Valid(text) && utf8.Valid(text); want != (err == nil) {
					t.Fatalf("Valid(%q) = %v, want it to be valid: %v", text, err, want)
				}
			}
		}
	}
}

func TestValidDepth(t *testing.T) {
	for _, tt := range []struct {
		value string
		limit int
		want  bool
	}{
		{`1`, 1, true},
		{`[1]`, 1, true},
		{`[[1]]`, 1, false},
		{`{"a":[]}`, 1, false},
		{`[[],{},[[]]]`, 3, true},
		{`[[],{},[[]]]`, 2, false},
		{strings.Repeat("[", 100) + strings.Repeat("]", 100), 0, true},
		{strings.Repeat("[", 101) + strings.Repeat("]", 101), 0, false},
		{strings.Repeat("[", 10000) + strings.Repeat("]", 10000), 1 << 30, true},
		{strings.Repeat("[", 10001) + strings.Repeat("]", 10001), 1 << 30, false},
	} {
		if err := protocol.Valid([]byte(tt.value), tt.limit); (err == nil) != tt.want {
			t.Errorf("Valid(%.20q, %d) = %v, want it to be valid: %v", tt.value, tt.limit, err, tt.want)
		}
	}
}

func TestElements(t *testing.T) {
	for _, tt := range []struct {
		array string
		want  []string
	}{
		{`[]`, nil},
		{` [ ] `, nil},
		{`["a"]`, []string{`"a"`}},
		{` [ "a" , 1,{ "b":[1, 2] } ,[ ],null ] `, []string{`"a"`, `1`, `{ "b":[1, 2] }`, `[ ]`, `null`}},
		{strings.Repeat("[", 2000) + strings.Repeat("]", 2000), []string{strings.Repeat("[", 1999) + strings.Repeat("]", 1999)}},
		// Garbage has no elements.
		{``, nil},
		{` `, nil},
		{`[`, nil},
		{`[1`, nil},
		{`[1,`, nil},
		{`[1,]`, nil},
		{`[1 2]`, nil},
		{`[1]]`, nil},
		{`[1] x`, nil},
		{`{}`, nil},
		{`1`, nil},
		{`["a`, nil},
		{`[nul]`, nil},
	} {
		keep := []byte("kept")
		got := protocol.Elements([][]byte{keep}, []byte(tt.array))
		if len(got) != 1+len(tt.want) || string(got[0]) != "kept" {
			t.Errorf("Elements(%.40q) = %q, want %q", tt.array, got, tt.want)
			continue
		}
		for i, want := range tt.want {
			if string(got[1+i]) != want {
				t.Errorf("Elements(%.40q)[%d] = %q, want %q", tt.array, i, got[1+i], want)
			}
		}
	}
	if got := protocol.Elements(nil, nil); got != nil {
		t.Errorf("Elements(nil, nil) = %q, want nil", got)
	}
}

// On any input Elements does what encoding/json does, or nothing.
func TestElementsOfAnything(t *testing.T) {
	for _, v := range values() {
		var want []json.RawMessage
		if json.Unmarshal([]byte(v), &want) != nil || !utf8.ValidString(v) {
			want = nil
		}
		if got := protocol.Elements(nil, []byte(v)); len(got) != len(want) {
			t.Errorf("Elements(%q) = %q, want %q", v, got, want)
		}
	}
}

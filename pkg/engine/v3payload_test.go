package engine

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// payloadsV3 are payloads of protocol 3 as the reference's encoder makes them: text for a
// client that wants base64, and binary, if not the same, for one that does not.
func payloadsV3() []struct {
	name         string
	msgs         []*Message
	text, binary string
} {
	x120 := strings.Repeat("x", 120)
	return []struct {
		name         string
		msgs         []*Message
		text, binary string
	}{
		{"one", []*Message{newText("hello")}, "6:4hello", ""},
		{
			"several",
			[]*Message{newText("test1"), newText("test2"), newText("test3")},
			"6:4test16:4test26:4test3", "",
		},
		{
			"text and binary",
			[]*Message{newText("hello"), NewBinary([]byte{1, 2, 3, 4})},
			"6:4hello10:b4AQIDBA==", "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04",
		},
		{ // V3-009
			"multibyte and binary",
			[]*Message{newText("€€€€"), NewBinary([]byte{1, 2, 3})},
			"5:4€€€€6:b4AQID", "\x00\x01\x03\xff4€€€€\x01\x04\xff\x04\x01\x02\x03",
		},
		{"surrogate pairs", []*Message{newText("😀"), newText("a😀é漢")}, "3:4😀6:4a😀é漢", ""},
		{
			"surrogate pairs and binary",
			[]*Message{newText("a😀é漢"), NewBinary([]byte{255})},
			"6:4a😀é漢6:b4/w==", "\x00\x01\x01\xff4a😀é漢\x01\x02\xff\x04\xff",
		},
		{"empty messages", []*Message{newText(""), NewBinary(nil)}, "1:42:b4", "\x00\x01\xff4\x01\x01\xff\x04"},
		{"noop", []*Message{noopPacket}, "1:6", ""},
		{"noop and close", []*Message{noopPacket, closePacket}, "1:61:1", ""},
		{"pong", []*Message{pongPacket}, "1:3", ""},
		{"a payload inside", []*Message{newText("3:4ab")}, "6:43:4ab", ""},
		{"base64 inside", []*Message{newText("b4AQ==")}, "7:4b4AQ==", ""},
		{
			"three digits",
			[]*Message{newText(x120), NewBinary([]byte{255})},
			"121:4" + x120 + "6:b4/w==", "\x00\x01\x02\x01\xff4" + x120 + "\x01\x02\xff\x04\xff",
		},
		{"end of length inside", []*Message{NewBinary([]byte{0, 255, 1, 3, 255})}, "10:b4AP8BA/8=", "\x01\x06\xff\x04\x00\xff\x01\x03\xff"},
	}
}

func newText(s string) *Message { return NewText([]byte(s)) }

// clone returns what p is as a message, in memory of its own.
func (p packet) clone() *Message {
	if !p.binary {
		return newPacket(p.kind, bytes.Clone(p.data))
	}
	m := NewBinary(bytes.Clone(p.data))
	m.kind = p.kind
	return m
}

// readPayload returns the packets up to the first error.
func readPayload(r payloadReader) ([]*Message, error) {
	var msgs []*Message
	for {
		p, ok, err := r.next()
		if !ok {
			return msgs, err
		}
		msgs = append(msgs, p.clone())
	}
}

func sameMessages(a, b []*Message) bool {
	return slices.EqualFunc(a, b, func(x, y *Message) bool {
		return x.kind == y.kind && x.bin == y.bin && bytes.Equal(x.payload(), y.payload())
	})
}

// V3-001, V3-002, V3-003, V3-004, V3-008: every payload, both ways and in both forms.
func TestPayloadV3(t *testing.T) {
	text, binary := dialect{v3: true, base64: true}, dialect{v3: true}
	for _, tt := range payloadsV3() {
		check := func(d dialect, contentType, wire string) {
			t.Helper()
			if got := d.payloadType(tt.msgs); got != contentType {
				t.Errorf("%s: type %q, want %q", tt.name, got, contentType)
			}
			got := string(d.appendPayload([]byte("before"), tt.msgs))
			if got != "before"+wire {
				t.Errorf("%s: encoded %q, want %q", tt.name, got[6:], wire)
			}
			if n := d.payloadLen(tt.msgs); n != len(wire) {
				t.Errorf("%s: announced %d bytes, want %d", tt.name, n, len(wire))
			}
			msgs, err := readPayload(d.newPayloadReader([]byte(wire), contentType == contentBinary))
			if err != nil || !sameMessages(msgs, tt.msgs) {
				t.Errorf("%s: read %d packets from %q, %v", tt.name, len(msgs), wire, err)
			}
		}
		check(text, contentText, tt.text)
		if tt.binary == "" {
			check(binary, contentText, tt.text)
		} else {
			check(binary, contentBinary, tt.binary)
		}
	}
}

// What is cut off gives an error, or the packets before the cut.
func TestPayloadV3Prefixes(t *testing.T) {
	for _, tt := range payloadsV3() {
		for octets, wire := range map[bool]string{false: tt.text, true: tt.binary} {
			for n := range len(wire) {
				msgs, err := readPayload(dialect{v3: true}.newPayloadReader([]byte(wire[:n]), octets))
				whole := len(msgs) < len(tt.msgs) && sameMessages(msgs, tt.msgs[:len(msgs)])
				if !whole || err != nil && !errors.Is(err, errMalformed) {
					t.Errorf("%s: read %d packets from %q, %v", tt.name, len(msgs), wire[:n], err)
				}
			}
		}
	}
}

// What is no payload, and how many packets are read before that is found out.
func TestPayloadV3Malformed(t *testing.T) {
	tests := []struct {
		octets bool
		wire   string
		before int
	}{
		{false, "", 0},
		{false, "abc", 0},
		{false, ":4", 0},
		{false, "6", 0},
		{false, "6:4hell", 0},
		{false, "6:4hello5", 1},
		{false, "6:4hello1:", 1},
		{false, "6:4hello\x1e6:4hello", 1}, // protocol 4
		{false, "4hello", 0},
		{false, "-1:4", 0},
		{false, "+1:4", 0},
		{false, " 1:4", 0},
		{false, "1.0:4", 0},
		{false, "1e0:4", 0},
		{false, "18446744073709551617:4", 0}, // 2^64 + 1
		{false, "1:7", 0},
		{false, "1:x", 0},
		{false, "1:b", 0},
		{false, "2:b9", 0},
		{false, "4:b4A=", 0},
		{false, "2:4😀", 0}, // half a surrogate pair
		{false, "2:4😀1:6", 0},
		{false, "4:4😀", 0},
		{false, "6:4hello2:4\xff", 1},
		{false, "2:4\xed\xa0\x80", 0},      // a surrogate is not UTF-8
		{false, "2:4\xe2\x82", 0},          // cut off inside a character
		{false, "1:4\x80", 0},              // nor does a character begin so
		{false, "3:4\xf0\x9f\x98", 0},      //
		{false, "\x00\x06\xff4hello", 0},   // binary
		{true, "", 0},                      //
		{true, "6:4hello", 0},              // text
		{true, "\x02\x01\xff4", 0},         // neither
		{true, "\x00", 0},                  //
		{true, "\x00\x01", 0},              //
		{true, "\x00\xff4", 0},             // no digits
		{true, "\x00\x01\xff", 0},          //
		{true, "\x00\x00\xff", 0},          // empty
		{true, "\x01\x00\xff", 0},          //
		{true, "\x00\x0a\xff4", 0},         // no digit
		{true, "\x001\xff4", 0},            //
		{true, "\x00\x01\xff7", 0},         // no type
		{true, "\x01\x01\xff\x07", 0},      //
		{true, "\x01\x01\xff4", 0},         //
		{true, "\x00\x02\xff4\xff", 0},     // not UTF-8
		{true, "\x00\x01\xff4\x01\x02", 1}, // cut off
		{true, "\x00" + strings.Repeat("\x09", 400) + "\xff4", 0},
	}
	for _, tt := range tests {
		msgs, err := readPayload(dialect{v3: true}.newPayloadReader([]byte(tt.wire), tt.octets))
		if len(msgs) != tt.before || !errors.Is(err, errMalformed) {
			t.Errorf("%q: %d packets, %v, want %d and errMalformed", tt.wire, len(msgs), err, tt.before)
		}
	}
}

// What the reference's decoder reads although its encoder does not write it.
func TestPayloadV3Lenient(t *testing.T) {
	tests := []struct {
		octets bool
		wire   string
		want   []*Message
	}{
		{false, "06:4hello", []*Message{newText("hello")}},
		{false, "0:", []*Message{noopPacket}}, // no packets; a noop is nothing
		{false, "0:2:4a", []*Message{noopPacket, newText("a")}},
		{true, "\x00\x00\x01\xff4", []*Message{newText("")}},
		{true, "\x00\x06\xffb4AQ==", []*Message{NewBinary([]byte{1})}},
		{true, "\x01\x01\xff\x02", []*Message{packet{kind: packetPing, binary: true}.clone()}},
	}
	for _, tt := range tests {
		msgs, err := readPayload(dialect{v3: true}.newPayloadReader([]byte(tt.wire), tt.octets))
		if err != nil || !sameMessages(msgs, tt.want) {
			t.Errorf("%q: %d packets, %v, want %d", tt.wire, len(msgs), err, len(tt.want))
		}
	}
}

func TestUTF16Len(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "a": 1, "é": 1, "€": 1, "漢字": 2, "😀": 2, "👩‍👩‍👧": 8, "\U0010ffff": 2, "\uffff": 1, "\ufffd": 1, "a😀b": 4,
	} {
		if got := utf16Len([]byte(s)); got != want {
			t.Errorf("utf16Len(%q) = %d, want %d", s, got, want)
		}
	}
}

// A body is read without a panic, into packets that give the same packets again.
func FuzzPayloadV3(f *testing.F) {
	for _, tt := range payloadsV3() {
		f.Add([]byte(tt.text), false)
		f.Add([]byte(tt.binary), true)
	}
	f.Add([]byte("2:4😀"), false)
	f.Add([]byte("18446744073709551617:4"), false)
	f.Fuzz(func(t *testing.T, body []byte, octets bool) {
		msgs, err := readPayload(dialect{v3: true}.newPayloadReader(bytes.Clone(body), octets))
		if err == nil && len(msgs) == 0 {
			t.Errorf("%q is neither packets nor an error", body)
		}
		total := 0
		for _, m := range msgs {
			total += len(m.payload())
		}
		if total > len(body) {
			t.Errorf("%d bytes of packets from %d", total, len(body))
		}
		if len(msgs) == 0 {
			return
		}
		for _, d := range []dialect{{v3: true}, {v3: true, base64: true}} {
			wire := d.appendPayload(nil, msgs)
			again, err := readPayload(d.newPayloadReader(wire, d.payloadType(msgs) == contentBinary))
			if err != nil || !sameMessages(again, msgs) || d.payloadLen(msgs) != len(wire) {
				t.Errorf("%q became %q: %d packets, %v", body, wire, len(again), err)
			}
		}
	})
}

// Any text is as long as JavaScript says, and is found again in a payload.
func FuzzTextV3(f *testing.F) {
	f.Add("hello", "€")
	f.Add("😀😀", "\U0010ffff\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		if got, want := utf16Len([]byte(a)), len(utf16.Encode([]rune(a))); got != want {
			t.Errorf("utf16Len(%q) = %d, want %d", a, got, want)
		}
		msgs := []*Message{newText(a), newText(b)}
		d := dialect{v3: true}
		again, err := readPayload(d.newPayloadReader(d.appendPayload(nil, msgs), false))
		if err != nil || !sameMessages(again, msgs) {
			t.Errorf("%q, %q: %d packets, %v", a, b, len(again), err)
		}
	})
}

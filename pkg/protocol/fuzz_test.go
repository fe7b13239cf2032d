package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// Parse reads what the oracle reads, and the text Append makes of a packet is
// read as the same packet.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Wire))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		agree(t, text)
		if !bytes.Equal(text, before) {
			t.Fatalf("Parse wrote to its input: %q, was %q", text, before)
		}
		p, err := protocol.Parse(text, protocol.Limits{})
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("Parse(%q): %v, want ErrMalformed", text, err)
			}
			return
		}
		again := protocol.Append(nil, p)
		q, err := protocol.Parse(again, protocol.Limits{})
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%q was written as %q and read as\n%s, %v; want\n%s", text, again, show(q), err, show(p))
		}
		if p.Event != nil {
			if name, err := protocol.EventName(p.Event); err != nil || protocol.Reserved(name) {
				t.Fatalf("EventName(%q) = %q, %v", p.Event, name, err)
			}
		}
	})
}

// Valid is encoding/json.Valid for UTF-8, and on what is valid the helpers agree
// with encoding/json.
func FuzzValid(f *testing.F) {
	for _, v := range values() {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := protocol.Valid(text, 1<<30)
		want := json.Valid(text) && utf8.Valid(text)
		if want != (err == nil) {
			t.Fatalf("Valid(%q) = %v, want it to be valid: %v", text, err, want)
		}
		elements := protocol.Elements(nil, text)
		num, ok := protocol.Placeholder(text)
		name, nameErr := protocol.EventName(text)
		if !want {
			if elements != nil || ok || nameErr == nil {
				t.Fatalf("%q is not valid: Elements %q, Placeholder %v, EventName %q", text, elements, ok, name)
			}
			return
		}
		var list []json.RawMessage
		if json.Unmarshal(text, &list) == nil {
			for i := range elements {
				if i >= len(list) || !bytes.Equal(elements[i], list[i]) {
					t.Fatalf("Elements(%q) = %q, want %q", text, elements, list)
				}
			}
		}
		if len(elements) != len(list) {
			t.Fatalf("Elements(%q) = %q, want %q", text, elements, list)
		}
		marked := []byte(`51000000-["a",` + string(text) + `]`)
		if _, err := protocol.Parse(marked, protocol.Limits{MaxAttachments: 1_000_000, MaxDepth: 10000}); ok && num < 1_000_000 && err != nil {
			t.Fatalf("Placeholder(%q) = %d, but Parse says %v", text, num, err)
		}
		var s string
		if nameErr == nil && text[0] == '"' && (json.Unmarshal(text, &s) != nil || s != name) {
			t.Fatalf("EventName(%q) = %q, want %q", text, name, s)
		}
	})
}

// FuzzDecoder reads its input as messages separated by 0x1e: the first byte of
// each says text (t), binary (b) or reset (r). A model that keeps everything it was
// given must see what the Decoder sees, whose messages are overwritten at once.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("t2[\"a\"]\x1et52-[\"a\",{\"_placeholder\":true,\"num\":1}]\x1ebone\x1ebtwo"))
	f.Add([]byte("t51-[\"a\"]\x1et2[\"a\"]\x1ebx\x1et52-[\"b\"]\x1ebx\x1er\x1et0"))
	f.Add([]byte("t61-12[]\x1eb\x1ebx"))
	f.Fuzz(func(t *testing.T, script []byte) {
		lim := protocol.Limits{MaxBytes: 64}
		d := protocol.NewDecoder(lim)
		var header []byte
		var parts [][]byte
		for message := range bytes.SplitSeq(script, []byte{0x1e}) {
			if len(message) == 0 {
				continue
			}
			kind, body := message[0], bytes.Clone(message[1:])
			switch kind {
			case 't':
				want, err := protocol.Parse(body, lim)
				waits := len(body) > 0 && (body[0] == '5' || body[0] == '6')
				bad := err != nil || header != nil || waits && len(body) > lim.MaxBytes
				check(t, d, body, want, bad)
				if header = nil; !bad && want.Attachments > 0 {
					header, parts = bytes.Clone(message[1:]), nil
				}
			case 'b':
				p, got, complete, err := d.Binary(body)
				parts = append(parts, message[1:])
				size := len(header)
				for _, part := range parts {
					size += len(part)
				}
				if bad := header == nil || size > lim.MaxBytes; bad != (err != nil) {
					t.Fatalf("Binary(%q) after %q and %q: %v, want an error: %v", body, header, parts, err, bad)
				}
				if err != nil {
					header, parts = nil, nil
					continue
				}
				want, _ := protocol.Parse(header, lim)
				if complete != (len(parts) == want.Attachments) {
					t.Fatalf("%d of %d attachments: complete %v", len(parts), want.Attachments, complete)
				}
				if complete {
					if !reflect.DeepEqual(p, want) || !equal(got, parts) {
						t.Fatalf("got %s %q\nwant %s %q", show(p), got, show(want), parts)
					}
					header, parts = nil, nil
				}
				scribble(body)
			case 'r':
				d.Reset()
				header, parts = nil, nil
			}
		}
	})
}

// check gives body to d and overwrites it afterwards if d waits for attachments.
func check(t *testing.T, d *protocol.Decoder, body []byte, want protocol.Packet, bad bool) {
	t.Helper()
	p, complete, err := d.Text(body)
	if bad != (err != nil) || err != nil && !errors.Is(err, protocol.ErrMalformed) {
		t.Fatalf("Text(%q): %v, want an error: %v", body, err, bad)
	}
	if err != nil {
		return
	}
	if complete != (want.Attachments == 0) || complete && !reflect.DeepEqual(p, want) {
		t.Fatalf("Text(%q) = %s, complete %v; want %s", body, show(p), complete, show(want))
	}
	if !complete {
		scribble(body)
	}
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

package engine

import (
	"bytes"
	"errors"
	"testing"
)

// EPA-001, POL-004, EPA-004: the polling form of every packet, both ways.
func TestPacketPollingForm(t *testing.T) {
	tests := []struct {
		name string
		wire string
		msg  *Message
	}{
		{"open", `0{"sid":"x"}`, newPacket(packetOpen, []byte(`{"sid":"x"}`))},
		{"close", "1", closePacket},
		{"ping", "2", pingPacket},
		{"pong probe", "3probe", probeReply},
		{"message", "4hello", NewText([]byte("hello"))},
		{"empty message", "4", NewText(nil)},
		{"message starting with b", "4bAQ==", NewText([]byte("bAQ=="))},
		{"multibyte", "4€ 漢字 😀", NewText([]byte("€ 漢字 😀"))},
		{"upgrade", "5", newPacket(packetUpgrade, nil)},
		{"noop", "6", noopPacket},
		{"binary", "bAQIDBA==", NewBinary([]byte{1, 2, 3, 4})},
		{"empty binary", "b", NewBinary(nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.msg.pollingText()); got != tt.wire {
				t.Errorf("encoded %q, want %q", got, tt.wire)
			}
			p, err := parsePolling([]byte(tt.wire))
			if err != nil {
				t.Fatalf("parse %q: %v", tt.wire, err)
			}
			want := tt.msg.frame[tt.msg.head:]
			if !tt.msg.bin {
				want = want[1:]
			}
			if p.kind != tt.msg.kind || p.binary != tt.msg.bin || !bytes.Equal(p.data, want) {
				t.Errorf("parsed %v %v %q, want %v %v %q", p.kind, p.binary, p.data, tt.msg.kind, tt.msg.bin, want)
			}
		})
	}
}

// EPA-002: what is no packet.
func TestPacketMalformed(t *testing.T) {
	for _, wire := range []string{"", "7", "/", "abc", " 4", "bA", "bA===", "b****", "b AQ==", "4\xff", "\xff"} {
		if p, err := parsePolling([]byte(wire)); !errors.Is(err, errMalformed) {
			t.Errorf("parse %q = %v, %v, want errMalformed", wire, p, err)
		}
	}
}

// EPA-003, POL-002: packets in order, up to the first bad one.
func TestPayload(t *testing.T) {
	tests := []struct {
		body string
		want []string
		bad  bool
	}{
		{"4a", []string{"4a"}, false},
		{"4a\x1e4b\x1eb\x1e2", []string{"4a", "4b", "b", "2"}, false},
		{"", nil, true}, // POL-006
		{"4a\x1e", []string{"4a"}, true},
		{"\x1e4a", nil, true},
		{"4a\x1e9\x1e4b", []string{"4a"}, true},
	}
	for _, tt := range tests {
		r := newPayloadReader([]byte(tt.body))
		var got []string
		var err error
		for ok := true; ok; {
			var p packet
			if p, ok, err = r.next(); ok {
				m := newPacket(p.kind, p.data)
				if p.binary {
					m = NewBinary(p.data)
				}
				got = append(got, string(m.pollingText()))
			}
		}
		if len(got) != len(tt.want) || (err != nil) != tt.bad {
			t.Errorf("payload %q = %q, %v, want %q, bad %v", tt.body, got, err, tt.want, tt.bad)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("payload %q packet %d = %q, want %q", tt.body, i, got[i], tt.want[i])
			}
		}
		if _, ok, err := r.next(); ok || err != nil {
			t.Errorf("payload %q goes on after its end", tt.body)
		}
	}
}

func FuzzPayload(f *testing.F) {
	for _, s := range []string{"", "4a", "4a\x1e4b\x1ebAQIDBA==\x1e1", "b", "\x1e", "2probe\x1e3", "4\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newPayloadReader(body)
		var msgs []*Message
		for {
			p, ok, err := r.next()
			if err != nil {
				return
			}
			if !ok {
				break
			}
			if p.binary {
				msgs = append(msgs, NewBinary(p.data))
			} else {
				msgs = append(msgs, newPacket(p.kind, p.data))
			}
		}
		again := appendPayload(nil, msgs)
		if payloadLen(msgs) != len(again) {
			t.Errorf("payloadLen %d, length %d", payloadLen(msgs), len(again))
		}
		// Base64 admits line ends and unused bits, so compare after one normalisation.
		if !bytes.Contains(body, []byte{'b'}) && !bytes.Equal(again, body) {
			t.Errorf("%q became %q", body, again)
		}
	})
}

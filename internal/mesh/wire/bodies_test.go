package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

var packets = []struct {
	name, wire string
	packet     Packet
}{
	{"event", "\x00[\"a\"]", Packet{JSON: []byte(`["a"]`)}},
	{
		"attachments", "\x02\x01x\x00[\"a\",{\"_placeholder\":true,\"num\":0}]",
		Packet{JSON: []byte(`["a",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{[]byte("x"), {}}},
	},
}

func TestPacketVectors(t *testing.T) {
	for _, tc := range packets {
		if got := AppendPacket(nil, tc.packet); string(got) != tc.wire {
			t.Errorf("%s encoded: got %q, want %q", tc.name, got, tc.wire)
		}
		got, err := ParsePacket([]byte(tc.wire), nil)
		if err != nil || !reflect.DeepEqual(got, tc.packet) {
			t.Errorf("%s parsed: got %q and %v, want %q", tc.name, got, err, tc.packet)
		}
		for n := range len(tc.wire) - len(tc.packet.JSON) + 1 {
			if _, err := ParsePacket([]byte(tc.wire[:n]), nil); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d bytes: got %v, want ErrMalformed", tc.name, n, err)
			}
		}
	}
	if _, err := ParsePacket([]byte("\xff\xff\xff\xff\x0f[]"), nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("more attachments than bytes: got %v, want ErrMalformed", err)
	}
}

var lists = []struct {
	name, wire string
	list       []string
}{
	{"none", "\x00", nil},
	{"one empty", "\x01\x00", []string{""}},
	{"two", "\x02\x05lobby\x02\xc3\xa9", []string{"lobby", "é"}},
}

func TestStringsVectors(t *testing.T) {
	for _, tc := range lists {
		if got := AppendStrings(nil, tc.list); string(got) != tc.wire {
			t.Errorf("%s encoded: got %q, want %q", tc.name, got, tc.wire)
		}
		got, err := ParseStrings([]byte(tc.wire))
		if err != nil || !reflect.DeepEqual(got, tc.list) {
			t.Errorf("%s parsed: got %q and %v, want %q", tc.name, got, err, tc.list)
		}
		for n := range tc.wire {
			if _, err := ParseStrings([]byte(tc.wire[:n])); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d bytes: got %v, want ErrMalformed", tc.name, n, err)
			}
		}
		if _, err := ParseStrings([]byte(tc.wire + "x")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s and one byte: got %v, want ErrMalformed", tc.name, err)
		}
	}
}

func TestSelectorVectors(t *testing.T) {
	for _, rooms := range lists {
		for _, except := range lists {
			want := Selector{Rooms: rooms.list, Except: except.list}
			b := AppendSelector(nil, want)
			if string(b) != rooms.wire+except.wire {
				t.Errorf("encoded: got %q, want %q", b, rooms.wire+except.wire)
			}
			got, rest, err := ParseSelector(append(b, "packet"...))
			if err != nil || string(rest) != "packet" || !reflect.DeepEqual(got, want) {
				t.Errorf("parsed: got %q, rest %q and %v, want %q", got, rest, err, want)
			}
			for n := range b {
				if _, _, err := ParseSelector(b[:n]); !errors.Is(err, ErrMalformed) {
					t.Errorf("%q: got %v, want ErrMalformed", b[:n], err)
				}
			}
		}
	}
}

func TestStringsView(t *testing.T) {
	view, err := ReadStrings([]byte("\x02\x05lobby\x01a"))
	if err != nil || view.Len() != 2 {
		t.Fatalf("got %d strings and %v, want 2", view.Len(), err)
	}
	for range 2 { // each pass walks a copy
		walk := view
		var got []string
		for s, more := walk.Next(); more; s, more = walk.Next() {
			got = append(got, string(s))
		}
		if want := []string{"lobby", "a"}; !reflect.DeepEqual(got, want) || walk.Len() != 0 {
			t.Errorf("got %q and %d left, want %q", got, walk.Len(), want)
		}
	}
}

func TestBodyAllocs(t *testing.T) {
	body := AppendSelector(nil, Selector{Rooms: []string{"a", "b"}, Except: []string{"c"}})
	packet := AppendPacket(nil, packets[1].packet)
	reuse := make([][]byte, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		rooms, _, _, _ := ReadSelector(body)
		for _, more := rooms.Next(); more; _, more = rooms.Next() {
			continue
		}
		_, _ = ParsePacket(packet, reuse)
		packet = AppendPacket(packet[:0], packets[1].packet)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzPacket(f *testing.F) {
	for _, tc := range packets {
		f.Add([]byte(tc.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b, nil)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		if got := AppendPacket(nil, p); !bytes.Equal(got, b) {
			t.Fatalf("encoded again: got %x, want %x", got, b)
		}
	})
}

func FuzzLists(f *testing.F) {
	for _, tc := range lists {
		f.Add([]byte(tc.wire + tc.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, err := ParseSelector(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		if got := AppendSelector(nil, s); !bytes.Equal(got, b[:len(b)-len(rest)]) {
			t.Fatalf("encoded again: got %x, want %x", got, b)
		}
	})
}

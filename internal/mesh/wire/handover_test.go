package wire

import (
	"errors"
	"slices"
	"testing"
)

func TestAttachVectors(t *testing.T) {
	body := append(AppendAttach(nil, []string{"a", "\xff"}), "connect"...)
	if want := "\x02\x01a\x01\xffconnect"; string(body) != want {
		t.Errorf("got %q, want %q", body, want)
	}
	rooms, connect, err := ReadAttach(body)
	if !slices.Equal(rooms, []string{"a", "\xff"}) || string(connect) != "connect" || err != nil {
		t.Errorf("got %q, %q, %v", rooms, connect, err)
	}
	for _, bad := range []string{"", "\x01", "\x02\x01a"} {
		if _, _, err := ReadAttach([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", bad, err)
		}
	}
}

func TestDetachedVectors(t *testing.T) {
	want := []Event{{ID: []byte("12"), Packet: []byte("\x00[\"a\"]")}, {Packet: []byte("\x01\x01x[]")}}
	body := AppendDetached(nil, want)
	if wire := "\x04\x0212\x06\x00[\"a\"]\x00\x05\x01\x01x[]"; string(body) != wire {
		t.Errorf("got %q, want %q", body, wire)
	}
	got, err := ParseDetached(body)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %q, %v", got, err)
	}
	for i, e := range got {
		if string(e.ID) != string(want[i].ID) || string(e.Packet) != string(want[i].Packet) {
			t.Errorf("event %d: got %q, want %q", i, e, want[i])
		}
	}
	if got, err := ParseDetached(AppendDetached(nil, nil)); len(got) != 0 || err != nil {
		t.Errorf("none: got %q, %v", got, err)
	}
	for n := range body {
		if _, err := ParseDetached(body[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", body[:n], err)
		}
	}
	for _, bad := range []string{"\x01\x00", "\x02\x00\x00", "\x02\x01a\x03\x00[]", string(body) + "x"} {
		if _, err := ParseDetached([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", bad, err)
		}
	}
}

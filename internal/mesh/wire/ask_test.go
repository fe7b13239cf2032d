package wire

import (
	"errors"
	"testing"
	"time"
)

func TestAskVectors(t *testing.T) {
	const want = "\x01\x01a\x00\xe8\x07[]"
	body := append(AppendAsk(nil, Selector{Rooms: []string{"a"}}, 999*time.Millisecond+time.Microsecond), "[]"...)
	if string(body) != want {
		t.Errorf("got %q, want %q", body, want)
	}
	rooms, except, within, packet, err := ReadAsk(body)
	if err != nil || rooms.Len() != 1 || except.Len() != 0 || within != time.Second || string(packet) != "[]" {
		t.Errorf("got %d rooms, %d excepted, %v, %q, %v", rooms.Len(), except.Len(), within, packet, err)
	}
	for _, bad := range []string{"", "\x00", "\x00\x00", "\x00\x00\x00", "\x00\x00\xff\xff\xff\xff\x0f"} {
		if _, _, _, _, err := ReadAsk([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", bad, err)
		}
	}
	for within, want := range map[time.Duration]time.Duration{-1: time.Millisecond, 100 * maxAsk: maxAsk} {
		if _, _, got, _, err := ReadAsk(AppendAsk(nil, Selector{}, within)); err != nil || got != want {
			t.Errorf("%v: got %v, %v, want %v", within, got, err, want)
		}
	}
}

func TestReplyVectors(t *testing.T) {
	body := append(AppendReply(nil, "id"), "[1]"...)
	if want := "\x01\x02id[1]"; string(body) != want {
		t.Errorf("got %q, want %q", body, want)
	}
	if id, packet, err := ReadReply(body); id != "id" || string(packet) != "[1]" || err != nil {
		t.Errorf("got %q, %q, %v", id, packet, err)
	}
	for _, bad := range []string{"", "\x00[1]", "\x02\x01a\x01b[1]", "\x01\x05a"} {
		if _, _, err := ReadReply([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", bad, err)
		}
	}
}

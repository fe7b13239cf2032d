package engine

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// client returns the bytes of masked frames.
func client(frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for i, f := range frames {
		_ = ws.WriteFrame(&b, ws.MaskFrameWith(f, [4]byte{1, 2, byte(i), 0xfe})) // a Buffer takes everything
	}
	return b.Bytes()
}

func part(op ws.OpCode, fin bool, payload string) ws.Frame {
	return ws.NewFrame(op, fin, []byte(payload))
}

// readFrames feeds wire in pieces of the given size and describes what is found.
func readFrames(wire []byte, size, limit int) (found []string, err error) {
	f := frameReader{limit: int64(limit)}
	wire = bytes.Clone(wire)
	for len(wire) > 0 {
		p := wire[:min(size, len(wire))]
		wire = wire[len(p):]
		for len(p) > 0 {
			n, fr, err := f.next(p)
			if err != nil {
				return found, err
			}
			p = p[n:]
			if !fr.found {
				break
			}
			found = append(found, fmt.Sprintf("%d:%s", fr.op, fr.payload))
		}
	}
	return found, nil
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 300)
	huge := strings.Repeat("y", 70_000)
	tests := []struct {
		name string
		wire []byte
		want []string
	}{
		{"text", client(ws.NewTextFrame([]byte("4hello"))), []string{"1:4hello"}},
		{"empty", client(ws.NewTextFrame(nil), ws.NewBinaryFrame(nil)), []string{"1:", "2:"}},
		{"lengths", client(ws.NewTextFrame([]byte(long)), ws.NewBinaryFrame([]byte(huge))), []string{"1:" + long, "2:" + huge}},
		{
			"fragments with control frames between",
			client(part(ws.OpText, false, "4he"), ws.NewPingFrame([]byte("p")), part(ws.OpContinuation, false, ""),
				ws.NewPongFrame(nil), part(ws.OpContinuation, true, "llo"), ws.NewTextFrame([]byte("2"))),
			[]string{"9:p", "10:", "1:4hello", "1:2"},
		},
		{
			"character split over fragments",
			client(part(ws.OpText, false, "4\xe2"), part(ws.OpContinuation, true, "\x82\xac")),
			[]string{"1:4€"},
		},
		{"close", client(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))), []string{"8:\x03\xe8bye"}},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 2, 3, 7, 100, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, size), func(t *testing.T) {
				got, err := readFrames(tt.wire, size, 100_000)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("got %.200q, %v, want %.200q", got, err, tt.want)
				}
			})
		}
	}
}

func TestFrameErrors(t *testing.T) {
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("4a")))
	rsv := client(ws.NewTextFrame([]byte("4a")))
	rsv[0] |= 0x40
	tests := []struct {
		name string
		wire []byte
		code ws.StatusCode
	}{
		{"unmasked", unmasked, ws.StatusProtocolError},
		{"reserved bit", rsv, ws.StatusProtocolError},
		{"reserved opcode", client(part(3, true, "")), ws.StatusProtocolError},
		{"fragmented control", client(part(ws.OpPing, false, "")), ws.StatusProtocolError},
		{"long control", client(part(ws.OpPing, true, strings.Repeat("x", 126))), ws.StatusProtocolError},
		{"continuation of nothing", client(part(ws.OpContinuation, true, "")), ws.StatusProtocolError},
		{"message inside message", client(part(ws.OpText, false, "4"), ws.NewTextFrame(nil)), ws.StatusProtocolError},
		{"negative length", []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, ws.StatusProtocolError},
		{"too big", client(ws.NewTextFrame(make([]byte, 1001))), ws.StatusMessageTooBig},
		{
			"too big in fragments",
			client(part(ws.OpBinary, false, strings.Repeat("x", 600)), part(ws.OpContinuation, true, strings.Repeat("x", 401))),
			ws.StatusMessageTooBig,
		},
		{"announced far too big", []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, ws.StatusMessageTooBig},
		{"not UTF-8", client(ws.NewTextFrame([]byte("4\xff"))), ws.StatusInvalidFramePayloadData},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 1 << 20} {
			got, err := readFrames(tt.wire, size, 1000)
			if err == nil || closeCode(err) != tt.code {
				t.Errorf("%s in pieces of %d: %q, %v, want code %d", tt.name, size, got, err, tt.code)
			}
		}
	}
}

// A message of exactly the limit passes; a million fragments cost no more than their bytes.
func TestFrameMemoryIsBounded(t *testing.T) {
	if got, err := readFrames(client(ws.NewBinaryFrame(make([]byte, 1000))), 64, 1000); err != nil || len(got) != 1 {
		t.Errorf("message at the limit: %d found, %v", len(got), err)
	}
	f := frameReader{limit: 1000}
	first := client(part(ws.OpBinary, false, "x"))
	empty, full := client(part(ws.OpContinuation, false, "")), client(part(ws.OpContinuation, false, "x"))
	feed := func(b []byte) error {
		_, _, err := f.next(bytes.Clone(b))
		return err
	}
	if err := feed(first); err != nil {
		t.Fatal(err)
	}
	for range 100_000 {
		if err := feed(empty); err != nil {
			t.Fatal(err)
		}
	}
	if cap(f.msg) > 64 {
		t.Errorf("empty fragments took %d bytes", cap(f.msg))
	}
	var err error
	for range 1000 {
		if err = feed(full); err != nil {
			break
		}
	}
	if !errors.Is(err, errMessageTooBig) || cap(f.msg) > 2048 {
		t.Errorf("got %v with %d bytes kept, want errMessageTooBig within 2048", err, cap(f.msg))
	}
	// An announced length takes no memory by itself.
	g := frameReader{limit: 1 << 40}
	if _, _, err := g.next([]byte{0x82, 0xff, 0, 0, 0, 0x80, 0, 0, 0, 0, 1, 2, 3, 4, 9}); err != nil || cap(g.msg) > 64 {
		t.Errorf("announced 512 GiB: %v, %d bytes kept", err, cap(g.msg))
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(client(ws.NewTextFrame([]byte("4hello"))), uint8(3))
	f.Add(client(part(ws.OpText, false, "4he"), ws.NewPingFrame(nil), part(ws.OpContinuation, true, "llo")), uint8(1))
	f.Add(client(ws.NewCloseFrame(nil)), uint8(255))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(5))
	f.Fuzz(func(t *testing.T, wire []byte, size uint8) {
		whole, err1 := readFrames(wire, len(wire)+1, 500)
		pieces, err2 := readFrames(wire, int(size)+1, 500)
		if fmt.Sprint(whole) != fmt.Sprint(pieces) || fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Errorf("whole %q, %v; in pieces of %d %q, %v", whole, err1, int(size)+1, pieces, err2)
		}
		for _, fr := range whole {
			if len(fr) > 503 {
				t.Errorf("frame of %d bytes passed the limit", len(fr))
			}
		}
	})
}

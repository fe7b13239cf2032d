package engine

import (
	"bytes"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// WS-002, WS-003, WS-010: a frame holds exactly the bytes, whatever the length.
func TestMessageFrame(t *testing.T) {
	for _, n := range []int{0, 1, 123, 124, 125, 126, 1000, 65534, 65535, 65536, 100_000} {
		data := bytes.Repeat([]byte{'x'}, n)
		for name, m := range map[string]*Message{"text": NewText(bytes.Clone(data)), "binary": NewBinary(bytes.Clone(data))} {
			r := bytes.NewReader(m.frame)
			h, err := ws.ReadHeader(r)
			if err != nil {
				t.Fatalf("%s of %d: %v", name, n, err)
			}
			payload := m.frame[len(m.frame)-r.Len():]
			want, op := data, ws.OpBinary
			if name == "text" {
				want, op = append([]byte{'4'}, data...), ws.OpText
			}
			if h.OpCode != op || !h.Fin || h.Masked || h.Length != int64(len(want)) || !bytes.Equal(payload, want) {
				t.Errorf("%s of %d: header %+v with %d bytes, want %d", name, n, h, len(payload), len(want))
			}
			if m.Len() != len(m.frame) {
				t.Errorf("%s of %d: Len %d, frame %d", name, n, m.Len(), len(m.frame))
			}
		}
	}
}

// The polling form is built once and shared, also when sessions ask for it at once.
func TestMessageEncodesOnce(t *testing.T) {
	m := NewBinary([]byte{1, 2, 3, 4})
	forms := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range forms {
		wg.Go(func() { forms[i] = m.pollingText() })
	}
	wg.Wait()
	for i, f := range forms {
		if string(f) != "bAQIDBA==" || &f[0] != &forms[0][0] {
			t.Errorf("form %d is %q of its own", i, f)
		}
	}
	text := NewText([]byte("hi"))
	if &text.pollingText()[0] != &text.frame[text.head] {
		t.Error("text is held twice")
	}
}

package engine

import (
	"bytes"
	"errors"
	"net/url"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// V3-010: which query asks for what.
func TestDialectOf(t *testing.T) {
	for query, want := range map[string]dialect{
		"EIO=4":        {},
		"EIO=4&b64=1":  {base64: true},
		"EIO=3":        {v3: true},
		"EIO=3&b64=1":  {v3: true, base64: true},
		"EIO=3&b64=":   {v3: true},
		"":             {v3: true},
		"EIO=":         {v3: true},
		"EIO=5":        {v3: true},
		"EIO=04":       {v3: true},
		"EIO=4+":       {v3: true},
		"eio=4":        {v3: true},
		"EIO=2&EIO=4":  {v3: true},
		"EIO=abc&b64=": {v3: true},
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := dialectOf(q); got != want {
			t.Errorf("%q asks for %+v, want %+v", query, got, want)
		}
	}
	if d := (dialect{v3: true}); d.protocol() != 3 || (dialect{}).protocol() != 4 {
		t.Errorf("protocols are %d and %d, want 3 and 4", d.protocol(), dialect{}.protocol())
	}
}

// V3-005: the frames of every dialect, both ways.
func TestDialectFrames(t *testing.T) {
	v4, v4text := dialect{}, dialect{base64: true}
	v3, v3text := dialect{v3: true}, dialect{v3: true, base64: true}
	text, binary := newText("€ hi"), NewBinary([]byte{1, 2, 3, 4})
	tests := []struct {
		name    string
		d       dialect
		msg     *Message
		op      ws.OpCode
		payload string
	}{
		{"4 text", v4, text, ws.OpText, "4€ hi"},
		{"4 text, base64", v4text, text, ws.OpText, "4€ hi"},
		{"3 text", v3, text, ws.OpText, "4€ hi"},
		{"3 text, base64", v3text, text, ws.OpText, "4€ hi"},
		{"4 binary", v4, binary, ws.OpBinary, "\x01\x02\x03\x04"},
		{"4 binary, base64", v4text, binary, ws.OpText, "bAQIDBA=="},
		{"3 binary", v3, binary, ws.OpBinary, "\x04\x01\x02\x03\x04"},
		{"3 binary, base64", v3text, binary, ws.OpText, "b4AQIDBA=="},
		{"3 no bytes", v3, NewBinary(nil), ws.OpBinary, "\x04"},
		{"3 no bytes, base64", v3text, NewBinary(nil), ws.OpText, "b4"},
		{"3 length 125", v3, NewBinary(make([]byte, 124)), ws.OpBinary, "\x04" + string(make([]byte, 124))},
		{"3 length 126", v3, NewBinary(make([]byte, 125)), ws.OpBinary, "\x04" + string(make([]byte, 125))},
		{"3 length 65536", v3, NewBinary(make([]byte, 65535)), ws.OpBinary, "\x04" + string(make([]byte, 65535))},
	}
	for _, tt := range tests {
		frame := tt.d.frame(tt.msg)
		r := bytes.NewReader(frame)
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		payload := frame[len(frame)-r.Len():]
		if h.OpCode != tt.op || !h.Fin || h.Masked || h.Length != int64(len(payload)) || string(payload) != tt.payload {
			t.Errorf("%s: header %+v and %.40q, want %.40q", tt.name, h, payload, tt.payload)
		}
		parse := tt.d.parseText
		if tt.op == ws.OpBinary {
			parse = tt.d.parseBinary
		}
		p, err := parse(payload)
		if err != nil || !sameMessages([]*Message{p.clone()}, []*Message{tt.msg}) {
			t.Errorf("%s: read %v %.40q, %v", tt.name, p.kind, p.data, err)
		}
	}
}

// What no frame of protocol 3 holds.
func TestDialectMalformed(t *testing.T) {
	d := dialect{v3: true}
	for _, b := range []string{"", "7", "abc", "b", "b7", "bx", "b4*", "b4A", "b4\xff"} {
		if p, err := d.parseText([]byte(b)); !errors.Is(err, errMalformed) {
			t.Errorf("text %q = %v, %v, want errMalformed", b, p, err)
		}
	}
	for _, b := range []string{"", "\x07", "4", "\xff"} {
		if p, err := d.parseBinary([]byte(b)); !errors.Is(err, errMalformed) {
			t.Errorf("binary %q = %v, %v, want errMalformed", b, p, err)
		}
	}
}

// Each form is built once and shared, also when connections ask for all of them at once;
// text has the same frame everywhere.
func TestDialectsShareEncodings(t *testing.T) {
	dialects := []dialect{{}, {base64: true}, {v3: true}, {v3: true, base64: true}}
	m := NewBinary([]byte{1, 2, 3, 4})
	frames := make([][4][]byte, 8)
	var wg sync.WaitGroup
	for i := range frames {
		wg.Go(func() {
			for j, d := range dialects {
				frames[i][j] = d.frame(m)
			}
		})
	}
	wg.Wait()
	for i := range frames {
		for j, f := range frames[i] {
			if &f[0] != &frames[0][j][0] {
				t.Errorf("frame %d of %+v is its own", i, dialects[j])
			}
		}
	}
	text := newText("😀")
	for _, d := range dialects {
		if f := d.frame(text); &f[0] != &text.frame[0] {
			t.Errorf("text has another frame for %+v", d)
		}
		_ = d.appendPayload(nil, []*Message{text})
	}
	if text.forms.Load() != nil {
		t.Error("text is held twice")
	}
	if n := text.units.Load(); n != 3 {
		t.Errorf("text is %d units long, want 3 kept", n)
	}
}

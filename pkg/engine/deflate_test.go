package engine

import (
	"crypto/rand"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// allocated returns how many bytes have ever been allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// WS-012: what is agreed on.
func TestDeflateNegotiation(t *testing.T) {
	off, on := newEnv(t, Config{}, options{}), newEnv(t, Config{PerMessageDeflate: true}, options{})
	const agreed = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
	tests := []struct {
		name, offer string
		e           *env
		want        string
	}{
		{"off by default", offer, off, ""}, // WS-012
		{"not offered", "X-Other: y", on, ""},
		{"offered", offer, on, agreed}, // WS-012
		{"with no context", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover", on, agreed},
		{"another window", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10", on, ""},
		{"second choice", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, permessage-deflate", on, agreed},
		{"nonsense", "Sec-WebSocket-Extensions: permessage-deflate; color=blue", on, ""},
		{"another extension", "Sec-WebSocket-Extensions: x-webkit-deflate-frame", on, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, c := tt.e.shake("", tt.offer)
			wantShaken(t, res, c)
			if got := res.header.Get("Sec-Websocket-Extensions"); got != tt.want {
				t.Errorf("agreed on %q, want %q", got, tt.want)
			}
		})
	}
}

// zipped returns a compressed frame of a client.
func zipped(tb testing.TB, op ws.OpCode, payload string) ws.Frame {
	tb.Helper()
	b, err := newCompressor().message(nil, []byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	f := ws.NewFrame(op, true, b)
	f.Header.Rsv = rsv1
	return f
}

// unzipped reads a frame and returns its opcode, whether it was compressed, and what it holds.
func (c *wsClient) unzipped() (op ws.OpCode, compressed bool, payload string) {
	c.tb.Helper()
	f, err := c.read()
	if err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	if f.Header.Rsv == 0 {
		return f.Header.OpCode, false, string(f.Payload)
	}
	b, err := newCompressor().inflate(nil, f.Payload, 1<<30)
	if err != nil {
		c.tb.Fatal(err)
	}
	return f.Header.OpCode, f.Header.Rsv == rsv1, string(b)
}

// WS-012, WS-013: which messages are compressed.
func TestDeflateSends(t *testing.T) {
	long := strings.Repeat("payload ", 128) // of 1024 bytes
	noise := make([]byte, 300)
	_, _ = rand.Read(noise) // never fails
	e := newEnv(t, Config{PerMessageDeflate: true}, options{})
	small := newEnv(t, Config{PerMessageDeflate: true, PerMessageDeflateThreshold: 250}, options{})
	shared := text(long)
	tests := []struct {
		name    string
		e       *env
		offered bool
		m       *Message
		want    bool
	}{
		{"text of the threshold", e, true, text(long[1:]), true},                    // WS-012: with its type
		{"text below it", e, true, text(long[2:]), false},                           // WS-012
		{"binary", e, true, NewBinary([]byte(long)), true},                          // WS-012
		{"own threshold", small, true, text(strings.Repeat("x", 249)), true},        // WS-012
		{"below own threshold", small, true, text(strings.Repeat("x", 248)), false}, // WS-012
		{"not this message", e, true, text(long).NoCompress(), false},               // WS-012
		{"shared, compressed", e, true, shared, true},                               // WS-013: the ready frame is not used
		{"shared, as it is", e, false, shared, false},                               // WS-013: it is
		{"not worth it", small, true, NewBinary(noise), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			if tt.offered {
				lines = append(lines, offer)
			}
			res, c := tt.e.shake("", lines...)
			wantShaken(t, res, c)
			p := tt.e.accepted()
			for range 2 { // the second does not lean on the first
				if err := p.s.Send(tt.m); err != nil {
					t.Fatal(err)
				}
				op, compressed, payload := c.unzipped()
				if compressed != tt.want {
					t.Errorf("compressed: %v, want %v", compressed, tt.want)
				}
				wantOp := ws.OpText
				if tt.m.bin {
					wantOp = ws.OpBinary
				}
				if op != wantOp || payload != string(tt.m.payload()) {
					t.Errorf("got opcode %d with %d bytes, want %d with %d", op, len(payload), wantOp, len(tt.m.payload()))
				}
			}
		})
	}
	if first, second := shared.compressed(e.srv.zip), shared.compressed(small.srv.zip); &first.frame[0] != &second.frame[0] {
		t.Error("a shared message is compressed twice")
	}
	if n := testing.AllocsPerRun(100, func() { shared.compressed(e.srv.zip) }); n != 0 {
		t.Errorf("a shared message's compressed frame allocates %v times", n)
	}
}

// Only the usual forms are compressed: binary data for those that want it otherwise goes out
// as it is, text of protocol 3 is the same as of 4.
func TestDeflateOtherForms(t *testing.T) {
	e := newEnv(t, Config{PerMessageDeflate: true, PerMessageDeflateThreshold: 200, AllowEIO3: true}, options{})
	long := strings.Repeat("payload ", 128)
	for query, want := range map[string]string{"EIO=3": "\x04" + long, "EIO=4&b64=1": "b" + base64.StdEncoding.EncodeToString([]byte(long))} {
		res, c := e.shakeAt("/engine.io/?transport=websocket&"+query, offer)
		wantShaken(t, res, c)
		if err := e.accepted().s.Send(NewBinary([]byte(long)), text(long)); err != nil {
			t.Fatal(err)
		}
		if _, compressed, got := c.unzipped(); compressed || got != want {
			t.Errorf("%s: compressed %v, %d bytes, want %d as they are", query, compressed, len(got), len(want))
		}
		if _, compressed, got := c.unzipped(); !compressed || got != "4"+long {
			t.Errorf("%s: compressed %v, %d bytes of text", query, compressed, len(got))
		}
	}
}

// A compressed message arrives like any other, be it fragmented or between others.
func TestDeflateReceives(t *testing.T) {
	e := newEnv(t, Config{PerMessageDeflate: true}, echoing())
	res, c := e.shake("", offer)
	wantShaken(t, res, c)
	long := strings.Repeat("漢字 ", 5000)
	whole := zipped(t, ws.OpText, "4"+long)
	head, tail := whole, ws.NewFrame(ws.OpContinuation, true, whole.Payload[5:])
	head.Header.Fin, head.Header.Length, head.Payload = false, 5, whole.Payload[:5]
	c.write(zipped(t, ws.OpText, "4small"), ws.NewTextFrame([]byte("4plain")), zipped(t, ws.OpBinary, "bin\xff"),
		head, ws.NewPingFrame([]byte("between")), tail, zipped(t, ws.OpText, "4"), zipped(t, ws.OpBinary, ""))
	pongs := 0
	for _, want := range []string{"4small", "4plain", "bin\xff", "4" + long, "4", ""} {
		op, _, got := c.unzipped()
		if op == ws.OpPong {
			pongs++
			_, _, got = c.unzipped()
		}
		if got != want {
			t.Errorf("echo of %d bytes %.20q, want %d bytes %.20q", len(got), got, len(want), want)
		}
	}
}

// What is no compressed message ends the connection with the code for it.
func TestDeflateViolations(t *testing.T) {
	bomb := zipped(t, ws.OpText, "4"+strings.Repeat("x", 1000))
	garbage := ws.NewTextFrame([]byte("\xff\xff\xff\xff"))
	garbage.Header.Rsv = rsv1
	later := ws.NewFrame(ws.OpContinuation, true, nil)
	later.Header.Rsv = rsv1
	ping := ws.NewPingFrame(nil)
	ping.Header.Rsv = rsv1
	other := zipped(t, ws.OpText, "4x")
	other.Header.Rsv = rsv1 | 2
	on := newEnv(t, Config{PerMessageDeflate: true, MaxHTTPBufferSize: 1000}, options{})
	tests := []struct {
		name   string
		offer  string
		frames []ws.Frame
		code   ws.StatusCode // 0 = none
		reason Reason
	}{
		{"inflates beyond the limit", offer, []ws.Frame{bomb}, 1009, TransportError},
		{"no deflate", offer, []ws.Frame{garbage}, 1007, TransportError},
		{"not UTF-8", offer, []ws.Frame{zipped(t, ws.OpText, "4\xff")}, 1007, TransportError},
		{"unknown packet", offer, []ws.Frame{zipped(t, ws.OpText, "9")}, 0, ParseError},
		{"bit on a later frame", offer, []ws.Frame{part(ws.OpText, false, "4"), later}, 1002, TransportError},
		{"bit on a control frame", offer, []ws.Frame{ping}, 1002, TransportError},
		{"another bit", offer, []ws.Frame{other}, 1002, TransportError},
		{"not agreed on", "X-Other: y", []ws.Frame{zipped(t, ws.OpText, "4x")}, 1002, TransportError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, c := on.shake("", tt.offer)
			wantShaken(t, res, c)
			p := on.accepted()
			if _, err := c.conn.Write(client(append(tt.frames, ws.NewTextFrame([]byte("4not heard")))...)); err != nil {
				t.Fatal(err)
			}
			payload := ""
			if tt.code != 0 {
				payload = string([]byte{byte(tt.code >> 8), byte(tt.code)})
			}
			c.wantClose(payload)
			p.waitClosed(tt.reason)
			if got := p.messages(); len(got) != 0 {
				t.Errorf("heard %q", got)
			}
		})
	}
}

package engine

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// The open packet of protocol 3 does not come at once, or some clients would miss it.
func TestWebSocketV3OpensLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{AllowEIO3: true}, options{})
		for query, want := range map[string]time.Duration{"EIO=3": openDelayV3, "EIO=4": 0} {
			c, err := e.dialWS(t.Context(), query+"&transport=websocket")
			if err != nil {
				t.Fatal(err)
			}
			opened := time.Now()
			parseOpen(t, c.text())
			within(t, query, time.Since(opened), want, 1)
		}
	})
}

// What is sent over WebSocket and what comes back.
func TestWebSocketV3(t *testing.T) {
	cfg, o := echoV3()
	for _, kind := range []struct {
		name string
		env  *env
	}{{"socket", newEnv(t, cfg, o)}, {"tls", newEnv(t, cfg, options{tls: true, peer: o.peer})}} {
		tests := []struct {
			query string
			op    ws.OpCode
			sent  string
			gotOp ws.OpCode
			got   string
		}{
			{"EIO=3", ws.OpText, "4hello €😀", ws.OpText, "4hello €😀"},
			{"EIO=3", ws.OpBinary, "\x04\x01\x02\x03\x04", ws.OpBinary, "\x04\x01\x02\x03\x04"}, // V3-005
			{"EIO=3", ws.OpBinary, "\x04", ws.OpBinary, "\x04"},
			{"EIO=3", ws.OpText, "b4AQIDBA==", ws.OpBinary, "\x04\x01\x02\x03\x04"},
			{"EIO=3&b64=1", ws.OpText, "b4AQIDBA==", ws.OpText, "b4AQIDBA=="},
			{"EIO=3&b64=1", ws.OpBinary, "\x04\x01", ws.OpText, "b4AQ=="},
			{"EIO=4&b64=1", ws.OpText, "bAQIDBA==", ws.OpText, "bAQIDBA=="}, // CLI-016
			{"EIO=4&b64=1", ws.OpBinary, "\x01", ws.OpText, "bAQ=="},
			{"EIO=4", ws.OpText, "bAQIDBA==", ws.OpBinary, "\x01\x02\x03\x04"},
			{"EIO=4", ws.OpBinary, "\x04\x01", ws.OpBinary, "\x04\x01"},
		}
		for _, tt := range tests {
			c, err := kind.env.dialWS(t.Context(), tt.query+"&transport=websocket")
			if err != nil {
				t.Fatal(err)
			}
			parseOpen(t, c.text())
			c.write(ws.NewFrame(tt.op, true, []byte(tt.sent)))
			if got := c.want(tt.gotOp); got != tt.got {
				t.Errorf("%s: %s: %q came back as %q, want %q", kind.name, tt.query, tt.sent, got, tt.got)
			}
		}
	}
}

// Frames that end the session.
func TestWebSocketV3ParseError(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{})
	for _, f := range []ws.Frame{
		ws.NewTextFrame([]byte("abc")), ws.NewTextFrame(nil), ws.NewTextFrame([]byte("b4*")), ws.NewTextFrame([]byte("b9AA")),
		ws.NewBinaryFrame(nil), ws.NewBinaryFrame([]byte("\x07")), ws.NewBinaryFrame([]byte("4hello")),
	} {
		c, p := e.openWSV3()
		c.write(f)
		c.wantClose("")
		p.waitClosed(ParseError)
	}
}

// One message to sessions of every dialect and transport: each gets its own form of it.
func TestSharedMessageInEveryDialect(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{})
	shared := []*Message{newText("€"), NewBinary([]byte{1, 2})}
	for _, tt := range []struct {
		query, text, binary string
		op                  ws.OpCode
	}{
		{"EIO=4", "4€", "\x01\x02", ws.OpBinary},
		{"EIO=3", "4€", "\x04\x01\x02", ws.OpBinary},
		{"EIO=3&b64=1", "4€", "b4AQI=", ws.OpText},
	} {
		c, err := e.dialWS(t.Context(), tt.query+"&transport=websocket")
		if err != nil {
			t.Fatal(err)
		}
		parseOpen(t, c.text())
		if err := e.accepted().s.Send(shared...); err != nil {
			t.Fatal(err)
		}
		if got := c.text(); got != tt.text {
			t.Errorf("%s: got %q, want %q", tt.query, got, tt.text)
		}
		if got := c.want(tt.op); got != tt.binary {
			t.Errorf("%s: got %q, want %q", tt.query, got, tt.binary)
		}
	}
	for _, tt := range []struct {
		c    *poller
		want string
	}{
		{e.openPolling(), "4€\x1ebAQI="},
		{e.openPollingV3(""), "\x00\x04\xff4€\x01\x03\xff\x04\x01\x02"},
		{e.openPollingV3("&b64=1"), "2:4€6:b4AQI="},
	} {
		if err := tt.c.p.s.Send(shared...); err != nil {
			t.Fatal(err)
		}
		tt.c.wantGet(200, tt.want)
	}
}

// Many frames in one send arrive whole and in order, whether the kernel takes them or not.
func TestWebSocketV3Batches(t *testing.T) {
	var msgs []*Message
	for i := range 300 {
		msgs = append(msgs, NewBinary(bytes.Repeat([]byte{byte(i)}, i*7)), newText(fmt.Sprint(i)))
	}
	for name, e := range map[string]*env{
		"socket": newEnv(t, Config{AllowEIO3: true}, options{}),
		"tls":    newEnv(t, Config{AllowEIO3: true}, options{tls: true}),
	} {
		c, p := e.openWSV3()
		if err := p.s.Send(msgs...); err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			if got, want := c.want(ws.OpBinary), "\x04"+string(msgs[2*i].payload()); got != want {
				t.Fatalf("%s: binary message %d is %.20q of %d bytes, want %d", name, i, got, len(got), len(want))
			}
			if got := c.text(); got != "4"+fmt.Sprint(i) {
				t.Fatalf("%s: text message %d is %q", name, i, got)
			}
		}
	}
}

// V3-008: the upgrade, from each kind of polling; what was queued goes on over WebSocket in
// its dialect.
func TestUpgradeV3(t *testing.T) {
	cfg, o := echoV3()
	e := newEnv(t, cfg, o)
	for _, query := range []string{"", "&b64=1"} {
		c := e.openPollingV3(query)
		get := c.goGet()
		w := c.probe()
		wantResponse(t, wait(t, get), 200, "1:6")
		if err := c.p.s.Send(newText("a"), NewBinary([]byte{1})); err != nil {
			t.Fatal(err)
		}
		w.send("5")
		w.send("4hello")
		if got := w.text() + w.want(ws.OpBinary) + w.text(); got != "4a\x04\x014hello" {
			t.Errorf("over the new transport came %q", got)
		}
		wantResponse(t, c.get(), http.StatusBadRequest, `{"code":3,"message":"Bad request"}`)
		second, err := e.dialWS(t.Context(), "EIO=3&transport=websocket&sid="+c.sid)
		if err != nil {
			t.Fatal(err)
		}
		second.wantClose("")
		w.sendBinary("\x04\x02")
		if got := w.want(ws.OpBinary); got != "\x04\x02" {
			t.Errorf("got %q", got)
		}
		if got := c.p.messages(); !slices.Equal(got, []string{"t:hello", "b:\x02"}) {
			t.Errorf("the handler heard %q", got)
		}
	}
	c := e.openPollingV3("") // the WebSocket's own request says how it wants binary data
	c.eio = "EIO=3&b64=1&"
	w := c.upgrade()
	w.sendBinary("\x04\x01")
	if got := w.text(); got != "b4AQ==" {
		t.Errorf("got %q", got)
	}
}

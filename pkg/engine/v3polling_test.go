package engine

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// echoV3 are a server of both protocols and what makes its handlers send everything back.
func echoV3() (Config, options) {
	return Config{AllowEIO3: true}, options{peer: func(p *peer) { p.echo = true }}
}

// V3-001: the handshake has the same fields, behind its length.
func TestHandshakeV3(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{accept: func(p *peer, _ *http.Request) error {
		if got := p.s.Protocol(); got != 3 {
			t.Errorf("Accept sees protocol %d, want 3", got)
		}
		return nil
	}})
	res := e.do(t.Context(), http.MethodGet, "EIO=3&transport=polling", "")
	open, rest := cutV3(t, res.body)
	if ct := res.header.Get("Content-Type"); res.status != 200 || rest != "" || ct != contentText {
		t.Errorf("%d %q, type %q", res.status, res.body, ct)
	}
	e.wantOpen(parseOpen(t, open), "websocket")
	c, err := e.dialWS(t.Context(), "EIO=3&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	e.wantOpen(parseOpen(t, c.text()))
}

// V3-010: no version, or another, is 3; a server of both still knows 4.
func TestHandshakeOtherVersions(t *testing.T) {
	cfg, o := echoV3()
	e := newEnv(t, cfg, o)
	for _, eio := range []string{"EIO=", "EIO=abc", "EIO=2", "EIO=5", "EIO=3&EIO=4"} {
		res := e.do(t.Context(), http.MethodGet, eio+"&transport=polling", "")
		open, _ := cutV3(t, res.body)
		p := e.accepted()
		if got := p.s.Protocol(); got != 3 {
			t.Errorf("%s: protocol %d, want 3", eio, got)
		}
		c := &poller{e: e, eio: eio + "&", sid: parseOpen(t, open).SID, p: p}
		c.wantPost("6:4hello")
		c.wantGet(200, "6:4hello")
		c.eio = "EIO=3&" // which is the same
		c.wantPost("6:4again")
		c.wantGet(200, "6:4again")
		w, err := e.dialWS(t.Context(), eio+"&transport=websocket")
		if err != nil {
			t.Fatalf("%s: %v", eio, err)
		}
		parseOpen(t, w.text())
		e.accepted()
	}
	c := e.openPolling()
	c.wantPost("4hello\x1ebAQ==")
	c.wantGet(200, "4hello\x1ebAQ==")
	if got := c.p.s.Protocol(); got != 4 {
		t.Errorf("protocol %d, want 4", got)
	}
	wantResponse(t, c.post("\x00\x01\xff4", "Content-Type", contentBinary), 400, "") // POL-016
}

// EIO-011, EIO-045: without AllowEIO3 there is only 4; with it every session keeps to its own.
func TestProtocolRefusals(t *testing.T) {
	type told struct {
		code int
		ctx  string
	}
	var mu sync.Mutex
	var refused []told // guarded by mu
	note := func(_ *http.Request, code int, _ string, ctx map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, told{code, fmt.Sprint(ctx)})
	}
	want := func(more ...told) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(refused, more) {
			t.Errorf("told of %v, want %v", refused, more)
		}
		refused = nil
	}
	e := newEnv(t, Config{OnConnectionError: note}, options{})
	for _, q := range []string{"EIO=3&transport=polling", "EIO=&transport=polling&b64=1"} {
		wantResponse(t, e.do(t.Context(), http.MethodGet, q, ""), 400, `{"code":5,"message":"Unsupported protocol version"}`)
	}
	if _, err := e.dialWS(t.Context(), "EIO=3&transport=websocket"); err == nil {
		t.Error("WebSocket of protocol 3 was accepted")
	}
	unsupported := told{CodeUnsupportedVersion, "map[protocol:3]"}
	want(unsupported, unsupported, unsupported)

	e = newEnv(t, Config{AllowEIO3: true, OnConnectionError: note}, options{peer: func(p *peer) { p.echo = true }})
	tests := []struct {
		c     *poller
		other string
		ctx   string
	}{
		{e.openPollingV3(""), "EIO=4&", "map[name:PROTOCOL_MISMATCH previousProtocol:3 protocol:4]"},
		{e.openPolling(), "EIO=3&", "map[name:PROTOCOL_MISMATCH previousProtocol:4 protocol:3]"},
		{e.openPolling(), "EIO=&", "map[name:PROTOCOL_MISMATCH previousProtocol:4 protocol:3]"},
	}
	for _, tt := range tests {
		q := tt.other + "transport=polling&sid=" + tt.c.sid
		wantResponse(t, e.do(t.Context(), http.MethodGet, q, ""), 400, `{"code":3,"message":"Bad request"}`)
		wantResponse(t, e.do(t.Context(), http.MethodPost, q, "1:1"), 400, `{"code":3,"message":"Bad request"}`)
		if _, err := e.dialWS(t.Context(), tt.other+"transport=websocket&sid="+tt.c.sid); err == nil {
			t.Errorf("upgrade with %s was accepted", tt.other)
		}
		mismatch := told{CodeBadRequest, tt.ctx}
		want(mismatch, mismatch, mismatch)
		tt.c.upgrade().send("4still here") // the session has not been touched
		tt.c.p.waitMessages(1)
	}
}

// What is posted and what the GET after it gets, over sessions of either kind.
func TestPollingV3(t *testing.T) {
	cfg, o := echoV3()
	e := newEnv(t, cfg, o)
	mixed := "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"
	tests := []struct {
		name, query, contentType, post string
		gotType, got                   string
	}{
		{"one packet", "&b64=1", contentText, "6:4hello", contentText, "6:4hello"}, // V3-001
		{ // V3-002
			"several packets", "&b64=1", contentText, "6:4test16:4test26:4test3",
			contentText, "6:4test16:4test26:4test3",
		},
		{"without b64", "", contentText, "6:4hello2:4a", contentText, "6:4hello2:4a"},
		{"base64", "&b64=1", contentText, "6:4hello10:b4AQIDBA==", contentText, "6:4hello10:b4AQIDBA=="}, // V3-003
		{"base64 in", "", contentText, "6:4hello10:b4AQIDBA==", contentBinary, mixed},                    // V3-004
		{"binary", "", contentBinary, mixed, contentBinary, mixed},                                       // V3-004
		{"binary in", "&b64=1", contentBinary, mixed, contentText, "6:4hello10:b4AQIDBA=="},
		{"binary of text", "", contentBinary, "\x00\x06\xff4hello", contentText, "6:4hello"},
		{"multibyte", "", contentText, "4:4😀a5:4€€€€", contentText, "4:4😀a5:4€€€€"},
		{ // V3-009
			"multibyte and binary", "", contentText, "5:4€€€€6:b4AQID",
			contentBinary, "\x00\x01\x03\xff4€€€€\x01\x04\xff\x04\x01\x02\x03",
		},
		{"no type", "", "", "6:4hello", contentText, "6:4hello"},
		{"nothing but a message", "", contentText, "1:51:61:06:4hello", contentText, "6:4hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := e.openPollingV3(tt.query)
			wantResponse(t, c.post(tt.post, "Content-Type", tt.contentType), 200, "ok")
			res := c.get()
			wantResponse(t, res, 200, tt.got)
			if got := res.header.Get("Content-Type"); got != tt.gotType {
				t.Errorf("type %q, want %q", got, tt.gotType)
			}
			if got := res.header.Get("Content-Length"); got != fmt.Sprint(len(tt.got)) {
				t.Errorf("length %s, want %d", got, len(tt.got))
			}
		})
	}
}

// Bodies that end the session.
func TestPollingV3ParseError(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{})
	for _, tt := range []struct{ contentType, body string }{
		{contentText, "abc"},
		{contentText, ""},
		{contentBinary, ""},
		{contentText, "6:4hell"},
		{contentText, "4hello"},
		{contentText, "\x00\x06\xff4hello"},
		{contentBinary, "6:4hello"},
	} {
		c := e.openPollingV3("")
		wantResponse(t, c.post(tt.body, "Content-Type", tt.contentType), 400, "")
		c.p.waitClosed(ParseError)
		c.wantGone()
	}
	c := e.openPollingV3("") // up to the bad packet
	wantResponse(t, c.post("2:4a2:4b9:4c"), 400, "")
	c.p.waitClosed(ParseError)
	if got := c.p.messages(); !slices.Equal(got, []string{"t:a", "t:b"}) {
		t.Errorf("got %q, want a and b", got)
	}
}

// POL-012 holds for protocol 3: the limit is on the bytes of the body.
func TestPollingV3Limit(t *testing.T) {
	cfg, o := echoV3()
	cfg.MaxHTTPBufferSize = 100
	e := newEnv(t, cfg, o)
	c := e.openPollingV3("")
	c.wantPost("97:4" + strings.Repeat("x", 96))
	c.wantGet(200, "97:4"+strings.Repeat("x", 96))
	wantResponse(t, c.post("98:4"+strings.Repeat("x", 97)), 413, "")
	wantResponse(t, c.post("34:4"+strings.Repeat("€", 33)), 413, "")
	c.wantPost("2:4a")
	c.wantGet(200, "2:4a")
}

// What Accept sends follows the open packet, in binary if there is binary data.
func TestSendInsideAcceptV3(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{accept: func(p *peer, _ *http.Request) error {
		return p.s.Send(newText("welcome"), NewBinary([]byte{1}))
	}})
	res := e.do(t.Context(), http.MethodGet, "EIO=3&transport=polling&b64=1", "")
	open, rest := cutV3(t, res.body)
	parseOpen(t, open)
	if rest != "8:4welcome6:b4AQ==" {
		t.Errorf("after the open packet came %q", rest)
	}
	res = e.do(t.Context(), http.MethodGet, "EIO=3&transport=polling", "")
	msgs, err := readPayload(dialect{v3: true}.newPayloadReader([]byte(res.body), true))
	if err != nil || len(msgs) != 3 || res.header.Get("Content-Type") != contentBinary {
		t.Fatalf("got %d packets, %v: %q", len(msgs), err, res.body)
	}
	parseOpen(t, string(msgs[0].payload()))
	if !sameMessages(msgs[1:], []*Message{newText("welcome"), NewBinary([]byte{1})}) {
		t.Errorf("after the open packet came %q", res.body)
	}
	c, err := e.dialWS(t.Context(), "EIO=3&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	parseOpen(t, c.text())
	if got := c.text() + c.want(ws.OpBinary); got != "4welcome\x04\x01" {
		t.Errorf("after the open packet came %q", got)
	}
}

// V3-008: how a session of either end's choice closes.
func TestCloseV3(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{})
	c := e.openPollingV3("") // by the client
	get := c.goGet()
	c.wantPost("1:1")
	wantResponse(t, wait(t, get), 200, "1:6")
	c.p.waitClosed(TransportClose)
	c.wantGone()

	c = e.openPollingV3("") // by the server, with a GET
	get = c.goGet()
	c.p.s.Close()
	wantResponse(t, wait(t, get), 200, "1:1")
	c.p.waitClosed(ForcedClose)

	c = e.openPollingV3("") // and without
	c.p.s.Close()
	c.wantGet(200, "1:61:1")
	c.p.waitClosed(ForcedClose)

	c = e.openPollingV3("") // by a second GET
	get = c.goGet()
	c.wantGet(400, "")
	wantResponse(t, wait(t, get), 200, "1:1")
	c.p.waitClosed(TransportError)

	w, p := e.openWSV3()
	w.send("1")
	w.wantClose("")
	p.waitClosed(TransportClose)
}

package engine

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// poller is a polling client.
type poller struct {
	e   *env
	eio string // of its requests, in the form EIO=3&
	sid string
	p   *peer // its session's handler
}

// opened is the content of an open packet.
type opened struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int64    `json:"pingInterval"`
	PingTimeout  int64    `json:"pingTimeout"`
	MaxPayload   int64    `json:"maxPayload"`
}

func parseOpen(tb testing.TB, text string) opened {
	tb.Helper()
	if len(text) == 0 || text[0] != '0' {
		tb.Fatalf("got %q, want an open packet", text)
	}
	var o opened
	fields := map[string]any{}
	if err := errors.Join(json.Unmarshal([]byte(text[1:]), &o), json.Unmarshal([]byte(text[1:]), &fields)); err != nil {
		tb.Fatalf("open packet %q: %v", text, err)
	}
	names := slices.Sorted(maps.Keys(fields))
	if want := []string{"maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"}; !slices.Equal(names, want) { // EIO-002
		tb.Errorf("open packet with %q, want exactly %q", names, want)
	}
	return o
}

// openPolling opens a session over polling.
func (e *env) openPolling() *poller {
	e.tb.Helper()
	res := e.do(e.tb.Context(), http.MethodGet, "transport=polling", "")
	if res.err != nil || res.status != http.StatusOK {
		e.tb.Fatalf("handshake: %d %q %v", res.status, res.body, res.err)
	}
	return &poller{e: e, sid: parseOpen(e.tb, res.body).SID, p: e.accepted()}
}

// get makes a GET of the session.
func (c *poller) get() response {
	return c.e.do(c.e.tb.Context(), http.MethodGet, c.eio+"transport=polling&sid="+c.sid, "")
}

// post makes a POST of the session.
func (c *poller) post(body string, header ...string) response {
	return c.e.do(c.e.tb.Context(), http.MethodPost, c.eio+"transport=polling&sid="+c.sid, body, header...)
}

// goGet makes a GET in the background, and returns when the server has it.
func (c *poller) goGet() <-chan response {
	c.e.tb.Helper()
	ch := make(chan response, 1)
	go func() { ch <- c.get() }() // ends with the response; the server's Close answers it at the latest
	c.waitPending()
	return ch
}

// waitPending waits until a GET of the session waits in the server.
func (c *poller) waitPending() {
	c.e.tb.Helper()
	eventually(c.e.tb, "a pending GET", func() bool {
		c.p.s.mu.Lock()
		defer c.p.s.mu.Unlock()
		return c.p.s.poll != nil
	})
}

// wantGet makes a GET and checks what it gets.
func (c *poller) wantGet(status int, body string) {
	c.e.tb.Helper()
	wantResponse(c.e.tb, c.get(), status, body)
}

// wantPost makes a POST and checks that it is accepted.
func (c *poller) wantPost(body string) {
	c.e.tb.Helper()
	wantResponse(c.e.tb, c.post(body), http.StatusOK, "ok")
}

// wantGone checks that the session is unknown (POL-036).
func (c *poller) wantGone() {
	c.e.tb.Helper()
	c.wantGet(http.StatusBadRequest, `{"code":1,"message":"Session ID unknown"}`)
}

func wantResponse(tb testing.TB, r response, status int, body string) {
	tb.Helper()
	if r.err != nil || r.status != status || r.body != body {
		tb.Errorf("got %d %q (%v), want %d %q", r.status, r.body, r.err, status, body)
	}
}

// wait returns a response made in the background.
func wait(tb testing.TB, ch <-chan response) response {
	tb.Helper()
	select {
	case r := <-ch:
		return r
	case <-time.After(2 * time.Minute):
		tb.Fatal("no response")
		return response{}
	}
}

// eventually waits until cond holds.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	end := time.Now().Add(deadline)
	for !cond() {
		if time.Now().After(end) {
			tb.Fatalf("no %s within %v", what, deadline)
		}
		<-time.After(time.Millisecond)
	}
}

// wsClient is a WebSocket client that speaks frames.
type wsClient struct {
	tb   testing.TB
	conn net.Conn
	r    io.Reader
}

// openWS opens a session over WebSocket.
func (e *env) openWS() (*wsClient, *peer) {
	e.tb.Helper()
	c, err := e.dialWS(e.tb.Context(), "transport=websocket")
	if err != nil {
		e.tb.Fatalf("dial: %v", err)
	}
	parseOpen(e.tb, c.text())
	return c, e.accepted()
}

// probe opens a WebSocket for the session of a polling client, and probes it.
func (c *poller) probe() *wsClient {
	c.e.tb.Helper()
	w, err := c.e.dialWS(c.e.tb.Context(), c.eio+"transport=websocket&sid="+c.sid)
	if err != nil {
		c.e.tb.Fatalf("dial for upgrade: %v", err)
	}
	w.send("2probe")
	if got := w.text(); got != "3probe" {
		c.e.tb.Fatalf("probe answered with %q, want 3probe", got)
	}
	return w
}

// upgrade completes an upgrade.
func (c *poller) upgrade() *wsClient {
	c.e.tb.Helper()
	w := c.probe()
	w.send("5")
	eventually(c.e.tb, "upgrade", c.p.s.Upgraded)
	return w
}

// send sends a text frame.
func (c *wsClient) send(text string) { c.write(ws.NewTextFrame([]byte(text))) }

// sendBinary sends a binary frame.
func (c *wsClient) sendBinary(b string) { c.write(ws.NewBinaryFrame([]byte(b))) }

func (c *wsClient) write(frames ...ws.Frame) {
	c.tb.Helper()
	for _, f := range frames {
		if err := ws.WriteFrame(c.conn, ws.MaskFrame(f)); err != nil {
			c.tb.Errorf("write frame: %v", err)
		}
	}
}

// read returns the next frame.
func (c *wsClient) read() (ws.Frame, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)) // of virtual time; fails on a closed connection
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return ws.Frame{}, err
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(c.r, f.Payload)
	return f, err
}

// text returns the next frame, which must be text.
func (c *wsClient) text() string { return c.want(ws.OpText) }

func (c *wsClient) want(op ws.OpCode) string {
	c.tb.Helper()
	f, err := c.read()
	if err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	if f.Header.OpCode != op {
		c.tb.Fatalf("got opcode %d %q, want %d", f.Header.OpCode, f.Payload, op)
	}
	return string(f.Payload)
}

// wantClose checks that the server closes the WebSocket with the payload of its close
// frame, answers, and checks that the connection ends.
func (c *wsClient) wantClose(payload string) {
	c.tb.Helper()
	if got := c.want(ws.OpClose); got != payload {
		c.tb.Errorf("close frame has payload %q, want %q", got, payload)
	}
	_ = ws.WriteFrame(c.conn, ws.MaskFrame(ws.NewCloseFrame(nil))) // the server may have cut the connection
	c.wantEnd()
}

// wantEnd checks that the connection ends without another frame.
func (c *wsClient) wantEnd() {
	c.tb.Helper()
	if f, err := c.read(); err == nil {
		c.tb.Errorf("got frame %d %q, want the end", f.Header.OpCode, f.Payload)
	}
}

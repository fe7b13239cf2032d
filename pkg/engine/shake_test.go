package engine

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// shake asks for a WebSocket with the query and header lines, and returns the answer as it
// is and the connection.
func (e *env) shake(query string, header ...string) (response, *wsClient) {
	e.tb.Helper()
	return e.shakeAt("/engine.io/?EIO=4&transport=websocket&"+query, header...)
}

// shakeAt is shake anywhere on the server.
func (e *env) shakeAt(target string, header ...string) (response, *wsClient) {
	e.tb.Helper()
	conn, err := e.dial(e.tb.Context(), "tcp", strings.TrimPrefix(e.base, "http://"))
	if err != nil {
		e.tb.Fatal(err)
	}
	e.tb.Cleanup(func() { _ = conn.Close() })
	lines := strings.Join(append(header, "", ""), "\r\n")
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s", target, lines); err != nil {
		e.tb.Fatal(err)
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		e.tb.Fatalf("answer to %s: %v", target, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{status: res.StatusCode, body: string(body), header: res.Header, err: err}, &wsClient{tb: e.tb, conn: conn, r: r}
}

// wantShaken checks that the WebSocket was made, and reads the open packet.
func wantShaken(tb testing.TB, res response, c *wsClient) opened {
	tb.Helper()
	if res.status != http.StatusSwitchingProtocols || res.header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		!strings.EqualFold(res.header.Get("Connection"), "Upgrade") {
		tb.Fatalf("handshake got %d %v", res.status, res.header)
	}
	return parseOpen(tb, c.text())
}

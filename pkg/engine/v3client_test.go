package engine

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// cutV3 returns the first packet of a text payload, whose text must be ASCII, and the rest.
func cutV3(tb testing.TB, body string) (packet, rest string) {
	tb.Helper()
	length, rest, ok := strings.Cut(body, ":")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n > len(rest) {
		tb.Fatalf("%q is no payload of protocol 3", body)
	}
	return rest[:n], rest[n:]
}

// openPollingV3 opens a session of protocol 3 over polling; query says more, in the form &b64=1.
func (e *env) openPollingV3(query string) *poller {
	e.tb.Helper()
	res := e.do(e.tb.Context(), http.MethodGet, "EIO=3&transport=polling"+query, "")
	if res.err != nil || res.status != http.StatusOK {
		e.tb.Fatalf("handshake: %d %q %v", res.status, res.body, res.err)
	}
	open, rest := cutV3(e.tb, res.body)
	if rest != "" {
		e.tb.Errorf("after the open packet came %q", rest)
	}
	return &poller{e: e, eio: "EIO=3&", sid: parseOpen(e.tb, open).SID, p: e.accepted()}
}

// openWSV3 opens a session of protocol 3 over WebSocket.
func (e *env) openWSV3() (*wsClient, *peer) {
	e.tb.Helper()
	c, err := e.dialWS(e.tb.Context(), "EIO=3&transport=websocket")
	if err != nil {
		e.tb.Fatalf("dial: %v", err)
	}
	parseOpen(e.tb, c.text())
	return c, e.accepted()
}

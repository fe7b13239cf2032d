package cluster_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
	"github.com/siomesh/siomesh/services/edge"
)

// poller is a raw client over long-polling, all of whose requests go to one edge.
type poller struct {
	tb      testing.TB
	url     string
	sid, id string
	zipped  bool // the last answer came compressed
}

// poll opens a session at one of the edges and joins "/".
func (c *cluster) poll(query string) *poller {
	c.tb.Helper()
	p := &poller{tb: c.tb, url: c.edge() + "/socket.io/?EIO=4&transport=polling" + query}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(p.do(http.MethodGet, ""), "0")), &open); err != nil {
		c.tb.Fatalf("open: %v", err)
	}
	p.sid = open.SID
	p.url += "&sid=" + p.sid
	p.do(http.MethodPost, "40")
	if err := json.Unmarshal([]byte(strings.TrimPrefix(p.get(), "40")), &open); err != nil {
		c.tb.Fatalf("CONNECT: %v", err)
	}
	p.id = open.SID
	return p
}

// stays returns settings in which no CONNECT on polling waits for an upgrade.
func stays() settings { return settings{edge: func(_ int, c *edge.Config) { c.UpgradeWait = -1 }} }

// do makes a request, which must succeed.
func (p *poller) do(method, body string) string {
	p.tb.Helper()
	r, err := http.NewRequestWithContext(p.tb.Context(), method, p.url, strings.NewReader(body))
	if err != nil {
		p.tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.tb.Fatalf("%s: %v", method, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.tb.Fatalf("%s: got %d %q, %v", method, res.StatusCode, text, err)
	}
	p.zipped = res.Uncompressed // by the HTTP client, which asked for gzip
	return string(text)
}

// get returns the packets that come next, without pings.
func (p *poller) get() string {
	p.tb.Helper()
	for {
		if text := p.do(http.MethodGet, ""); text != "2" {
			return text
		}
		p.do(http.MethodPost, "3")
	}
}

// upgrade changes to a WebSocket.
func (p *poller) upgrade(c *cluster) *client {
	p.tb.Helper()
	k := c.open(strings.Replace(p.url, "transport=polling", "transport=websocket", 1), "/")
	k.sid, k.id = p.sid, p.id
	k.send("2probe")
	k.expect("3probe")
	k.send("5")
	return k
}

func TestTransportsAnywhere(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		defer http.DefaultClient.CloseIdleConnections()
		polling, upgraded := c.poll(""), c.poll("")
		app := c.app()
		if err := app.In(polling.id, upgraded.id, clients[0].id).SocketsJoin("in", "left"); err != nil {
			t.Fatal(err)
		}
		k := upgraded.upgrade(c)
		for _, s := range []string{upgraded.id, polling.id} {
			if err := app.In(s).SocketsLeave("left"); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(app.To("left").Emit("left"), app.To("in").Emit("in", []byte{1}), app.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		const event = `451-["in",{"_placeholder":true,"num":0}]`
		k.expect(event, "\x01")                                         // BRO-021: in its room as before, and not in the one it left
		clients[0].expect(`42["left"]`, event, "\x01")                  // BRO-020
		if got, want := polling.get(), event+"\x1ebAQ=="; got != want { // BRO-020
			t.Errorf("polling: got %q, want %q", got, want)
		}
		if err := app.To("left").SocketsLeave("left", "in"); err != nil {
			t.Fatal(err)
		}
		ids, err := app.To("in").SocketIDs(t.Context())
		if err != nil || len(ids) != 2 { // BRO-021
			t.Errorf("got %v, %v", ids, err)
		}
	})
}

func TestHandshakeAnywhere(t *testing.T) {
	t.Parallel()
	sockets := make(chan *socketio.Socket, 16)
	playWith(t, stays(), func(io *socketio.Server) { _ = io.OnConnection(func(s *socketio.Socket) { sockets <- s }) },
		func(t *testing.T, c *cluster, clients []*client, _ []string) {
			defer http.DefaultClient.CloseIdleConnections()
			for range clients {
				<-sockets
			}
			for range 3 {
				p := c.poll("&a%20key%26=a%3Dvalue%2B%26&plus=1+2&%C3%A9=%E2%82%AC&twice=1&twice=2")
				s := <-sockets
				h := s.Handshake()
				for key, want := range map[string]string{"a key&": "a=value+&", "plus": "1 2", "é": "€", "EIO": "4", "transport": "polling"} {
					if h.Query[key] != want { // SOC-016
						t.Errorf("query %q: got %q, want %q", key, h.Query[key], want)
					}
				}
				if s.ID() != p.id || p.id == p.sid || h.Auth.JSON() != nil || h.Query["token"] != "" { // SOC-013, SOC-015
					t.Errorf("got %s, %s of a client %s in session %s", s.ID(), h.Auth.JSON(), p.id, p.sid)
				}
				remote, err := c.app().In(p.id).FetchSockets(t.Context())
				if err != nil || len(remote) != 1 || remote[0].Handshake().URL != h.URL || remote[0].Handshake().Query["é"] != "€" { // CLU-016
					t.Errorf("got %d, %v", len(remote), err)
				}
				if h.Address == "" || h.Headers.Get("User-Agent") == "" || h.Issued == 0 || h.Time.UnixMilli() != h.Issued || h.Secure || h.XDomain || !strings.Contains(h.URL, "EIO=4") { // SOC-018
					t.Errorf("got %+v", h)
				}
				again := c.poll("")
				<-sockets
				if again.id == p.id { // SOC-014
					t.Error("the same id again")
				}
			}
		})
}

package cluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// client is a raw Socket.IO client over WebSocket.
type client struct {
	tb   testing.TB
	conn net.Conn
	sid  string // of the Engine.IO session
	id   string // socket id
	ns   string
	got  chan string // text frames, but no pings

	mu sync.Mutex // writes
}

// join connects a client to the edges in turn and joins a namespace; an error packet fails the test.
func (c *cluster) join(ns string) *client {
	c.tb.Helper()
	return c.joinAs(ns, "")
}

// joinAs is join with the payload of the CONNECT.
func (c *cluster) joinAs(ns, payload string) *client {
	c.tb.Helper()
	k := c.dial(ns, payload)
	k.connected()
	return k
}

// connected takes the answer to a CONNECT.
func (k *client) connected() {
	k.tb.Helper()
	reply := k.next()
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(reply, k.prefix("40"))), &open); err != nil || open.SID == "" {
		k.tb.Fatalf("CONNECT was answered %q", reply)
	}
	k.id = open.SID
}

// dial connects a client and sends its CONNECT.
func (c *cluster) dial(ns string, payload ...string) *client {
	c.tb.Helper()
	k := c.open(c.edge()+"/socket.io/?EIO=4&transport=websocket", ns)
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(k.next(), "0")), &open); err != nil || open.SID == "" {
		c.tb.Fatalf("no session: %v", err)
	}
	k.sid = open.SID
	k.send(k.prefix("40") + strings.Join(payload, ""))
	return k
}

// edge returns the URLs of the edges in turn.
func (c *cluster) edge() string {
	c.turns++
	return c.urls[c.turns%len(c.urls)]
}

// open opens a WebSocket, and keeps what comes from it.
func (c *cluster) open(url, ns string) *client {
	c.tb.Helper()
	conn, buffered, _, err := ws.Dial(c.tb.Context(), strings.Replace(url, "http", "ws", 1))
	if err != nil {
		c.tb.Fatalf("dial: %v", err)
	}
	k := &client{tb: c.tb, conn: conn, ns: ns, got: make(chan string, 1024)}
	var r io.Reader = conn
	if buffered != nil {
		r = io.MultiReader(bufio.NewReader(buffered), conn)
	}
	ended := make(chan struct{})
	go func() { // ends with the connection, which the cleanup closes and waits for
		defer close(ended)
		defer close(k.got)
		for {
			data, _, err := wsutil.ReadData(struct {
				io.Reader
				io.Writer
			}{r, conn}, ws.StateClientSide)
			switch {
			case err != nil:
				return
			case string(data) == "2":
				k.send("3")
			default:
				k.got <- string(data)
			}
		}
	}()
	c.tb.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return k
}

// prefix returns the beginning of a packet.
func (k *client) prefix(kind string) string {
	if k.ns == "/" {
		return kind
	}
	return kind + k.ns + ","
}

func (k *client) send(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := wsutil.WriteClientText(k.conn, []byte(text)); err != nil {
		k.tb.Logf("send: %v", err)
	}
}

// binary sends an attachment.
func (k *client) binary(data string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := wsutil.WriteClientBinary(k.conn, []byte(data)); err != nil {
		k.tb.Logf("send: %v", err)
	}
}

// next returns the next frame, "closed" when the connection has ended.
func (k *client) next() string {
	k.tb.Helper()
	select {
	case text, ok := <-k.got:
		if !ok {
			return "closed"
		}
		return text
	case <-time.After(patience):
		k.tb.Fatalf("nothing within %v", patience)
		return ""
	}
}

// expect fails unless the next frames are these.
func (k *client) expect(want ...string) {
	k.tb.Helper()
	for _, w := range want {
		if got := k.next(); got != w {
			k.tb.Fatalf("client %s: got %q, want %q", k.id, got, w)
		}
	}
}

// question returns the acknowledgement id of the next frame, which must be that event.
func (k *client) question(event string) int {
	k.tb.Helper()
	text := strings.TrimPrefix(k.next(), k.prefix("42"))
	number, rest, _ := strings.Cut(text, "[")
	id, err := strconv.Atoi(number)
	if err != nil || !strings.HasPrefix(rest, strconv.Quote(event)) {
		k.tb.Fatalf("got %q, want a question %s", text, event)
	}
	return id
}

// answer acknowledges.
func (k *client) answer(id int, arguments string) {
	k.send(fmt.Sprintf("%s%d[%s]", k.prefix("43"), id, arguments))
}

package cluster_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/siomesh/siomesh/pkg/socketio"
	"github.com/siomesh/siomesh/services/edge"
)

// packed is a packet as socket.io-msgpack-parser writes it.
type packed struct {
	Type int    `msgpack:"type"`
	Nsp  string `msgpack:"nsp"`
	Data any    `msgpack:"data,omitempty"`
	ID   *int   `msgpack:"id,omitempty"`
}

// sendPacked sends a packet by msgpack.
func (k *client) sendPacked(p any) {
	k.tb.Helper()
	message, err := msgpack.Marshal(p)
	if err != nil {
		k.tb.Fatal(err)
	}
	k.binary(string(message))
}

// nextPacked returns the next packet.
func (k *client) nextPacked() (p packed) {
	k.tb.Helper()
	message := k.next()
	if err := msgpack.Unmarshal([]byte(message), &p); err != nil {
		k.tb.Fatalf("got %q: %v", message, err)
	}
	return p
}

// expectPacked fails unless the next packet is this, without its id.
func (k *client) expectPacked(kind int, data ...any) packed {
	k.tb.Helper()
	p := k.nextPacked()
	if p.Type != kind || p.Nsp != k.ns || fmt.Sprintf("%#v", p.Data) != fmt.Sprintf("%#v", data) {
		k.tb.Fatalf("got %+v, want %d %#v of %s", p, kind, data, k.ns)
	}
	return p
}

// joinPacked connects a client with msgpack to an edge.
func (c *cluster) joinPacked(url, ns string) *client {
	c.tb.Helper()
	k := c.open(url+"/socket.io/?EIO=4&transport=websocket", ns)
	k.next() // the session
	k.sendPacked(packed{Type: 0, Nsp: ns})
	p := k.nextPacked()
	data, ok := p.Data.(map[string]any)
	if k.id, _ = data["sid"].(string); !ok || k.id == "" || p.Type != 0 || p.Nsp != ns {
		c.tb.Fatalf("CONNECT was answered %+v", p)
	}
	return k
}

// TestParsersAnywhere: an edge has the parser that its configuration names, and all clients hear the same.
func TestParsersAnywhere(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			set := settings{edge: func(i int, c *edge.Config) {
				if i != 2 {
					c.PacketParser = edge.ParserMsgpack
				}
			}}
			c := newClusterWith(t, set, shape.edges, shape.apps, func(io *socketio.Server) {
				_ = io.Of("/packed").OnConnection(func(s *socketio.Socket) {
					s.On("e", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
				})
			})
			var clients []*client
			for i, url := range c.urls[:min(2, len(c.urls))] {
				for range 2 {
					k := c.joinPacked(url, "/packed") // PAR-029: connect, namespace
					id := 7 + i
					k.sendPacked(packed{2, "/packed", []any{"e", "text", []byte{0, 255}, map[string]any{"in": []byte("x")}}, &id})
					p := k.expectPacked(3, "text", []byte{0, 255}, map[string]any{"in": []byte("x")}) // PAR-029: event with binary, ack
					if p.ID == nil || *p.ID != id {
						t.Errorf("got %+v, want id %d", p, id)
					}
					clients = append(clients, k)
				}
			}
			for _, bad := range []any{ // PAR-030
				map[string]any{"type": 99, "nsp": "/packed"},
				map[string]any{"type": "2", "nsp": "/packed", "data": []any{"e"}},
				map[string]any{"type": 2, "nsp": 1, "data": []any{"e"}},
				map[string]any{"type": 2, "nsp": "/packed", "data": "e"},
				map[string]any{"type": 2, "nsp": "/packed", "data": []any{"e"}, "id": "1"},
				[]any{2},
				"2",
			} {
				k := c.joinPacked(c.urls[0], "/packed")
				k.sendPacked(bad)
				k.expect("closed") // PAR-030
			}
			stranger := c.open(c.urls[0]+"/socket.io/?EIO=4&transport=websocket", "/packed")
			stranger.next()
			stranger.send("40/packed,")
			stranger.expect("closed") // PAR-031: the edge has this parser and no other
			if len(c.urls) == 3 {
				k := c.open(c.urls[2]+"/socket.io/?EIO=4&transport=websocket", "/packed")
				k.next()
				k.send("40/packed,")
				k.connected() // PAR-031: and this one has another
				k.send(`451-/packed,1["e",{"_placeholder":true,"num":0}]`)
				clients[0].sendPacked(packed{2, "/packed", []any{"e", []byte("own")}, new(int)})
				clients[0].expectPacked(3, []byte("own")) // PAR-031: what another client has begun is no matter
				k.binary("rest")
				k.expect(`461-/packed,1[{"_placeholder":true,"num":0}]`, "rest")
				defer func() { k.expect(`451-/packed,["all",{"_placeholder":true,"num":0},{"n":null}]`, "\x00b") }() // PAR-029
			}
			if err := c.app().Of("/packed").Emit("all", []byte("\x00b"), map[string]any{"n": nil}); err != nil {
				t.Error(err)
			}
			for _, k := range clients {
				k.expectPacked(2, "all", []byte("\x00b"), map[string]any{"n": nil}) // PAR-029: broadcast
			}
		})
	}
}

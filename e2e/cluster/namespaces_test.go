package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestNamespacesAnywhere(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 64)
	sockets := make(chan *socketio.Socket, 64)
	play(t, func(io *socketio.Server) {
		for _, name := range []string{"a", "/b"} {
			for _, word := range []string{"first", "second"} { // NSP-003: several handlers of one namespace
				_ = io.Of(name).OnConnection(func(s *socketio.Socket) { _ = s.Emit(word) })
			}
			_ = io.Of(name).OnConnection(func(s *socketio.Socket) {
				s.OnDisconnect(func(d socketio.Disconnect) { ended <- s.ID() + s.Namespace().Name() + " " + d.Reason })
				sockets <- s
			})
		}
	}, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for _, io := range c.apps {
			if io.Of("") != io.Of("/") || io.Of("a") != io.Of("/a") { // NSP-001
				t.Error("the same namespace has several objects")
			}
		}
		enter := func(k *client) *socketio.Socket {
			t.Helper()
			k.connected()
			k.expect(k.prefix("42")+`["first"]`, k.prefix("42")+`["second"]`) // NSP-002, NSP-003: each handler once, in order
			s := <-sockets
			if s.ID() != k.id || k.id == k.sid || strings.Contains(k.sid, k.id) { // SOC-013
				t.Errorf("got socket %s of a client %s in session %s", s.ID(), k.id, k.sid)
			}
			return s
		}
		for len(ended) > 0 {
			<-ended // of the shape before
		}
		both := c.dial("/a")
		enter(both)
		twin := c.dial("/a")
		enter(twin)
		lost := c.dial("/a")
		enter(lost)
		io := c.app()
		if n, err := io.Count(t.Context()); n != len(ids) || err != nil { // NSP-004: they are in /a, and in / without asking nobody
			t.Errorf("got %d sockets in /, %v, want %d", n, err, len(ids))
		}
		if err := errors.Join(io.Emit("root"), io.Of("/a").Emit("all")); err != nil {
			t.Fatal(err)
		}
		for _, k := range clients {
			k.expect(`42["root"]`)
		}
		for _, k := range []*client{both, twin, lost} {
			k.expect(`42/a,["all"]`) // NSP-004, BRO-001: nothing of / before it
		}
		inA := both.id
		both.send("40/nowhere,")
		both.expect(`44/nowhere,{"message":"Invalid namespace"}`) // NSP-005
		both.send("40/b,")                                        // NSP-006
		both.ns = "/b"
		inB := enter(both)
		both.send("41/b,")
		if got, want := <-ended, inB.ID()+"/b client namespace disconnect"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := io.Of("/a").To(inA).Emit("still here"); err != nil {
			t.Fatal(err)
		}
		both.expect(`42/a,["still here"]`) // NSP-007, and SOC-026: no answer to the DISCONNECT
		lost.send("40/b,")
		lostA := lost.id
		lost.ns = "/b"
		lostB := enter(lost)
		_ = lost.conn.Close()
		got := []string{<-ended, <-ended}
		want := []string{lostA + "/a transport close", lostB.ID() + "/b transport close"} // NSP-008, SOC-027
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		_ = both.conn.Close() // NSP-015: connections to one namespace do not depend on each other
		if got, want := <-ended, inA+"/a transport close"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := io.Of("/a").Emit("the other"); err != nil {
			t.Fatal(err)
		}
		twin.expect(`42/a,["the other"]`)
	})
}

func TestForbiddenPackets(t *testing.T) {
	t.Parallel()
	play(t, func(io *socketio.Server) { _ = io.Of("/a").OnConnection(func(*socketio.Socket) {}) },
		func(t *testing.T, c *cluster, clients []*client, _ []string) {
			for packet, numbers := range map[string]string{
				"40":         "a second CONNECT: NSP-011",
				`42/a,["e"]`: "an EVENT without a CONNECT: NSP-012, NSP-013",
				`44{"a":1}`:  "CONNECT_ERROR: NSP-014",
				`431{"a":1}`: "an ACK that is no list: NSP-014",
			} {
				k := c.join("/")
				k.send(packet)
				if got := k.next(); got != "closed" {
					t.Errorf("%s: got %q", numbers, got)
				}
			}
			if err := c.app().Emit("others"); err != nil {
				t.Fatal(err)
			}
			for _, k := range clients {
				k.expect(`42["others"]`)
			}
		})
}

func TestReservedNames(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, ids []string) {
		for _, io := range c.apps {
			for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
				emits := map[string]func(string, ...any) error{"namespace": io.Emit, "rooms": io.To("x").Emit}
				for _, s := range io.Sockets() {
					emits["socket"] = s.Emit
				}
				for of, emit := range emits { // NSP-032, SOC-019
					if err := emit(name); err == nil || err.Error() != fmt.Sprintf("%q is a reserved event name", name) {
						t.Errorf("%s: got %v for %s", of, err, name)
					}
				}
			}
			if err := errors.Join(io.Emit("error"), io.Emit("connection")); err != nil { // SOC-019
				t.Error(err)
			}
			for _, k := range clients {
				k.expect(`42["error"]`, `42["connection"]`)
			}
		}
	})
}

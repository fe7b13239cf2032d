package edge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string {
			return `{"allow":true,"user":"u","data":{"a":1},"rooms":["r"]}`
		})
		app := w.newApp(true, "/", "/chat")
		c := w.open("X-Thing", "yes", "Origin", "http://x")
		c.send(`40/chat,{"token":"t"}`)
		w.settle()
		r, connect := app.connect()
		c.expect(`40/chat,{"sid":"` + connect.GetSocketId() + `"}`) // PAR-002, SOC-013
		if r.Seq != 1 || r.Epoch != 1 || r.Lease != 1 || string(r.Namespace) != "/chat" || r.Socket.Edge != w.edge.Self().Instance {
			t.Errorf("connect record: got %+v", r)
		}
		h := connect.GetHandshake()
		if string(h.GetAuth()) != `{"token":"t"}` || h.GetQuery()["token"] != "a b" || !h.GetXdomain() || h.GetSecure() { // SOC-015, SOC-016, SOC-018
			t.Errorf("handshake: got %v", h)
		}
		if connect.GetUser() != "u" || string(connect.GetData()) != `{"a":1}` || len(connect.GetRooms()) != 1 || connect.GetTransport() != "websocket" {
			t.Errorf("connect: got %v", connect)
		}
		if q := w.asked[0]; string(q.Auth) != `{"token":"t"}` || q.Socket != connect.GetSocketId() || q.Handshake.Headers["x-thing"][0] != "yes" {
			t.Errorf("auth was asked %+v", q)
		}
		app.do(r, broadcast(0, wire.Selector{Rooms: []string{"r"}}, `["in"]`))
		c.expect(`42/chat,["in"]`)
		c.send("40") // a second namespace on the connection (NSP-006), asked for on its own (NSP-004)
		w.settle()
		if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], `40{"sid":"`) {
			t.Errorf("second namespace: got %q", got)
		}
	})
}

func TestInvalidNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.open()
		c.send("40/x,")
		c.expect(`44/x,{"message":"Invalid namespace"}`) // NSP-005
		c.wantOpen()
		if len(w.asked) != 0 {
			t.Error("auth was asked about a namespace that does not exist")
		}
		c.send("40/" + strings.Repeat("x", 1100) + ",")
		w.settle()
		if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], "44/xxx") {
			t.Errorf("a long name: got %q", got)
		}
		if n := w.m.Refused.Load(); n != 2 {
			t.Errorf("counted %d refused, want 2", n)
		}
		app.announce(func(p *siomeshv1.Presence) {
			p.Namespaces = []*siomeshv1.Namespace{{Match: &siomeshv1.Namespace_Dynamic{Dynamic: true}}}
		})
		c.send("40/x,", "40") // the app is asked about both, and knows them
		w.pass(time.Second)
		got := c.take()
		slices.Sort(got)
		if len(got) != 2 || !strings.HasPrefix(got[0], `40/x,{"sid":`) || !strings.HasPrefix(got[1], `40{"sid":`) {
			t.Errorf("of a dynamic app: got %q", got)
		}
	})
}

// TestHeld: a CONNECT waits for whatever is missing, and is served when it is there.
func TestHeld(t *testing.T) {
	allow := func(authn.ConnectRequest) string { return `{"allow":true}` }
	steps := map[string][]func(w *world){
		"rooms": {
			func(w *world) { w.auth(allow) },
			func(w *world) { w.newApp(true, "/") },
			func(w *world) { w.newRing(1) },
		},
		"app": {
			func(w *world) { w.newRing(1) },
			func(w *world) { w.auth(allow) },
			func(w *world) { w.newApp(true, "/") },
		},
		"auth": {
			func(w *world) { w.newRing(1) },
			func(w *world) { w.newApp(true, "/") },
			func(w *world) { w.auth(allow) },
		},
	}
	for missing, do := range steps {
		t.Run(missing, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				do[0](w)
				do[1](w)
				c := w.open()
				c.send("40")
				w.pass(2 * time.Second)
				c.expect()
				do[2](w)
				w.pass(time.Second)
				if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], `40{"sid":"`) {
					t.Errorf("got %q, want CONNECT", got)
				}
				w.pass(time.Minute) // the connect timeout is off (NSP-010)
				c.wantOpen()
			})
		})
	}
}

func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/late", "/later")
		app.announce(func(p *siomeshv1.Presence) { // it was announced before, so it may come back
			p.Namespaces = []*siomeshv1.Namespace{{Match: &siomeshv1.Namespace_Name{Name: "/"}}}
		})
		alone, two, joinedToo := w.open(), w.open(), w.join("/")
		alone.send("40/late,")
		two.send("40/late,", "40/later,")
		joinedToo.send("40/late,")
		w.pass(4 * time.Second)
		two.send("40/never,") // refused at once
		two.expect(`44/never,{"message":"Invalid namespace"}`)
		alone.wantOpen()
		w.pass(2 * time.Second)
		alone.wantClosed()
		two.expect()
		two.wantClosed()
		joinedToo.expect(`44/late,{"message":"service unavailable","data":{"retry":true}}`)
		joinedToo.wantOpen()
		if n := w.m.Unavailable.Load(); n != 3 && n != 4 { // the connection with two may be closed by either
			t.Errorf("unavailable: got %d, want 3 or 4", n)
		}
	})
}

func TestAuthRefuses(t *testing.T) {
	for answer, want := range map[string]string{
		`{"allow":false,"message":"no","data":{"a":[1]}}`: `44{"message":"no","data":{"a":[1]}}`,
		`{"allow":false,"message":"no"}`:                  `44{"message":"no"}`, // MID-004
		`{"allow":false}`:                                 `44{"message":""}`,
		`what?`:                                           `44{"message":"authentication unavailable"}`,
		`{"allow":true,"data":[]}`:                        `44{"message":"authentication unavailable"}`,
	} {
		t.Run(answer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				w.newRing(1)
				w.auth(func(authn.ConnectRequest) string { return answer })
				app := w.newApp(true, "/")
				c := w.open()
				c.send("40")
				c.expect(want)
				c.wantOpen() // MID-012
				app.expect()
				if n := w.m.Auth[authRefused].Load() + w.m.Auth[authUnreadable].Load(); n != 1 {
					t.Errorf("auth refusals: got %d, want 1", n)
				}
				if n := len(w.edge.table.all()); n != 0 {
					t.Errorf("sockets kept: got %d, want 0", n)
				}
			})
		})
	}
}

func TestMiddlewareRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(false, "/")
		c := w.open()
		c.send("40")
		w.pass(3 * time.Second) // a slow middleware (MID-002)
		c.expect()
		of, _ := app.connect()
		app.do(of, emit(0, `["early"]`), refuse(t, "not <authorized>", `{"n":1}`))
		c.expect(`42["early"]`, `44{"message":"not \u003cauthorized\u003e","data":{"n":1}}`) // MID-003, MID-004, MID-011
		c.wantOpen()
		if n := w.ring.gone(); n != 1 {
			t.Errorf("gone: got %d, want 1", n)
		}
		c.send("40") // it may try again
		w.settle()
		of, _ = app.connect()
		app.do(of, refuse(t, "m", `{"not json`))
		c.expect(`44{"message":"m"}`)
	})
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{ConnectTimeout: 10 * time.Second})
		app := w.newApp(true, "/")
		idle, left := w.open(), w.join("/")
		left.send("41")
		w.pass(9 * time.Second)
		idle.wantOpen()
		w.pass(2 * time.Second)
		idle.wantClosed() // NSP-009
		left.wantOpen()   // NSP-010
		if n := w.m.ConnectTimeouts.Load(); n != 1 {
			t.Errorf("connect timeouts: got %d, want 1", n)
		}
		app.expect(wire.KindConnect, wire.KindDisconnect)
	})
}

// TestClientGoneWhileAsked: the app hears the end of a socket that it never accepted (MID-006).
func TestClientGoneWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(false, "/")
		c := w.open()
		c.send("40")
		w.settle()
		_ = c.conn.Close()
		w.settle()
		got := app.expect(wire.KindConnect, wire.KindDisconnect)
		if d := disconnect(t, &got[1]); d.GetReason() != "transport close" || got[1].Seq != 2 {
			t.Errorf("got %v, seq %d", d, got[1].Seq)
		}
		app.do(&got[0], &wire.Record{Kind: wire.KindJoin, Body: wire.AppendStrings(nil, []string{"x"})})
		if n := w.ring.gone(); n != 2 { // the end, and the join that crossed it
			t.Errorf("gone: got %d, want 2", n)
		}
		if n := len(w.edge.table.all()); n != 0 {
			t.Errorf("sockets kept: got %d, want 0", n)
		}
	})
}

func TestTooManyNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxNamespaces: 2})
		w.newApp(true, "/", "/a", "/b")
		c := w.join("/", "/a")
		c.send("40/b,")
		c.wantClosed()
		if n := w.m.InvalidState.Load(); n != 1 {
			t.Errorf("invalid state: got %d, want 1", n)
		}
	})
}

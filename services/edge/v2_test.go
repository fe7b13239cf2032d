package edge

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// openV2 opens a session as a client of 2.x and returns its sid; what follows the open packet is left to take.
func (w *world) openV2() (c *client, sid string) {
	w.tb.Helper()
	c = w.dialEIO("3")
	w.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) == 0 || !strings.HasPrefix(c.got[0], `0{"sid":"`) {
		w.tb.Fatalf("open: got %q", c.got)
	}
	sid, _, _ = strings.Cut(strings.TrimPrefix(c.got[0], `0{"sid":"`), `"`)
	c.got = c.got[1:]
	return c, sid
}

func TestV2Connect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{AllowEIO3: true})
		app := w.newApp(true, "/", "/chat")
		c, sid := w.openV2()
		c.expect("40") // V3-014: without asking, and without data
		r, connect := app.connect()
		if string(r.Namespace) != "/" || connect.GetSocketId() != sid { // V3-011
			t.Errorf("connect to %s as %q, want / as the sid %q", r.Namespace, connect.GetSocketId(), sid)
		}
		if got := string(connect.GetHandshake().GetAuth()); got != "{}" { // V3-014
			t.Errorf("auth: got %s, want {}", got)
		}
		c.send("40/chat,")
		c.expect("40/chat,")                                                   // V3-014
		if _, connect = app.connect(); connect.GetSocketId() != "/chat#"+sid { // V3-011
			t.Errorf("socket id: got %q, want /chat#%s", connect.GetSocketId(), sid)
		}
		later := w.join("/") // a later client is served as ever
		_, connect = app.connect()
		if id := connect.GetSocketId(); strings.Contains(id, "#") || len(id) != 20 {
			t.Errorf("socket id of a later client: %q", id)
		}
		later.wantOpen()
	})
}

// TestV2Polling: the implicit connect goes out behind the open packet, in the length-prefixed payload of protocol 3.
func TestV2Polling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{AllowEIO3: true})
		w.newApp(true, "/")
		_, text, _ := w.request(http.MethodGet, "/socket.io/?EIO=3&transport=polling", "")
		_, rest, _ := strings.Cut(text, `"sid":"`)
		sid, _, _ := strings.Cut(rest, `"`)
		if !strings.Contains(text, "2:40") {
			_, text, _ = w.request(http.MethodGet, "/socket.io/?EIO=3&transport=polling&sid="+sid, "")
		}
		if !strings.HasSuffix(text, "2:40") { // V3-014
			t.Errorf("got %q, want the CONNECT of /", text)
		}
	})
}

func TestV2Query(t *testing.T) {
	for query, want := range map[string]string{ // V3-012
		"":                       `{}`,
		"?":                      `{}`,
		"?token=abc&room=a%2Cb":  `{"room":"a,b","token":"abc"}`,
		"?a=1&a=2":               `{"a":"2"}`,
		"?a+b=c+d&e":             `{"a b":"c d","e":""}`,
		"?bad=%zz&good=%22yes?%": `{}`,
		"?bad=%zz&good=yes":      `{"good":"yes"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newMesh(t, Config{AllowEIO3: true})
			app := w.newApp(true, "/", "/chat")
			c, _ := w.openV2()
			c.expect("40")
			c.send("40/chat" + query + ",")
			c.expect("40/chat,")
			r, connect := app.connect()
			if got := string(connect.GetHandshake().GetAuth()); string(r.Namespace) != "/chat" || got != want { // V3-012
				t.Errorf("%q: got namespace %s, auth %s, want /chat, %s", query, r.Namespace, got, want)
			}
			if got := string(w.asked[len(w.asked)-1].Auth); got != want {
				t.Errorf("%q: auth was asked about %s, want %s", query, got, want)
			}
		})
	}
}

// TestV2Packets: the query is no part of the namespace in any packet, and binary keeps its order.
func TestV2Packets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{AllowEIO3: true})
		app := w.newApp(true, "/", "/chat")
		c, _ := w.openV2()
		c.send("40/chat?a=b,")
		c.expect("40", "40/chat,")
		r, _ := app.connect()
		app.records()
		c.send(`42/chat?a=b,7["hi",1]`, `451-/chat?a=b,["bin",{"_placeholder":true,"num":0}]`)
		c.sendBinary("\x04\x01\x02")
		w.settle()
		got := app.expect(wire.KindEvent, wire.KindEvent)
		if p, err := wire.ParsePacket(got[0].Body, nil); err != nil || string(p.JSON) != `["hi",1]` || string(got[0].ID) != "7" {
			t.Errorf("event: got %q, id %s, %v", p.JSON, got[0].ID, err)
		}
		if p, err := wire.ParsePacket(got[1].Body, nil); err != nil || len(p.Attachments) != 1 || string(p.Attachments[0]) != "\x01\x02" {
			t.Errorf("binary event: got %q, %v", p.Attachments, err)
		}
		app.do(r, emit(0, `["x",{"_placeholder":true,"num":0}]`, "\x03"))
		c.expect(`451-/chat,["x",{"_placeholder":true,"num":0}]`, "b:\x04\x03")
		c.send("41/chat?a=b,")
		w.settle()
		app.expect(wire.KindDisconnect)
		c.wantOpen()
	})
}

// TestV2Returns: who leaves a namespace and comes back has the same id, and gets what is sent to it once.
func TestV2Returns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{AllowEIO3: true})
		app := w.newApp(true, "/", "/chat")
		c, sid := w.openV2()
		c.send("40/chat,")
		c.expect("40", "40/chat,")
		first, _ := app.connect()
		c.send(`42/chat,["unhandled"]`, "41/chat,", "40/chat,")
		c.expect("40/chat,")
		again, connect := app.connect()
		if connect.GetSocketId() != "/chat#"+sid || again.Socket == first.Socket { // V3-011
			t.Errorf("came back as %q at %v, before %v", connect.GetSocketId(), again.Socket, first.Socket)
		}
		app.do(first, handled(3)) // the last that is owed to the first socket
		app.do(again, broadcast(0, wire.Selector{Rooms: []string{"/chat#" + sid}}, `["to you"]`))
		c.expect(`42/chat,["to you"]`)
	})
}

func TestV2Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AllowEIO3: true})
		w.newRing(1)
		verdict := `{"allow":true}`
		w.auth(func(authn.ConnectRequest) string { return verdict })
		app := w.newApp(false, "/", "/a", "/b", "/c")
		c, _ := w.openV2()
		r, _ := app.connect()
		app.accept(r)
		c.expect("40")
		c.send("40/x,")
		c.expect(`44/x,"Invalid namespace"`) // V3-014
		verdict = `{"allow":false,"message":"say \"please\""}`
		c.send("40/a,")
		c.expect(`44/a,"say \"please\""`) // V3-014
		verdict = `{"allow":false,"message":"no","data":{"code":7}}`
		c.send("40/b?x=y,")
		c.expect(`44/b,{"code":7}`) // V3-014: data takes the place of the message
		verdict = `{"allow":true}`
		for data, want := range map[string]string{"": `"no"`, "null": `"no"`, `"late"`: `"late"`, "{": `"no"`} {
			c.send("40/c,")
			w.settle()
			r, _ := app.connect()
			app.do(r, refuse(t, "no", data))
			c.expect("44/c," + want) // V3-014
		}
		c.send("40/c,")
		w.settle()
		r, _ = app.connect()
		app.do(r, &wire.Record{Kind: wire.KindUnknown})
		c.expect(`44/c,"Invalid namespace"`) // V3-014
		c.wantOpen()
	})
}

// TestV2NotServed: when nobody serves "/", a client of 2.x is told so, and may be in another namespace.
func TestV2NotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{AllowEIO3: true})
		w.newApp(true, "/chat")
		c, _ := w.openV2()
		c.expect(`44"Invalid namespace"`) // V3-014
		c.send("40/chat,")
		c.expect("40/chat,")
		c.send("40/chat,") // a second CONNECT closes, as it does for others
		w.pass(time.Second)
		c.wantClosed()
	})
}

func TestV2NotAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		for _, version := range []string{"EIO=3&", ""} {
			status, text, _ := w.request(http.MethodGet, "/socket.io/?"+version+"transport=polling", "")
			if want := `{"code":5,"message":"Unsupported protocol version"}`; status != 400 || text != want { // V3-013
				t.Errorf("%q: got %d %s, want 400 %s", version, status, text, want)
			}
		}
		if got := app.records(); len(got) != 0 {
			t.Errorf("the app was asked: %v", got)
		}
	})
}

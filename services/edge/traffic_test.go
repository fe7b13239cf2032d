package edge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/chat")
		c := w.join("/", "/chat")
		app.records()
		of, _ := app.connect()
		const huge = "123456789012345678901234567890"
		c.send(`42/chat,["say","é",[1,{"a":null}]]`, `42["root"]`, `42/chat,`+huge+`["ask"]`)
		w.settle()
		got := app.expect(wire.KindEvent, wire.KindEvent, wire.KindEvent)
		for i, want := range []struct{ namespace, json, id string }{
			{"/chat", `["say","é",[1,{"a":null}]]`, ""},
			{"/", `["root"]`, ""},
			{"/chat", `["ask"]`, huge},
		} {
			p, err := wire.ParsePacket(got[i].Body, nil)
			if err != nil || string(got[i].Namespace) != want.namespace || string(p.JSON) != want.json || string(got[i].ID) != want.id {
				t.Errorf("event %d: got %s %s %q (%v), want %v", i, got[i].Namespace, p.JSON, got[i].ID, err, want)
			}
		}
		if got[0].Seq != 2 || got[2].Seq != 3 || got[1].Seq != 2 { // each socket counts for itself; 1 was the connect record
			t.Errorf("sequence: got %d, %d, %d", got[0].Seq, got[2].Seq, got[1].Seq)
		}
		app.do(of,
			emit(0, `["e",1]`),
			&wire.Record{Kind: wire.KindAck, ID: []byte(huge), Body: packet(`["ok"]`)}, // PAR-004
			&wire.Record{Kind: wire.KindAck, ID: []byte("7"), Body: packet(`[{"_placeholder":true,"num":0}]`, "\x01")},
		)
		c.expect(`42/chat,["e",1]`, `43/chat,`+huge+`["ok"]`, `461-/chat,7[{"_placeholder":true,"num":0}]`, "b:\x01") // PAR-006
		if n := w.m.PacketsOut[6].Load(); n != 1 {
			t.Errorf("binary acks counted: got %d, want 1", n)
		}
	})
}

func TestBinaryEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{PingInterval: time.Second})
		app := w.newApp(true, "/")
		c := w.join("/")
		app.records()
		of, _ := app.connect()
		const json = `["bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`
		c.send(`452-` + json)
		c.sendBinary("one")
		w.pass(3 * time.Second) // pings and pongs come between (PAR-026)
		app.expect()
		c.sendBinary("two")
		w.settle()
		got := app.expect(wire.KindEvent)
		p, err := wire.ParsePacket(got[0].Body, nil)
		if err != nil || string(p.JSON) != json || len(p.Attachments) != 2 || string(p.Attachments[0]) != "one" || string(p.Attachments[1]) != "two" {
			t.Errorf("got %s %q (%v)", p.JSON, p.Attachments, err) // PAR-005
		}
		app.do(of, emit(0, json, "three", "four"), broadcast(0, wire.Selector{}, json, "five", "six"))
		c.expect(`452-`+json, "b:three", "b:four", `452-`+json, "b:five", "b:six")
	})
}

func TestAcksOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxAcks: 2})
		app := w.newApp(true, "/")
		c := w.join("/")
		app.records()
		of, _ := app.connect()
		app.do(of, emit(900, `["q"]`), emit(901, `["q"]`))
		c.expect(`420["q"]`, `421["q"]`)
		c.send(`431["one"]`, `431["again"]`, `4399["unknown"]`, `43123456789012345678901234567890[]`)
		w.settle()
		got := app.expect(wire.KindReply)
		if p, _ := wire.ParsePacket(got[0].Body, nil); got[0].Ack != 901 || string(p.JSON) != `["one"]` || got[0].Seq != 0 {
			t.Errorf("reply: got %d %s, sequence %d", got[0].Ack, p.JSON, got[0].Seq)
		}
		if n := w.m.Late.Load(); n != 3 {
			t.Errorf("late: got %d, want 3", n)
		}
		app.do(of, emit(902, `["q"]`), emit(903, `["q"]`)) // one more than may be open: the oldest fails
		c.expect(`422["q"]`, `423["q"]`)
		got = app.expect(wire.KindAckFailed)
		if got[0].Ack != 900 || got[0].Flags&wire.FlagControl == 0 {
			t.Errorf("failed: got request %d, flags %b", got[0].Ack, got[0].Flags)
		}
		c.send(`461-2[{"_placeholder":true,"num":0}]`)
		c.sendBinary("x")
		w.settle()
		got = app.expect(wire.KindReply)
		if p, _ := wire.ParsePacket(got[0].Body, nil); got[0].Ack != 902 || len(p.Attachments) != 1 {
			t.Errorf("binary reply: got %d, %d attachments", got[0].Ack, len(p.Attachments))
		}
	})
}

func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/other")
		a := w.join("/")
		ofA, connectA := app.connect()
		b := w.join("/")
		ofB, connectB := app.connect()
		other := w.join("/other")
		rooms := func(kind wire.Kind, rooms ...string) *wire.Record {
			return &wire.Record{Kind: kind, Body: wire.AppendStrings(nil, rooms)}
		}
		app.do(ofA, rooms(wire.KindJoin, "x", "y"))
		app.do(ofB, rooms(wire.KindJoin, "y", "z"))
		for _, s := range []struct {
			selector wire.Selector
			a, b     bool
		}{
			{wire.Selector{}, true, true},                                                   // BRO-001
			{wire.Selector{Rooms: []string{"x"}}, true, false},                              // BRO-004
			{wire.Selector{Rooms: []string{"x", "y", "z"}}, true, true},                     // once each: BRO-005
			{wire.Selector{Except: []string{connectA.GetSocketId()}}, false, true},          // BRO-003
			{wire.Selector{Rooms: []string{"y"}, Except: []string{"x"}}, false, true},       // BRO-008
			{wire.Selector{Rooms: []string{connectB.GetSocketId(), "nobody"}}, false, true}, // an id is a room
			{wire.Selector{Rooms: []string{connectA.GetSocketId()}, Except: []string{"x"}}, false, false},
		} {
			app.op(ofA, broadcast(0, s.selector, `["b"]`))
			for c, want := range map[*client]bool{a: s.a, b: s.b} {
				if want {
					c.expect(`42["b"]`)
				} else {
					c.expect()
				}
			}
			other.expect()
		}
		app.do(ofB, rooms(wire.KindLeave, "z", "unknown"), broadcast(0, wire.Selector{Rooms: []string{"z"}}, `["b"]`)) // SOC-021
		b.expect()
		b.send("41") // leaves all rooms
		w.settle()
		app.do(ofA, broadcast(0, wire.Selector{Rooms: []string{"y"}}, `["b"]`))
		a.expect(`42["b"]`)
		b.expect()
		a.send("41")
		other.send("41/other,")
		w.settle()
		if n := len(w.edge.index.namespaces); n != 0 {
			t.Errorf("namespaces kept: got %d, want 0", n)
		}
	})
}

// TestVolatile: a volatile packet is dropped when the client is not ready for it, whole.
func TestVolatile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		volatile := emit(0, `["v"]`)
		volatile.Flags = wire.FlagVolatile
		app.do(of, volatile)
		c.expect(`42["v"]`) // SOC-044
		p := w.poll()
		p.connect()
		p.get()
		of, _ = app.connect()
		app.do(of, volatile, broadcast(wire.FlagVolatile, wire.Selector{Rooms: []string{"none"}}, `["v"]`), emit(0, `["e"]`))
		if got := p.get(); got != `42["e"]` { // no GET was waiting (SOC-047)
			t.Errorf("polling: got %q", got)
		}
		waiting := p.goGet()
		app.do(of, volatile, volatile)
		if got := <-waiting; got != `42["v"]` { // SOC-045
			t.Errorf("polling: got %q", got)
		}
		if n := w.m.VolatileDropped.Load(); n != 2 {
			t.Errorf("dropped: got %d, want 2", n)
		}
	})
}

func TestStaleOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app, other := w.newApp(true, "/"), w.newApp(true)
		c := w.join("/")
		of, _ := app.connect()
		other.do(of, emit(0, `["foreign"]`))
		earlier := *of
		earlier.Epoch = 0
		app.do(&earlier, emit(0, `["earlier"]`), handled(1))
		c.expect()
		if n := w.m.Stale.Load(); n != 3 {
			t.Errorf("stale: got %d, want 3", n)
		}
		foreign := emit(0, `["allowed"]`)
		foreign.Flags = wire.FlagNonOwner
		other.do(of, foreign)
		c.expect(`42["allowed"]`)
	})
}

// TestUnreadableOperations: what an app got wrong harms nobody else.
func TestUnreadableOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		bad := []byte{9}
		app.do(of,
			&wire.Record{Kind: wire.KindEmit, Body: bad}, &wire.Record{Kind: wire.KindAck, Body: bad},
			&wire.Record{Kind: wire.KindJoin, Body: bad}, &wire.Record{Kind: wire.KindLeave, Body: bad},
			&wire.Record{Kind: wire.KindRefuse, Body: bad}, &wire.Record{Kind: wire.KindData, Body: bad},
			&wire.Record{Kind: wire.KindBroadcast, Body: append(wire.AppendSelector(nil, wire.Selector{}), 9)},
			&wire.Record{Kind: wire.KindData, Body: wire.AppendStrings(nil, []string{"a", "1", "b", "2", "a", ""})},
			emit(0, `["e"]`),
		)
		c.expect(`42["e"]`)
		if n := w.m.Unreadable.Load(); n != 7 {
			t.Errorf("unreadable: got %d, want 7", n)
		}
		sk := w.edge.table.all()[0]
		if len(sk.data) != 1 || string(sk.data["b"]) != "2" {
			t.Errorf("data: got %q", sk.data)
		}
	})
}

func TestInvalidPackets(t *testing.T) {
	for packet, malformed := range map[string]bool{
		`40`:               false, // a second CONNECT: NSP-011
		`40/a,`:            false, // the same, while the first is under way
		`42/x,["e"]`:       false, // NSP-013
		`41/x,`:            false,
		`44{"a":1}`:        false, // NSP-014
		`44"a"`:            false, // NSP-014
		`431{"a":1}`:       true,  // NSP-014
		`431"a"`:           true,  // NSP-014
		`42abc["e"]`:       true,  // PAR-025
		`42{}`:             true,  // PAR-014
		`49`:               true,  // PAR-015
		`42["a"`:           true,
		`42["disconnect"]`: true, // PAR-011
		`4511-["e"]`:       true, // PAR-017
	} {
		t.Run(packet, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMesh(t, Config{})
				app := w.newApp(true, "/")
				accepting := w.newApp(false, "/a")
				c := w.join("/")
				c.send("40/a,") // asked and not accepted
				w.settle()
				app.records()
				c.send(packet, `42["more"]`)
				w.settle()
				c.wantClosed()
				got := app.expect(wire.KindDisconnect)
				d := disconnect(t, &got[0])
				if d.GetReason() != "forced close" || len(d.GetRooms()) != 1 { // PAR-028, SOC-029
					t.Errorf("got %v", d)
				}
				accepting.expect(wire.KindConnect, wire.KindDisconnect)
				if bad, state := w.m.Malformed.Load() == 1, w.m.InvalidState.Load() == 1; bad != malformed || state == malformed {
					t.Errorf("counted as malformed %v, invalid state %v, want %v, %v", bad, state, malformed, !malformed)
				}
				if !strings.Contains(d.GetDescription(), "inval") {
					t.Errorf("description: got %q", d.GetDescription())
				}
			})
		})
	}
}

func TestEventBeforeConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		w.newApp(false, "/")
		early, asking := w.open(), w.open()
		early.send(`42["e"]`)
		early.wantClosed() // NSP-012
		asking.send("40")
		w.settle()
		asking.send(`42["e"]`)
		asking.wantClosed()
	})
}

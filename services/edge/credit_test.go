package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// say sends n events, numbered.
func (c *client) say(n, size int) {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf(`42[%d,"%s"]`, i, strings.Repeat("x", size))
	}
	c.send(texts...)
	c.w.settle()
}

// numbered takes the events that have come, which must be from, from+1, …, and returns how many.
func (a *app) numbered(from int) (n int) {
	a.tb.Helper()
	for _, r := range a.records() {
		if r.Kind != wire.KindEvent {
			continue
		}
		if want := fmt.Sprintf("\x00[%d,", from+n); !strings.HasPrefix(string(r.Body), want) {
			a.tb.Fatalf("event %d: got %.20q, want it to begin with %q", n, r.Body, want)
		}
		n++
	}
	return n
}

func TestCreditOfPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c, other := w.join("/"), w.join("/")
		app.mu.Lock()
		of := &app.sockets[0]
		app.mu.Unlock()
		app.do(of, handled(1))
		app.records()
		c.say(100, 1)
		if n := app.numbered(0); n != 64 {
			t.Errorf("without a mark: got %d events, want 64", n)
		}
		if !c.unread() {
			t.Error("the client is still read")
		}
		other.say(3, 1) // nobody else waits
		if n := app.numbered(0); n != 3 {
			t.Errorf("the other: got %d events, want 3", n)
		}
		w.pass(2 * time.Minute) // its ping timeout is suspended
		app.do(of, handled(11))
		if n := app.numbered(64); n != 10 {
			t.Errorf("after 10 are handled: got %d events, want 10", n)
		}
		app.do(of, emit(0, `["e"]`), &wire.Record{Kind: wire.KindHandled, Handled: 1000}, handled(5)) // never sent; an old one
		if n := app.numbered(74); n != 0 {
			t.Errorf("after marks that mean nothing: got %d events", n)
		}
		last := emit(0, `["e"]`)
		last.Handled = 75 // marks ride on other operations
		app.do(of, last)
		if n := app.numbered(74); n != 26 {
			t.Errorf("after all are handled: got %d events, want 26", n)
		}
		if c.unread() {
			t.Error("the client is not read")
		}
		c.expect(`42["e"]`, `42["e"]`)
	})
}

func TestCreditOfBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		app.records()
		c.say(6, 100<<10)
		if n := app.numbered(0); n != 2 {
			t.Errorf("256 KiB: got %d events of 100 KiB, want 2", n)
		}
		app.do(of, handled(3))
		if n := app.numbered(2); n != 2 {
			t.Errorf("after both are handled: got %d, want 2", n)
		}
		app.do(of, handled(5))
		app.numbered(4)
		app.do(of, handled(7))
		c.say(2, 500<<10) // larger than the bound: one, when nothing else is outstanding
		if n := app.numbered(0); n != 1 {
			t.Errorf("large ones: got %d, want 1", n)
		}
	})
}

// TestEndWithHeldPackets: what a client sent before it left reaches the app before its end does.
func TestEndWithHeldPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 2})
		app := w.newApp(true, "/", "/a")
		c := w.join("/", "/a")
		app.mu.Lock()
		of := &app.sockets[0]
		app.mu.Unlock()
		app.records()
		app.do(of, handled(1), emit(5, `["q"]`)) // so that reading goes on
		c.take()
		c.say(4, 1)
		c.send("41")
		w.settle()
		app.do(of, emit(6, `["too late"]`))
		failed := app.expect(wire.KindEvent, wire.KindEvent, wire.KindAckFailed, wire.KindAckFailed)[2:]
		for i, r := range failed { // SOC-042: the handler may wait for them, and the disconnect for the handler
			if r.Ack != uint64(5+i) || string(r.Body) != wire.AckDeparted {
				t.Errorf("got %v", r)
			}
		}
		if n := w.ring.gone(); n != 2 {
			t.Errorf("rooms: got %d gone, want one at once and one for the request", n)
		}
		app.do(of, handled(2))
		app.do(of, handled(4))
		got := app.records()
		if len(got) != 3 || got[2].Kind != wire.KindDisconnect || got[2].Seq != 6 {
			t.Errorf("got %v", got)
		}
		if n := len(w.edge.table.all()); n != 1 {
			t.Errorf("sockets kept: got %d, want 1", n)
		}
		c.wantOpen()
		if c.unread() {
			t.Error("the client is not read")
		}
	})
}

// TestServerEndsWithHeldPackets: an app that has ended the socket wants no more of it, and reports nothing as handled.
func TestServerEndsWithHeldPackets(t *testing.T) {
	for name, clientFirst := range map[string]bool{"server first": false, "client first": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMesh(t, Config{MaxPackets: 2})
				app := w.newApp(true, "/", "/a")
				c := w.join("/", "/a")
				app.mu.Lock()
				of := &app.sockets[0]
				app.mu.Unlock()
				app.records()
				if clientFirst {
					app.do(of, emit(5, `["q"]`)) // so that its end is read
					c.take()
				}
				c.say(4, 1)
				if clientFirst {
					c.send("41")
					w.settle()
				}
				app.records()
				app.do(of, &wire.Record{Kind: wire.KindClose})
				app.expect(wire.KindDisconnect)
				if n := len(w.edge.table.all()); n != 1 {
					t.Errorf("sockets kept: got %d, want 1", n)
				}
				c.send(`42/a,["other"]`)
				w.settle()
				app.expect(wire.KindEvent) // the client is read again
				if w.m.Dropped.Load() == 0 {
					t.Error("no packet counted as dropped")
				}
			})
		})
	}
}

func TestAcksOvertakeHeldPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 2, MaxHeld: 10_000})
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		app.do(of, handled(1))
		app.records()
		c.say(3, 1000)
		if n := app.numbered(0); n != 2 {
			t.Fatalf("got %d events, want 2", n)
		}
		c.send(`430["answer"]`)
		w.settle()
		if !c.unread() {
			t.Fatal("the client is read though nothing was asked of it")
		}
		app.do(of, emit(77, `["q"]`)) // from now on it is, since its answer may be what the handler waits for
		c.expect(`420["q"]`)
		if got := app.expect(wire.KindReply); got[0].Ack != 77 {
			t.Errorf("reply: got %d, want 77", got[0].Ack)
		}
		if c.say(1, 1000); !c.unread() {
			t.Error("the client is read on though nothing is asked any more")
		}
		app.do(of, emit(78, `["q"]`))
		for range 12 {
			c.say(1, 1000)
		}
		got := app.records()
		if len(got) != 1 || got[0].Kind != wire.KindAckFailed || got[0].Ack != 78 {
			t.Errorf("past the bound: got %v, want the failure of request 78", got)
		}
		if !c.unread() {
			t.Error("the client is read though it is past the bound")
		}
	})
}

// TestFullLink: a link without room holds every socket of the instance, and lets it go on.
func TestFullLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{Link: link.Config{WindowBytes: 20_000, WindowRecords: 1000}})
		cut := &flaky{Bus: w.bus}
		app := w.appOn(cut, true, "/")
		c, other := w.join("/"), w.join("/")
		app.mu.Lock()
		of := &app.sockets[1]
		app.mu.Unlock()
		app.do(of, emit(5, `["q"]`))
		other.take()
		app.records()
		cut.mute.Store(true) // no marks
		c.say(30, 1000)
		if !c.unread() {
			t.Error("the client is read")
		}
		other.send(`430["held too"]`, `42[0,1]`)
		w.settle()
		cut.mute.Store(false)
		w.pass(time.Second)
		var first []string
		var second []wire.Kind
		for _, r := range app.records() {
			if r.Socket == of.Socket {
				second = append(second, r.Kind)
			} else {
				first = append(first, string(r.Body[:4]))
			}
		}
		if len(first) != 30 || first[0] != "\x00[0," || first[29] != "\x00[29" {
			t.Errorf("got %d events: %q", len(first), first)
		}
		if !slices.Equal(second, []wire.Kind{wire.KindReply, wire.KindEvent}) {
			t.Errorf("the other socket: got kinds %v", second)
		}
		if c.unread() || other.unread() {
			t.Error("a client is not read")
		}
	})
}

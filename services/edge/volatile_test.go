package edge

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// volatileEmit is emit of what may be dropped.
func volatileEmit(json string, attachments ...string) *wire.Record {
	r := emit(0, json, attachments...)
	r.Flags = wire.FlagVolatile
	return r
}

// TestVolatileWhileWriting: while the connection does not take bytes, a WebSocket gets nothing volatile, and all else.
func TestVolatileWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		all := func(json string, attachments ...string) *wire.Record {
			return broadcast(wire.FlagVolatile, wire.Selector{}, json, attachments...)
		}
		reads := make(chan struct{})
		c.gate.Store(&reads)
		const binary = `["b",{"_placeholder":true,"num":0}]`
		app.do(of, emit(0, `["e"]`), emit(0, `["e"]`)) // the client reads the first of them
		app.do(of, volatileEmit(`["v"]`), all(`["v"]`), volatileEmit(binary, "1"), all(binary, "1"), emit(0, `["after"]`))
		c.gate.Store(nil)
		close(reads)
		c.expect(`42["e"]`, `42["e"]`, `42["after"]`) // SOC-043, SOC-046, SOC-047, BRO-010
		if n := w.m.VolatileDropped.Load(); n != 4 {
			t.Errorf("dropped: got %d, want 4", n)
		}
		app.do(of, all(binary, "2"))
		c.expect(`451-`+binary, "b:2") // SOC-046
	})
}

// TestVolatileInABatch: a GET that waits takes what is sent together.
func TestVolatileInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		p := w.poll()
		p.connect()
		p.get()
		of, _ := app.connect()
		waiting := p.goGet()
		app.do(of, emit(0, `["e"]`), volatileEmit(`["v"]`), volatileEmit(`["dropped"]`))
		if got := <-waiting; got != "42[\"e\"]\x1e42[\"v\"]" { // SOC-043, SOC-045
			t.Errorf("polling: got %q", got)
		}
		if n := w.m.VolatileDropped.Load(); n != 1 {
			t.Errorf("dropped: got %d, want 1", n)
		}
	})
}

// TestVolatileIsWhole: of a packet with attachments all parts go, or none.
func TestVolatileIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		ready := w.join("/")
		p := w.poll()
		p.connect()
		p.get()
		of, _ := app.connect()
		const json = `["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`
		for _, r := range []*wire.Record{
			volatileEmit(json, "x", "y"), broadcast(wire.FlagVolatile, wire.Selector{}, json, "x", "y"), // no GET waits
		} {
			app.do(of, r, emit(0, `["e"]`))
			if got := p.get(); got != `42["e"]` { // SOC-046, SOC-047, BRO-010
				t.Errorf("polling: got %q", got)
			}
		}
		ready.expect(`452-`+json, "b:x", "b:y") // BRO-010: who can take it gets it
		waiting := p.goGet()
		app.do(of, broadcast(wire.FlagVolatile, wire.Selector{}, json, "x", "y"), volatileEmit(json, "z", "z"))
		if got, want := <-waiting, "452-"+json+"\x1ebeA==\x1ebeQ=="; got != want { // SOC-046, BRO-010, and BRO-011 for polling
			t.Errorf("polling: got %q, want %q", got, want)
		}
		if n := w.m.VolatileDropped.Load(); n != 3 {
			t.Errorf("dropped: got %d, want 3", n)
		}
	})
}

// tally is a parser that counts the packets it encodes.
type tally struct {
	parser
	n atomic.Int64
}

func (c *tally) messages(dst []*engine.Message, p protocol.Packet, attachments [][]byte) ([]*engine.Message, error) {
	c.n.Add(1)
	return c.parser.messages(dst, p, attachments)
}

// TestEncodedOnce: a broadcast is encoded once, whoever it goes to; an engine.Message has one frame for all sessions.
func TestEncodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		clients := []*client{w.join("/"), w.join("/"), w.join("/")}
		p := w.poll()
		p.connect()
		p.get()
		of, _ := app.connect()
		encodes := &tally{}
		w.edge.links.Do(func() { encodes.parser, w.edge.parser = w.edge.parser, encodes })
		w.settle()
		const json = `["all",{"_placeholder":true,"num":0}]`
		app.do(of, broadcast(0, wire.Selector{}, json, "1"))
		for _, c := range clients {
			c.expect(`451-`+json, "b:1")
		}
		if got := p.get(); got != "451-"+json+"\x1ebMQ==" {
			t.Errorf("polling: got %q", got)
		}
		if n := encodes.n.Load(); n != 1 { // BRO-019
			t.Errorf("encoded %d times, want once", n)
		}
	})
}

package edge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// TestStrangerAsks: an instance may ask before its heartbeat has come here; then it hears all of it, in order.
func TestStrangerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		one, id1 := w.joinNamed(app)
		two, id2 := w.joinNamed(app)
		out := &flaky{Bus: w.bus}
		out.off.Store(true)
		stranger := w.appOn(out, false)
		stranger.ask(7, 0, wire.Selector{}, time.Minute, `["q"]`)
		one.expect(`421073741825["q"]`)
		two.expect(`421073741825["q"]`)
		one.send(`431073741825["one"]`)
		w.settle()
		stranger.expectTold()
		out.off.Store(false)
		stranger.peers.Announce()
		w.settle()
		ids := []string{min(id1, id2), max(id1, id2)}
		stranger.expectTold("9 of 7: ["+ids[0]+" "+ids[1]+"]", "reply to 7 of "+id1+`: ["one"] 0 <nil>`)
		two.send(`431073741825["two"]`)
		w.settle()
		stranger.expectTold("reply to 7 of "+id2+`: ["two"] 0 <nil>`, "11 of 7: []")
		if n := w.edge.strangers.n.Load(); n != 0 || w.edge.strangers.bytes != 0 {
			t.Errorf("%d strangers, %d bytes are left", n, w.edge.strangers.bytes)
		}
	})
}

// TestStrangersAreBounded: what waits for who never comes is little, and not for long.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s strangers
		s.mu.Lock()
		defer s.mu.Unlock()
		record := &wire.Record{Kind: wire.KindAskReply, Body: make([]byte, strangerBytes/4)}
		first := mesh.NewInstanceID()
		kept := 0
		for range 10 {
			if s.keep(first, record) {
				kept++
			}
		}
		if kept != 3 || s.keep(mesh.NewInstanceID(), record) {
			t.Errorf("kept %d, and one of another instance", kept)
		}
		<-time.After(strangerFor + 1)
		if !s.keep(mesh.NewInstanceID(), record) || s.n.Load() != 1 || s.held[first] != nil {
			t.Errorf("%d instances, %d bytes", s.n.Load(), s.bytes)
		}
	})
}

package rooms

import (
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// TestDetachedKeepsMembership: a socket that goes to another instance stays where it is, and what its owner did comes before.
func TestDetachedKeepsMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		old, fresh, edge := w.app(), w.app(), w.edge()
		at, ended := edge.socket(1), edge.socket(2)
		body := wire.AppendDetached(nil, []wire.Event{{ID: []byte("1"), Packet: []byte("\x00[]")}})
		old.op(
			accept(t, at, "id", "x"),
			broadcast("x"),
			&wire.Record{Kind: wire.KindDetached, Socket: at, Epoch: 1, Handled: 7, Body: body},
			&wire.Record{Kind: wire.KindDetached, Socket: ended, Epoch: 1}, // which rooms does not know: its edge may
		)
		g := edge.expect(wire.KindAccept, wire.KindBroadcast, wire.KindDetached, wire.KindDetached)
		if r := g[2]; r.Origin != old.addr.Instance || r.Handled != 7 || r.Epoch != 1 || string(r.Body) != string(body) {
			t.Errorf("got %+v", r)
		}
		if op := got(old.records()).confirmed(); op != 4 {
			t.Errorf("confirmed: got %d, want 4", op)
		}
		fresh.op(&wire.Record{Kind: wire.KindJoin, Socket: at, Epoch: 2, Body: wire.AppendStrings(nil, []string{"y"})}, broadcast("y"))
		edge.expect(wire.KindJoin, wire.KindBroadcast)
		for _, room := range []string{"x", "y", "id"} {
			if n, _ := fresh.count(2, room); n != 1 {
				t.Errorf("count of %s: got %d, want 1", room, n)
			}
		}
		if n, _ := fresh.count(2); n != 1 {
			t.Errorf("count: got %d, want 1", n)
		}
	})
}

package rooms

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func toAll(kind wire.Kind, s wire.Selector, rooms ...string) *wire.Record {
	body := wire.AppendSelector(nil, s)
	if kind != wire.KindCloseAll {
		body = wire.AppendStrings(body, rooms)
	}
	return &wire.Record{Kind: kind, Body: body}
}

func (w *world) counts(rooms ...string) []uint64 {
	w.tb.Helper()
	list := make([][]byte, len(rooms))
	for i, room := range rooms {
		list[i] = []byte(room)
	}
	return w.ask(&siomeshv1.RoomsRequest{
		Namespace: "/", Query: &siomeshv1.RoomsRequest_Counts{Counts: &siomeshv1.CountsQuery{Rooms: list}},
	}).GetCounts()
}

// TestOperationsOnAll checks that joins, leaves and closes by selector reach the edges that hold a member, and the index.
func TestOperationsOnAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, one, two, three := w.app(), w.edge(), w.edge(), w.edge()
		app.op(
			accept(t, one.socket(1), "a", "x"), accept(t, one.socket(2), "b"), accept(t, two.socket(1), "c", "x"),
			join(three.socket(1), "x"), // pending: nobody finds it
		)
		one.expect(wire.KindAccept, wire.KindAccept)
		two.expect(wire.KindAccept)
		three.expect(wire.KindJoin)
		app.op(toAll(wire.KindJoinAll, wire.Selector{Rooms: []string{"x"}, Except: []string{"c"}}, "y", "z"))
		if got := one.expect(wire.KindJoinAll)[0]; got.Origin != app.addr.Instance || got.Op != 5 {
			t.Errorf("got %+v", got)
		}
		two.expect(wire.KindJoinAll)
		three.expect()
		if got, want := w.counts("x", "y", "z", "a", "none"), []uint64{2, 1, 1, 1, 0}; !slices.Equal(got, want) { // BRO-024
			t.Errorf("joined: got %d, want %d", got, want)
		}
		app.op(toAll(wire.KindLeaveAll, wire.Selector{}, "x", "y", "a"))
		one.expect(wire.KindLeaveAll)
		two.expect(wire.KindLeaveAll)
		if got, want := w.counts("x", "y", "z", "a"), []uint64{0, 0, 1, 1}; !slices.Equal(got, want) { // BRO-025
			t.Errorf("left: got %d, want %d", got, want)
		}
		app.op(toAll(wire.KindCloseAll, wire.Selector{Rooms: []string{"z"}}))
		one.expect(wire.KindCloseAll)
		two.expect()
		if n, _ := app.count(0); n != 2 || w.m.Operations[wire.KindCloseAll].Load() != 1 { // BRO-026
			t.Errorf("closed: got %d sockets left, want 2", n)
		}
	})
}

// TestAsk checks that a broadcast with acknowledgement reaches the edges with a member, and that its sender hears which.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, one, two := w.app(), w.edge(), w.edge()
		app.op(accept(t, one.socket(1), "a"), accept(t, two.socket(1), "b"))
		one.expect(wire.KindAccept)
		two.expect(wire.KindAccept)
		app.records()
		for room, want := range map[string][]string{"a": {one.addr.Instance.String()}, "none": nil} {
			body := append(wire.AppendAsk(nil, wire.Selector{Rooms: []string{room}}, time.Second), packet...)
			app.op(&wire.Record{Kind: wire.KindAsk, Ack: 77, Body: body})
			var got []string
			for _, r := range app.records() {
				if r.Kind == wire.KindAskEdges {
					edges, err := wire.ParseStrings(r.Body)
					if err != nil || r.Ack != 77 {
						t.Errorf("request %d, %v", r.Ack, err)
					}
					got = append(got, edges...)
				}
			}
			if !slices.Equal(got, want) { // BRO-013, BRO-016
				t.Errorf("%s: got %v, want %v", room, got, want)
			}
		}
		if got := one.expect(wire.KindAsk)[0]; got.Ack != 77 || got.Origin != app.addr.Instance {
			t.Errorf("got %+v", got)
		}
		two.expect()
	})
}

// packet is that of some event.
const packet = "\x00[\"e\"]"

func TestUnreadableSelectors(t *testing.T) {
	for _, body := range []string{"\x05", "\x00\x00\x05"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			app := w.app()
			app.op(&wire.Record{Kind: wire.KindJoinAll, Body: []byte(body)})
			if l := app.links.Link(w.rooms.self); l.Marked() != 0 {
				t.Error("it was taken")
			}
		})
	}
}

func TestEdgesQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, one, two := w.app(), w.edge(), w.edge()
		app.op(accept(t, one.socket(1), "a"), join(one.socket(1), "\xff"), accept(t, two.socket(1), "b"))
		for _, c := range []struct {
			rooms []string
			want  []*double
		}{{nil, []*double{one, two}}, {[]string{"\xff"}, []*double{one}}, {[]string{"b", "none"}, []*double{two}}, {[]string{"none"}, nil}} {
			var list [][]byte
			for _, room := range c.rooms {
				list = append(list, []byte(room))
			}
			got := w.ask(&siomeshv1.RoomsRequest{
				Namespace: "/", Query: &siomeshv1.RoomsRequest_Edges{Edges: &siomeshv1.EdgesQuery{Rooms: list}},
			}).GetEdges()
			if len(got) != len(c.want) {
				t.Errorf("%q: got %v", c.rooms, got)
			}
			for _, edge := range c.want {
				if !slices.Contains(got, edge.addr.Instance.String()) {
					t.Errorf("%q: got %v, want %s", c.rooms, got, edge.addr.Instance)
				}
			}
		}
	})
}

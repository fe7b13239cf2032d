package rooms

import (
	"fmt"
	"testing"
	"testing/synctest"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestServes(t *testing.T) {
	info := &siomeshv1.Presence{Namespaces: []*siomeshv1.Namespace{
		{Match: &siomeshv1.Namespace_Name{Name: "/exact"}},
		{Match: &siomeshv1.Namespace_Pattern{Pattern: "["}},
		{Match: &siomeshv1.Namespace_Pattern{Pattern: "^/dyn-[0-9]+$"}},
	}}
	var p patterns
	for namespace, want := range map[string]bool{"/exact": true, "/exact2": false, "/dyn-7": true, "/dyn-x": false, "/": false} {
		if got := p.serves(info, namespace); got != want {
			t.Errorf("%s: got %v, want %v", namespace, got, want)
		}
	}
	info.Namespaces = append(info.Namespaces, &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Dynamic{Dynamic: true}})
	if !p.serves(info, "/any") || p.serves(&siomeshv1.Presence{}, "/any") {
		t.Error("a function may know any name, and nothing knows none")
	}
	if info.Draining = true; p.serves(info, "/exact") {
		t.Error("an instance that drains is given events, which it does not handle")
	}
	if len(p.compiled) != 2 {
		t.Errorf("%d patterns are kept, want 2", len(p.compiled))
	}
	for i := range 2 * maxPatterns {
		p.found(fmt.Sprint(i), "")
	}
	if n := len(p.compiled); n > maxPatterns || n < 2 {
		t.Errorf("%d patterns are kept", n)
	}
}

// TestServerSide checks the way of an event between instances, and of the answer.
func TestServerSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		one, two, edge := w.app(), w.app(), w.edge()
		one.op(accept(t, edge.socket(1), "a"))
		edge.expect(wire.KindAccept)
		one.records()
		one.op(&wire.Record{Kind: wire.KindServerEmit, Ack: 5, Body: []byte(packet)})
		got := one.expect(wire.KindServerTargets, wire.KindConfirm) // doubles announce no namespace: nobody serves it
		if ids, err := wire.ParseStrings(got[0].Body); err != nil || len(ids) != 0 || got[0].Ack != 5 {
			t.Errorf("got %v, %v", ids, err)
		}
		two.op(&wire.Record{Kind: wire.KindServerReply, Ack: 5, Body: append(wire.AppendReply(nil, one.addr.Instance.String()), packet...)})
		if got := one.expect(wire.KindServerAnswer)[0]; got.Origin != two.addr.Instance || got.Ack != 5 || string(got.Body) != packet {
			t.Errorf("got %+v", got)
		}
		two.op(&wire.Record{Kind: wire.KindServerReply, Ack: 5, Body: append(wire.AppendReply(nil, edge.addr.Instance.String()), packet...)})
		edge.expect() // no app asks there
		two.expect(wire.KindConfirm, wire.KindConfirm)
		two.op(&wire.Record{Kind: wire.KindServerReply, Ack: 5, Body: append(wire.AppendReply(nil, "?"), packet...)})
		two.expect() // unreadable: the link has ended
	})
}

// TestAnswerAheadOfAHeartbeat shows that an instance gets its answers though its first heartbeat is late.
func TestAnswerAheadOfAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		one, two := w.mute(newApp()), w.app()
		one.op(&wire.Record{Kind: wire.KindServerEmit, Ack: 5, Body: []byte(packet)})
		one.expect(wire.KindServerTargets, wire.KindConfirm)
		two.op(&wire.Record{Kind: wire.KindServerReply, Ack: 5, Body: append(wire.AppendReply(nil, one.addr.Instance.String()), packet...)})
		one.expect(wire.KindServerAnswer)
		two.expect(wire.KindConfirm)
	})
}

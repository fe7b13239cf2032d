package edge

import (
	"testing"
	"testing/synctest"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// named starts an app of that name, which announces what rules say and answers each connect as answer does.
func (w *world) named(name string, answer func(a *app, r *wire.Record), rules ...*siomeshv1.Namespace) *app {
	w.tb.Helper()
	a := &app{}
	addr := mesh.Address{Kind: mesh.KindApp, App: name, Instance: mesh.NewInstanceID()}
	a.double = w.double(w.bus, addr, func(*siomeshv1.Presence) {}, func(r *wire.Record) {
		if r.Kind == wire.KindConnect {
			answer(a, r)
		}
	})
	a.announce(func(p *siomeshv1.Presence) { p.Namespaces = rules })
	return a
}

func exact(name string) *siomeshv1.Namespace {
	return &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Name{Name: name}}
}

func pattern(text string) *siomeshv1.Namespace {
	return &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Pattern{Pattern: text}}
}

func dynamic() *siomeshv1.Namespace {
	return &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Dynamic{Dynamic: true}}
}

func accept(a *app, r *wire.Record) { a.accept(r) }

func unknownTo(a *app, r *wire.Record) { a.op(r, &wire.Record{Kind: wire.KindUnknown}) }

// TestWhoIsAsked checks which app gets a client: the exact name, then patterns, then functions, each by the apps' names.
func TestWhoIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		apps := map[string]*app{}
		for name, rules := range map[string][]*siomeshv1.Namespace{
			"a-dynamic": {dynamic()}, "b-pattern": {pattern("["), pattern("^/dyn-[0-9]+$")}, "c-pattern": {pattern("dyn")},
			"d-exact": {exact("/dyn-1"), exact("/dyn-2")}, "e-exact": {exact("/dyn-1"), dynamic()},
		} {
			apps[name] = w.named(name, accept, rules...)
		}
		for _, c := range []struct{ namespace, app string }{
			{"/dyn-1", "d-exact"},
			{"/dyn-3", "b-pattern"}, // NSP-018
			{"/dyn-x", "c-pattern"}, // patterns are found anywhere, unless they are anchored
			{"/other", "a-dynamic"},
		} {
			w.join(c.namespace)
			for name, a := range apps {
				want := 0
				if name == c.app {
					want = 1
				}
				if got := len(a.records()); got != want {
					t.Errorf("%s: app %s got %d records, want %d", c.namespace, name, got, want)
				}
			}
		}
		apps["d-exact"].announce(func(p *siomeshv1.Presence) {
			p.Draining, p.Namespaces = true, []*siomeshv1.Namespace{exact("/dyn-2")}
		})
		c := w.open()
		c.send("40/dyn-2,")
		w.pass(time.Second)
		if got := c.take(); len(got) != 0 { // it is coming back: nobody else is asked
			t.Errorf("got %q", got)
		}
	})
}

// TestUnknownGoesOn checks that an app that does not know a namespace is not the end.
func TestUnknownGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		var asked []*app
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			asked = append(asked, w.named(name, unknownTo, dynamic()))
		}
		c := w.open()
		c.send("40/x,")
		c.expect(`44/x,{"message":"Invalid namespace"}`) // NSP-021, NSP-005
		for i, a := range asked {                        // NSP-030: one after the other
			if got := a.expect(wire.KindConnect); got[0].Epoch != uint32(i)+1 {
				t.Errorf("app %d: got epoch %d", i, got[0].Epoch)
			}
			if n := len(w.edge.apps.instances[a.addr.Instance].instance.waiting); n > 0 || w.edge.apps.instances[a.addr.Instance].instance.assigned.Load() != 0 {
				t.Errorf("app %d keeps the socket", i)
			}
		}
		c.wantOpen()
		last := w.named("f", accept, dynamic())
		c.send("40/x,")
		w.settle()
		if got := c.take(); len(got) != 1 || got[0][:len(`40/x,{"sid":"`)] != `40/x,{"sid":"` {
			t.Fatalf("got %q", got)
		}
		of := last.expect(wire.KindConnect)[0]
		last.do(&of, emit(0, `["e"]`), &wire.Record{Kind: wire.KindUnknown}) // too late to say that
		c.expect(`42/x,["e"]`)
		c.send(`42/x,["up"]`)
		w.settle()
		if got := last.expect(wire.KindEvent); got[0].Socket != of.Socket || got[0].Seq != 2 {
			t.Errorf("got %+v", got[0])
		}
		if n := len(w.edge.table.all()); n != 1 {
			t.Errorf("got %d sockets in the table, want 1", n)
		}
	})
}

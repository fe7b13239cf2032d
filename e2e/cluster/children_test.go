package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestChildrenAnywhere(t *testing.T) {
	t.Parallel()
	var parents []*socketio.ParentNamespace
	play(t, func(io *socketio.Server) {
		p := io.OfRegexp(regexp.MustCompile(`^/dyn-\d+$`))
		_ = p.OnConnection(func(s *socketio.Socket) { _ = errors.Join(s.Join("half"), s.Emit("welcome", s.Namespace().Name())) })
		parents = append(parents, p)
		_ = io.OfFunc(func(_ context.Context, name string, h socketio.Handshake) (bool, error) {
			return name == "/func" && h.Auth.Get("may") == "come", nil
		}).OnConnection(func(s *socketio.Socket) { _ = s.Emit("welcome", "by function") })
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		var joined []*client
		for i := range 6 {
			k := c.join(fmt.Sprint("/dyn-", i%2))
			k.expect(fmt.Sprintf(`%s["welcome",%q]`, k.prefix("42"), k.ns)) // NSP-018
			joined = append(joined, k)
		}
		for _, stranger := range []*client{c.dial("/stranger"), c.dial("/func", `{"may":"not"}`)} {
			stranger.expect(stranger.prefix("44") + `{"message":"Invalid namespace"}`) // NSP-021, NSP-020
		}
		f := c.dial("/func", `{"may":"come"}`)
		f.connected()
		f.expect(`42/func,["welcome","by function"]`) // NSP-020
		for _, p := range parents[len(parents)-len(c.apps):] {
			if _, err := p.In("half").FetchSockets(t.Context()); !errors.Is(err, socketio.ErrParentNamespace) { // NSP-029
				t.Errorf("got %v", err)
			}
			var names []string // of the children that this instance has
			for _, child := range p.Children() {
				names = append(names, child.Name())
			}
			if err := errors.Join(p.Emit("children"), p.To("half").Emit("room"), p.To("nobody").Emit("none"), p.Except("half").Emit("none")); err != nil {
				t.Error(err)
			}
			for _, k := range joined { // NSP-019: on all edges, and what follows shows that nobody else
				if slices.Contains(names, k.ns) {
					k.expect(k.prefix("42")+`["children"]`, k.prefix("42")+`["room"]`)
				}
			}
		}
		io := c.app()
		for _, ns := range []string{"/dyn-0", "/dyn-1"} {
			if got, err := io.Of(ns).SocketIDs(t.Context()); err != nil || len(got) != 3 { // NSP-016
				t.Errorf("%s: got %v, %v", ns, got, err)
			}
			if err := io.Of(ns).Emit("all"); err != nil { // CLU-002, ADP-006: it is in the whole mesh as soon as it is made
				t.Error(err)
			}
		}
		for _, k := range joined {
			k.expect(k.prefix("42") + `["all"]`)
		}
	})
}

// family is a parent and its children in one instance.
type family struct {
	io             *socketio.Server
	parent         *socketio.ParentNamespace
	static, manual *socketio.Namespace

	mu   sync.Mutex
	made []string // guarded by mu; the namespaces that were announced
}

func newFamily(io *socketio.Server) *family {
	f := &family{io: io}
	io.OnNewNamespace(func(n *socketio.Namespace) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.made = append(f.made, n.Name())
	})
	f.parent = io.OfRegexp(regexp.MustCompile("^/dyn-"))
	_ = f.parent.Use(func(_ context.Context, s *socketio.Socket) error {
		if s.Namespace().Name() == "/dyn-refused" {
			return errors.New("no")
		}
		return nil
	})
	_ = f.parent.OnConnection(func(s *socketio.Socket) { _ = s.Emit("by the parent") })
	f.static, f.manual = io.Of("/static"), io.Of("/dyn-manual")
	_ = f.static.OnConnection(func(*socketio.Socket) {})
	return f
}

// child returns the child of that name, nil if there is none.
func (f *family) child(name string) *socketio.Namespace {
	for _, n := range f.parent.Children() {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// announced returns how often that namespace was.
func (f *family) announced(name string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, made := range f.made {
		if made == name {
			n++
		}
	}
	return n
}

// have returns how many families have a child of that name.
func have(families []*family, name string) (n int) {
	for _, f := range families {
		if f.child(name) != nil {
			n++
		}
	}
	return n
}

func TestChildrenComeAndGo(t *testing.T) {
	t.Parallel()
	for _, cleanup := range []bool{false, true} {
		for _, shape := range shapes {
			t.Run(fmt.Sprintf("cleanup %v, %s", cleanup, shape.name), func(t *testing.T) {
				var families []*family
				set := settings{app: func(c *socketio.Config) { c.CleanupEmptyChildNamespaces = cleanup }}
				c := newClusterWith(t, set, shape.edges, shape.apps, func(io *socketio.Server) { families = append(families, newFamily(io)) })
				comeAndGo(t, c, families, cleanup)
			})
		}
	}
}

// comeAndGo has clients join and leave children.
func comeAndGo(t *testing.T, c *cluster, families []*family, cleanup bool) {
	t.Helper()
	enter := func(name string) *client {
		k := c.join(name)
		k.expect(k.prefix("42") + `["by the parent"]`) // NSP-023, NSP-018: the parent's handlers, also for a child made by hand
		return k
	}
	for _, f := range families {
		if f.child("/dyn-manual") != f.manual || f.announced("/dyn-manual") != 1 || f.announced("/static") != 1 { // NSP-023, NSP-017
			t.Errorf("children %v, announced %v", f.parent.Children(), f.made)
		}
	}
	refused := c.dial("/dyn-refused")
	refused.expect(`44/dyn-refused,{"message":"no"}`)
	if cleanup {
		eventually(t, "the refused one's is gone", func() bool { return have(families, "/dyn-refused") == 0 }) // NSP-025
	} else if n := have(families, "/dyn-refused"); n != 1 { // NSP-028
		t.Errorf("%d instances have a child for who was refused", n)
	}
	var all []*client
	for range 6 {
		all = append(all, enter("/dyn-1"))
	}
	had := have(families, "/dyn-1")
	for _, f := range families {
		if child := f.child("/dyn-1"); (child != nil) != (f.announced("/dyn-1") == 1) { // NSP-017: those of clients too, once
			t.Errorf("announced %d times", f.announced("/dyn-1"))
		}
	}
	last, owner := all[0], families[slices.IndexFunc(families, func(f *family) bool {
		child := f.child("/dyn-1")
		return child != nil && slices.ContainsFunc(child.Sockets(), func(s *socketio.Socket) bool { return s.ID() == all[0].id })
	})]
	for _, k := range all[1:] {
		k.send("41/dyn-1,")
	}
	child := owner.child("/dyn-1")
	eventually(t, "the others have left", func() bool { return len(child.Sockets()) == 1 })
	if cleanup {
		eventually(t, "one instance has the last", func() bool { return have(families, "/dyn-1") == 1 })
	}
	if owner.child("/dyn-1") != child || !cleanup && have(families, "/dyn-1") != had { // NSP-026, NSP-028
		t.Errorf("the owner's child is %v, and %d instances have one", owner.child("/dyn-1"), have(families, "/dyn-1"))
	}
	if err := child.Emit("still here"); err != nil {
		t.Error(err)
	}
	last.expect(`42/dyn-1,["still here"]`) // NSP-026
	last.send("41/dyn-1,")
	if cleanup {
		eventually(t, "nobody has it", func() bool { return have(families, "/dyn-1") == 0 }) // NSP-024
	} else {
		eventually(t, "it is empty", func() bool { return len(child.Sockets()) == 0 })
	}
	again := enter("/dyn-1") // NSP-027
	if n := have(families, "/dyn-1"); cleanup && n != 1 || !cleanup && n < had {
		t.Errorf("%d instances have the child again, %d had it", n, had)
	}
	if !cleanup && owner.child("/dyn-1") != child { // NSP-028
		t.Error("an empty child was removed")
	}
	again.ns = "/static"
	again.send("40/static,")
	again.connected()
	again.send("41/static,")
	manual := enter("/dyn-manual")
	manual.send("41/dyn-manual,")
	for _, f := range families {
		eventually(t, "they are empty", func() bool { return len(f.static.Sockets())+len(f.manual.Sockets()) == 0 })
		if f.io.Of("/static") != f.static || f.child("/dyn-manual") != f.manual { // NSP-028: never removed
			t.Error("a static namespace was removed")
		}
	}
}

package e2e_test

import (
	"fmt"
	"testing"
)

// edgeBeforeApp: an edge that is up before the application holds its clients, and none of them hears of an error.
func edgeBeforeApp(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	d := newDriver(t)
	d.open(t, "early", m.urls()[0])
	m.app(t, "late")
	d.connected(t, "early", 0)
	if got := d.whoami(t, "early"); got != "late" {
		t.Errorf("served by %q, want late", got)
	}
	if errs := d.since(0, func(h heard) bool { return h.is("early", "connect_error") }); len(errs) > 0 {
		t.Errorf("the client was told of an error: %s", errs[0].Args)
	}
}

// edgeKilled: the clients of an edge that dies come back through the balancer, and the rooms are right afterwards.
func edgeKilled(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	m.app(t, "one")
	m.app(t, "two")
	d := newDriver(t)
	d.owners(t, m.urls(), "one", "two")
	front := newBalancer(t, m.listen[2:]...)

	d.connect(t, "stays", m.urls()[1])
	moved := []string{"moves-1", "moves-2", "moves-3"}
	ids := make([]string, len(moved))
	for i, c := range moved {
		ids[i] = d.connect(t, c, front.url()) // on the first edge
		d.request(t, c, "join", "room")
	}
	d.request(t, "stays", "join", []string{"room", "watchers"})
	d.count(t, "stays", 4)

	killed := d.now()
	m.edges[0].kill(t)
	for i, c := range moved {
		if id := d.connected(t, c, killed); id == ids[i] {
			t.Errorf("%s came back with the id it had", c)
		}
		d.wait(t, killed, "the end of the old socket of "+c, func(h heard) bool {
			return h.is("stays", "gone") && h.member("id") == ids[i] && h.member("reason") == "transport close"
		})
	}
	d.count(t, "stays", 1)
	for _, c := range moved {
		d.request(t, c, "join", "room")
	}
	d.count(t, "stays", 4)
	d.hear(t, "moves-1", append(moved, "stays"))
	d.hear(t, "stays", append(moved, "stays"))
	if gone := d.since(killed, func(h heard) bool { return h.is("stays", "disconnect") }); len(gone) > 0 {
		t.Errorf("a client of the other edge was disconnected: %s", gone[0].Args)
	}
}

// appKilled: the clients of an application instance that dies come back to the other one; nobody else notices.
func appKilled(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	one := m.app(t, "one")
	m.app(t, "two")
	d := newDriver(t)
	clients := d.owners(t, m.urls(), "one", "two")
	var all []string
	for _, c := range clients {
		all = append(all, c...)
	}
	for _, c := range all {
		d.request(t, c, "join", "room")
	}
	d.count(t, all[0], len(all))

	killed := d.now()
	one.kill(t)
	for _, c := range clients["one"] {
		d.connected(t, c, killed)
		if got := d.whoami(t, c); got != "two" {
			t.Errorf("%s is served by %q, want two", c, got)
		}
	}
	d.count(t, clients["two"][0], len(clients["two"]))
	for _, c := range clients["one"] {
		d.request(t, c, "join", "room")
	}
	d.count(t, clients["two"][0], len(all))
	d.hear(t, clients["one"][0], all)
	for _, c := range clients["two"] {
		if gone := d.since(killed, func(h heard) bool { return h.is(c, "disconnect") }); len(gone) > 0 {
			t.Errorf("%s of the other instance was disconnected: %s", c, gone[0].Args)
		}
	}
}

// roomsKilled: without rooms nothing can be ordered, so clients are closed; they come back when there are rooms again.
func roomsKilled(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	m.app(t, "one")
	d := newDriver(t)
	clients := []string{"a", "b"}
	for i, c := range clients {
		d.connect(t, c, m.urls()[i])
		d.request(t, c, "join", "room")
	}
	d.count(t, "a", 2)

	killed := d.now()
	m.rooms.kill(t)
	for _, c := range clients {
		d.wait(t, killed, "the end of "+c, func(h heard) bool { return h.is(c, "disconnect", "transport close") })
	}
	m.startRooms(t)
	for _, c := range clients {
		d.connected(t, c, killed)
		d.request(t, c, "join", "room")
	}
	d.count(t, "b", 2)
	d.hear(t, "a", clients)
	// What the old rooms had not confirmed is reported as lost, once.
	if first, again := d.flush(t, "a"), d.flush(t, "a"); again != "" {
		t.Errorf("Flush says %q, then %q, want nothing more", first, again)
	}
}

// authKilled: who is connected stays; who comes is held until there is an auth service again.
func authKilled(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	m.app(t, "one")
	d := newDriver(t)
	d.connect(t, "stays", m.urls()[0])

	killed := d.now()
	m.auth.kill(t)
	d.open(t, "comes", m.urls()[0])
	d.request(t, "stays", "echo", 1)
	m.startAuth(t)
	d.connected(t, "comes", killed)
	d.request(t, "comes", "echo", 2)
	if bad := d.since(killed, func(h heard) bool { return h.is("stays", "disconnect") || h.Event == "connect_error" }); len(bad) > 0 {
		t.Errorf("%s: %s %s", bad[0].Client, bad[0].Event, bad[0].Args)
	}
}

// natsKilled: clients stay connected, and what they do meanwhile is done later, once and in order.
func natsKilled(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	m.app(t, "one")
	d := newDriver(t)
	clients := []string{"a", "b"}
	for i, c := range clients {
		d.connect(t, c, m.urls()[i])
		d.request(t, c, "join", "room")
	}

	killed := d.now()
	m.server.kill(t)
	for i := range 50 {
		d.emit(t, "a", "tick", i)
	}
	m.startNATS(t)
	for i := range 50 {
		d.wait(t, killed, fmt.Sprintf("tick %d", i), func(h heard) bool { return h.is("a", "tick", i) })
	}
	for i, h := range d.since(killed, func(h heard) bool { return h.Event == "tick" }) {
		if !h.is("a", "tick", i) {
			t.Fatalf("tick %d is %s", i, h.Args)
		}
	}
	d.hear(t, "b", clients)
	if bad := d.since(killed, func(h heard) bool { return h.Event == "disconnect" || h.Event == "connect_error" }); len(bad) > 0 {
		t.Errorf("%s: %s %s", bad[0].Client, bad[0].Event, bad[0].Args)
	}
}

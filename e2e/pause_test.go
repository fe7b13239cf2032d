package e2e_test

import "testing"

// A process that does not run for a while is taken for dead, and then it is back under the same name. Whatever it believes,
// everybody must come to serve clients again, without a restart.

// roomsPaused: clients are closed while rooms does not run, and come back when it does.
func roomsPaused(t *testing.T, b binaries) {
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

	paused := d.now()
	m.rooms.pause(t)
	for _, c := range clients {
		d.wait(t, paused, "the end of "+c, func(h heard) bool { return h.is(c, "disconnect", "transport close") })
	}
	m.rooms.resume(t)
	for _, c := range clients {
		d.connected(t, c, paused)
		d.request(t, c, "join", "room")
	}
	d.count(t, "b", 2)
	d.hear(t, "a", clients)
}

// appPaused: the clients of an instance that does not run go to the other one, and stay there when it runs again.
func appPaused(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	one := m.app(t, "one")
	m.app(t, "two")
	d := newDriver(t)
	clients := d.owners(t, m.urls(), "one", "two")

	paused := d.now()
	one.pause(t)
	for _, c := range clients["one"] {
		d.connected(t, c, paused)
		if got := d.whoami(t, c); got != "two" {
			t.Errorf("%s is served by %q, want two", c, got)
		}
	}
	back := d.now()
	one.resume(t)
	var all []string
	for _, c := range clients {
		all = append(all, c...)
	}
	for _, c := range all {
		d.request(t, c, "join", "room")
	}
	d.count(t, clients["two"][0], len(all))
	d.hear(t, clients["one"][0], all)
	if gone := d.since(back, func(h heard) bool { return h.Event == "disconnect" }); len(gone) > 0 {
		t.Errorf("%s was disconnected when the instance ran again: %s", gone[0].Client, gone[0].Args)
	}
	d.owners(t, m.urls(), "one", "two") // both serve
}

// edgePaused: an edge that was taken for dead closes the clients it still holds, and serves again.
func edgePaused(t *testing.T, b binaries) {
	m := b.split(t)
	defer m.stop(t)
	m.app(t, "one")
	d := newDriver(t)
	id := d.connect(t, "held", m.urls()[0])
	d.connect(t, "stays", m.urls()[1])
	d.request(t, "stays", "join", "watchers")

	paused := d.now()
	m.edges[0].pause(t)
	d.wait(t, paused, "the end of the held socket", func(h heard) bool {
		return h.is("stays", "gone") && h.member("id") == id && h.member("reason") == "transport close"
	})
	m.edges[0].resume(t)
	d.connected(t, "held", paused)
	for _, c := range []string{"held", "stays"} {
		d.request(t, c, "join", "room")
	}
	d.count(t, "stays", 2)
	d.hear(t, "held", []string{"held", "stays"})
}

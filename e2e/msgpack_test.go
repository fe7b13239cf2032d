package e2e_test

import "testing"

// msgpackClients: every scenario with socket.io-msgpack-parser, on two edges that have its parser; then a third edge, with JSON,
// and clients of both kinds in one room.
func msgpackClients(t *testing.T, b binaries) {
	m := b.splitWith(t, 2, "--parser", "msgpack")
	defer m.stop(t)
	m.app(t, "one")
	m.app(t, "two")
	addrs := freeAddrs(t, 2)
	plain := b.start(t, "edge-json", "siomesh", "edge", "--nats", m.nats, "--listen", addrs[0], "--internal-listen", addrs[1])
	plain.ready(t, "http://"+addrs[1]+"/readyz")
	defer plain.stop(t)
	newDriver(t).owners(t, []string{"http://" + addrs[0]}, "one", "two")
	runScenariosWith(t, []string{"--parser", "msgpack"}, m.urls()...)
	if got, want := runNode(t, "parsers.mjs", "--json", "http://"+addrs[0], "--msgpack", m.urls()[0]), 6; got != want {
		t.Errorf("%d scenarios reported, want %d", got, want)
	}
}

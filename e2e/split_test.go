package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// split is a mesh of separate processes: NATS, rooms, auth and edges, and the applications a test adds.
type split struct {
	b        binaries
	nats     string   // URL
	store    string   // directory of NATS
	policies []string // flags of auth

	server, rooms, auth *process
	edges               []*process
	edgeFlags           []string
	apps                []*process

	listen   []string // of NATS, its monitor and the edges
	internal []string // of rooms, auth and the edges
}

// split starts everything but applications, with two edges, and waits until all of it is ready.
func (b binaries) split(tb testing.TB) *split {
	tb.Helper()
	return b.splitWith(tb, 2)
}

// splitWith is split with so many edges, which get the flags.
func (b binaries) splitWith(tb testing.TB, edges int, edgeFlags ...string) *split {
	tb.Helper()
	addrs := freeAddrs(tb, 2*(2+edges))
	m := &split{
		b: b, store: tb.TempDir(), policies: policies(tb), edges: make([]*process, edges), edgeFlags: edgeFlags,
		listen: addrs[:2+edges], internal: addrs[2+edges:],
	}
	m.nats = "nats://" + m.listen[0]
	m.startNATS(tb)
	m.startRooms(tb)
	m.startAuth(tb)
	for i := range m.edges {
		m.startEdge(tb, i)
	}
	for i, p := range append([]*process{m.rooms, m.auth}, m.edges...) {
		p.ready(tb, m.readyz(i))
	}
	return m
}

func (m *split) startNATS(tb testing.TB) {
	tb.Helper()
	m.server = m.b.start(tb, "nats", "nats-server", "-a", "127.0.0.1", "-p", port(tb, m.listen[0]), "-m", port(tb, m.listen[1]),
		"-js", "-sd", m.store)
	m.server.ready(tb, "http://"+m.listen[1]+"/healthz")
}

func (m *split) startRooms(tb testing.TB) {
	tb.Helper()
	m.rooms = m.b.start(tb, "rooms", "siomesh", "rooms", "--nats", m.nats, "--internal-listen", m.internal[0])
}

func (m *split) startAuth(tb testing.TB) {
	tb.Helper()
	m.auth = m.b.start(tb, "auth", "siomesh",
		append([]string{"auth", "--nats", m.nats, "--internal-listen", m.internal[1]}, m.policies...)...)
}

func (m *split) startEdge(tb testing.TB, i int) {
	tb.Helper()
	m.edges[i] = m.b.start(tb, fmt.Sprintf("edge%d", i+1), "siomesh", append([]string{
		"edge", "--nats", m.nats, "--listen", m.listen[2+i], "--internal-listen", m.internal[2+i],
		"--cors-origin", "*", "--client-dir", clientDir, "--max-http-buffer-size", maxBuffer,
	}, m.edgeFlags...)...)
}

// app starts an instance of the application under test.
func (m *split) app(tb testing.TB, instance string) *process {
	tb.Helper()
	p := m.b.start(tb, "app-"+instance, "app", "--nats", m.nats, "--instance", instance)
	m.apps = append(m.apps, p)
	return p
}

// stop stops everything in the order in which one stands on the other, whatever was started again meanwhile.
func (m *split) stop(tb testing.TB) {
	tb.Helper()
	for _, p := range slices.Concat(m.apps, m.edges, []*process{m.auth, m.rooms, m.server}) {
		p.stop(tb)
	}
}

// readyz is where a service says whether it can serve: rooms, auth, and the edges.
func (m *split) readyz(i int) string { return "http://" + m.internal[i] + "/readyz" }

func (m *split) urls() []string {
	var urls []string
	for _, addr := range m.listen[2:] {
		urls = append(urls, "http://"+addr)
	}
	return urls
}

// hasMetrics looks for a counter of this project at every service's internal port.
func (m *split) hasMetrics(t *testing.T) {
	for _, addr := range m.internal {
		if got := answered(t, http.MethodGet, "http://"+addr+"/livez", ""); got.code != http.StatusOK {
			t.Errorf("/livez at %s answers %d", addr, got.code)
		}
		got := answered(t, http.MethodGet, "http://"+addr+"/metrics", "")
		if got.code != http.StatusOK || !strings.Contains(got.body, "\nsio_") || !strings.Contains(got.body, "\nprocess_") {
			t.Errorf("/metrics at %s answers %d without the mesh's counters or the process's:\n%s", addr, got.code, got.body)
		}
	}
}

// chat runs two instances of the demo on the mesh, with its page on an address of its own.
func (m *split) chat(t *testing.T) {
	page := freeAddrs(t, 1)[0]
	chat := m.b.start(t, "chat", "chat", "--nats", m.nats, "--page-listen", page, "--edge-url", m.urls()[1])
	m.b.start(t, "chat-2", "chat", "--nats", m.nats)
	chat.ready(t, "http://"+page+"/")
	newDriver(t).served(t, m.urls()[1], "/chat") // which refuses a client without a name
	runBrowser(t, "http://"+page+"/", "")
}

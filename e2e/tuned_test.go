package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// settings are flags of edges that some scenarios need, by the name the scenarios have for them.
func settings() map[string][]string {
	return map[string][]string{
		"small":     {"--max-http-buffer-size", "2000", "--cookie", "io"},
		"websocket": {"--transports", "websocket"},
	}
}

// tunedProcess: one process with each of the settings.
func tunedProcess(t *testing.T, b binaries) {
	for name, flags := range settings() {
		t.Run(name, func(t *testing.T) {
			addrs := freeAddrs(t, 2)
			url := "http://" + addrs[0]
			app := b.start(t, "app", "app", slices.Concat(policies(t), []string{"--listen", addrs[0], "--internal-listen", addrs[1]}, flags)...)
			app.ready(t, "http://"+addrs[1]+"/readyz")
			runScenariosWith(t, []string{"--settings", name}, url)
			if name == "small" {
				handshakesHeldUp(t, app, url)
			}
		})
	}
}

// tunedEdges adds three edges with each of the settings to a mesh, and lets clients play with them through a balancer that
// sends each of their requests to the next of these.
func (m *split) tunedEdges(t *testing.T) {
	for name, flags := range settings() {
		t.Run(name, func(t *testing.T) {
			addrs := freeAddrs(t, 6)
			listen, internal := addrs[:3], addrs[3:]
			for i := range listen {
				edge := m.b.start(t, fmt.Sprintf("edge-%s-%d", name, i), "siomesh", append([]string{
					"edge", "--nats", m.nats, "--listen", listen[i], "--internal-listen", internal[i], "--auth-handshake",
					"--auth-timeout", "30s", // longer than auth is held up below
				}, flags...)...)
				edge.ready(t, "http://"+internal[i]+"/readyz")
			}
			if name == "small" { // the other has no polling
				acquaint(t, listen...)
			}
			url := newSpreader(t, false, listen...).server.URL
			runScenariosWith(t, []string{"--settings", name}, url)
			if name == "small" {
				handshakesHeldUp(t, m.auth, url)
			}
		})
	}
}

// handshakesHeldUp: while a process that takes part in handshakes does not run, a client with a short time-out is told that its
// time is up, and one that is patient connects in the end.
func handshakesHeldUp(t *testing.T, p *process, url string) {
	d := newDriver(t)
	d.connect(t, "before", url)
	for _, transport := range []string{"polling", "websocket"} {
		t.Run("slow handshake/"+transport, func(t *testing.T) {
			from := d.now()
			open := func(client string, timeout int) {
				d.order(t, map[string]any{"op": "open", "client": client, "url": url, "options": map[string]any{
					"transports": []string{transport}, "timeout": timeout, "reconnection": false,
				}})
			}
			patient, hasty := "patient on "+transport, "hasty on "+transport
			p.pause(t)
			running := false
			resume := func() {
				if !running {
					p.resume(t)
				}
				running = true
			}
			defer resume()
			open(patient, 15_000)
			open(hasty, 100)
			d.wait(t, from, hasty+" gives up", func(h heard) bool { return h.is(hasty, "retry", "timeout") }) // CLI-006
			if early := d.since(from, func(h heard) bool { return h.Client == patient }); len(early) > 0 {
				t.Errorf("%s heard %s %s from a server that was held up", patient, early[0].Event, early[0].Args)
			}
			resume()
			d.connected(t, patient, from) // CLI-006
			if got := text(t, []json.RawMessage{d.request(t, patient, "echo", "in")}); got != "in" {
				t.Errorf("echo answers %q", got)
			}
		})
	}
}

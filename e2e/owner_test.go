package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const unknownSession = `{"code":1,"message":"Session ID unknown"}`

// edgesKilledMidPoll: a request that waits when its session's owner or its relay dies ends, and so does the session, soon; and
// stock clients come back.
func edgesKilledMidPoll(t *testing.T, b binaries) {
	m := b.splitWith(t, 3)
	defer m.stop(t)
	m.app(t, "one")
	d := newDriver(t)
	d.owners(t, m.urls(), "one")
	acquaint(t, m.listen[2:]...)
	front := newSpreader(t, true, m.listen[2:]...)
	var all []string
	for i := range 60 {
		c := fmt.Sprintf("polls-%d", i)
		all = append(all, c)
		d.order(t, map[string]any{"op": "open", "client": c, "url": front.server.URL, "options": map[string]any{"transports": []string{"polling"}}})
	}
	for _, c := range all {
		d.connected(t, c, 0)
	}

	t.Run("owner", func(t *testing.T) {
		sid := openPolling(t, m.urls()[0])
		waiting := m.pollAt(t, 1, sid)
		killed := time.Now()
		m.edges[0].kill(t)
		if a := <-waiting; a.code != http.StatusBadRequest || a.body != unknownSession {
			t.Errorf("the request that waited was answered %d %q", a.code, a.body)
		}
		t.Logf("answered after %v", time.Since(killed).Round(time.Millisecond))
		asked := time.Now()
		if a := <-poll(t, m.urls()[2], sid); a.code != http.StatusBadRequest || a.body != unknownSession { // CEN-013
			t.Errorf("a later request was answered %d %q", a.code, a.body)
		}
		if took := time.Since(asked); took > 10*time.Second { // far from the end of a request that waits
			t.Errorf("which took %v", took)
		}
		d.allAnswer(t, all)
	})
	m.startEdge(t, 0)
	m.edges[0].ready(t, m.readyz(2))
	acquaint(t, m.listen[2:]...)
	t.Run("relay", func(t *testing.T) {
		sid := openPolling(t, m.urls()[0])
		waiting := m.pollAt(t, 1, sid)
		m.edges[1].kill(t)
		if a := <-waiting; a.err == nil {
			t.Errorf("a dead edge answered %d %q", a.code, a.body)
		}
		until(t, answersWithin, "the session has ended", func() bool { // CEN-007
			code, body := get(t.Context(), sessionAt(m.urls()[2], sid))
			return code == http.StatusBadRequest && body == unknownSession
		})
		d.allAnswer(t, all)
	})
	m.startEdge(t, 1)
	m.edges[1].ready(t, m.readyz(3))
	d.allAnswer(t, all)
}

// allAnswer waits until each client gets an answer, after however many tries.
func (d *driver) allAnswer(tb testing.TB, clients []string) {
	tb.Helper()
	for _, c := range clients {
		until(tb, 2*answersWithin, c+" is served", func() bool {
			answer := d.orderReply(tb, map[string]any{"op": "request", "client": c, "event": "echo", "args": []any{c}, "timeout": 1000})
			return answer.Error == "" && len(answer.Args) == 1 && string(answer.Args[0]) == `"`+c+`"`
		})
	}
}

// openPolling opens a session at an edge, without a client.
func openPolling(tb testing.TB, url string) (sid string) {
	tb.Helper()
	a := answered(tb, http.MethodGet, url+"/socket.io/?EIO=4&transport=polling", "")
	var open struct{ SID string }
	if a.err == nil {
		a.err = json.Unmarshal([]byte(strings.TrimPrefix(a.body, "0")), &open)
	}
	if a.err != nil || a.code != http.StatusOK {
		tb.Fatalf("handshake answered %d %q (%v)", a.code, a.body, a.err)
	}
	return open.SID
}

// sessionAt is where a session on polling is asked for at an edge.
func sessionAt(url, sid string) string { return url + "/socket.io/?EIO=4&transport=polling&sid=" + sid }

// acquaint waits until each edge serves requests of each other's sessions: a new one may be ready before all know it.
func acquaint(tb testing.TB, edges ...string) {
	tb.Helper()
	for _, owner := range edges {
		sid := openPolling(tb, "http://"+owner)
		for _, relay := range edges {
			until(tb, startsWithin, relay+" knows "+owner, func() bool {
				return answered(tb, http.MethodPost, sessionAt("http://"+relay, sid), "6").code == http.StatusOK // a noop
			})
		}
	}
}

// pollAt is poll at an edge for a session of the first one, and returns once that has got it.
func (m *split) pollAt(t *testing.T, edge int, sid string) <-chan answer {
	t.Helper()
	const served = `sio_edge_requests_relayed_total{outcome="served_for_another"}`
	before := m.count(t, 0, served)
	ended := poll(t, m.urls()[edge], sid)
	until(t, answersWithin, "the owner has the request", func() bool { return m.count(t, 0, served) > before })
	return ended
}

// poll makes a request of a session at an edge in the background.
func poll(tb testing.TB, url, sid string) <-chan answer {
	tb.Helper()
	ended := make(chan answer, 1)
	ctx, cancel := context.WithTimeout(tb.Context(), 40*time.Second)
	tb.Cleanup(cancel)
	go func() { // ends with the request, whose context does
		ended <- do(ctx, http.MethodGet, sessionAt(url, sid), "")
	}()
	return ended
}

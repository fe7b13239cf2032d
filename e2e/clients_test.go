package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// owners opens clients on all urls until every one of the instances serves one at least, which shows that all of them are
// up; it returns the clients by instance.
func (d *driver) owners(tb testing.TB, urls []string, instances ...string) map[string][]string {
	tb.Helper()
	clients := map[string][]string{}
	n := 0
	until(tb, startsWithin, fmt.Sprintf("clients of all of %v", instances), func() bool {
		c := fmt.Sprintf("client-%d", n)
		d.connect(tb, c, urls[n%len(urls)])
		n++
		owner := d.whoami(tb, c)
		clients[owner] = append(clients[owner], c)
		return !slices.ContainsFunc(instances, func(i string) bool { return len(clients[i]) == 0 })
	})
	return clients
}

// served waits until the edge at url knows an application with the namespace: before its first start an edge that knows another
// one refuses its clients for good.
func (d *driver) served(tb testing.TB, url, namespace string) {
	tb.Helper()
	n := 0
	until(tb, startsWithin, namespace+" is served at "+url, func() bool {
		c := fmt.Sprintf("first-%d of %s", n, namespace)
		n++
		from := d.now()
		d.order(tb, map[string]any{"op": "open", "client": c, "url": url, "namespace": namespace})
		end := d.wait(tb, from, c+" is connected or refused", func(h heard) bool { return h.is(c, "connect") || h.is(c, "connect_error") })
		d.order(tb, map[string]any{"op": "close", "client": c})
		return !end.is(c, "connect_error", "Invalid namespace")
	})
}

// whoami is the instance that serves the client.
func (d *driver) whoami(tb testing.TB, client string) string {
	tb.Helper()
	return text(tb, []json.RawMessage{d.request(tb, client, "whoami")})
}

// flush waits until the client's instance has everything confirmed, and is told whether something was lost before.
func (d *driver) flush(tb testing.TB, client string) string {
	tb.Helper()
	return text(tb, []json.RawMessage{d.request(tb, client, "flush")})
}

// count waits until the client is told that so many are in the room.
func (d *driver) count(tb testing.TB, client string, want int) {
	tb.Helper()
	var got string
	until(tb, answersWithin, fmt.Sprintf("%d members of the room", want), func() bool {
		got = string(d.request(tb, client, "count", "/", "room"))
		return got == fmt.Sprint(want)
	})
}

// hear has a client say something to the room, and waits until all of them have heard it, once.
func (d *driver) hear(tb testing.TB, from string, all []string) {
	tb.Helper()
	began := d.now()
	what := "from " + from
	d.request(tb, from, "to", []string{"room"}, []string{}, what)
	for _, c := range all {
		d.wait(tb, began, c+" hears what "+from+" says", func(h heard) bool { return h.is(c, "said", what) })
	}
	d.request(tb, from, "to", []string{"room"}, []string{}, "end") // behind the first, wherever it went
	for _, c := range all {
		d.wait(tb, began, c+" hears the end", func(h heard) bool { return h.is(c, "said", "end") })
		if n := len(d.since(began, func(h heard) bool { return h.is(c, "said", what) })); n != 1 {
			tb.Errorf("%s heard it %d times", c, n)
		}
	}
}

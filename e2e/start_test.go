package e2e_test

import (
	"net/http"
	"testing"
	"time"
)

// restart: a client is closed without a word of its namespace, so it comes back by itself when the server does (SOC-049).
func restart(t *testing.T, b binaries) {
	addr := freeAddrs(t, 1)[0]
	url := "http://" + addr
	start := func() *process {
		p := b.start(t, "app", "app", "--listen", addr)
		p.ready(t, url+"/socket.io/?EIO=4&transport=polling")
		return p
	}
	first := start()
	d := newDriver(t)
	d.connect(t, "a", url)
	stopped := d.now()
	first.stop(t)
	d.wait(t, stopped, "the end of the connection", func(h heard) bool { return h.is("a", "disconnect", "transport close") })
	start()
	d.connected(t, "a", stopped)
	d.request(t, "a", "echo", 1)
}

// noNATS: a service that finds no NATS is alive and not ready, and gives up in the end.
func noNATS(t *testing.T, b binaries) {
	addrs := freeAddrs(t, 2)
	p := b.start(t, "rooms", "siomesh", "rooms", "--nats", "nats://"+addrs[0], "--nats-timeout", "12s", "--internal-listen", addrs[1])
	until(t, startsWithin, "rooms is alive", func() bool { return status(t.Context(), "http://"+addrs[1]+"/livez") == http.StatusOK })
	if got := answered(t, http.MethodGet, "http://"+addrs[1]+"/readyz", ""); got.code != http.StatusServiceUnavailable { // in the 12 s it has
		t.Errorf("/readyz answers %d (%v) without NATS, want 503", got.code, got.err)
	}
	p.gone = true // it ends by itself
	select {
	case <-p.ended:
		if p.err == nil || len(p.tail()) == 0 {
			t.Errorf("ended with %v, want a failure and a reason in its log", p.err)
		}
	case <-time.After(3 * endsWithin):
		p.kill(t)
		t.Error("rooms did not give up")
	}
}

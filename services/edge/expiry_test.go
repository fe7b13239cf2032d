package edge

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// until is a permission that ends after d.
func until(d time.Duration) string {
	return fmt.Sprintf(`{"allow":true,"expires_at":%q}`, time.Now().Add(d).UTC().Format(time.RFC3339Nano))
}

// TestExpiry: a permission ends in one namespace, and the others go on.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(q authn.ConnectRequest) string {
			if q.Namespace == "/" {
				return until(10 * time.Minute)
			}
			return `{"allow":true}`
		})
		app := w.newApp(true, "/", "/other")
		c := w.join("/", "/other")
		app.records()
		w.pass(10*time.Minute - time.Second)
		c.send(`42["in time"]`)
		c.expect()
		app.expect(wire.KindEvent)
		w.pass(time.Second)
		c.expect("41")
		d := disconnect(t, &app.expect(wire.KindDisconnect)[0])
		if d.GetReason() != reasonServerDisconnect || d.GetDescription() != permissionExpired {
			t.Errorf("got %q, %q", d.GetReason(), d.GetDescription())
		}
		if n := w.m.Expired.Load(); n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
		c.send(`42["on its way"]`, `42/other,["other"]`)
		c.expect()
		c.wantOpen()
		app.expect(wire.KindEvent)
		c.send("40") // it may come back, if auth lets it
		w.settle()
		if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], `40{"sid":"`) {
			t.Errorf("back again: got %q", got)
		}
	})
}

// TestExpiryOwesNothing: packets that came in time reach the app before the end.
func TestExpiryOwesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxPackets: 2})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string { return until(time.Minute) })
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		app.do(of, handled(1))
		app.records()
		c.say(3, 1)
		app.expect(wire.KindEvent, wire.KindEvent)
		w.pass(time.Minute)
		app.expect()
		app.do(of, handled(3))
		app.expect(wire.KindEvent, wire.KindDisconnect)
		c.expect("41")
	})
}

// TestExpiryBeforeTheEnd: a socket that is gone does not expire, nor is its alarm kept.
func TestExpiryBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string { return until(time.Hour) })
		w.newApp(true, "/")
		c := w.join("/")
		c.send("41")
		c.expect()
		if n := w.edge.alarms.pending.Len(); n != 0 {
			t.Errorf("%d alarms are left", n)
		}
	})
}

// TestExpiryBeforeAccept: a permission that has ended, or ends while the app thinks, lets nobody in.
func TestExpiryBeforeAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		left := -time.Second
		w.auth(func(authn.ConnectRequest) string { return until(left) })
		app := w.newApp(false, "/")
		c := w.open()
		c.send("40")
		c.expect(`44{"message":"permission expired"}`)
		left = 10 * time.Second
		c.send("40")
		c.expect()
		app.expect(wire.KindConnect)
		w.pass(left)
		c.expect(`44{"message":"permission expired"}`)
		app.expect(wire.KindDisconnect)
		r, _ := app.connect()
		app.accept(r) // too late
		c.expect()
		c.wantOpen()
	})
}

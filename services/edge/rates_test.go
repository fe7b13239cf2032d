package edge

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// free is a Config in which an app's credit stops no client.
func free(c Config) Config {
	c.MaxPackets, c.MaxBytes = 1<<20, 1<<40
	return c
}

// TestEventRate: what exceeds the rate comes later, in order, and nothing of it is lost.
func TestEventRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, free(Config{EventsPerSecond: 10, EventBurst: 5}))
		app := w.newApp(true, "/", "/other")
		c, quiet := w.join("/", "/other"), w.join("/")
		app.records()
		start := time.Now()
		c.say(35, 1)
		got := app.numbered(0)
		if got != 6 {
			t.Errorf("at once: got %d events, want a burst of 5, and one on credit", got)
		}
		c.send(`42/other,["waits too"]`) // another socket of the same connection
		if !c.unread() {
			t.Error("the client is still read")
		}
		quiet.say(1, 1)
		if n := app.numbered(0); n != 1 {
			t.Errorf("another connection: got %d events, want 1", n)
		}
		for c.unread() && time.Since(start) < time.Minute {
			w.pass(100 * time.Millisecond)
		}
		if took := time.Since(start); took < 2900*time.Millisecond || took > 3200*time.Millisecond {
			t.Errorf("35 events of which 5 are free took %v, want some 3 s at 10 per second", took)
		}
		w.settle()
		c.wantOpen()
		if n := w.m.Throttled[byEvents].Load(); n == 0 || n > 35 || w.m.Throttled[byBytes].Load() != 0 {
			t.Errorf("counted %d pauses for events, %d for bytes", n, w.m.Throttled[byBytes].Load())
		}
		if n := len(app.records()); got+n != 36 {
			t.Errorf("got %d events in all, want 36", got+n)
		}
	})
}

// TestByteRate: a packet larger than the bucket passes, and is paid for before the next.
func TestByteRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, free(Config{BytesPerSecond: 10_000}))
		app := w.newApp(true, "/")
		c := w.join("/")
		app.records()
		start := time.Now()
		c.say(2, 50_000)
		if n := app.numbered(0); n != 1 {
			t.Fatalf("at once: got %d packets of five seconds, want 1", n)
		}
		w.pass(3500 * time.Millisecond)
		if n := app.numbered(1); n != 0 {
			t.Errorf("after 3.5 s: got %d more", n)
		}
		for len(app.records()) == 0 && time.Since(start) < time.Minute {
			w.pass(10 * time.Millisecond)
		}
		if took := time.Since(start); took < 4*time.Second || took > 4200*time.Millisecond {
			t.Errorf("the second came after %v, want 4 s: 50 000 bytes without the burst", took)
		}
		if w.m.Throttled[byBytes].Load() != 2 || w.m.Paused.Load() != 2 {
			t.Errorf("counted %d pauses for bytes, %d in all, want 2 and 2", w.m.Throttled[byBytes].Load(), w.m.Paused.Load())
		}
	})
}

// TestRateAcrossJoins: leaving a namespace and joining it again fills no bucket.
func TestRateAcrossJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, free(Config{EventsPerSecond: 1, EventBurst: 10}))
		app := w.newApp(true, "/")
		c := w.join("/")
		app.records()
		events := 0
		for range 5 {
			c.say(10, 1)
			for _, r := range app.records() {
				if r.Kind == wire.KindEvent {
					events++
				}
			}
			c.send("41", "40")
			w.settle()
			c.take()
		}
		if events != 10+1 || !c.unread() { // a burst, and one on credit
			t.Errorf("got %d events at once, unread %v, want 11", events, c.unread())
		}
		c.wantOpen()
	})
}

// TestConnectRate: CONNECTs count as events of their connection, be they refused or not.
func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{EventsPerSecond: 10, EventBurst: 5})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string { return `{"allow":false,"message":"no"}` })
		w.newApp(true, "/")
		c := w.open()
		start := time.Now()
		for range 25 {
			c.send("40")
			w.settle()
			for c.unread() && time.Since(start) < time.Minute {
				w.settle()
			}
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2200*time.Millisecond {
			t.Errorf("25 CONNECTs of which 5 are free took %v, want some 2 s at 10 per second", took)
		}
		if n := len(w.asked); n != 25 {
			t.Errorf("auth was asked %d times, want 25", n)
		}
		c.wantOpen()
		if n := w.m.Throttled[byEvents].Load(); n == 0 {
			t.Error("counted no pause")
		}
	})
}

// TestConnectLimit: without any rate that was set, CONNECTs are limited, refused or not.
func TestConnectLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string { return `{"allow":false,"message":"no"}` })
		w.newApp(true, "/")
		for namespace, want := range map[string]string{"40": `44{"message":"no"}`, "40/x,": `44/x,{"message":"Invalid namespace"}`} {
			before := w.m.Throttled[byConnects].Load()
			c := w.open()
			start := time.Now()
			for i := range 168 {
				c.send(namespace)
				if i < 128 && w.m.Throttled[byConnects].Load() != before {
					t.Fatalf("CONNECT %d is too much", i+1)
				}
				for w.settle(); c.unread() && time.Since(start) < time.Minute; {
					w.settle()
				}
			}
			if took := time.Since(start); took < 3900*time.Millisecond || took > 4300*time.Millisecond {
				t.Errorf("168 CONNECTs of which 128 are free took %v, want some 4 s at 10 per second", took)
			}
			if got := c.take(); len(got) != 168 || got[0] != want || got[167] != want {
				t.Errorf("got %d answers: %.100q", len(got), got)
			}
			c.wantOpen()
			if w.m.Throttled[byConnects].Load() == before {
				t.Error("counted no pause")
			}
		}
		if n := w.m.Throttled[byEvents].Load() + w.m.Throttled[byBytes].Load(); n != 0 {
			t.Errorf("counted %d pauses for other limits", n)
		}
	})
}

// TestConnectLimitOfMany: a client that joins as many namespaces as it may, leaves them all, and joins them again is not stopped;
// neither is one that tries again with a stock client's back-off.
func TestConnectLimitOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{ConnectTimeout: time.Hour}) // it may leave each namespace before it is let in
		names := make([]string, 64)
		for i := range names {
			names[i] = fmt.Sprintf("/%d", i)
		}
		w.newApp(true, names...)
		c := w.open()
		for range 2 {
			for _, n := range names {
				c.send("40"+n+",", "41"+n+",")
			}
			w.settle()
		}
		for range 100 {
			w.pass(500 * time.Millisecond) // the shortest there is, with the most of chance
			c.send("40/unknown,")
		}
		c.wantOpen()
		if w.m.Throttled[byConnects].Load() != 0 || c.unread() {
			t.Errorf("stopped %d times", w.m.Throttled[byConnects].Load())
		}
	})
}

// TestRatesOfTheVerdict: what auth says of a socket goes before the edge's own limits, field by field.
func TestRatesOfTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, free(Config{EventsPerSecond: 1, BytesPerSecond: 1e6}))
		w.newRing(1)
		limits := "{}"
		w.auth(func(authn.ConnectRequest) string { return `{"allow":true,"limits":` + limits + `}` })
		app := w.newApp(true, "/")
		for _, tt := range []struct {
			limits string
			events int // that pass at once
		}{
			{`{}`, 2},   // one for free, and one on credit
			{`null`, 2}, // the same
			{`{"event_burst":10,"later":true}`, 11},
			{`{"events_per_second":7}`, 8},
			{`{"events_per_second":0}`, 50},
			{`{"events_per_second":0,"bytes_per_second":10,"byte_burst":1}`, 171}, // buckets hold at least 1 KiB: 6 bytes each
		} {
			limits = tt.limits
			c := w.join("/")
			app.records()
			n := 50
			if tt.events > 50 {
				n = 300
			}
			texts := make([]string, n)
			for i := range texts {
				texts[i] = `42["a"]`
			}
			c.send(texts...)
			w.settle()
			if got := len(app.records()); got < tt.events-1 || got > tt.events+1 {
				t.Errorf("%s: got %d events at once, want %d", tt.limits, got, tt.events)
			}
			c.wantOpen()
		}
		limits = `{"events_per_second":-5}`
		c := w.open()
		c.send("40")
		c.expect(`44{"message":"authentication unavailable"}`)
		if n := w.m.Auth[authUnreadable].Load(); n != 1 {
			t.Errorf("counted %d unreadable verdicts, want 1", n)
		}
	})
}

// TestRateAndAcks: an acknowledgement that was asked for costs no event, one that was not does.
func TestRateAndAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, free(Config{EventsPerSecond: 1, EventBurst: 2}))
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		app.records()
		for i := range 10 {
			app.do(of, emit(uint64(1+i), `["q"]`))
			c.send(fmt.Sprintf("43%d[]", i))
		}
		w.settle()
		if n := len(app.records()); n != 10 || c.unread() {
			t.Errorf("got %d of 10 answers, unread %v", n, c.unread())
		}
		c.send("4399[]", "4399[]", "4399[]", "4399[]")
		w.settle()
		if !c.unread() || w.m.Throttled[byEvents].Load() == 0 {
			t.Error("answers that nobody asked for are free")
		}
	})
}

// TestThrottledClientGoes: the pause ends with the connection, be it closed by the server or at the end of the edge.
func TestThrottledClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, free(Config{EventsPerSecond: 0.01}))
		app := w.newApp(true, "/")
		c, p := w.join("/"), w.poll()
		of, _ := app.connect()
		c.say(5, 1)
		p.connect()
		w.settle()
		answered := make(chan struct{})
		go func() { // received below
			defer close(answered)
			body := strings.NewReader(strings.Repeat(`42["a"]`+"\x1e", 4) + `42["a"]`)
			url := "http://pipe/socket.io/?EIO=4&transport=polling&sid=" + p.sid
			r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, body)
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := w.http.Do(r); err == nil { // else the edge ended first
				_ = res.Body.Close()
			}
		}()
		w.settle()
		if w.edge.alarms.pending.Len() != 2 {
			t.Fatalf("%d alarms, want one for each connection", w.edge.alarms.pending.Len())
		}
		app.do(of, &wire.Record{Kind: wire.KindClose, Flags: wire.FlagClose})
		c.wantClosed()
		if n := w.edge.alarms.pending.Len(); n != 1 {
			t.Errorf("%d alarms are left, want 1", n)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		<-answered
		if n := w.edge.alarms.pending.Len(); n != 0 {
			t.Errorf("%d alarms are left at the end", n)
		}
	})
}

func TestNonsenseRates(t *testing.T) {
	nan := math.NaN()
	for _, c := range []Config{{ConnectsPerSecond: 1e-9}, {ConnectsPerSecond: nan}, {ConnectBurst: -1}, {EventsPerSecond: -1}, {EventBurst: -1}, {BytesPerSecond: 0.1}, {ByteBurst: -5}} {
		if err := c.withDefaults().validate(); err == nil {
			t.Errorf("%v, %v, %v, %v: no error", c.EventsPerSecond, c.EventBurst, c.BytesPerSecond, c.ByteBurst)
		}
	}
}

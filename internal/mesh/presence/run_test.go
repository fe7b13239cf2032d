package presence

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

const ms = time.Millisecond

func TestInstancesMeetAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a := join(t, b, app(), Config{})
		a.describe(func(p *siomeshv1.Presence) { p.Load = 7 })
		pass(1200 * ms) // in the middle between two heartbeats
		e := join(t, b, edge(), Config{})
		pass(0)
		a.wantNews(t, "up edge")
		pass(21 * ms) // the least time between two heartbeats
		e.wantNews(t, "up app")
		live := e.Live(mesh.KindApp)
		if len(live) != 1 || live[0].Address != a.self || live[0].Info.GetLoad() != 7 || live[0].Suspect {
			t.Errorf("live apps = %+v, want the one, with load 7", live)
		}
		if got := e.Live(mesh.KindEdge); len(got) != 0 {
			t.Errorf("live edges = %+v, want none: never oneself", got)
		}
		if p, ok := a.Peer(e.self.Instance); !ok || p.Address != e.self {
			t.Errorf("peer = %+v, %t, want the edge", p, ok)
		}
		pass(10 * time.Second)
		a.wantNews(t)
		e.wantNews(t)
		if !a.Fresh(e.self.Instance) || !a.Healthy() {
			t.Error("not fresh and healthy, want both")
		}
	})
}

func TestHeardAfterTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		for range 5 {
			join(t, b, app(), Config{})
		}
		pass(time.Second)
		start := time.Now()
		e := join(t, b, edge(), Config{})
		<-e.Heard()
		if got := time.Since(start); got < 200*ms || got > 300*ms {
			t.Errorf("heard after %v, want the settle time, 200 ms", got)
		}
		if got := len(e.Live(mesh.KindApp)); got != 5 {
			t.Errorf("%d apps are live, want 5", got)
		}
	})
}

// TestNotHeardWhileCutOff: without a connection that hears itself nobody knows who is there.
func TestNotHeardWhileCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		join(t, b, app(), Config{})
		e := join(t, b, edge(), Config{})
		e.line.set(func(l *line) { l.cut = true })
		pass(time.Minute)
		select {
		case <-e.Heard():
			t.Error("heard, want not")
		default:
		}
		if e.Healthy() {
			t.Error("healthy, want not")
		}
		e.line.set(func(l *line) { l.cut = false })
		<-e.Heard()
		if got := len(e.Live(mesh.KindApp)); got != 1 || !e.Healthy() {
			t.Errorf("%d apps are live, healthy %t, want 1, true", got, e.Healthy())
		}
	})
}

func TestGoodbyeIsDeathAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(time.Second)
		e.wantNews(t, "up app")
		if e.Dead(a.self.Instance) {
			t.Error("dead before its end")
		}
		start := time.Now()
		a.stop()
		synctest.Wait()
		if at := e.wantNews(t, "died app"); !at.Equal(start) {
			t.Errorf("died after %v, want at once", at.Sub(start))
		}
		e.wantBye(t, true)
		if _, ok := e.Peer(a.self.Instance); ok || e.Fresh(a.self.Instance) || !e.Dead(a.self.Instance) {
			t.Error("the dead instance is still there")
		}
	})
}

// TestSilenceIsDeath kills without a goodbye.
func TestSilenceIsDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(1100 * ms)
		e.told()
		start := time.Now()
		a.line.set(func(l *line) { l.cut = true })
		pass(3 * time.Second)
		at := e.wantNews(t, "died app")
		e.wantBye(t, false)
		if got := at.Sub(start); got < 1000*ms || got > 1600*ms {
			t.Errorf("died after %v, want 1 to 1.6 s", got)
		}
		if !e.Dead(a.self.Instance) || !e.Suspect(a.self.Instance) {
			t.Error("not dead after its death")
		}
		a.line.set(func(l *line) { l.cut = false })
		pass(time.Second)
		e.wantNews(t, "up app") // it had not restarted: it was only cut off
		if e.Dead(a.self.Instance) {
			t.Error("dead after it came back")
		}
		a.wantNews(t, "up edge")
	})
}

func TestSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(1100 * ms)
		e.told()

		e.Suspect(a.self.Instance)
		if e.Suspect(mesh.NewInstanceID()) {
			t.Error("nobody is dead")
		}
		pass(21 * ms)
		e.wantNews(t, "suspected app", "recovered app") // asked, it said so at once

		start := time.Now()
		a.line.set(func(l *line) { l.cut = true })
		e.Suspect(a.self.Instance)
		pass(0)
		e.wantNews(t, "suspected app")
		if p, ok := e.Peer(a.self.Instance); !ok || !p.Suspect || e.Fresh(a.self.Instance) {
			t.Errorf("peer = %+v, %t, want a suspect that is not fresh", p, ok)
		}
		pass(2 * time.Second)
		at := e.wantNews(t, "died app")
		if got := at.Sub(start); got < 700*ms || got > 800*ms {
			t.Errorf("died after %v, want 700 ms and a little", got)
		}
	})
}

func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(1100 * ms)
		e.told()
		start := time.Now()
		a.describe(func(p *siomeshv1.Presence) { p.Draining = true })
		a.Announce()
		synctest.Wait()
		if at := e.wantNews(t, "updated app"); !at.Equal(start) {
			t.Errorf("updated after %v, want at once", at.Sub(start))
		}
		if p, _ := e.Peer(a.self.Instance); !p.Info.GetDraining() {
			t.Error("not draining, want draining")
		}
		before, _ := e.Peer(a.self.Instance)
		for range 100 {
			a.Announce()
			pass(ms)
		}
		after, _ := e.Peer(a.self.Instance)
		if got := after.Info.GetSequence() - before.Info.GetSequence(); got < 4 || got > 6 {
			t.Errorf("%d heartbeats in 100 ms, want about 5", got)
		}
		e.wantNews(t) // nothing new in them
	})
}

// TestDeafJudgesNobody: who does not hear itself blames nobody else, and makes its connection anew.
func TestDeafJudgesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		metrics, err := NewMetrics(registry)
		if err != nil {
			t.Fatalf("metrics: %v", err)
		}
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{Metrics: metrics})
		pass(1100 * ms)
		a.told()
		e.told()
		e.line.set(func(l *line) { l.deaf = true })
		pass(1300 * ms)
		if e.Fresh(a.self.Instance) {
			t.Error("fresh, want not: nothing of it was heard")
		}
		pass(5 * time.Second)
		e.wantNews(t)
		a.wantNews(t) // it was deaf, not mute
		if e.line.forces() != 1 || !e.Healthy() {
			t.Errorf("%d forced reconnects, healthy %t, want 1, true", e.line.forces(), e.Healthy())
		}
		wantCounter(t, registry, "sio_presence_forced_reconnects_total", 1)
	})
}

// TestDeafIsNotHealthy: the readiness goes when the probe does, and stays away until it is back.
func TestDeafIsNotHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(1100 * ms)
		e.told()
		e.line.set(func(l *line) { l.deaf, l.stuck = true, true })
		pass(1300 * ms)
		if !e.Healthy() {
			t.Error("not healthy, want healthy: it may still come")
		}
		pass(300 * ms)
		if e.Healthy() || e.line.forces() != 1 {
			t.Errorf("healthy %t, %d forced reconnects, want false, 1", e.Healthy(), e.line.forces())
		}
		pass(time.Minute)
		if got := e.line.forces(); e.Healthy() || got < 30 || got > 45 {
			t.Errorf("healthy %t, %d forced reconnects, want false, one every 1.5 s", e.Healthy(), got)
		}
		e.wantNews(t) // of a it cannot say anything
		e.line.set(func(l *line) { l.deaf, l.stuck = false, false })
		pass(2 * time.Second)
		e.wantNews(t)
		if !e.Healthy() || !e.Fresh(a.self.Instance) {
			t.Error("not healthy and fresh, want both")
		}
	})
}

func TestCutOffJudgesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(1100 * ms)
		a.told()
		e.told()
		e.line.set(func(l *line) { l.cut = true })
		pass(time.Minute)
		e.wantNews(t)
		a.wantNews(t, "died edge")
		if e.line.forces() != 0 {
			t.Errorf("%d forced reconnects, want none: there is nothing to drop", e.line.forces())
		}
		e.line.set(func(l *line) { l.cut = false })
		pass(0)
		a.wantNews(t, "up edge")
		pass(2 * time.Second)
		e.wantNews(t)
	})
}

func TestMalformedHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		metrics, err := NewMetrics(registry)
		if err != nil {
			t.Fatalf("metrics: %v", err)
		}
		b := bus.NewMemory()
		e := join(t, b, edge(), Config{Metrics: metrics})
		pass(0)
		valid := func() *siomeshv1.Presence {
			return &siomeshv1.Presence{
				Instance: mesh.NewInstanceID().String(), Kind: "app", Name: "chat", MinVersion: 1, MaxVersion: 1, Sequence: 1,
			}
		}
		for _, change := range []func(*siomeshv1.Presence){
			func(p *siomeshv1.Presence) { p.Instance = "" },
			func(p *siomeshv1.Presence) { p.Instance = "0123456.89" },
			func(p *siomeshv1.Presence) { p.Kind = "" },
			func(p *siomeshv1.Presence) { p.Kind = "edge" }, // on an app's subject, and named like none
			func(p *siomeshv1.Presence) { p.Kind, p.Name = "edge", "edge" },
			func(p *siomeshv1.Presence) { p.Name = "other" },
			func(p *siomeshv1.Presence) { p.Name = "CHAT" },
			func(p *siomeshv1.Presence) { p.Sequence = 0 },
			func(p *siomeshv1.Presence) { p.MinVersion = 0 },
			func(p *siomeshv1.Presence) { p.MinVersion = 2 },
		} {
			p := valid()
			change(p)
			publish(t, b, "sio.v1.presence.app.chat", p)
		}
		if err := b.Publish("sio.v1.presence.app.chat", []byte("\xff not protobuf")); err != nil {
			t.Fatalf("publish: %v", err)
		}
		pass(0)
		e.wantNews(t)
		wantCounter(t, registry, "sio_presence_malformed_total", 11)
		publish(t, b, "sio.v1.presence.app.chat", valid())
		pass(0)
		e.wantNews(t, "up app")
	})
}

// TestManyQuestionsFewAnswers: a storm of questions does not multiply.
func TestManyQuestionsFewAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.NewMemory()
		a, e := join(t, b, app(), Config{}), join(t, b, edge(), Config{})
		pass(1100 * ms)
		before, _ := e.Peer(a.self.Instance)
		for range 1000 {
			if err := b.Publish("sio.v1.presence.who", nil); err != nil {
				t.Fatalf("publish: %v", err)
			}
		}
		pass(100 * ms)
		after, _ := e.Peer(a.self.Instance)
		if got := after.Info.GetSequence() - before.Info.GetSequence(); got < 1 || got > 2 {
			t.Errorf("%d heartbeats, want 1 or 2", got)
		}
	})
}

func publish(tb testing.TB, b bus.Bus, subject string, p *siomeshv1.Presence) {
	tb.Helper()
	data, err := proto.Marshal(p)
	if err == nil {
		err = b.Publish(subject, data)
	}
	if err != nil {
		tb.Fatalf("publish: %v", err)
	}
}

func wantCounter(tb testing.TB, registry *prometheus.Registry, name string, want float64) {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if family.GetName() == name {
			if got := family.GetMetric()[0].GetCounter().GetValue(); got != want {
				tb.Errorf("%s = %v, want %v", name, got, want)
			}
			return
		}
	}
	tb.Errorf("no metric %s", name)
}

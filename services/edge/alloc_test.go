package edge

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// eventually waits until cond holds, without allocating while it does.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			tb.Fatalf("%s: not within 10 s", what)
		}
	}
}

// allocations returns how many objects f allocates, on whatever goroutine, in each of n runs.
func allocations(n int, f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// What a client's event costs from its WebSocket frame to the app's inbox on the bus in memory, each event coming alone.
func TestInboundEventAllocations(t *testing.T) {
	const warm, events = 200, 1000
	most := 2.0
	if lossyPools {
		most = 4
	}
	b := bus.NewMemory()
	defer b.Close()
	e := newBench(t, b)
	var arrived atomic.Int64
	inbox := b.NewReceiver(bus.Data, 64)
	if err := inbox.Subscribe(mesh.Subjects{}.InAll(e.app.addr), "", func(bus.Msg) { arrived.Add(1) }); err != nil {
		t.Fatal(err)
	}
	runs(t, inbox.Run)
	sk, client := e.join()
	frame, err := ws.CompileFrame(ws.MaskFrameInPlace(ws.NewTextFrame([]byte(`42["message","a text of about the length that people write"]`))))
	if err != nil {
		t.Fatal(err)
	}
	sent := int64(0)
	arrives := func() bool { return arrived.Load() == sent }
	event := func() {
		sent++
		if _, err := client.Write(frame); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the event in the inbox", arrives)
		sk.conn.mu.Lock()
		sk.flow.release(sk.flow.seq) // as if the app had handled it
		sk.conn.mu.Unlock()
	}
	allocations(warm, event)
	got := allocations(events, event)
	t.Logf("allocations per event: %.2f", got)
	if got > most {
		t.Errorf("%.2f allocations for an event, want at most %v", got, most)
	}
}

// A broadcast is encoded once, however many receive it.
func TestBroadcastAllocations(t *testing.T) {
	const members, broadcasts = 50, 200
	cost := func(members int) float64 {
		e := newBench(t, quietBus{bus.NewMemory()})
		for range members {
			e.join()
		}
		r := broadcast(0, wire.Selector{}, `["message","a text of about the length that people write"]`)
		r.Origin, r.Namespace = e.app.addr.Instance, []byte("/")
		from := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
		send := func() {
			if err := e.s.Record(from, r); err != nil {
				t.Fatal(err)
			}
			e.s.EndFrame()
		}
		allocations(20, send)
		return allocations(broadcasts, send)
	}
	one, many := cost(1), cost(members)
	t.Logf("allocations of a broadcast: %.2f to one, %.2f to %d", one, many, members)
	if many > one+1 {
		t.Errorf("a broadcast to %d allocates %.2f times, to one %.2f times", members, many, one)
	}
}
